"""Directions in latent space: traversals, attribute vectors and their sum, two ways between digits.

python examples/latent_directions.py --epochs 10 --output directions
"""

import argparse
from pathlib import Path

import numpy as np

from keras_vae import VAE, data, likelihoods, networks, objectives, pictures
from keras_vae.applications import control


def ink_and_slant(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much ink every image [N, 28, 28, 1] has, and by how many pixels a row its strokes lean right."""
    y, x = np.mgrid[14:-14:-1, -14:14][..., np.newaxis]
    ink = images.sum(axis=(1, 2, 3))
    moments = {"xy": x * y, "yy": y * y, "x": x, "y": y}
    mean = {name: (images * m).sum(axis=(1, 2, 3)) / ink for name, m in moments.items()}
    slant = (mean["xy"] - mean["x"] * mean["y"]) / (mean["yy"] - mean["y"] ** 2)
    return ink, slant


def direction(vae: VAE, images: np.ndarray, labels: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The attribute vector from the fifth of every digit with the least to that with the most.

    Of every digit, or else more ink would also mean fewer ones and more zeros.
    """
    vectors = []
    for digit in np.unique(labels):
        low, high = np.quantile(value[labels == digit], [0.2, 0.8])
        most = images[(labels == digit) & (value >= high)]
        least = images[(labels == digit) & (value <= low)]
        vectors.append(control.attribute_vector(vae, most, least))
    return np.mean(vectors, axis=0)


def main(epochs: int, steps: int | None, output: Path):
    mnist = data.load("mnist", protocol="dynamic", batch_size=128)
    encoder, decoder = networks.mlp(mnist.shape, latent_dim=10, output_mean=mnist.mean)
    likelihood = likelihoods.Bernoulli(event_rank=3)
    vae = VAE(encoder, decoder, likelihood=likelihood, objective=objectives.ELBO(beta=2.0))
    vae.compile("adam", jit_compile=True)
    vae.fit(mnist.train, epochs=epochs, steps_per_epoch=steps or mnist.steps_per_epoch)

    test = mnist.examples("test", 2000)
    rows = control.traversals(vae, test, dims=8)
    pictures.save_rows(output / "traversals.png", rows)
    pictures.save_rows(output / "traversals.gif", rows)

    ink, slant = ink_and_slant(test)
    labels = mnist.test_labels[:2000]
    bold, lean = (direction(vae, test, labels, value) for value in (ink, slant))
    amounts = np.linspace(-1, 1, 9)
    moved = [
        control.apply_attribute(vae, test[:3], vector, amounts)
        for vector in (bold, lean, bold + lean)
    ]
    pictures.save_rows(output / "attributes.png", np.concatenate(moved))

    for path in ("linear", "spherical"):
        ways = vae.interpolate(test[:4], test[4:8], steps=9, path=path)
        pictures.save_rows(output / f"{path}.png", ways)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    parser.add_argument("--output", type=Path, default=Path("directions"))
    main(**vars(parser.parse_args()))
