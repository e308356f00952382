"""Training from a recipe to a run folder."""

import dataclasses
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_vae import _files, pictures, reports
from keras_vae.data import Splits
from keras_vae.data.sources import absolute
from keras_vae.models import VAE, x_of
from keras_vae.training.callbacks import KeepBest, Speed, StopAtNaN, StopByHand, TensorBoard
from keras_vae.training.logs import LOGS
from keras_vae.training.recipe import Recipe
from keras_vae.training.results import save_samples
from keras_vae.training.run import Run
from keras_vae.training.state import TrainingState
from keras_vae.training.strategies import is_chief, named_losses_of_peers, wait_for_all


def train(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    strategy: tf.distribute.Strategy | None = None,
    console: Console | None = None,
    log_format: str = "text",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Trains a model from scratch and writes a run folder.

    Data and model are made, and checked against each other, before the folder is touched.

    Args:
        recipe: what to train on what.
        output: the folder to make; an existing one is refused unless it is a run and `overwrite` is
            set.
        overwrite: whether an earlier run there may be replaced.
        strategy: where to train (see `make_strategy`); on one device by default. Of several
            processes, the chief writes the folder, which all have to see.
        console: where progress goes; standard output by default.
        log_format: what it looks like, a name in `LOGS`.
        callbacks: more of them; the logs of an epoch hold the validation terms, as `val_...`.

    Returns:
        The `Run`, with the best model.

    Raises:
        TrainingDiverged: where the loss becomes NaN; the best model so far is kept.
        KeyboardInterrupt: passed on after what was learned has been kept.
    """
    strategy = strategy or tf.distribute.get_strategy()
    recipe = dataclasses.replace(recipe, data=absolute(recipe.data))
    splits = recipe.load_data()
    with named_losses_of_peers():
        with strategy.scope():
            model = recipe.build(splits)
        _validation(splits)
        for split in splits.stored:
            of_a_stream = min(
                recipe.batch_size, len(splits.stored[split])
            )  # the rest when it comes
            for chunk in splits.chunks(split, of_a_stream if splits.is_streamed else None):
                model.check_batch(chunk)
        if is_chief(strategy):
            Run.create(output, recipe, splits, overwrite=overwrite)
        wait_for_all(strategy)
        return _fit(
            Run(output),
            splits,
            model,
            strategy,
            console or Console(),
            log_format,
            callbacks,
            resumed=False,
        )


def resume(
    output: str | os.PathLike[str],
    *,
    strategy: tf.distribute.Strategy | None = None,
    console: Console | None = None,
    log_format: str = "text",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Goes on with an interrupted run, from its last complete epoch, as if it had never stopped.

    Args:
        output: the run folder.
        strategy: as in `train`; it need not be the one that the run began with.
        console: where progress goes; standard output by default.
        log_format: what it looks like, a name in `LOGS`.
        callbacks: as in `train`.
    """
    strategy = strategy or tf.distribute.get_strategy()
    run = Run(output)
    if fitted := run.config.get("fitted_prior"):
        raise ValueError(
            f"{run.path} holds a model whose prior was fitted after its training: there is nothing to go on with. "
            f"Resume the run it was made of, {fitted['of']}."
        )
    with named_losses_of_peers():
        if is_chief(strategy):
            _files.sweep(run.path)
        with strategy.scope():
            model = run.recipe.build(run.data)
        return _fit(
            run,
            run.data,
            model,
            strategy,
            console or Console(),
            log_format,
            callbacks,
            resumed=True,
        )


def _validation(splits: Splits) -> tf.data.Dataset:
    if splits.validation is None:
        raise ValueError(
            "The data have no validation examples, so there is no way to tell the best epoch. "
            "Use a larger data set."
        )
    return splits.validation


def _fit(
    run: Run,
    splits: Splits,
    model: VAE,
    strategy: tf.distribute.Strategy,
    console: Console,
    log_format: str,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    resumed: bool,
) -> Run:
    recipe, monitor = run.recipe, model.objective.monitor
    steps_per_epoch = recipe.steps_in_epoch(splits)
    writes = is_chief(strategy)
    history = keras.callbacks.History()
    keep_best = KeepBest(run, model, _validation(splits), saves=writes)
    by_hand = StopByHand()
    kept = [StopAtNaN(run, model), keep_best, history]
    if recipe.patience is not None:
        early = keras.callbacks.EarlyStopping(
            f"val_{monitor}", patience=recipe.patience, mode="min"
        )
        kept.append(early)
    state = TrainingState(run.path / "state", kept, writes=writes)
    done = 0
    if resumed:
        with strategy.scope():
            done = _restored(state, run, model, keep_best)
    wait_for_all(strategy)  # every worker has read what the chief is about to write
    console = console if writes else Console(quiet=True)
    log = LOGS[log_format](run, steps_per_epoch, monitor, console)
    if done:
        if writes:
            run.write_history(history.epoch, history.history)
        log.resumed(done)
    if not state.stopped and done < recipe.epochs:
        shown = [TensorBoard(run, model, splits), _HistoryFile(run, history)] if writes else []
        try:
            with log.running, by_hand.listening():
                model.fit(
                    splits.train_from(done * steps_per_epoch),
                    epochs=recipe.epochs,
                    initial_epoch=done,
                    steps_per_epoch=steps_per_epoch,
                    callbacks=[*kept, Speed(), log, *shown, *callbacks, state, by_hand],
                    verbose=0,
                )
        except KeyboardInterrupt:
            if writes:
                if not run.model_path.exists():
                    run.save_model(model)
                log.stopped(keep_best.best_epoch)
            raise
    if writes:
        write_report(run)
        log.finished()
    return run


def _restored(state: TrainingState, run: Run, model: VAE, keep_best: KeepBest) -> int:
    """Epochs that the model has behind it, with the state at their end."""
    done = state.restore(model)
    lost = 0 if done else len(run.history().get("epoch", ()))
    if lost > 1:  # one epoch's history may be there without its state
        raise ValueError(
            f"{state.folder} is gone, so {run.path} cannot be continued after its {lost} epochs. "
            "Its model.keras and history.csv are kept; to train anew, use another folder or --overwrite."
        )
    if done and not run.model_path.exists():
        raise ValueError(
            f"{run.model_path} is gone: the best model so far, of epoch {keep_best.best_epoch}. Put it "
            "back, or train anew with another folder or --overwrite."
        )
    if done:
        _ = Run(run.path).model  # a damaged one is found before more is trained
    return done


class _HistoryFile(keras.callbacks.Callback):
    def __init__(self, run: Run, history: keras.callbacks.History):
        super().__init__()
        self.run, self.kept = run, history

    def on_epoch_end(self, epoch, logs=None):
        self.run.write_history(self.kept.epoch, self.kept.history)


def write_report(run: Run) -> None:
    """Writes `report.md` with the run's numbers and pictures, from what the folder holds."""
    model, splits = run.model, run.data
    history, monitor = run.history(model.objective.terms), model.objective.monitor
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
        seen = splits.examples("validation", min(64, splits.num_validation))
        originals = tf.nest.map_structure(lambda array: array[:32], seen)
        save_samples(run.path / "samples.png", model, seen, run.value_range)
        pictures.save_png(
            run.path / "reconstructions.png",
            pictures.side_by_side(
                x_of(originals), model.reconstruct(originals), value_range=run.value_range
            ),
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
