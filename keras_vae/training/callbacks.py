"""What watches a run: validation and the best model, divergence, progress, pictures for
TensorBoard.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_vae import pictures
from keras_vae.data import Splits
from keras_vae.models import VAE
from keras_vae.training.run import Run, TrainingDiverged


class KeepBest(keras.callbacks.Callback):
    """Validates the model after every epoch, and keeps the one with the lowest monitored term.

    The term is the objective's own `monitor`, which is never annealed. Its values join the epoch's
    logs as `val_...`, for the callbacks that come after.
    """

    def __init__(self, run: Run, vae: VAE, validation: tf.data.Dataset, *, saves: bool = True):
        super().__init__()
        self.run, self.vae, self.validation, self.saves = run, vae, validation, saves
        self.best, self.best_epoch = math.inf, 0

    def on_epoch_end(self, epoch, logs=None):
        terms = self.vae.evaluate(self.validation, verbose=0, return_dict=True)
        logs.update({f"val_{term}": value for term, value in terms.items()})
        monitor = self.vae.objective.monitor
        if not math.isfinite(terms[monitor]):
            raise TrainingDiverged(self.run, epoch + 1, f"the validation {monitor}")
        if terms[monitor] < self.best:
            self.best, self.best_epoch = terms[monitor], epoch + 1
            if self.saves:
                self.run.save_model(self.vae)


class StopAtNaN(keras.callbacks.Callback):
    """Stops a run whose loss is no longer a number, before anything of it is saved."""

    def __init__(self, run: Run, vae: VAE):
        super().__init__()
        self.run, self.vae, self.epoch = run, vae, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            step = int(self.vae.step.numpy())
            raise TrainingDiverged(self.run, self.epoch, f"the loss, by step {step:,},")


class ProgressBar(keras.callbacks.Callback):
    """One bar for the run, with the time left, and one line for every epoch done."""

    def __init__(self, epochs: int, steps_per_epoch: int, monitor: str, console: Console):
        super().__init__()
        self.epochs, self.steps, self.monitor = epochs, steps_per_epoch, monitor
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[nats]}"),
            console=console,
        )
        self.task = self.bar.add_task("steps", total=epochs * steps_per_epoch, nats="")
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.bar.update(
            self.task, description=f"epoch {epoch + 1}/{self.epochs}", completed=epoch * self.steps
        )

    def on_train_batch_end(self, batch, logs=None):
        done = self.epoch * self.steps + batch + 1
        self.bar.update(self.task, completed=done, nats=f"{logs[self.monitor]:.2f} nats")

    def on_epoch_end(self, epoch, logs=None):
        self.bar.console.print(
            f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}  {self.monitor}: "
            f"train {logs[self.monitor]:.2f}, validation {logs[f'val_{self.monitor}']:.2f} nats",
            highlight=False,
        )


class TensorBoard(keras.callbacks.Callback):
    """Writes each epoch's terms, learning rate, and grids of samples and reconstructions for
    TensorBoard.
    """

    def __init__(self, run: Run, vae: VAE, splits: Splits, num_images: int = 32):
        super().__init__()
        self.vae, self.value_range = vae, run.value_range
        self.writer = tf.summary.create_file_writer(str(run.path / "tensorboard"))
        self.originals = splits.examples("validation", min(num_images, splits.num_validation))

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch + 1):
            for term, value in logs.items():
                tf.summary.scalar(term, value)
            tf.summary.scalar("learning_rate", self.vae.optimizer.learning_rate)
            if pictures.is_image(self.originals.shape[1:]):
                samples = self.vae.generate(len(self.originals), seed=0)
                again = self.vae.reconstruct(self.originals)
                grids = {
                    "samples": pictures.image_grid(
                        samples, columns=8, value_range=self.value_range
                    ),
                    "reconstructions": pictures.side_by_side(
                        self.originals, again, value_range=self.value_range
                    ),
                }
                for name, grid in grids.items():
                    tf.summary.image(name, grid[np.newaxis])
        self.writer.flush()
