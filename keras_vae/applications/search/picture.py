"""The picture of a search."""

import os
from typing import TYPE_CHECKING

import matplotlib.figure
import numpy as np

from keras_vae import pictures

if TYPE_CHECKING:
    from keras_vae.applications.search.result import SearchResult

_PANELS = {
    "negative ELBO (nats)": "mean",
    "rate (nats)": "rate",
    "active units": "active_units",
    "linear probe (accuracy)": "accuracy",
}


def plot(result: "SearchResult", path: str | os.PathLike[str]) -> None:
    """Plots bound, rate, active units and accuracy against the latent size as a PNG file.

    Bars are the standard errors of the differences to the best, so that a size whose bar reaches the
    line of the best is within one standard error of it.
    """
    figure = matplotlib.figure.Figure(figsize=(10, 6.4), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    sizes = result.plan.latent_dims
    for ax, (label, measure) in zip(panels, _PANELS.items(), strict=True):
        _lines(ax, result, measure)
        ax.axvline(
            result.recommended.latent_dim, color="0.5", linestyle=":", label="recommended size"
        )
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set(xlabel="latent dimensions", ylabel=label)
        ax.grid(alpha=0.3)
    bound, *_, probe = panels
    best = "best (bars: standard error of the difference to it)"
    bound.axhline(result.best.mean(), color="0.5", linewidth=0.8, label=best)
    bound.legend(fontsize=8)
    if np.isnan([trial.mean("accuracy") for trial in result.trials]).all():
        probe.text(0.5, 0.5, "no labels", ha="center", va="center", transform=probe.transAxes)
        probe.set_yticks([])
    figure.suptitle(f"recommended: {result.recommended.size}", fontsize=11)
    pictures.save_figure(figure, path)


def _lines(ax, result: "SearchResult", measure: str) -> None:
    """A line for every setting; a hollow mark for what was stopped early."""
    for number, setting in enumerate(dict.fromkeys(trial.setting for trial in result.trials)):
        for status, form in (("complete", "o-"), ("pruned", "o")):
            shown = [t for t in result.trials if (t.setting, t.status) == (setting, status)]
            if not shown:
                continue
            ax.errorbar(
                [trial.latent_dim for trial in shown],
                [trial.mean(measure) for trial in shown],
                yerr=[result.behind(trial)[1] for trial in shown] if measure == "mean" else None,
                fmt=form,
                color=f"C{number}",
                markerfacecolor=f"C{number}" if status == "complete" else "white",
                capsize=3,
                label=setting if status == "complete" else f"{setting}: stopped early",
            )
