"""Plots of latents, histories and scores."""

import os

import matplotlib.figure
import numpy as np

from keras_vae import _files


def learning_curves(
    path: str | os.PathLike[str], history: dict[str, list[float]], monitor: str
) -> None:
    """Plots the monitored term over epochs, in training and on validation data, in nats per
    example.
    """
    figure, ax = _figure(6.4, 3.6)
    for key, label in ((monitor, "train"), (f"val_{monitor}", "validation")):
        if key in history:
            values = history[key]
            ax.plot(range(1, len(values) + 1), values, marker=".", label=label)
    ax.set(xlabel="epoch", ylabel=f"{monitor.replace('_', ' ')} (nats)")
    ax.grid(alpha=0.3)
    ax.legend()
    save_figure(figure, path)


def anomalies(
    path: str | os.PathLike[str],
    scores: np.ndarray,
    threshold: float,
    *,
    name: str = "anomaly score",
    of: str = "examples",
    images: np.ndarray | None = None,
    heat_maps: np.ndarray | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Plots a histogram of scores with the threshold, and images above their heat maps.

    Args:
        path: PNG file to write.
        scores: float [N].
        threshold: above it lie anomalies.
        name: of the score.
        of: what the N are, for the title.
        images: the most anomalous, float [M, H, W, 1 or 3], or None.
        heat_maps: what each pixel adds to the score, float [M, H, W], or None.
        value_range: what is black and what is white in the images.
    """
    has_images = images is not None and heat_maps is not None
    figure = matplotlib.figure.Figure(
        figsize=(7.4, 5.4 if has_images else 3.0), layout="constrained"
    )
    top, *bottom = figure.subfigures(2 if has_images else 1, 1, squeeze=False)[:, 0]
    ax = top.subplots()
    ends = np.quantile(scores, [0.0, 0.995])
    bins = np.linspace(ends[0], max(ends[1], threshold, ends[0] + 1e-6), 60)
    ax.hist(np.minimum(scores, bins[-1]), bins, color="0.6")
    ax.axvline(threshold, color="tab:red", label=f"threshold {threshold:.4g}")
    share = np.mean(scores > threshold)
    ax.set(
        xlabel=name,
        ylabel="examples",
        title=f"{len(scores):,} {of}: {share:.1%} above the threshold",
    )
    ax.legend()
    if images is not None and heat_maps is not None:
        axes = bottom[0].subplots(2, len(images), squeeze=False)
        bottom[0].suptitle("the most anomalous, and what each pixel adds", fontsize=10)
        black, white = value_range
        shown = np.clip((images - black) / (white - black), 0, 1)
        hottest = float(np.quantile(heat_maps, 0.999))
        for above, below, image, heat in zip(*axes, shown, heat_maps, strict=True):
            above.imshow(
                image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1
            )
            below.imshow(heat, cmap="inferno", vmax=hottest)
            above.set_axis_off()
            below.set_axis_off()
    save_figure(figure, path)


def _figure(width, height):
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def save_figure(figure, path) -> None:
    """Writes a figure as a PNG file, atomically."""
    with _files.replacing(path) as new:
        figure.savefig(new, format="png", dpi=110)


def overview(path: str | os.PathLike[str], grids: dict[str, np.ndarray]) -> None:
    """Puts grids with their titles side by side on one picture."""
    widths = [grid.shape[1] / grid.shape[0] for grid in grids.values()]
    figure = matplotlib.figure.Figure(figsize=(3.4 * sum(widths), 3.7), layout="constrained")
    axes = figure.subplots(1, len(grids), width_ratios=widths, squeeze=False)[0]
    for ax, (title, grid) in zip(axes, grids.items(), strict=True):
        ax.imshow(grid.squeeze(-1) if grid.shape[-1] == 1 else grid, cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    save_figure(figure, path)
