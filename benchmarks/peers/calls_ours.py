"""keras_vae's `vae.generate` (`arrays`), and what it serves: `generate` and `score`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from trained import examples, folder, report_calls, variant

import keras_vae
from keras_vae import export


def main():
    vae = keras_vae.load_model(folder() / "vae.keras")
    served = export.endpoints(vae, ["generate", "score"])
    seed = tf.constant([7, 0])
    x = np.resize(examples(), (4096, 784))

    def arrays(n):
        return lambda: vae.generate(n, seed=7)

    def generate(n):
        return lambda: served["generate"](num_samples=tf.constant(n), seed=seed)["mean"].numpy()

    def score(n):
        return lambda: served["score"](x=tf.constant(x[:n]), seed=seed)["elbo"].numpy()

    report_calls({"arrays": arrays, "generate": generate, "score": score}[variant()])


if __name__ == "__main__":
    main()
