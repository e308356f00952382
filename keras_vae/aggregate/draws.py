import dataclasses
from typing import Any, Self

import numpy as np
import tensorflow as tf

from keras_vae._parts import check_count, name_of
from keras_vae.models import EncoderDecoder, as_arrays, num_rows
from keras_vae.noise import as_seed, threefry
from keras_vae.posteriors import Posterior

_ROWS = 500  # encoded at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aggregate:
    """The aggregate posterior q(z) = 1/N sum_n q(z|x_n) of a data set, to be drawn from.

    Attributes:
        posterior: the family of q(z|x).
        params: its parameters for every example, float32 [N, params_size].
        latent_dim: size of z.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> vae = VAE(*networks.mlp(3, latent_dim=2), likelihood=likelihoods.Normal(scale=1.0))
        >>> Aggregate.of(vae, np.zeros([5, 3], np.float32)).draw(seed=7).shape
        (5, 2)
    """

    posterior: Posterior
    params: np.ndarray
    latent_dim: int

    @classmethod
    def of(cls, vae: EncoderDecoder, x) -> Self:
        """The aggregate posterior of examples [N, *event], or a dict of arrays, under a model.

        Raises:
            ValueError: for data that do not fit the model, for latents that are no real numbers, and
                for a model that gives NaN.
        """
        posterior = vae.now(vae.posterior)
        if posterior.support != "real":
            raise ValueError(
                f"The priors fitted to an aggregate posterior are of real numbers, and {name_of(posterior)} "
                f"draws z on the support {posterior.support!r}. Expected a posterior such as Normal."
            )
        arrays = as_arrays(x)
        vae.check_batch(arrays)
        chunks = []
        for start in range(0, num_rows(arrays), _ROWS):
            batch = tf.nest.map_structure(lambda a, i=start: tf.constant(a[i : i + _ROWS]), arrays)
            chunks.append(tf.cast(vae.encode(batch), tf.float32).numpy())
        params = np.concatenate(chunks)
        if not np.isfinite(params).all():
            raise ValueError(
                "The encoder gives NaN or infinite latents for the data: its training diverged. Fit the prior to "
                "a model that did not."
            )
        return cls(posterior=posterior, params=params, latent_dim=vae.latent_dim)

    def draw(self, num_draws: int = 1, seed: Any = 0) -> np.ndarray:
        """Z ~ q(z|x_n), `num_draws` times for every example: [num_draws N, latent_dim]."""
        check_count("Aggregate.draw", num_draws=num_draws)
        params, key = tf.constant(self.params), as_seed(seed)
        draws = [
            self.posterior.draw(
                params, None, tf.stack(threefry(key, tf.constant(n), tf.constant(0)))
            )
            for n in range(num_draws)
        ]
        return np.concatenate([z.numpy() for _, z in draws])

    def split(self, share: float, seed: int) -> tuple[Self, Self]:
        """All examples but a share of them, and that share (one at least), in random order."""
        order = np.random.default_rng(seed).permutation(len(self.params))
        held_out = max(1, round(share * len(order)))
        parts = order[held_out:], order[:held_out]
        first, second = (dataclasses.replace(self, params=self.params[part]) for part in parts)
        return first, second
