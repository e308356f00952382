"""Plots of tables: marginals, correlations, what was filled in."""

import math
import os
from typing import Any

import matplotlib.figure
import numpy as np

from keras_vae.pictures.plots import save_figure


def table_quality(
    path: str | os.PathLike[str],
    marginals: list[tuple[str, dict[str, np.ndarray], list[str]]],
    correlations: dict[str, np.ndarray],
    distances: dict[str, np.ndarray],
) -> None:
    """Draws how like real rows synthetic ones are.

    Args:
        path: PNG file to write.
        marginals: by column, its name, its values by kind of rows (NaN: missing), and the names of its
            categories, which the values are numbers of.
        correlations: matrices, by kind of rows.
        distances: to the nearest training row, by kind of rows.
    """
    columns = 4
    lines = math.ceil(len(marginals) / columns)
    figure = matplotlib.figure.Figure(figsize=(10, 1.9 * lines + 3.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.9 * lines, 3.2])
    upper, lower = parts
    axes = upper.subplots(lines, columns, squeeze=False).ravel()
    for ax, (name, values, categories) in zip(axes, marginals, strict=False):
        _marginal(ax, values, categories)
        ax.set_title(name, fontsize=8)
    for ax in axes[len(marginals) :]:
        ax.set_axis_off()
    axes[0].legend(fontsize=7)
    matrices = [*correlations.items()]
    last = lower.subplots(1, len(matrices) + 1)
    for ax, (name, matrix) in zip(last, matrices, strict=False):
        shown = ax.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
        ax.set_title(f"correlations, {name}", fontsize=9)
        ax.set(xticks=[], yticks=[])
    lower.colorbar(shown, ax=last[len(matrices) - 1], shrink=0.8)  # pyright: ignore[reportPossiblyUnboundVariable]
    _marginal(last[-1], distances, [])
    last[-1].set_title("distance to the nearest training row", fontsize=9)
    last[-1].legend(fontsize=7)
    save_figure(figure, path)


def _marginal(ax, values: dict[str, np.ndarray], categories: list[str]) -> None:
    """Shares of categories as bars beside each other, or histograms over each other."""
    observed = {name: each[~np.isnan(each)] for name, each in values.items()}
    ax.tick_params(labelsize=6)
    if categories:
        width = 0.8 / len(observed)
        for number, (name, each) in enumerate(observed.items()):
            counts = np.bincount(each.astype(int), minlength=len(categories))
            places = np.arange(len(categories)) + (number - 0.5) * width
            ax.bar(places, counts / max(1, counts.sum()), width, label=name, alpha=0.8)
        ax.set_xticks(range(len(categories)), [name[:10] for name in categories], rotation=20)
        return
    low, high = np.quantile(np.concatenate(list(observed.values())), [0.001, 0.999])
    bins = np.linspace(low, high if high > low else low + 1, 30)
    for name, each in observed.items():
        weights = np.full(len(each), 1 / max(1, len(each)))
        ax.hist(each, bins, weights=weights, label=name, alpha=0.55)
    ax.set_yticks([])


def true_and_imputed(
    path: str | os.PathLike[str],
    columns: list[tuple[str, dict[str, np.ndarray], list[str]]],
    pairs: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Draws what was filled in beside what was observed, column by column.

    Args:
        path: PNG file to write.
        columns: as the marginals of `table_quality`.
        pairs: true and imputed numbers of hidden values, in standard deviations, for a panel of them.
    """
    panels = len(columns) + (pairs is not None)
    per_line = min(4, panels)
    lines = math.ceil(panels / per_line)
    figure = matplotlib.figure.Figure(figsize=(2.6 * per_line, 2.3 * lines), layout="constrained")
    axes = figure.subplots(lines, per_line, squeeze=False).ravel()
    rest = axes
    if pairs is not None:
        first, rest = axes[0], axes[1:]
        low, high = np.quantile(np.concatenate(pairs), [0.005, 0.995])
        first.plot([low, high], [low, high], color="grey", linewidth=1)
        first.scatter(*pairs, s=4, alpha=0.5, linewidths=0)
        first.set(xlim=(low, high), ylim=(low, high))
        first.tick_params(labelsize=6)
        first.set_title("hidden (x) and imputed (y), in sd", fontsize=8)
    for ax, (name, values, categories) in zip(rest, columns, strict=False):
        _marginal(ax, values, categories)
        ax.set_title(name, fontsize=8)
    for ax in axes[panels:]:
        ax.set_axis_off()
    if columns:
        rest[0].legend(fontsize=7)
    save_figure(figure, path)
