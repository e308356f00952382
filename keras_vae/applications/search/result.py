"""What a search found: a table, a picture, and a recommendation with its reason."""

import dataclasses
import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd

from keras_vae import _files, pictures, reports
from keras_vae.applications.search.measures import Measures
from keras_vae.applications.search.plan import Plan, in_words
from keras_vae.applications.search.rules import difference
from keras_vae.training import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A point of the grid: its runs, one for every seed, and what they reached.

    Attributes:
        recipe: of the first run.
        runs: the run folders.
        measures: what each reached; None: it diverged.
    """

    recipe: Recipe
    runs: tuple[Path, ...]
    measures: tuple[Measures | None, ...]

    @property
    def latent_dim(self) -> int:
        return self.recipe.latent_dim

    @property
    def setting(self) -> str:
        """All but the size, in words: network, hidden layers, beta."""
        hidden = "" if self.recipe.hidden is None else f" {in_words(self.recipe.hidden)}"
        return f"{self.recipe.network}{hidden}, beta {self.recipe.beta:g}"

    @property
    def status(self) -> str:
        """Either "complete", or "pruned": a run was stopped early, or "diverged": there are no numbers."""
        if None in self.measures:
            return "diverged"
        return "pruned" if any(m.is_pruned for m in self._reached) else "complete"

    @property
    def negative_elbo(self) -> np.ndarray:
        """Of every run and example, nats, float64 [R, N]; NaN, [R, 1], where a run diverged."""
        if None in self.measures:
            return np.full([len(self.measures), 1], math.nan)
        return np.stack([m.negative_elbo for m in self._reached])

    def mean(self, measure: str = "mean") -> float:
        """A field of `Measures`, mean over the runs; of "mean", the negative ELBO, nats."""
        if None in self.measures:
            return math.nan
        return float(np.mean([getattr(m, measure) for m in self._reached]))

    @property
    def epochs(self) -> int:
        """Epochs that were run, the fewest of the runs; 0 where one diverged."""
        return min((len(m.history) if m else 0) for m in self.measures)

    @property
    def _reached(self) -> list[Measures]:
        return [m for m in self.measures if m is not None]


_PANELS = {
    "negative ELBO (nats)": "mean",
    "rate (nats)": "rate",
    "active units": "active_units",
    "linear probe (accuracy)": "accuracy",
}


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
                    "beta": trial.recipe.beta,
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
            text = f"{_dims(chosen)}: the best bound, {best.mean():.2f} nats"
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
                f"{_dims(chosen)}: the smallest size whose bound is within one standard error of the best. It is "
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
        marks = {"pruned": "stopped early", "diverged": "diverged", "complete": ""}
        rows = []
        for trial in self.trials:
            (nats, error), probed = self.behind(trial), trial.mean("accuracy")
            is_best = trial is self.best
            mark = "recommended" if trial is self.recommended else marks[trial.status]
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
        self.plot(self.path / "search.png")
        run = self.recommended.runs[0].relative_to(self.path)
        sections = [
            f"# {self.plan.recipe.data}: how many latent dimensions?",
            f"**{self.reason}**",
            *self.remarks,
            "![negative ELBO, rate, active units and probe accuracy against the size](search.png)",
            reports.table(*self.cells()),
            "Nats per example on the validation set, lower is better; rate and -ELBO with beta = 1, whatever the "
            "beta of training. Behind the best: mean difference to the best over the same examples, ± its "
            "(paired) standard error. Active: dimensions whose posterior mean has a variance above 0.01. Probe: "
            "accuracy of a logistic regression from the posterior means to the labels. Stopped early: its bound "
            "was above the median, at the same epoch, of the runs before it; its numbers are of that epoch.",
            f"The recommended model is trained: `keras-vae evaluate {self.path / run}`. To train it anew:",
            f"```sh\n{self.command} --output NEW_FOLDER\n```",
        ]
        _files.write(self.path / "report.md", "\n\n".join(sections) + "\n")

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Plots bound, rate, active units and accuracy against the latent size as a PNG file."""
        figure = matplotlib.figure.Figure(figsize=(10, 6.4), layout="constrained")
        axes = figure.subplots(2, 2).ravel()
        for ax, (label, measure) in zip(axes, _PANELS.items(), strict=True):
            for number, setting in enumerate(dict.fromkeys(t.setting for t in self.trials)):
                colour = f"C{number}"
                for status in ("complete", "pruned"):
                    shown = [
                        (trial.latent_dim, trial.mean(measure), self.behind(trial)[1])
                        for trial in self.trials
                        if (trial.setting, trial.status) == (setting, status)
                    ]
                    if not shown:
                        continue
                    sizes, values, errors = zip(*shown, strict=True)
                    is_complete = status == "complete"
                    ax.errorbar(
                        sizes,
                        values,
                        yerr=errors if ax is axes[0] else None,
                        fmt="o-" if is_complete else "o",
                        color=colour,
                        markerfacecolor=colour if is_complete else "white",
                        capsize=3,
                        label=setting if is_complete else "stopped early",
                    )
            ax.axvline(
                self.recommended.latent_dim, color="0.5", linestyle=":", label="recommended size"
            )
            ax.set_xscale("log", base=2)
            ax.set_xticks(self.plan.latent_dims, [str(size) for size in self.plan.latent_dims])
            ax.minorticks_off()
            ax.set(xlabel="latent dimensions", ylabel=label)
            ax.grid(alpha=0.3)
        best = "best (bars: standard error of the difference to it)"
        axes[0].axhline(self.best.mean(), color="0.5", linewidth=0.8, label=best)
        axes[0].legend(fontsize=8)
        figure.suptitle(f"recommended: {_dims(self.recommended)}", fontsize=11)
        pictures._save(figure, path)


def _dims(trial: Trial) -> str:
    return f"{trial.latent_dim} latent dimension{'s' * (trial.latent_dim > 1)}"


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
        elif value != field.default or field.name in ("data", "latent_dim"):
            words += [option, in_words(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
