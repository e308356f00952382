"""The runs of a search, one after the other, as trials of KerasTuner."""

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_vae.applications.search.measures import Measures, measure
from keras_vae.applications.search.plan import Plan
from keras_vae.applications.search.rules import falls_behind
from keras_vae.applications.search.trial import Trial
from keras_vae.data import Splits
from keras_vae.training import TrainingDiverged, resume, train

_MONITOR = "val_negative_elbo"


def run_trials(folder: Path, plan: Plan, splits: Splits, console: Console) -> list[Trial]:
    """Trains what the plan asks for, in `folder/runs`; what is there already is gone on with.

    KerasTuner's grid cannot go on from its own files, so it is walked from its start every time: runs
    that came to their end are read, and one that was interrupted is resumed.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeRemainingColumn(),
        console=console,
    )
    oracle = keras_tuner.oracles.GridSearchOracle(
        objective=keras_tuner.Objective(_MONITOR, "min"),
        hyperparameters=plan.space.copy(),
        seed=1,  # a grid is walked in order, and draws nothing
    )
    tuner = _Tuner(oracle, directory=folder, project_name="keras_tuner", overwrite=True)
    tuner.prepare(folder / "runs", plan, splits, bar)
    try:
        with bar, _new_models():
            tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise error.__cause__ or error from None
    return tuner.trials()


@contextlib.contextmanager
def _new_models() -> Iterator[None]:
    """Holds back TensorFlow's warning of functions traced over and over: every run has its own model."""

    def is_other(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """KerasTuner's loop, with a run folder for every trial."""

    def prepare(self, runs: Path, plan: Plan, splits: Splits, bar: Progress) -> None:
        self.runs, self.plan, self.splits, self.bar = runs, plan, splits, bar
        self.reached: dict[str, Measures | None] = {}  # by name; None: diverged
        self.task = bar.add_task("", total=len(plan.grid) * plan.recipe.epochs)

    def run_trial(self, trial, *fit_args, **fit_kwargs):
        try:
            return self._run(trial.hyperparameters.values)
        except Exception as error:  # KerasTuner would take it for the trial's, and go on
            raise keras_tuner.errors.FatalError(str(error)) from error

    def _run(self, values: Mapping[str, Any]) -> dict[str, float]:
        name = self.plan.name_of(values)
        self.bar.update(self.task, description=name)
        try:
            reached = self._measures(self.runs / name, values)
            told = str(reached)
        except TrainingDiverged as error:
            reached, told = None, str(error)
        self.reached[name] = reached
        self.bar.update(self.task, completed=len(self.reached) * self.plan.recipe.epochs)
        self.bar.console.print(f"{name}: {told}", markup=False, highlight=False, soft_wrap=True)
        return {_MONITOR: math.inf if reached is None else reached.mean}

    def _measures(self, folder: Path, values: Mapping[str, Any]) -> Measures:
        if reached := Measures.read(folder):
            return reached
        recipe = self.plan.recipe_of(values)
        watched = {"console": Console(quiet=True), "callbacks": [_Watch(self)]}
        is_begun = (folder / "config.json").exists()
        run = resume(folder, **watched) if is_begun else train(recipe, folder, **watched)
        history = run.history()[_MONITOR]
        is_pruned = len(history) < recipe.epochs and self.falls_behind(history)
        reached = measure(run, self.splits, self.plan.limit, is_pruned=is_pruned)
        reached.write(folder)
        return reached

    def falls_behind(self, history: Sequence[float]) -> bool:
        """Whether a run with that validation history is to be stopped."""
        finished = [m for m in self.reached.values() if m is not None and not m.is_pruned]
        if not self.plan.prune or not finished:
            return False
        recipe = self.plan.recipe
        return falls_behind(
            history,
            [other.history for other in finished],
            margin=float(np.median([other.standard_error for other in finished])),
            first=max(recipe.warm_up, recipe.epochs // 4) + 1,
        )

    def trials(self) -> list[Trial]:
        """The trials, with the runs of one point of the grid together."""
        size = self.plan.repeats  # repeats are the grid's innermost axis
        points = [self.plan.grid[i : i + size] for i in range(0, len(self.plan.grid), size)]
        trials = []
        for point in points:
            names = [self.plan.name_of(values) for values in point]
            trials.append(
                Trial(
                    recipe=self.plan.recipe_of(point[0]),
                    runs=tuple(self.runs / name for name in names),
                    measures=tuple(self.reached[name] for name in names),
                )
            )
        return trials


class _Watch(keras.callbacks.Callback):
    """Moves the bar, and stops a run that has fallen behind."""

    def __init__(self, tuner: _Tuner):
        super().__init__()
        self.tuner = tuner

    def on_epoch_end(self, epoch, logs=None):
        self.tuner.bar.advance(self.tuner.task)
        if self.tuner.falls_behind(self.model.history.history[_MONITOR]):
            self.model.stop_training = True
