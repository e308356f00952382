"""keras_vae: `tuned`, as `keras-vae train` does it, or `default`, a plain compile and fit on a user's data set."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from keras_clock import Timed
from task import Clock, given

from keras_vae import VAE, data, likelihoods, networks
from keras_vae.training import Recipe


def main():
    task, variant, seconds = given()
    pixels = task.pixels()
    steps = task.images // task.batch
    clock = Clock(steps * task.batch, seconds)
    if variant == "tuned":
        splits = data.from_arrays(
            pixels, pixels[:1000], validation=0, protocol="dynamic", batch_size=task.batch
        )
        recipe = Recipe(
            network="conv" if task.convolutional else "mlp",
            hidden=task.hidden,
            activation=task.activation,
            latent_dim=task.latent_dim,
            batch_size=task.batch,
            epochs=100,
        )
        vae, batches = recipe.build(splits), splits.train
    else:
        sizes = {"filters" if task.convolutional else "hidden": task.hidden}
        build = networks.conv if task.convolutional else networks.mlp
        likelihood = likelihoods.Bernoulli(event_rank=3)
        vae = VAE(
            *build(task.shape, task.latent_dim, activation=task.activation, **sizes),
            likelihood=likelihood,
        )
        vae.compile("adam")
        images = tf.data.Dataset.from_tensor_slices(pixels).shuffle(10_000)
        batches = images.batch(task.batch, drop_remainder=True).map(binarised).prefetch(2)
    vae.fit(batches, epochs=1000, steps_per_epoch=steps if variant == "tuned" else None,
            callbacks=[Timed(clock)], verbose=0)  # fmt: skip
    clock.report()


def binarised(pixels):
    share = tf.cast(pixels, tf.float32) / 255.0
    return tf.cast(tf.random.uniform(tf.shape(share)) < share, tf.float32)


if __name__ == "__main__":
    main()
