"""Training from a recipe to a run folder."""

import os

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_vae import _files, pictures, reports
from keras_vae.data import Splits
from keras_vae.models import VAE
from keras_vae.training.callbacks import (
    KeepBest,
    ProgressBar,
    StopAtNaN,
    TensorBoard,
)
from keras_vae.training.recipe import Recipe
from keras_vae.training.run import Run
from keras_vae.training.state import TrainingState


def train(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    console: Console | None = None,
) -> Run:
    """Trains a model from scratch and writes a run folder.

    Data and model are made, and checked against each other, before the folder is touched.

    Args:
        recipe: what to train on what.
        output: the folder to make; an existing one is refused unless it is a run and `overwrite` is
            set.
        overwrite: whether an earlier run there may be replaced.
        console: where progress goes; standard output by default.

    Returns:
        The `Run`, with the best model.

    Raises:
        TrainingDiverged: where the loss becomes NaN; the best model so far is kept.
        KeyboardInterrupt: passed on after what was learned has been kept.
    """
    splits = recipe.load_data()
    model = recipe.build(splits)
    _validation(splits)
    model.check_batch(splits.examples("train", recipe.batch_size))
    run = Run.create(output, recipe, splits, overwrite=overwrite)
    return _fit(run, splits, model, console or Console(), resumed=False)


def resume(output: str | os.PathLike[str], *, console: Console | None = None) -> Run:
    """Goes on with an interrupted run, from its last complete epoch, as if it had never stopped."""
    run = Run(output)
    return _fit(run, run.data, run.recipe.build(run.data), console or Console(), resumed=True)


def _validation(splits: Splits) -> tf.data.Dataset:
    if splits.validation is None:
        raise ValueError(
            "The data have no validation examples, so there is no way to tell the best epoch. "
            "Use a larger data set."
        )
    return splits.validation


def _fit(run: Run, splits: Splits, model: VAE, console: Console, *, resumed: bool) -> Run:
    recipe, monitor = run.recipe, model.objective.monitor
    history = keras.callbacks.History()
    keep_best = KeepBest(run, model, _validation(splits))
    callbacks = [StopAtNaN(run, model), keep_best, history]
    if recipe.patience is not None:
        early = keras.callbacks.EarlyStopping(
            f"val_{monitor}", patience=recipe.patience, mode="min"
        )
        callbacks.append(early)
    state = TrainingState(run.path / "state", callbacks)
    done = state.restore(model) if resumed else 0
    if resumed and not done and run.history():
        raise ValueError(
            f"{state.folder} holds no intact state, so {run.path} cannot be continued. Its model.keras "
            "and history.csv are kept; to train anew, use another folder or --overwrite."
        )
    if done:
        console.print(f"resuming after epoch {done} of {recipe.epochs}")
    if state.stopped or done >= recipe.epochs:
        write_report(run)
        return run
    progress = ProgressBar(recipe.epochs, splits.steps_per_epoch, monitor, console)
    callbacks += [progress, TensorBoard(run, model, splits), _HistoryFile(run, history), state]
    try:
        with progress.bar:
            model.fit(
                splits.train_from(done * splits.steps_per_epoch),
                epochs=recipe.epochs,
                initial_epoch=done,
                steps_per_epoch=splits.steps_per_epoch,
                callbacks=callbacks,
                verbose=0,
            )
    except KeyboardInterrupt:
        if not run.model_path.exists():
            run.save_model(model)
        console.print(
            f"\nStopped by hand. Kept: {run.model_path} "
            + (
                f"(epoch {keep_best.best_epoch}, the best). "
                if keep_best.best_epoch
                else "(first epoch, incomplete). "
            )
            + f"Go on with: keras-vae train --resume --output {run.path}",
            highlight=False,
        )
        raise
    write_report(run)
    return run


class _HistoryFile(keras.callbacks.Callback):
    def __init__(self, run: Run, history: keras.callbacks.History):
        super().__init__()
        self.run, self.kept = run, history

    def on_epoch_end(self, epoch, logs=None):
        self.run.write_history(self.kept.epoch, self.kept.history)


def write_report(run: Run) -> None:
    """Writes `report.md` with the run's numbers and pictures, from what the folder holds."""
    history, model, splits = run.history(), run.model, run.data
    monitor = model.objective.monitor
    column = history[f"val_{monitor}"]
    best = int(np.argmin(column))
    sections = [
        f"# {splits.name}: {run.recipe.network}, {run.recipe.latent_dim} latent dimensions",
        f"Best epoch: {best + 1} of {len(column)}, chosen by the validation {monitor.replace('_', ' ')}. "
        "Numbers are nats per example, mean over the split.",
        reports.table(
            ["term", "train", "validation"],
            [
                (term, f"{history[term][best]:.2f}", f"{history[f'val_{term}'][best]:.2f}")
                for term in model.objective.terms
            ],
        ),
        "![learning curves](learning_curves.png)",
    ]
    pictures.learning_curves(run.path / "learning_curves.png", history, monitor)
    if pictures.is_image(splits.shape):
        originals = splits.examples("validation", min(32, splits.num_validation))
        pictures.save_png(
            run.path / "samples.png", pictures.image_grid(model.generate(64)), scale=2
        )
        pictures.save_png(
            run.path / "reconstructions.png",
            pictures.side_by_side(originals, model.reconstruct(originals)),
            scale=2,
        )
        sections += [
            "## Samples\n\n![samples from the prior](samples.png)",
            "## Reconstructions\n\nOriginals above, reconstructions below.\n\n"
            "![originals and reconstructions](reconstructions.png)",
        ]
    sections += [
        "## Data\n\n" + reports.table(["", ""], splits.summary()),
        "## Recipe\n\n" + reports.table(["option", "value"], run.recipe.to_json().items()),
        "## Versions\n\n" + reports.table(["package", "version"], run.config["versions"].items()),
    ]
    _files.write(run.path / "report.md", "\n\n".join(sections) + "\n")
