import dataclasses
import math

import numpy as np
import tensorflow as tf

from keras_vae._parts import check_count
from keras_vae.evaluation.estimate import standard_error_of
from keras_vae.evaluation.latents import LatentUse, latent_use
from keras_vae.models import VAE, as_arrays, need_vae, num_rows
from keras_vae.noise import as_seed, threefry

_ROWS = 500  # at once
_HEARD = 0.01  # nats: what a latent has to be worth to the decoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollapseReport:
    """Whether the latents are used: written by the encoder, and read by the decoder.

    `str` of it says so in words, and what to do.

    Attributes:
        use: what the encoder writes: variance of the locations, and rate of every dimension.
        worth: what z is worth to the decoder, nats per example: by how much log p(x|z) falls where z is
            that of another example.
        worth_error: standard error of `worth` over examples.
        worth_by_dimension: the same where one dimension of z is another example's, float64 [D].
        worth_by_dimension_error: its standard errors, float64 [D].
    """

    use: LatentUse
    worth: float
    worth_error: float
    worth_by_dimension: np.ndarray
    worth_by_dimension_error: np.ndarray

    @property
    def written(self) -> np.ndarray:
        """The dimensions in which the encoder tells examples apart (active units), int [...]."""
        return np.flatnonzero(self.use.is_active)

    @property
    def unused(self) -> np.ndarray:
        """The dimensions in which it does not, int [...]."""
        return np.flatnonzero(~self.use.is_active)

    @property
    def unread(self) -> np.ndarray:
        """The dimensions that are written and of which the decoder cannot be seen to read, int [...]."""
        is_heard = _is_heard(self.worth_by_dimension, self.worth_by_dimension_error)
        return np.flatnonzero(self.use.is_active & ~is_heard)

    @property
    def is_collapsed(self) -> bool:
        """Whether z carries nothing: no dimension is written, or the decoder cannot be seen to read any."""
        return len(self.written) == 0 or not _is_heard(self.worth, self.worth_error)

    def __str__(self):
        num_dims = len(self.use.variance)
        read = (
            f"The decoder reads z: with the z of another example, log p(x|z) is {self.worth:.2f} +- "
            f"{self.worth_error:.2f} nats lower."
            if _is_heard(self.worth, self.worth_error)
            else "The decoder does not notice z: with the z of another example, log p(x|z) is as high "
            f"({0.0 - self.worth:+.3f} +- {self.worth_error:.3f} nats)."
        )
        if self.is_collapsed:
            written = (
                f"the encoder tells examples apart in {len(self.written)} of {num_dims} dimensions, and the decoder "
                "does not listen."
                if len(self.written)
                else "every x gets the same q(z|x)."
            )
            return (
                f"Posterior collapse: {written} {read} "
                "What to do: raise the weight of the rate slowly (keras-vae train --warm-up, or ELBO with a "
                "schedule as beta), grant a rate free of charge (--free-bits 0.1, with posterior and prior "
                "normal), lower beta where it is above 1, or take a weaker decoder."
            )
        found = [f"{len(self.written)} of {num_dims} dimensions are used. {read}"]
        if len(self.unused):
            found.append(
                f"{_listed(self.unused)} unused: q(z_d|x) is the same for every x.{self._cost()}"
            )
            found.append(
                "Dimensions that are not needed switch themselves off; a smaller latent_dim does as well "
                "(keras-vae search). Where the bound is worse than that of a smaller model, it is "
                "collapse: --warm-up, or --free-bits 0.1 with posterior and prior normal, keep them on."
            )
        if len(self.unread):
            found.append(
                f"{_listed(self.unread)} written by the encoder, and the decoder does not notice: what they "
                "cost is lost. Train longer, or with a warm-up of beta."
            )
        return " ".join(found)

    def _cost(self) -> str:
        """What unused dimensions cost, where it is known and something."""
        if self.use.rate is None or (cost := float(np.sum(self.use.rate[self.unused]))) < _HEARD:
            return ""
        return f" They cost {cost:.2f} nats all the same."


def collapse_report(vae: VAE, x, *, num_samples: int = 1, seed=0) -> CollapseReport:
    """Reports in words whether a model has collapsed to its prior, in part or as a whole.

        worth = E log p(x|z) - E log p(x|z'),    z ~ q(z|x), z' ~ q(z|x') of another example x'

    A low rate alone is not collapse, and a high one is not use: what counts is whether the encoder
    tells examples apart (the variance of its locations) and whether the decoder listens (the worth, where
    it is above 0.01 nats and twice its standard error). Other examples are drawn at random, whatever the
    order of x.

    Args:
        vae: the model.
        x: examples [N, *event], or a dict of arrays, N of at least 2; a few hundred do.
        num_samples: draws of z per example; more, or more examples, make standard errors smaller.
        seed: integer or pair of 32-bit integers.

    Returns:
        A `CollapseReport`.

    Raises:
        ValueError: for fewer than 2 examples.

    References:
        Bowman et al., Generating Sentences from a Continuous Space, 2015, arXiv:1511.06349 (collapse).
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519,
        section 5 (active units).
    """
    check_count("collapse_report", num_samples=num_samples)
    need_vae(vae, "collapse_report")
    arrays = as_arrays(x)
    use, num_examples = latent_use(vae, arrays), num_rows(arrays)

    exchanged = np.concatenate([np.ones([1, vae.latent_dim]), np.eye(vae.latent_dim)]).astype(bool)

    @tf.function(reduce_retracing=True)
    def falls(batch, key):
        """The fall of every example's log p(x|z), with all dimensions exchanged and with each: [1 + D, B]."""
        _, z = vae.infer(batch, num_samples, seed=key)
        log_p, others = vae.log_likelihood(batch, z), tf.roll(z, shift=1, axis=1)

        def fall(dimensions):
            exchanged = vae.log_likelihood(batch, tf.where(dimensions, others, z))
            return tf.reduce_mean(log_p - exchanged, axis=0)

        return tf.map_fn(fall, exchanged, fn_output_signature=tf.float32)

    key, found = as_seed(seed), []
    order = np.random.default_rng(key.numpy().view(np.uint32)).permutation(num_examples)
    # No rest of a single example, which has no other to exchange with.
    for number, rows in enumerate(np.array_split(order, math.ceil(num_examples / _ROWS))):
        batch = tf.nest.map_structure(lambda array, i=rows: tf.constant(array[i]), arrays)
        own = tf.stack(threefry(key, tf.constant(number), tf.constant(0)))
        found.append(falls(batch, own).numpy())
    of_examples = np.concatenate(found, axis=1).astype(np.float64)
    worth, *by_dimension = of_examples.mean(axis=1)
    worth_error, *by_dimension_error = map(standard_error_of, of_examples)
    return CollapseReport(
        use=use,
        worth=float(worth),
        worth_error=worth_error,
        worth_by_dimension=np.array(by_dimension),
        worth_by_dimension_error=np.array(by_dimension_error),
    )


def _is_heard(worth, error):
    """Whether the decoder is seen to read what is worth so much, more than by chance."""
    return worth >= np.maximum(_HEARD, 2.0 * error)


def _listed(dimensions: np.ndarray) -> str:
    """Dimensions in words, all of them where they are few."""
    shown = ", ".join(map(str, dimensions[:10])) + ", ..." * (len(dimensions) > 10)
    return f"Dimension {shown} is" if len(dimensions) == 1 else f"Dimensions {shown} are"
