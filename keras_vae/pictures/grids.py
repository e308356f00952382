"""Grids of images as arrays and as files."""

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image

from keras_vae import _files


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
