"""What watches a run: validation and the best model, divergence, speed, pictures for TensorBoard."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_vae import pictures
from keras_vae.data import Splits
from keras_vae.evaluation import latent_use
from keras_vae.models import VAE, num_rows, x_of
from keras_vae.training.run import Run, TrainingDiverged

_WATCHED = 500  # validation examples that the use of the latent dimensions is measured on


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


class StopByHand(keras.callbacks.Callback):
    """Ctrl-C that is not lost where TensorFlow or Keras swallows the exception: the next step ends the run."""

    def __init__(self):
        super().__init__()
        self.is_pressed = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes note of SIGINT, in the main thread, where Python's signals arrive."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _press(self, *_):
        self.is_pressed = True
        raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        if self.is_pressed:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if self.is_pressed:
            raise KeyboardInterrupt


class Speed(keras.callbacks.Callback):
    """Adds `steps_per_second` to an epoch's logs: of its training, without what happens at its end.

    For the callbacks that come after it; not for those that keep what a run can be compared by.
    """

    def __init__(self):
        super().__init__()
        self.begun = self.last = 0.0
        self.steps = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.last, self.steps = time.perf_counter(), batch + 1

    def on_epoch_end(self, epoch, logs=None):
        logs["steps_per_second"] = self.steps / max(self.last - self.begun, 1e-9)


class TensorBoard(keras.callbacks.Callback):
    """Writes each epoch's terms, learning rate, speed, use of the latent dimensions, and grids of samples
    and reconstructions for TensorBoard.
    """

    def __init__(self, run: Run, vae: VAE, splits: Splits, num_images: int = 32):
        super().__init__()
        self.vae, self.value_range = vae, run.value_range
        self.writer = tf.summary.create_file_writer(str(run.path / "tensorboard"))
        self.watched = splits.examples("validation", min(_WATCHED, splits.num_validation))
        self.originals = tf.nest.map_structure(lambda array: array[:num_images], self.watched)

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch + 1):
            for term, value in logs.items():
                tf.summary.scalar(term, value)
            tf.summary.scalar("learning_rate", self.vae.optimizer.learning_rate)
            if num_rows(self.watched) > 1:
                use = latent_use(self.vae, self.watched)
                tf.summary.scalar("active_units", use.num_active)
                if use.rate is not None:
                    tf.summary.histogram("rate_per_dimension", use.rate)
            if pictures.is_image(self.vae.event_shape):
                samples = self.vae.generate_like(self.originals)
                again = self.vae.reconstruct(self.originals)
                grids = {
                    "samples": pictures.image_grid(
                        samples, columns=8, value_range=self.value_range
                    ),
                    "reconstructions": pictures.side_by_side(
                        x_of(self.originals), again, value_range=self.value_range
                    ),
                }
                for name, grid in grids.items():
                    tf.summary.image(name, grid[np.newaxis])
        self.writer.flush()
