"""`keras_vae.evaluation.log_likelihood`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from trained import folder, report_estimate

import keras_vae
from keras_vae import evaluation


def main():
    vae = keras_vae.load_model(folder() / "vae.keras")

    def estimate(x, k):
        result = evaluation.log_likelihood(vae, x, k, seed=1, progress=False)
        return {"log_likelihood": result.mean, "monte_carlo_error": result.monte_carlo_error}

    report_estimate(estimate)


if __name__ == "__main__":
    main()
