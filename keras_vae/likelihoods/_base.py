"""Likelihoods p(x|z): how the decoder's output becomes a distribution over data.

The decoder gives `params` whose last axis holds every parameter of every channel: for data with
shape [..., H, W, C] under a family with two parameters per channel, params are [..., H, W, 2 C].
`event_rank` says how many trailing axes are one example: 3 for images [H, W, C], 1 for vectors.
Log-probabilities are summed over the event, in nats and float32.
"""

import abc
import math
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import check_count, name_of

tfd = tfp.distributions


class Likelihood(abc.ABC):
    """A family of distributions p(x|z), indexed by the decoder's output `params`.

    A subclass says how many parameters a channel takes and which elementwise distribution they
    give; the rest is here. One without weights is a frozen value object, one that learns is a Keras
    layer.

    Attributes:
        event_rank: number of trailing axes of x that make up one example.
        support: in words, the values that x may take.
        remedy: in words, what to do with data outside of it; empty where the support says it.
        location_bounds: between which `location` lies.
        couples_examples: whether log p(x|z) of an example depends on the z of others in training.
        alphabet: the values that an element of x may have, where they are finitely many: what makes
            log-probabilities code lengths (`compression`).
        measure: what p(x|z) is, a "probability" or a "density": neither says anything against the other.
        by_channel: names of fields that are a number, or a tuple of one per channel.
        visible_within: parameters beyond plus or minus this number are shown, in eight bits, as at
            it; None if there is no such number.
    """

    event_rank: int
    by_channel: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_count(name_of(self), event_rank=self.event_rank)
        for name in self.by_channel:  # Python's own: a float, or a tuple
            given: Any = getattr(self, name)
            try:
                value: Any = np.asarray(given, np.float64)
            except (TypeError, ValueError):
                value = np.array([])
            if not value.size or value.ndim > 1 or isinstance(given, bool):
                raise ValueError(
                    f'Invalid value received for argument "{name}" of {name_of(self)}. Expected a number, or one for '
                    f"each channel. Received: {given!r}"
                )
            object.__setattr__(self, name, tuple(value.tolist()) if value.ndim else value.item())

    def check_channels(self, channels: int) -> None:
        """Raises `ValueError` where fields with a number per channel have another number of them."""
        for name in self.by_channel:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != channels:
                raise ValueError(
                    f'Invalid value received for argument "{name}" of {name_of(self)}. Expected a number, or one for '
                    f"each of the {channels} channels of the data. Received: {value}"
                )

    @property
    def support(self) -> str:
        return "any real number"

    @property
    def remedy(self) -> str:
        return ""

    @property
    def location_bounds(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def couples_examples(self) -> bool:
        return False

    @property
    def alphabet(self) -> tuple[float, ...] | None:
        """The values that an element of x may have, rising; None where they are not finitely many."""
        return None

    @property
    def measure(self) -> str:
        return "density" if self.alphabet is None else "probability"

    @property
    def visible_within(self) -> float | None:
        return None

    @property
    def is_push_forward(self) -> bool:
        """Whether `transform` is there."""
        return False

    def transform(self, params: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Pushes standard normals, like x, forward to a draw from p(x|z)."""
        raise NotImplementedError(f"{name_of(self)} is no push-forward of standard normals.")

    @abc.abstractmethod
    def params_size(self, channels: int) -> int:
        """Size of the last axis of `params` for data with that many channels."""

    @abc.abstractmethod
    def elementwise(self, params: tf.Tensor) -> tfd.Distribution:
        """The distribution of each element of x, with x's shape as its batch shape.

        `params` are float32.
        """

    def distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """p(x|z) with `event_rank` event axes, in float32."""
        return tfd.Independent(self.elementwise(tf.cast(params, tf.float32)), self.event_rank)

    def location(self, params: tf.Tensor) -> tf.Tensor:
        """What is shown for p(x|z), in x's shape: its mean unless the family says otherwise."""
        return self.elementwise(tf.cast(params, tf.float32)).mean()

    def stddev(self, params: tf.Tensor) -> tf.Tensor | None:
        """The standard deviation of each element, in x's shape; None for a family without a scale."""
        return None

    def expected(self, params: tf.Tensor) -> tf.Tensor:
        """What may be averaged over several z: E[x|z], [..., *event]; of categories, their
        probabilities, [..., *event with its last axis multiplied].
        """
        return self.location(params)

    def decided(self, expected: tf.Tensor) -> tf.Tensor:
        """The x [..., *event] that stands for a mean of `expected`: itself, or the most probable
        category.
        """
        return expected

    def sample(self, params: tf.Tensor, seed) -> tf.Tensor:
        """One draw from p(x|z), in x's shape; `seed` is int32 [2]."""
        return self.distribution(params).sample(seed=seed)

    def log_prob(
        self, params: tf.Tensor, x: tf.Tensor, mask=None, training: bool = False
    ) -> tf.Tensor:
        """Log p(x|z) in nats, summed over the event.

        Args:
            params: [..., *event with its last axis multiplied].
            x: [..., *event]; broadcasts against `params` from the left, as for K samples of z per
                example.
            mask: like x, 1 where x is observed and 0 where it is missing. A missing element adds
                nothing, and whatever stands in its place (NaN included) reaches neither value nor
                gradient.
            training: for likelihoods that estimate a parameter from the batch.

        Returns:
            float32 [...].
        """
        log_prob = self.log_prob_by_element(params, x, mask)
        return tf.reduce_sum(log_prob, axis=list(range(-self.event_rank, 0)))

    def log_prob_by_element(self, params: tf.Tensor, x: tf.Tensor, mask=None) -> tf.Tensor:
        """Log p(x_i|z) of each element in nats, 0 for a missing one: what `log_prob` is the sum of.

        Args and shapes are those of `log_prob`; returns float32 [..., *event].
        """
        x, params = tf.cast(x, tf.float32), tf.cast(params, tf.float32)
        if mask is None:
            return self._log_prob_by_element(params, x)
        observed = tf.cast(mask, tf.bool)
        log_prob = self._log_prob_by_element(params, tf.where(observed, x, tf.zeros_like(x)))
        return tf.where(observed, log_prob, tf.zeros_like(log_prob))

    def _log_prob_by_element(self, params: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return self.elementwise(params).log_prob(x)

    def features(self, x: tf.Tensor) -> tf.Tensor:
        """What an encoder of columns sees of x [..., C]: numbers of about unit size, as many of them
        for every column, [..., features_size(C)].
        """
        return x

    def features_size(self, channels: int) -> int:
        """Size of the last axis of `features` for data with that many channels."""
        return channels

    def contains(self, x: tf.Tensor) -> tf.Tensor:
        """Elementwise: whether values lie in the support, where no NaN lies: bool like x."""
        return tf.math.is_finite(x)

    def params_for_mean(self, mean: np.ndarray) -> np.ndarray:
        """Parameters [..., params_size(C)] whose mean is `mean` [..., C]: a decoder's initial
        output bias.

        Raises:
            ValueError: where the family has no mean that its parameters can be solved for.
        """
        raise ValueError(
            f"{name_of(self)} has no parameters that can be found from a mean. Build the network without "
            "`output_mean`, or set the bias of its last layer yourself."
        )
