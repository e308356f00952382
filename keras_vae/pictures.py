"""Pictures: grids of images as arrays, plots as PNG files. Equal input gives equal bytes."""

import math
import os
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
from PIL import Image

from keras_vae import _files

__all__ = [
    "analogy_grid",
    "anomalies",
    "check_output",
    "image_grid",
    "is_image",
    "latent_map",
    "learning_curves",
    "overview",
    "save",
    "save_analogies",
    "save_gif",
    "save_png",
    "save_rows",
    "side_by_side",
    "table_quality",
    "true_and_imputed",
]


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether examples of that shape are pictures: [H, W, 1] or [H, W, 3]."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def image_grid(
    images: np.ndarray,
    columns: int | None = None,
    padding: int = 2,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Lays images out in rows on a dark ground.

    Args:
        images: float [N, H, W, C]. C is 1 or 3.
        columns: images per row; about square by default.
        padding: pixels between images.
        value_range: what is black and what is white; what lies outside is clipped.

    Returns:
        uint8 [rows, columns, C].

    Example:
        >>> image_grid(np.ones([6, 28, 28, 1]), columns=3).shape
        (62, 92, 1)
    """
    if images.ndim != 4 or not is_image(images.shape[1:]) or len(images) == 0:
        raise ValueError(
            f"Expected images [N, H, W, 1 or 3], N > 0. Received shape {images.shape}."
        )
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    _, height, width, channels = images.shape
    pitch_y, pitch_x = height + padding, width + padding
    grid = np.full((rows * pitch_y + padding, columns * pitch_x + padding, channels), 40, np.uint8)
    black, white = value_range
    shares = (np.nan_to_num(images) - black) / max(white - black, np.finfo(np.float32).tiny)
    pixels = np.round(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    for number, image in enumerate(pixels):
        top, left = divmod(number, columns)
        y, x = top * pitch_y + padding, left * pitch_x + padding
        grid[y : y + height, x : x + width] = image
    return grid


def side_by_side(
    *columns: np.ndarray, per_row: int = 8, value_range: tuple[float, float] = (0.0, 1.0)
) -> np.ndarray:
    """A grid in which the i-th images of each array stand in one column, array under array.

    Args:
        *columns: float [N, H, W, C] each, for instance originals and reconstructions.
        per_row: examples per band of rows.
        value_range: as in `image_grid`.
    """
    bands = [
        group[start : start + per_row]
        for start in range(0, len(columns[0]), per_row)
        for group in columns
    ]
    return image_grid(np.concatenate(bands), columns=per_row, value_range=value_range)


def analogy_grid(
    originals: np.ndarray, analogies: np.ndarray, value_range: tuple[float, float] = (0.0, 1.0)
) -> np.ndarray:
    """A grid with a row per example: the original, a gap, and the example under each condition.

    Args:
        originals: float [N, H, W, C].
        analogies: float [N, K, H, W, C].
        value_range: as in `image_grid`.

    Returns:
        uint8 [rows, columns, C].

    Example:
        >>> analogy_grid(np.ones([3, 28, 28, 1]), np.ones([3, 10, 28, 28, 1])).shape
        (92, 340, 1)
    """
    first = image_grid(originals, columns=1, value_range=value_range)
    others = _row_grid(analogies, value_range)
    gap = np.full((len(first), 6, first.shape[-1]), 255, np.uint8)
    return np.concatenate([first, gap, others], axis=1)


def _row_grid(rows: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """The grid of images [R, K, H, W, C], a row each."""
    images = rows.reshape(-1, *rows.shape[2:])
    return image_grid(images, columns=rows.shape[1], value_range=value_range)


def save_gif(
    path: str | os.PathLike[str], frames: np.ndarray, scale: int = 1, seconds: float = 0.1
) -> None:
    """Writes uint8 frames [T, H, W, C] as an animated GIF that plays for ever, atomically.

    Args:
        path: file to write.
        frames: at least one. C is 1 or 3; colours are the 256 nearest of a frame.
        scale: how wide and high every pixel becomes.
        seconds: for which a frame is shown, in whole hundredths.
    """
    if frames.ndim != 4 or not is_image(frames.shape[1:]) or len(frames) == 0:
        raise ValueError(
            f"Expected frames [T, H, W, 1 or 3], T > 0. Received shape {frames.shape}."
        )
    large = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    first, *others = (Image.fromarray(f[..., 0] if f.shape[-1] == 1 else f) for f in large)
    with _files.replacing(path) as new:
        first.save(
            new,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=10 * round(100 * seconds),
            loop=0,
        )


def save_png(path: str | os.PathLike[str], grid: np.ndarray, scale: int = 1) -> None:
    """Writes a uint8 grid [H, W, C] as a PNG file, atomically; every pixel `scale` wide and high."""
    grid = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    with _files.replacing(path) as new:
        Image.fromarray(grid[..., 0] if grid.shape[-1] == 1 else grid).save(new, format="PNG")


def latent_map(
    path: str | os.PathLike[str],
    z: np.ndarray,
    labels: np.ndarray | None = None,
    of: str = "test examples",
) -> None:
    """Plots embeddings on their first two principal axes, coloured by label.

    Args:
        path: PNG file to write.
        z: float [N, latent_dim].
        labels: [N], numbers or names, or None.
        of: what the N are, for the title.
    """
    if len(z) < 2:
        raise ValueError(f"A map needs at least 2 examples. Received: {len(z)}")
    centred = z - z.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T
    share = spread[:2] ** 2 / max(np.sum(spread**2), np.finfo(np.float32).tiny)
    figure, ax = _figure(6.4, 5.4)
    if flat.shape[1] == 1:
        flat = np.concatenate([flat, np.zeros_like(flat)], axis=1)
    names: Any = None
    if labels is not None and (labels.dtype.kind not in "buif" or np.isnan(labels).any()):
        names, labels = np.unique(labels.astype(str), return_inverse=True)
    style = {} if labels is None else {"c": labels, "cmap": "tab10"}
    points = ax.scatter(flat[:, 0], flat[:, 1], s=4, alpha=0.7, linewidths=0, **style)
    if labels is not None:
        shown: Any = "auto" if names is None else None  # None: all of them
        marks, texts = points.legend_elements(num=shown)
        ax.legend(
            marks,
            texts if names is None else list(names),
            title="label",
            fontsize=8,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    for name, part in zip(("x", "y"), share, strict=False):
        ax.set(**{f"{name}label": f"principal axis ({part:.0%} of the variance)"})
    ax.set_title(f"posterior means of {len(z):,} {of}")
    _save(figure, path)


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
    _save(figure, path)


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
    _save(figure, path)


def _figure(width, height):
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure, path):
    with _files.replacing(path) as new:
        figure.savefig(new, format="png", dpi=110)


_FORMS = {".png": "a .png grid", ".gif": "a .gif animation", ".npy": "a .npy array"}


def check_output(
    path: str | os.PathLike[str], event_shape: tuple[int, ...], *, animated: bool = False
) -> None:
    """Raises `ValueError` where examples of that shape (or, where they are `animated`, rows of such)
    cannot be written under that name.
    """
    suffix = Path(path).suffix
    forms = [form for name, form in _FORMS.items() if animated or name != ".gif"]
    if suffix not in _FORMS or _FORMS[suffix] not in forms:
        raise ValueError(
            f"Examples are written as {' or '.join(forms)}. Received: {Path(path).name}"
        )
    if suffix != ".npy" and not is_image(event_shape):
        raise ValueError(f"Examples of shape {event_shape} are no pictures. Write them as .npy.")


def save(
    path: str | os.PathLike[str],
    examples: np.ndarray,
    beside: np.ndarray | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    columns: int | None = None,
) -> None:
    """Writes examples as a .png grid (with `beside` above them, row by row) or as a .npy array."""
    check_output(path, examples.shape[1:])
    if Path(path).suffix == ".png":
        grid = (
            image_grid(examples, columns, value_range=value_range)
            if beside is None
            else side_by_side(beside, examples, value_range=value_range)
        )
        save_png(path, grid, scale=2)
        return
    with _files.replacing(path) as new:
        np.save(new, examples)


def save_rows(
    path: str | os.PathLike[str],
    rows: np.ndarray,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Writes rows of examples [R, K, *event]: a .png grid with a row each; a .gif animation in which
    every row is one picture that goes through its K examples and back; or a .npy array.
    """
    check_output(path, rows.shape[2:], animated=True)
    if Path(path).suffix == ".gif":
        frames = [image_grid(rows[:, k], value_range=value_range) for k in range(rows.shape[1])]
        save_gif(path, np.stack(frames + frames[-2:0:-1]), scale=2)
    elif Path(path).suffix == ".png":
        save_png(path, _row_grid(rows, value_range), scale=2)
    else:
        with _files.replacing(path) as new:
            np.save(new, rows)


def save_analogies(
    path: str | os.PathLike[str],
    originals: np.ndarray,
    analogies: np.ndarray,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Writes examples [N, K, *event] as an `analogy_grid` behind their originals, or as a .npy array."""
    check_output(path, originals.shape[1:])
    if Path(path).suffix == ".png":
        save_png(path, analogy_grid(originals, analogies, value_range), scale=2)
        return
    with _files.replacing(path) as new:
        np.save(new, analogies)


def overview(path: str | os.PathLike[str], grids: dict[str, np.ndarray]) -> None:
    """Puts grids with their titles side by side on one picture."""
    widths = [grid.shape[1] / grid.shape[0] for grid in grids.values()]
    figure = matplotlib.figure.Figure(figsize=(3.4 * sum(widths), 3.7), layout="constrained")
    axes = figure.subplots(1, len(grids), width_ratios=widths, squeeze=False)[0]
    for ax, (title, grid) in zip(axes, grids.items(), strict=True):
        ax.imshow(grid.squeeze(-1) if grid.shape[-1] == 1 else grid, cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    _save(figure, path)


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
    _save(figure, path)


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
    _save(figure, path)
