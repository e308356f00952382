"""Super-resolution and restoration: what an image may have been before it was damaged.

A conditional VAE p(x|z, c) p(z|c), whose condition c is the damaged image, has many answers: every z is
one. Functions on such a VAE, and estimators.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import tensorflow as tf
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from keras_vae._parts import check_count, check_known
from keras_vae.applications._base import VAEEstimator
from keras_vae.data.conditions import CONDITIONS, find_condition
from keras_vae.data.protocols import unit_interval
from keras_vae.data.streams import EVALUATION_SEED, Stream, key
from keras_vae.models import VAE
from keras_vae.noise import as_seed, threefry

__all__ = [
    "Restoration",
    "SuperResolution",
    "answers",
    "as_conditions",
    "mean_and_spread",
    "psnr",
    "restore",
    "ssim",
]

DAMAGES: tuple[str, ...] = tuple(
    name for name, condition in CONDITIONS.items() if not condition.of_labels
)
"""The conditions that are the image itself, damaged."""
_COMPARED = 500  # images at a time


def answers(vae: VAE, conditions: Mapping[str, Any], num_answers: int, seed=0) -> Iterator[Any]:
    """Yields answers [N, *event], one at a time: see `restore`."""
    check_count("restore", num_answers=num_answers)
    num_images = max((len(np.atleast_1d(values)) for values in conditions.values()), default=0)
    if not num_images:
        raise ValueError("There is nothing to restore: the conditions hold no image.")
    words = threefry(as_seed(seed), tf.range(num_answers), tf.zeros([num_answers], tf.int32))
    for own_seed in tf.stack(words, axis=1).numpy():
        answer = vae.generate(num_images, own_seed, **conditions)
        if "kept" in conditions:
            answer = np.where(np.asarray(conditions["kept"]) > 0, conditions["damaged"], answer)
        yield answer


def restore(vae: VAE, conditions: Mapping[str, Any], num_answers: int = 16, seed=0) -> np.ndarray:
    """Several answers to each damaged image: the means of p(x|z_a, c) at z_a ~ p(z|c).

    Where a condition says which pixels are kept, the answers keep them.

    An answer is a function of the image, its row, its number and the seed: the first do not depend on
    how many are asked for.

    Args:
        vae: a VAE whose decoder is told the damaged image.
        conditions: what `vae.conditions` names, [N, ...] each.
        num_answers: how many answers A.
        seed: integer or pair of 32-bit integers.

    Returns:
        [A, N, *event].

    References:
        Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional
        Generative Models, NeurIPS 2015.
    """
    return np.stack(list(answers(vae, conditions, num_answers, seed)))


def mean_and_spread(
    vae: VAE, conditions: Mapping[str, Any], num_answers: int = 16, seed=0
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the answers, and their standard deviation in each pixel.

    The mean is the estimate of smallest squared error; it is blurred where the answers differ, which
    the spread shows. The spread leaves out p(x|z, c)'s own scale.

    Args:
        vae, conditions, num_answers, seed: as of `restore`; one answer is in memory at a time.

    Returns:
        mean, spread: [N, *event] each.
    """
    total, squares = 0.0, 0.0  # of deviations: Welford's recurrence
    for number, answer in enumerate(answers(vae, conditions, num_answers, seed), start=1):
        off = answer - total
        total = total + off / number
        squares = squares + off * (answer - total)
    return cast(Any, total), np.sqrt(cast(Any, squares) / num_answers)


