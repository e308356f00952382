import dataclasses

import numpy as np
import tensorflow as tf

from keras_vae._parts import check_count
from keras_vae.estimators import kl_divergence
from keras_vae.models import LatentVariableModel, as_arrays, need_model, num_rows
from keras_vae.noise import as_seed, threefry

_ROWS = 500  # at once, or fewer where the decoder is wide
_NUMBERS_PER_PASS = 2**24  # in the decoder's widest layer: what bounds the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bound:
    """The evidence lower bound of every example, as its two sides.

    Attributes:
        distortion: -E_q(z|x) log p(x|z), nats, float64 [N].
        rate: KL(q(z|x) || p(z)), nats, float64 [N].
    """

    distortion: np.ndarray
    rate: np.ndarray

    @property
    def negative_elbo(self) -> np.ndarray:
        """Distortion + rate, nats, float64 [N]."""
        return self.distortion + self.rate


def bound(model: LatentVariableModel, x, num_samples: int = 8, *, seed=0) -> Bound:
    """The evidence lower bound of every example, with the noise of `num_samples` draws averaged out.

        -ELBO(x) = -1/K sum_k log p(x|z_k) + KL(q(z|x) || p(z)),    z_k ~ q(z|x)

    Where `log_likelihood` estimates log p(x), which this is below, this is what training with
    beta = 1 minimises, example by example: for paired comparisons of models on the same data.

    Args:
        model: any model of this package.
        x: examples [N, *event], or a dict of arrays.
        num_samples: draws of z per example, K. The mean does not depend on it, its noise does.
        seed: integer or pair of 32-bit integers.

    Returns:
        A `Bound`.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> vae = VAE(*networks.mlp(3, latent_dim=2), likelihood=likelihoods.Normal(scale=1.0))
        >>> bound(vae, np.zeros([5, 3], np.float32)).negative_elbo.shape
        (5,)

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
    """
    need_model(model, "bound")
    check_count("bound", num_samples=num_samples)
    model.posterior.need_density()
    arrays = as_arrays(x)
    model.check_batch(arrays)
    rows = max(1, min(_ROWS, _NUMBERS_PER_PASS // (num_samples * model.widest_layer)))
    key = as_seed(seed)

    @tf.function(reduce_retracing=True)
    def sides(batch, number):
        q, z = model.infer(batch, num_samples, seed=tf.stack(threefry(key, number, tf.constant(0))))
        distortion = -model.log_likelihood(batch, z)
        rate = tf.broadcast_to(
            kl_divergence(q, model.prior_over(batch), z), tf.shape(distortion)
        )  # [B] in closed form, [K, B] sampled
        return tf.reduce_mean(distortion, axis=0), tf.reduce_mean(rate, axis=0)

    parts = []
    for number, start in enumerate(range(0, num_rows(arrays), rows)):
        batch = tf.nest.map_structure(lambda a, i=start: tf.constant(a[i : i + rows]), arrays)
        parts.append(sides(batch, tf.constant(number)))
    distortion, rate = (
        np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)
    )
    return Bound(distortion=distortion, rate=rate)
