"""How many latent dimensions: a run for every size, and the smallest size that is as good as the best.

A search is a folder of training runs, one for every point of a grid that KerasTuner walks. Sizes are
compared by the evidence lower bound with beta = 1 on the same validation examples, whatever weight
the rate had in training, and the choice is the one-standard-error rule.
"""

import dataclasses
import json
import os
from pathlib import Path

from rich.console import Console

from keras_vae import _files
from keras_vae.applications.search.measures import Measures, linear_probe
from keras_vae.applications.search.plan import Plan
from keras_vae.applications.search.result import SearchResult
from keras_vae.applications.search.rules import difference, falls_behind
from keras_vae.applications.search.trial import Trial
from keras_vae.applications.search.tuner import run_trials
from keras_vae.data import Splits
from keras_vae.data.sources import absolute

__all__ = [
    "Measures",
    "Plan",
    "SearchResult",
    "Trial",
    "difference",
    "falls_behind",
    "linear_probe",
    "resume",
    "search",
]

_ENTRIES = ("runs", "keras_tuner", "trials.csv", "search.png", "report.md")


def search(
    plan: Plan,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    console: Console | None = None,
) -> SearchResult:
    """Trains a model for every combination of a plan, and recommends the smallest latent size that is
    as good as the best.

    Data and networks are checked before the folder is touched. Killed, or stopped with Ctrl-C, it is
    continued by `resume`, and ends with the same table.

    Args:
        plan: what is searched.
        output: the folder to make; an existing one is refused unless it is a search and `overwrite`
            is set.
        overwrite: whether an earlier search there may be replaced.
        console: where progress goes; standard output by default.

    Returns:
        A `SearchResult`. In the folder: `runs/`, a run folder for every model, `trials.csv`,
        `search.png`, `report.md`, and `keras_tuner/`, the trials as KerasTuner writes them.

    Raises:
        ValueError: for combinations that do not fit the data, and data without validation examples.
        RuntimeError: where every run diverged.
        KeyboardInterrupt: passed on after what was learned has been kept.
    """
    plan = dataclasses.replace(
        plan, recipe=dataclasses.replace(plan.recipe, data=absolute(plan.recipe.data))
    )
    splits = plan.recipe.load_data()
    if splits.num_validation < 2:
        raise ValueError(
            f"Sizes are compared on validation examples, and {plan.recipe.data} has {splits.num_validation}. "
            "Use a larger data set."
        )
    for values in {(v["network"], v["hidden"]): v for v in plan.grid}.values():
        plan.recipe_of(values).build(splits)
    folder = _files.claim_folder(output, "search", overwrite=overwrite)
    config = {
        **_files.marker("search"),
        "plan": plan.to_json(),
        "data": {"name": splits.name, "sha256": splits.fingerprints},
    }
    with _files.publishing(folder, _ENTRIES) as new:
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return _finish(folder, plan, splits, console)


def resume(output: str | os.PathLike[str], *, console: Console | None = None) -> SearchResult:
    """Goes on with an interrupted search, in the middle of a run, as if it had never stopped.

    Of a search that is complete, writes the report again.

    Args:
        output: the search's folder.
        console: where progress goes; standard output by default.

    Raises:
        ValueError: where the folder is no search, or its data have changed.
    """
    folder = Path(output)
    config = _files.read_config(folder, "search")
    try:
        plan = Plan.from_json(config["plan"])
        fingerprints = dict(config["data"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / 'config.json'} is damaged ({type(error).__name__}: {error}). Expected what "
            "`keras-vae search` wrote."
        ) from error
    splits = plan.recipe.load_data()
    if splits.fingerprints != fingerprints:
        raise ValueError(
            f"The data {plan.recipe.data!r} are not those that {folder} began with: their SHA-256 differ. Bounds on "
            "them could not be compared."
        )
    _files.sweep(folder)
    return _finish(folder, plan, splits, console)


def _finish(folder: Path, plan: Plan, splits: Splits, console: Console | None) -> SearchResult:
    result = SearchResult(folder, plan, run_trials(folder, plan, splits, console or Console()))
    result.write()
    return result
