"""rapidae's VAE and training pipeline with validation images; the epoch that validates best is kept."""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from budget import Budget, images, report
from keras_clock import Timed
from keras_step import networks
from rapidae.models.vae import VAE
from rapidae.pipelines import TrainingPipeline
from task import TASKS


def layers(network):
    return [
        array
        for layer in network.layers
        if isinstance(layer, keras.layers.Dense)
        for array in layer.get_weights()
    ]


def main():
    keras.utils.set_random_seed(0)
    task, budget = TASKS["mlp"], Budget()
    train, validation = images()
    encoder, decoder = networks(task)
    model = VAE(task.shape, task.latent_dim, encoder, decoder, recon_loss_fn="bce")
    with tempfile.TemporaryDirectory() as folder:
        pipeline = TrainingPipeline(
            name="rapidae",
            model=model,
            output_dir=folder,
            batch_size=task.batch,
            num_epochs=100_000,
            callbacks=[
                Timed(budget),
                keras.callbacks.EarlyStopping("val_loss", patience=100_000, mode="min"),
            ],
            verbose=0,
        )
        pipeline(train, np.zeros(len(train)), validation, np.zeros(len(validation)))
    hidden, hidden_bias, mean, mean_bias, log_variance, log_variance_bias = layers(encoder)
    params = np.concatenate([mean, log_variance], 1), np.concatenate([mean_bias, log_variance_bias])
    report(budget, [hidden, hidden_bias, *params], layers(decoder))


if __name__ == "__main__":
    main()