def psnr(images: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image in decibels, -10 log10(mean squared error), [N].

    Args:
        images: float [N, H, W, C] in [0, 1].
        restored: the same shape; clipped to [0, 1].

    Example:
        >>> psnr(np.zeros([2, 4, 4, 1]), np.full([2, 4, 4, 1], 0.1)).round(3).tolist()
        [20.0, 20.0]
    """
    return np.asarray(tf.image.psnr(images, np.clip(restored, 0.0, 1.0), 1.0))


def ssim(images: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, at most 1, [N]; `tf.image.ssim`, Gaussian window 11 x 11.

    Args:
        images: float [N, H, W, C] in [0, 1], at least 11 x 11.
        restored: the same shape; clipped to [0, 1].

    References:
        Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004,
        doi:10.1109/TIP.2003.819861.
    """
    pairs = (images.astype(np.float32), np.clip(restored, 0.0, 1.0).astype(np.float32))
    return np.concatenate(
        [
            tf.image.ssim(*(array[start : start + _COMPARED] for array in pairs), 1.0).numpy()
            for start in range(0, len(images), _COMPARED)
        ]
    )


def as_conditions(vae: VAE, damaged: np.ndarray) -> dict[str, Any]:
    """Damaged images as a model is told them.

    Args:
        vae: a model whose decoder is told a damaged image, and perhaps which pixels are kept.
        damaged: float32 [N, h, w] or [N, h, w, C]; NaN in pixels that are hidden.

    Returns:
        What `vae.conditions` names, [N, ...] each.

    Raises:
        ValueError: for images of another shape, for infinite values, and for NaN where the model is
            not told which pixels are hidden.
    """
    (name,) = set(vae.conditions) - {"kept"}
    shape = tuple(vae.conditions[name].shape[1:])
    if damaged.shape[1:] not in (shape, shape[:-1]):
        raise ValueError(
            f"The model restores images of shape {shape}. Received: images of shape {damaged.shape[1:]}"
        )
    damaged = damaged.reshape(-1, *shape)
    hidden = np.isnan(damaged).any(axis=-1, keepdims=True)
    if "kept" not in vae.conditions:
        if hidden.any():
            raise ValueError(
                "The images hold NaN, and the model was not trained to fill in hidden pixels "
                '(condition "hidden" does that). Fill them in.'
            )
        return {name: damaged}
    filled: Any = np.where(hidden, np.float32(0), damaged)
    kept: Any = (~hidden).astype(np.float32)
    return {name: filled, "kept": kept}


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class _Restorer(VAEEstimator):
    """What super-resolution and restoration share.

    Args:
        num_answers: answers that `predict` and `spread` are taken over.
    """

    num_answers: int = 16
    latent_dim: int = 16
    prior: str = "conditional-normal"
    likelihood: str | None = "shared-scale-normal"
    protocol: str | None = "grey"

    @property
    def _damage(self) -> str:
        raise NotImplementedError

    def fit(self, X, y=None):
        """Trains the VAE to restore images from what it makes of them.

        Args:
            X: undamaged images [N, H, W] or [N, H, W, C], 8-bit or in [0, 1]; at least two.
            y: ignored.
        """
        X = self._given(X, is_new=True)
        if X.ndim < 3 or np.isnan(X).any():
            found = f"an array of shape {X.shape}" if X.ndim < 3 else "NaN"
            raise ValueError(
                f"{type(self).__name__} takes whole images [N, H, W] or [N, H, W, C]. Received: {found}"
            )
        self._fit(X, condition=self._damage)
        return self

    def degrade(self, X, seed: int = 0) -> np.ndarray:
        """Undamaged images as `predict` takes them: damaged, in the way of training.

        Args:
            X: images [N, H, W] or [N, H, W, C].
            seed: of what is drawn.

        Returns:
            float32 [N, h, w, C]; NaN in pixels that are hidden.
        """
        return self._joined(self._entries(self._whole(X), seed))

    def sample(self, X, num_answers: int | None = None, seed: int = 0) -> np.ndarray:
        """Several answers to each damaged image, [num_answers, N, H, W, C].

        Args:
            X: damaged images [N, h, w] or [N, h, w, C], 8-bit or float; NaN in pixels that are hidden.
            num_answers: how many; by default as many as the mean is of.
            seed: of the answers; the first do not depend on how many.
        """
        return restore(self.model, self._conditions(X), num_answers or self.num_answers, seed)

    def predict(self, X) -> np.ndarray:
        """The mean answer to each damaged image (see `sample`), [N, H, W, C]."""
        return self._moments(X)[0]

    def spread(self, X) -> np.ndarray:
        """The answers' standard deviation in each pixel, [N, H, W, C]."""
        return self._moments(X)[1]

    def score(self, X, y=None) -> float:
        """Mean PSNR in decibels of undamaged images that are damaged and restored.

        Args:
            X: undamaged images.
            y: ignored.
        """
        x = self._whole(X)
        entries = self._entries(x, 0)
        return float(psnr(x, mean_and_spread(self.model, entries, self.num_answers)[0]).mean())

    def _moments(self, X) -> tuple[np.ndarray, np.ndarray]:
        return mean_and_spread(self.model, self._conditions(X), self.num_answers, self.seed_)

    def _whole(self, X) -> np.ndarray:
        return cast(np.ndarray, self._batch(X))  # of images, never with a mask

    def _entries(self, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        condition: Any = find_condition(self._damage)
        drawn = condition.entries(
            tf.constant(x), None, key(EVALUATION_SEED, Stream.CONDITIONS, seed)
        )
        return {name: np.asarray(values) for name, values in drawn.items()}

    def _joined(self, entries: dict[str, np.ndarray]) -> np.ndarray:
        if "kept" in entries:
            return np.where(entries["kept"] > 0, entries["damaged"], np.nan)
        (damaged,) = entries.values()
        return damaged

    def _conditions(self, X) -> dict[str, np.ndarray]:
        """A damaged image as the model is told it."""
        check_is_fitted(self, "model_")
        X = cast(Any, check_array)(  # typed as giving text
            X,
            dtype=(np.float32, np.uint8),
            allow_nd=True,
            ensure_2d=False,
            ensure_all_finite="allow-nan",
            input_name="X",
            estimator=self,
        )
        return as_conditions(self.model, unit_interval(X).numpy())


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class SuperResolution(_Restorer):
    """Images at several times their height and width: plausible answers, their mean, their spread.

        x ~ p(x|z, low),  z ~ p(z|low)

    Args:
        factor: how many times, 2 or 4; a pixel of the small image is the mean of factor x factor.
        num_answers: answers that `predict`, `spread` and `score` are taken over.
        latent_dim, hidden, ...: as of `VAEEstimator`.

    Example:
        >>> images = np.random.default_rng(0).random([40, 8, 8])
        >>> model = SuperResolution(factor=4, hidden=(8,), epochs=1).fit(images)
        >>> low = model.degrade(images[:3])
        >>> low.shape, model.predict(low).shape, model.sample(low, 5).shape
        ((3, 2, 2, 1), (3, 8, 8, 1), (5, 3, 8, 8, 1))

    References:
        Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional
        Generative Models, NeurIPS 2015.
    """

    factor: int = 4

    @property
    def _damage(self):
        return f"downscaled-{self.factor}"


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Restoration(_Restorer):
    """Images without their noise, or with what was hidden: plausible answers, their mean and spread.

    Args:
        damage: "noisy" (Normal noise of standard deviation 0.3) or "hidden" (a random rectangle; in
            arrays, pixels that are NaN), or another of `DAMAGES`.
        num_answers: answers that `predict`, `spread` and `score` are taken over.
        latent_dim, hidden, ...: as of `VAEEstimator`.

    Example:
        >>> images = np.random.default_rng(0).random([40, 8, 8])
        >>> model = Restoration(damage="hidden", hidden=(8,), epochs=1).fit(images)
        >>> damaged = model.degrade(images[:3])
        >>> bool(np.isnan(damaged).any()), model.predict(damaged).shape
        (True, (3, 8, 8, 1))
    """

    damage: str = "hidden"

    @property
    def _damage(self):
        check_known("damage", self.damage, DAMAGES)
        return self.damage
