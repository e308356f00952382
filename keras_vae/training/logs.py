"""What a run says while it goes on: to people, or to programs."""

import contextlib
import json
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_vae.training.run import Run


class Log(keras.callbacks.Callback):
    """Says of a run that it was resumed, how its epochs went, how it ended; abstract.

    Args:
        run: the run.
        steps_per_epoch: updates in an epoch.
        monitor: the term that matters.
        console: where to say it.
    """

    def __init__(self, run: Run, steps_per_epoch: int, monitor: str, console: Console):
        super().__init__()
        self.run, self.steps, self.monitor, self.console = run, steps_per_epoch, monitor, console
        self.epochs, self.running = run.recipe.epochs, contextlib.nullcontext()

    def resumed(self, epoch: int) -> None:
        """The run goes on after that many epochs."""
        raise NotImplementedError

    def stopped(self, best_epoch: int) -> None:
        """Ctrl-C was pressed; the model of that epoch is kept, or, with 0, of the incomplete first one."""
        raise NotImplementedError

    def finished(self) -> None:
        """All epochs are done, and the report is written."""
        raise NotImplementedError


class TextLog(Log):
    """One bar for the run, with the time left and the nats, and one line for every epoch done."""

    def __init__(self, run: Run, steps_per_epoch: int, monitor: str, console: Console):
        super().__init__(run, steps_per_epoch, monitor, console)
        self.running = self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[nats]}"),
            console=console,
        )
        self.task = self.bar.add_task("steps", total=self.epochs * self.steps, nats="")
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
        self._say(
            f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}  {self.monitor}: "
            f"train {logs[self.monitor]:.2f}, validation {logs[f'val_{self.monitor}']:.2f} nats"
        )

    def resumed(self, epoch):
        self._say(f"resuming after epoch {epoch} of {self.epochs}")

    def stopped(self, best_epoch):
        what = f"epoch {best_epoch}, the best" if best_epoch else "first epoch, incomplete"
        self._say(
            f"\nStopped by hand. Kept: {self.run.model_path} ({what}). Go on with: keras-vae train "
            f"--resume --output {self.run.path}"
        )

    def finished(self):
        self._say(f"{self.run.path}: see report.md; next: keras-vae evaluate {self.run.path}")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class JsonLog(Log):
    """One JSON object per line, each with its "event": resumed, epoch, stopped, finished."""

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()}
        self._say("epoch", epoch=epoch + 1, monitor=f"val_{self.monitor}", **values)

    def resumed(self, epoch):
        self._say("resumed", epoch=epoch)

    def stopped(self, best_epoch):
        self._say("stopped", best_epoch=best_epoch, model=str(self.run.model_path))

    def finished(self):
        self._say("finished", run=str(self.run.path), model=str(self.run.model_path))

    def _say(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "epochs": self.epochs, **values})
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


LOGS = {"text": TextLog, "json": JsonLog}
"""Logs by name."""
