"""What a search found: a table, a picture, and a recommendation with its reason."""

import dataclasses
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from keras_vae import _files, reports
from keras_vae.applications.search import picture
from keras_vae.applications.search.plan import Plan, in_words
from keras_vae.applications.search.rules import difference
from keras_vae.applications.search.trial import Trial
from keras_vae.training import Recipe


class SearchResult:
    """What a search found.

    Args:
        path: the search's folder.
        plan: what was searched.
        trials: a `Trial` for every point of the grid.

    Attributes:
        trials: the same, small sizes first within every setting.
        best: the complete trial with the lowest negative ELBO.
        recommended: of the complete trials within one standard error of the best, that of the smallest
            size, and of those the one with the lowest negative ELBO: the one-standard-error rule.

    Raises:
        RuntimeError: where every run diverged.

    References:
        Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3.
    """

    def __init__(self, path: Path, plan: Plan, trials: Sequence[Trial]):
        self.path, self.plan = path, plan
        self.trials = sorted(trials, key=lambda trial: (trial.setting, trial.latent_dim))
        complete = [trial for trial in self.trials if trial.status == "complete"]
        if not complete:
            raise RuntimeError(
                f"Every run of {path} diverged, so no size can be recommended. Values far from the size of 1 are "
                "better divided by their standard deviation first; else a lower learning rate usually helps."
            )
        self.best = min(complete, key=Trial.mean)
        within = [trial for trial in complete if self._is_within(trial)]
        self.recommended = min(within, key=lambda trial: (trial.latent_dim, trial.mean()))

    def behind(self, trial: Trial) -> tuple[float, float]:
        """Nats that a trial is behind the best, and the paired standard error of that."""
        return difference(trial.negative_elbo, self.best.negative_elbo)

    def _is_within(self, trial: Trial) -> bool:
        nats, error = self.behind(trial)
        return nats <= error

    @property
    def table(self) -> pd.DataFrame:
        """A row for every trial; nats per example."""
        rows = []
        for trial in self.trials:
            nats, error = self.behind(trial)
            rows.append(
                {
                    "latent_dim": trial.latent_dim,
                    "network": trial.recipe.network,
                    "hidden": in_words(trial.recipe.hidden),
                    "beta": trial.recipe.rate_weight,
                    "negative_elbo": trial.mean(),
                    "behind": nats,
                    "standard_error": error,
                    "rate": trial.mean("rate"),
                    "distortion": trial.mean() - trial.mean("rate"),
                    "active_units": trial.mean("active_units"),
                    "accuracy": trial.mean("accuracy"),
                    "epochs": trial.epochs,
                    "status": trial.status,
                    "recommended": trial is self.recommended,
                }
            )
        return pd.DataFrame(rows)

    @property
    def reason(self) -> str:
        """Which size, and why, in a few sentences."""
        chosen, best, num_examples = self.recommended, self.best, self.best.negative_elbo.shape[1]
        over = f"over the same {num_examples:,} validation examples"
        if chosen is best:
            text = f"{chosen.size}: the best bound, {best.mean():.2f} nats"
            if smaller := self._next_smaller():
                nats, error = self.behind(smaller)
                text += (
                    f", and no smaller size is within one standard error of it: {smaller.latent_dim} is "
                    f"{nats:.2f} ± {error:.2f} nats behind, {over}."
                )
            else:
                text += "."
        else:
            nats, error = self.behind(chosen)
            text = (
                f"{chosen.size}: the smallest size whose bound is within one standard error of the best. It is "
                f"{chosen.mean():.2f} nats, and the best, with {best.latent_dim}"
                f"{'' if best.setting == chosen.setting else f' and {best.setting}'}, is {best.mean():.2f}: "
                f"{nats:.2f} ± {error:.2f} nats behind, {over}."
            )
        if self._has_settings:
            text += f" With {chosen.setting}."
        return text

    def _next_smaller(self) -> Trial | None:
        smaller = [
            trial
            for trial in self.trials
            if trial.latent_dim < self.recommended.latent_dim and trial.status == "complete"
        ]
        return max(smaller, key=lambda trial: (trial.latent_dim, -trial.mean()), default=None)

    @property
    def _has_settings(self) -> bool:
        return len({trial.setting for trial in self.trials}) > 1

    @property
    def remarks(self) -> list[str]:
        """What to know before taking the recommendation."""
        chosen, sizes = self.recommended, self.plan.latent_dims
        remarks = []
        if len(sizes) > 1 and chosen.latent_dim == max(sizes):
            remarks.append(
                "This is the largest size that was searched: a larger one may be better."
            )
        if chosen.latent_dim == min(sizes) > 1:
            remarks.append("This is the smallest size that was searched: a smaller one may do.")
        if (active := chosen.mean("active_units")) < 0.9 * chosen.latent_dim:
            remarks.append(
                f"{active:.3g} of its {chosen.latent_dim} dimensions are active: training has switched "
                "the others off."
            )
        if self.plan.repeats == 1:
            remarks.append(
                "The standard error is that over examples. Another seed of training moves a bound too: repeats "
                "(--repeats 3) add that to it."
            )
        if math.isnan(chosen.mean("accuracy")):
            remarks.append("There is no linear probe: the data have no labels of a few classes.")
        return remarks

    @property
    def command(self) -> str:
        """The `keras-vae train` command of the recommended run."""
        return train_command(self.recommended.recipe)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table for people: names of columns, rows."""
        header = ["size", "-ELBO", "behind the best", "rate", "active", "probe", "epochs", ""]
        marks = {"pruned": "stopped", "diverged": "diverged", "complete": ""}
        rows = []
        for trial in self.trials:
            (nats, error), probed = self.behind(trial), trial.mean("accuracy")
            is_best = trial is self.best
            mark = "chosen" if trial is self.recommended else marks[trial.status]
            rows.append(
                [
                    *([trial.setting] if self._has_settings else []),
                    str(trial.latent_dim),
                    f"{trial.mean():.2f}",
                    "best" if is_best else f"{nats:.2f} ± {error:.2f}",
                    f"{trial.mean('rate'):.2f}",
                    f"{trial.mean('active_units'):.3g}",
                    "" if math.isnan(probed) else f"{100 * probed:.1f} %",
                    str(trial.epochs),
                    mark,
                ]
            )
        return (["setting"] if self._has_settings else []) + header, rows

    def write(self) -> None:
        """Writes `trials.csv`, `search.png` and `report.md`."""
        _files.write(self.path / "trials.csv", self.table.to_csv(index=False))
        picture.plot(self, self.path / "search.png")
        run = self.recommended.runs[0].relative_to(self.path)
        sections = [
            f"# {Path(self.plan.recipe.data).name}: how many latent dimensions?",
            f"**{self.reason}**",
            *self.remarks,
            "![negative ELBO, rate, active units and probe accuracy against the size](search.png)",
            reports.table(*self.cells()),
            "Nats per example on the validation set, lower is better; rate and -ELBO with beta = 1, whatever the "
            "beta of training. Behind the best: mean difference to the best over the same examples, ± its "
            "(paired) standard error. Active: dimensions whose posterior mean has a variance above 0.01. Probe: "
            "accuracy of a logistic regression from the posterior means to the labels. Stopped: early, "
            "because its bound was above the median, at the same epoch, of the runs before it; its numbers are of "
            "that epoch.",
            f"The recommended model is trained: `keras-vae evaluate {self.path / run}`. To train it anew:",
            f"```sh\n{self.command} --output NEW_FOLDER\n```",
        ]
        _files.write(self.path / "report.md", "\n\n".join(sections) + "\n")


def train_command(recipe: Recipe) -> str:
    """The `keras-vae train` command of a recipe, without --output.

    Example:
        >>> train_command(Recipe(data="my digits.npy", latent_dim=8, hidden=(512, 256)))
        "keras-vae train --data 'my digits.npy' --hidden 512,256 --latent-dim 8"
    """
    words = ["keras-vae", "train"]
    for field in dataclasses.fields(recipe):
        value, option = getattr(recipe, field.name), f"--{field.name.replace('_', '-')}"
        if field.name == "jit_compile":
            words += [] if value is None else ["--jit" if value else "--no-jit"]
        elif field.name == "stream":
            words += [option] * value
        elif field.name == "column_types":
            for column, kind in value:
                words += ["--column-type", f"{column}={kind}"]
        elif value != field.default or field.name in ("data", "latent_dim"):
            words += [option, in_words(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
