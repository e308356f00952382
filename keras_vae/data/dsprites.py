"""dSprites, drawn where it is needed: white shapes on black, and the five factors that made each.

The construction of Matthey et al. (2017), not their files: one of 3 shapes, at 6 scales from one half
to one, turned by 40 angles from 0 to 2 pi, at 32 x 32 places one pixel apart; every combination once,
737,280 images of 64 x 64 binary pixels. The last angle is the first again; all else is different in
its pixels, the squares and ellipses too, since no two of 39 angles are a quarter or half a turn apart.
Curves and sizes are this package's own: scores compare with those on the published files in kind,
not in every digit.

References:
    Matthey, Higgins, Hassabis and Lerchner, dSprites: Disentanglement testing Sprites dataset, 2017,
    https://github.com/deepmind/dsprites-dataset
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from keras_vae.data.examples import Array

FACTORS: Final[Mapping[str, int]] = {
    "shape": 3,
    "scale": 6,
    "orientation": 40,
    "x_position": 32,
    "y_position": 32,
}
"""How many values every factor has, the factor that changes fastest last."""
SHAPES: Final = ("square", "ellipse", "heart")
NUM_IMAGES: Final = math.prod(FACTORS.values())
SIZE: Final = 64

_SIZES = tuple(FACTORS.values())
_BOX = SIZE - (FACTORS["x_position"] - 1)  # 33: what a sprite may cover at every place
_RADIUS = 16.0  # of the circle that the largest sprites touch, in pixels
_OFFSET = 0.25  # of its centre from a pixel's, to the right and down: even small squares then show each turn
_GRID = 5  # points across a pixel, which is white where most of its 25 points are inside


def render(factors: Any) -> Array:
    """Draws the images of these factors.

    Args:
        factors: whole numbers [N, 5], or [5]: shape, scale, orientation, x and y position, each from
            0 to one less than its number in `FACTORS`. x grows to the right, y downwards, the
            orientation anticlockwise.

    Returns:
        Zeros and ones, uint8 [N, 64, 64, 1]; of one row, [64, 64, 1].

    Raises:
        ValueError: For another shape, and for values that a factor does not have.

    Example:
    >>> heart = render([2, 5, 0, 16, 16])[..., 0]
    >>> for row in heart[17:50:3, 16:49:3]:
    ...     print("".join("-#"[pixel] for pixel in row))
    -----------
    ---##--##--
    --########-
    -##########
    -##########
    -##########
    --########-
    --########-
    ---######--
    ----####---
    -----------
    """
    factors = _checked(factors)
    rows = factors.reshape(-1, len(FACTORS))
    shape, scale, orientation, x, y = rows.T
    images = np.zeros([len(rows), SIZE, SIZE, 1], np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(
        images[..., 0], (_BOX, _BOX), axis=(1, 2), writeable=True
    )
    windows[np.arange(len(rows)), y, x] = _sprites()[shape, scale, orientation]
    return images.reshape(*factors.shape[:-1], SIZE, SIZE, 1)


def factors_of(numbers: Any) -> Array:
    """The factors of images by their numbers in the published order, in which y changes fastest.

    Args:
        numbers: whole numbers [...], from 0 to 737,279.

    Returns:
        int64 [..., 5].

    Example:
    >>> factors_of([0, 1, 737_279]).tolist()
    [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [2, 5, 39, 31, 31]]
    """
    return np.stack(np.unravel_index(np.asarray(numbers), _SIZES), axis=-1)


class Sprites:
    """All images, drawn as they are asked for; see `records.Reader`."""

    shape, dtype, identity = (SIZE, SIZE, 1), np.dtype(np.uint8), "dsprites"

    def __len__(self) -> int:
        return NUM_IMAGES

    def where(self, number):
        return f"Image {number:,} of dsprites"

    def read(self, numbers):
        return render(factors_of(numbers))


def _checked(factors: Any) -> Array:
    factors = np.asarray(factors)
    if (
        factors.ndim not in (1, 2)
        or factors.shape[-1] != len(FACTORS)
        or factors.dtype.kind not in "iu"
    ):
        raise ValueError(
            f"An image has the factors {', '.join(FACTORS)}. Expected whole numbers [N, 5]. Received: "
            f"{factors.dtype} of shape {factors.shape}."
        )
    for (name, size), values in zip(FACTORS.items(), np.moveaxis(factors, -1, 0), strict=True):
        unfit = values[(values < 0) | (values >= size)]
        if unfit.size:
            raise ValueError(
                f"The factor {name} has {size} values. Expected numbers from 0 to {size - 1}. "
                f"Received: {unfit.flat[0]}."
            )
    return factors


@functools.cache
def _sprites() -> Array:
    """Every shape at every scale and angle: zeros and ones, uint8 [3, 6, 40, 33, 33]."""
    scales = np.linspace(0.5, 1.0, FACTORS["scale"])
    angles = np.linspace(0.0, 2 * math.pi, FACTORS["orientation"])
    points = (np.arange(_BOX * _GRID) - (_BOX * _GRID - 1) / 2) / _GRID - _OFFSET
    x, y = np.meshgrid(points / _RADIUS, -points / _RADIUS)
    sprites = np.zeros([*_SIZES[:3], _BOX, _BOX], np.uint8)
    for number, is_inside in enumerate((_square, _ellipse, _heart)):
        for turn, angle in enumerate(angles):
            right = math.cos(angle) * x + math.sin(angle) * y
            up = math.cos(angle) * y - math.sin(angle) * x
            for size, scale in enumerate(scales):
                inside = is_inside(right / scale, up / scale)
                covered = inside.reshape(_BOX, _GRID, _BOX, _GRID).sum(axis=(1, 3))
                sprites[number, size, turn] = covered > _GRID**2 // 2
    return sprites


# Whether points are inside a shape, in units in which the circle around it has radius 1.


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) <= math.sqrt(0.5)


def _ellipse(x: Array, y: Array) -> Array:
    return x**2 + (2.0 * y) ** 2 <= 1.0


def _heart(x: Array, y: Array) -> Array:
    """The curve (x^2 + y^2 - 1)^3 = x^2 y^3; the circle around it is that of radius 5/4 at (0, 1/4)."""
    x, y = 1.25 * x, 1.25 * y + 0.25
    beyond = x**2 + y**2 - 1.0
    return beyond**2 * beyond <= x**2 * y**2 * y
