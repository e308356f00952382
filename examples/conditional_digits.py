"""Generate the digit you ask for, and write other digits in the style of one you have.

A conditional VAE needs no class of its own: the data set yields dicts, and each network gets the
entries that its inputs are named after.

    python examples/conditional_digits.py --epochs 10 --output digits.png --analogy analogy.png
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vae import VAE, data, likelihoods, networks, pictures
from keras_vae.applications import control


def main(epochs: int, steps: int | None, output: Path, analogy: Path):
    mnist = data.load("mnist", protocol="static")
    batches = tf.data.Dataset.from_tensor_slices(
        {"x": mnist.examples("train"), "label": mnist.train_labels}
    )
    batches = batches.shuffle(10_000, seed=0).batch(128, drop_remainder=True)
    encoder, decoder = networks.mlp(
        mnist.shape,
        latent_dim=8,
        hidden=(512, 512),
        conditions={"label": 10},
        output_mean=mnist.mean,
    )
    vae = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(event_rank=3))
    vae.compile("adam", jit_compile=True)
    vae.fit(batches.take(steps) if steps else batches, epochs=epochs)

    images = vae.generate(100, seed=7, label=np.repeat(np.arange(10), 10))
    pictures.save_png(output, pictures.image_grid(images, columns=10), scale=2)

    test = {"x": mnist.examples("test", 10), "label": mnist.test_labels[:10]}
    others = control.analogies(vae, test, label=np.arange(10))
    pictures.save_png(analogy, pictures.analogy_grid(test["x"], others), scale=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    parser.add_argument("--output", type=Path, default=Path("digits.png"))
    parser.add_argument("--analogy", type=Path, default=Path("analogy.png"))
    main(**vars(parser.parse_args()))
