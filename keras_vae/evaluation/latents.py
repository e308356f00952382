import dataclasses

import numpy as np
import tensorflow as tf

from keras_vae.models import VAE, as_arrays, need_model

_ROWS = 500  # at once
_ACTIVE = 0.01  # variance of the posterior's location over the data


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentUse:
    """What the latent dimensions carry.

    Attributes:
        variance: variance over examples of the posterior's location, float32 [D].
        rate: KL(q(z_d|x) || p(z_d)) in nats, mean over examples, float32 [D]; None where posterior or
            prior do not factorise over dimensions.
    """

    variance: np.ndarray
    rate: np.ndarray | None

    @property
    def is_active(self) -> np.ndarray:
        """Whether a dimension is an active unit, of variance above 0.01: bool [D]."""
        return self.variance > _ACTIVE

    @property
    def num_active(self) -> int:
        """Number of active units."""
        return int(np.sum(self.is_active))


def latent_use(vae: VAE, x) -> LatentUse:
    """How much each latent dimension depends on the data.

    A dimension that an objective has switched off has a location that is the same for all examples,
    and no rate.

    Args:
        vae: the model.
        x: examples [N, *event], or a dict of arrays; a few hundred at least, N of at least 2.

    Returns:
        A `LatentUse`.

    References:
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519,
        section 5 (active units).
    """
    need_model(vae, "latent_use")
    x = as_arrays(x)
    z = vae.embed(x)
    if len(z) < 2:
        raise ValueError(f"A variance needs at least 2 examples. Received: {len(z)}")
    posterior, rate = vae.now(vae.posterior), None
    if posterior.factorized and vae.prior.factorized:
        rates = []
        for start in range(0, len(z), _ROWS):
            batch = tf.nest.map_structure(lambda a, i=start: tf.constant(a[i : i + _ROWS]), x)
            q, p = posterior.distribution(vae.encode(batch)), vae.prior.distribution(batch)
            rates.append(q.distribution.kl_divergence(p.distribution))
        rate = np.mean(np.concatenate(rates), axis=0)
    return LatentUse(variance=np.var(z, axis=0), rate=rate)
