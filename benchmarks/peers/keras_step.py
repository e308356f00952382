"""A VAE as tutorials write it in Keras: a model with its own `train_step` and two loss trackers, under plain `fit`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers
from keras_clock import Timed
from task import Clock, given


class Noise(layers.Layer):
    """z from q(z|x)."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, mean, log_variance):
        noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
        return mean + keras.ops.exp(0.5 * log_variance) * noise


class Tutorial(keras.Model):
    """Encoder, decoder and a training step of its own."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder, self.noise = encoder, decoder, Noise()
        self.trackers = {name: keras.metrics.Mean(name) for name in ("loss", "fit", "kl")}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def train_step(self, x):
        with tf.GradientTape() as tape:
            mean, log_variance = self.encoder(x)
            shown = self.decoder(self.noise(mean, log_variance))
            crossed = keras.losses.binary_crossentropy(x, shown)
            fit = tf.reduce_mean(tf.reduce_sum(crossed, axis=(1, 2)))
            kl = -0.5 * (1 + log_variance - tf.square(mean) - tf.exp(log_variance))
            kl = tf.reduce_mean(tf.reduce_sum(kl, axis=1))
            loss = fit + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for name, value in {"loss": loss, "fit": fit, "kl": kl}.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


def networks(task):
    x = keras.Input(task.shape)
    h = x
    if task.convolutional:
        for channels in task.hidden:
            h = layers.Conv2D(channels, 3, strides=2, padding="same", activation=task.activation)(h)
        folded = h.shape[1:]
        h = layers.Dense(256, activation=task.activation)(layers.Flatten()(h))
    else:
        h = layers.Flatten()(h)
        for units in task.hidden:
            h = layers.Dense(units, activation=task.activation)(h)
    encoder = keras.Model(x, [layers.Dense(task.latent_dim)(h), layers.Dense(task.latent_dim)(h)])
    z = keras.Input((task.latent_dim,))
    h = z
    if task.convolutional:
        h = layers.Dense(256, activation=task.activation)(h)
        h = layers.Dense(folded[0] * folded[1] * folded[2], activation=task.activation)(h)
        h = layers.Reshape(folded)(h)
        for channels in reversed(task.hidden):
            h = layers.Conv2DTranspose(
                channels, 3, strides=2, padding="same", activation=task.activation
            )(h)
        shown = layers.Conv2D(task.shape[-1], 3, padding="same", activation="sigmoid")(h)
    else:
        for units in reversed(task.hidden):
            h = layers.Dense(units, activation=task.activation)(h)
        flat = task.shape[0] * task.shape[1] * task.shape[2]
        shown = layers.Reshape(task.shape)(layers.Dense(flat, activation="sigmoid")(h))
    return encoder, keras.Model(z, shown)


def main():
    task, _, seconds = given()
    x = task.pixels().astype("float32") / 255.0
    clock = Clock(len(x), seconds)
    model = Tutorial(*networks(task))
    model.compile(optimizer=keras.optimizers.Adam())
    model.fit(x, epochs=1000, batch_size=task.batch, callbacks=[Timed(clock)], verbose=0)
    clock.report()


if __name__ == "__main__":
    main()
