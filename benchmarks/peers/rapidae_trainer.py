"""rapidae's VAE and its training pipeline, on the tasks' networks."""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_clock import Timed
from keras_step import networks
from rapidae.models.vae import VAE
from rapidae.pipelines import TrainingPipeline
from task import Clock, given


def main():
    task, _, seconds = given()
    x = task.pixels().astype("float32") / 255.0
    encoder, decoder = networks(task)
    clock = Clock(len(x), seconds)
    model = VAE(task.shape, task.latent_dim, encoder, decoder, recon_loss_fn="bce")
    with tempfile.TemporaryDirectory() as folder:
        TrainingPipeline(
            name="rapidae",
            model=model,
            output_dir=folder,
            batch_size=task.batch,
            num_epochs=1000,
            callbacks=[Timed(clock)],
            verbose=0,
        )(x)
    clock.report()


if __name__ == "__main__":
    main()
