"""Train a VAE on MNIST, measure its likelihood, look at what it generates, export it.

python examples/quickstart.py --epochs 10 --output quickstart
"""

import argparse
from pathlib import Path

from keras_vae import VAE, data, evaluation, export, likelihoods, networks, pictures


def main(epochs: int, steps: int | None, output: Path):
    mnist = data.load("mnist", protocol="dynamic", batch_size=128)
    encoder, decoder = networks.mlp(mnist.shape, latent_dim=20, output_mean=mnist.mean)
    vae = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(event_rank=3))
    vae.compile("adam", jit_compile=True)
    vae.fit(
        mnist.train,
        steps_per_epoch=steps or mnist.steps_per_epoch,
        epochs=epochs,
        validation_data=mnist.validation,
    )
    print(evaluation.log_likelihood(vae, mnist.examples("test", 500), num_samples=100))

    test = mnist.examples("test", 32)
    grid = pictures.side_by_side(test, vae.reconstruct(test))
    pictures.save_png(output / "reconstructions.png", grid, scale=2)
    samples = pictures.image_grid(vae.generate(64, seed=7))
    pictures.save_png(output / "samples.png", samples, scale=2)
    vae.save(output / "vae.keras")
    print(export.export(vae, output / "export", overwrite=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    parser.add_argument("--output", type=Path, default=Path("quickstart"))
    main(**vars(parser.parse_args()))
