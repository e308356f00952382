"""Ways from one latent point to another: arrays in, arrays out."""

import numpy as np

_APART = 1e-6  # sine of the angle from which on two directions differ


def line(a: np.ndarray, b: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Points a + t (b - a) for a, b [N, D] and shares t [T]: [N, T, D]."""
    t = shares[:, np.newaxis]
    return (1 - t) * a[:, np.newaxis] + t * b[:, np.newaxis]


def arc(a: np.ndarray, b: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The same along great circles: the direction turns evenly, the length changes evenly.

    For a and b of one length it is slerp, sin((1-t) w) / sin(w) a + sin(t w) / sin(w) b with w the angle
    between them; unlike that formula it stays finite as w approaches 180 degrees with any lengths. A
    zero vector has no direction, parallel ones turn by nothing and opposite ones on no circle rather
    than another: from and to them the way is the line.
    """
    first, last = (np.asarray(end, np.float64) for end in (a, b))
    start, end = (np.linalg.norm(point, axis=1, keepdims=True) for point in (first, last))
    tiny = np.finfo(np.float64).tiny
    along = first / np.maximum(start, tiny)
    cosine = np.sum(along * last, axis=1, keepdims=True)
    across = last - cosine * along
    sine = np.linalg.norm(across, axis=1, keepdims=True)
    angle = np.arctan2(sine, cosine)[:, np.newaxis] * shares[:, np.newaxis]  # [N, T, 1]
    turned = (
        np.cos(angle) * along[:, np.newaxis]
        + np.sin(angle) * (across / np.maximum(sine, tiny))[:, np.newaxis]
    )
    circle = line(start, end, shares) * turned
    is_line = (sine <= _APART * end) | (start == 0)
    return np.where(is_line[:, np.newaxis], line(first, last, shares), circle).astype(np.float32)


PATHS = {"linear": line, "spherical": arc}
"""The ways by name."""
LEAVES = {"linear": "sphere", "spherical": "simplex"}
"""The support of latents that a way leaves between its ends."""
