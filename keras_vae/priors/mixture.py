import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.linalg import solve_triangular

from keras_vae._parts import check_count, check_finite, name_of, register, scale_of
from keras_vae.noise import pick
from keras_vae.priors._base import Prior, PushForward
from keras_vae.priors._mixtures import mixture

tfd = tfp.distributions


@register
class NormalMixture(Prior):
    """p(z) = sum_k pi_k prod_d N(z_d; loc_kd, scale_kd^2), learned with the model.

    The KL to it has no closed form: the objectives estimate it from their samples. Not to be
    confused with `MultivariateNormalMixture`, which is fitted to the latents after training.

    Args:
        latent_dim: size of z.
        num_components: number of components K.
        seed: integer, of the components' initial locations N(0, 1).

    Example:
        >>> NormalMixture(2, num_components=5).distribution().log_prob(tf.zeros([3, 2])).shape
        TensorShape([3])

    References:
        Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture VAEs, 2016,
        arXiv:1611.02648 (the mixture prior of section 3, without the discrete latent).
    """

    def __init__(self, latent_dim: int, num_components: int = 10, seed: int = 0, **kwargs):
        super().__init__(latent_dim, **kwargs)
        check_count(name_of(self), num_components=num_components)
        check_count(name_of(self), least=0, seed=seed)
        self.num_components, self.seed = int(num_components), int(seed)
        shape = (num_components, latent_dim)
        around_zero = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")
        self.loc = self.add_weight(shape=shape, initializer=around_zero, name="loc")
        self.log_variance = self.add_weight(shape=shape, initializer="zeros", name="log_variance")

    @property
    def noise_size(self):
        return self.latent_dim + 2

    @property
    def widest_layer(self):
        return max(self.latent_dim, 2 * self.num_components)  # in float64

    def distribution(self, batch=None):
        components = tfd.Independent(tfd.Normal(tf.convert_to_tensor(self.loc), self._scale()), 1)
        return mixture(tf.convert_to_tensor(self.logits), components)

    def transform(self, noise, batch=None):
        component = pick(noise[:, :2], tf.nn.softmax(tf.convert_to_tensor(self.logits)))
        loc, scale = tf.convert_to_tensor(self.loc), self._scale()
        return tf.gather(loc, component) + tf.gather(scale, component) * noise[:, 2:]

    def _scale(self):
        return scale_of(tf.convert_to_tensor(self.log_variance))

    def get_config(self):
        return super().get_config() | {"num_components": self.num_components, "seed": self.seed}


@register
class MultivariateNormalMixture(Prior):
    """p(z) = sum_k pi_k N(z; loc_k, L_k L_k^T): full covariances, given and not learned.

    What a model generates from where the aggregate posterior is no standard normal:
    `aggregate.fit_mixture` makes one. Until `set_components` it is N(0, I).

    Args:
        latent_dim: size of z.
        num_components: number of components K.

    Example:
        >>> prior = MultivariateNormalMixture(2, num_components=1)
        >>> prior.set_components([1.0], [[3.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]])
        >>> round(float(prior.distribution().log_prob([[3.0, 0.0]])[0]), 3)
        -1.694

    References:
        Ghosh et al., From Variational to Deterministic Autoencoders, ICLR 2020, arXiv:1903.12436
        (ex-post density estimation, section 4).
    """

    def __init__(self, latent_dim: int, num_components: int = 10, **kwargs):
        super().__init__(latent_dim, **kwargs)
        check_count(name_of(self), num_components=num_components)
        self.num_components = int(num_components)

        def identities(shape, dtype):
            return tf.eye(latent_dim, batch_shape=shape[:1], dtype=dtype)

        def fixed(name: str, *shape: int, initializer: Any = "zeros"):
            shape = (num_components, *shape)
            return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

        self.logits = fixed("logits")
        self.loc = fixed("loc", latent_dim)
        square = (latent_dim, latent_dim)
        self.scale_tril = fixed("scale_tril", *square, initializer=identities)
        self.whitening = fixed("whitening", *square, initializer=identities)

    def set_components(self, probs, loc, covariance) -> None:
        """Puts components in the place of those that are there.

        Args:
            probs: [K], above 0, adding up to 1.
            loc: [K, latent_dim].
            covariance: [K, latent_dim, latent_dim], symmetric and positive definite.

        Raises:
            ValueError: for anything else.
        """
        given = {"probs": probs, "loc": loc, "covariance": covariance}
        probs, loc, covariance = (np.asarray(value, np.float64) for value in given.values())
        check_finite(name_of(self), **given)
        for name, value, weight in (
            ("probs", probs, self.logits),
            ("loc", loc, self.loc),
            ("covariance", covariance, self.scale_tril),
        ):
            if value.shape != tuple(weight.shape):
                raise ValueError(
                    f'Invalid value received for argument "{name}" of {name_of(self)}. Expected the shape '
                    f"{tuple(weight.shape)}. Received: {value.shape}"
                )
        if (probs <= 0).any() or not np.isclose(probs.sum(), 1.0, atol=1e-4):
            raise ValueError(
                f"The probabilities of the components are above 0 and add up to 1. Received: {probs}"
            )
        try:
            if not np.allclose(covariance, covariance.swapaxes(1, 2)):
                raise np.linalg.LinAlgError("not symmetric")
            scale_tril = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"The covariance of a component is symmetric and positive definite ({error})."
            ) from None
        identity = np.eye(self.latent_dim)
        self.logits.assign(np.log(probs))
        self.loc.assign(loc)
        self.scale_tril.assign(scale_tril)
        self.whitening.assign([solve_triangular(L, identity, lower=True) for L in scale_tril])

    @property
    def noise_size(self):
        return self.latent_dim + 2

    @property
    def widest_layer(self):
        return self.num_components * self.latent_dim

    def distribution(self, batch=None):
        return PushForward(self, self._log_prob)

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """One matrix product for all components: of z [N, D] with every L_k^-1, subtracted before it
        is squared, so that nothing is lost far from zero.
        """
        whitening = tf.convert_to_tensor(self.whitening)
        loc = tf.linalg.matvec(whitening, tf.convert_to_tensor(self.loc))
        flat = tf.reshape(whitening, [-1, self.latent_dim])
        white = tf.reshape(tf.matmul(z, flat, transpose_b=True), [-1, *loc.shape]) - loc
        log_scales = tf.math.log(tf.linalg.diag_part(tf.convert_to_tensor(self.scale_tril)))
        by_component = -0.5 * tf.reduce_sum(white**2, axis=-1) - tf.reduce_sum(log_scales, axis=-1)
        by_component += tf.nn.log_softmax(tf.convert_to_tensor(self.logits))
        log_normalizer = 0.5 * self.latent_dim * math.log(2.0 * math.pi)
        return tf.reduce_logsumexp(by_component, axis=-1) - log_normalizer

    def transform(self, noise, batch=None):
        component = pick(noise[:, :2], tf.nn.softmax(tf.convert_to_tensor(self.logits)))
        scale = tf.gather(tf.convert_to_tensor(self.scale_tril), component)
        spread = tf.reduce_sum(scale * noise[:, tf.newaxis, 2:], axis=-1)
        return tf.gather(tf.convert_to_tensor(self.loc), component) + spread

    def get_config(self):
        return super().get_config() | {"num_components": self.num_components}
