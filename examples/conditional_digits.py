"""Generate the digit you ask for: a conditional VAE needs no class of its own.

The data set yields dicts, and each network gets the entries that its inputs are named after.

    python examples/conditional_digits.py --epochs 10 --output digits.png
"""

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_vae import VAE, data, likelihoods, pictures


def networks(latent_dim: int = 16) -> tuple[keras.Model, keras.Model]:
    x, label = keras.Input((28, 28, 1), name="x"), keras.Input((10,), name="label")
    h = keras.layers.Concatenate()([keras.layers.Flatten()(x), label])
    h = keras.layers.Dense(512, "relu")(h)
    encoder = keras.Model([x, label], keras.layers.Dense(2 * latent_dim)(h))

    z, label = keras.Input((latent_dim,), name="z"), keras.Input((10,), name="label")
    h = keras.layers.Dense(512, "relu")(keras.layers.Concatenate()([z, label]))
    logits = keras.layers.Reshape((28, 28, 1))(keras.layers.Dense(784)(h))
    return encoder, keras.Model([z, label], logits)


def main(epochs: int, steps: int | None, output: Path):
    mnist = data.load("mnist", protocol="static")
    one_hot = np.eye(10, dtype=np.float32)
    batches = tf.data.Dataset.from_tensor_slices(
        {"x": mnist.examples("train"), "label": one_hot[mnist.train_labels]}
    )
    batches = batches.shuffle(10_000, seed=0).batch(128, drop_remainder=True)
    vae = VAE(*networks(), likelihood=likelihoods.Bernoulli(event_rank=3))
    vae.compile("adam", jit_compile=True)
    vae.fit(batches.take(steps) if steps else batches, epochs=epochs)

    digits = np.repeat(np.arange(10), 10)
    images = vae.generate(100, seed=7, label=one_hot[digits])
    pictures.save_png(output, pictures.image_grid(images, columns=10), scale=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    parser.add_argument("--output", type=Path, default=Path("digits.png"))
    main(**vars(parser.parse_args()))
