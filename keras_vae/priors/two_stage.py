from typing import TYPE_CHECKING, Any, ClassVar

import keras
import tensorflow as tf

from keras_vae._parts import check_count, name_of, register
from keras_vae.estimators import importance_weighted_bound
from keras_vae.noise import as_seed, normals
from keras_vae.priors._base import Prior, PushForward

if TYPE_CHECKING:
    from keras_vae.models import VAE


@register
class TwoStage(Prior):
    """p(z) = E_p(u) p(z|u): a second VAE, whose data are the latents of the first.

    Where the aggregate posterior is no standard normal, the second VAE learns what it is. Its
    density is known by a bound alone, the importance-weighted one,

        log p(z) >= log 1/K sum_k p(z|u_k) p(u_k) / q(u_k|z),    u_k ~ q(u|z), in expectation,

    with noise that each row of a batch has of its own, the same at every call: a smooth function of z in
    its place, whose errors cancel in a mean over rows. The same z has another estimate in another row.
    Rates and likelihoods under this prior are bounds by that much. Its weights stay as they are:
    `aggregate.fit_two_stage` trains them.

    Args:
        vae: a `VAE` of z, without conditions and with the likelihood `Normal`, or a `Mixed` of it.
        num_samples: importance samples K.

    Raises:
        ValueError: for a VAE that is no push-forward of standard normals to vectors.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> normal = likelihoods.Normal()
        >>> of_latents = VAE(*networks.mlp(3, 3, hidden=8, likelihood=normal), likelihood=normal)
        >>> TwoStage(of_latents).sample(5, seed=7).shape
        TensorShape([5, 3])

    References:
        Dai and Wipf, Diagnosing and Enhancing VAE Models, ICLR 2019, arXiv:1903.05789.
    """

    is_exact: ClassVar[bool] = False

    def __init__(self, vae: "VAE", num_samples: int = 16, **kwargs):
        fits = getattr(getattr(vae, "likelihood", None), "is_push_forward", False)
        if not fits or len(vae.event_shape) != 1 or vae.side_inputs:
            raise ValueError(
                "TwoStage takes a VAE of vectors z, without conditions or masks, whose likelihood is a "
                f"push-forward of standard normals, such as Normal. Received: {vae!r}"
                + (
                    f" with the likelihood {name_of(vae.likelihood)}"
                    if hasattr(vae, "likelihood")
                    else ""
                )
            )
        check_count("TwoStage", num_samples=num_samples)
        super().__init__(vae.event_shape[0], **kwargs)
        self.vae, self.num_samples = vae, int(num_samples)
        self.trainable = False

    @property
    def noise_size(self):
        return self.vae.prior.noise_size + self.latent_dim

    @property
    def widest_layer(self):
        return self.num_samples * self.vae.widest_layer

    def distribution(self, batch=None):
        return PushForward(self, self._bound)

    def _bound(self, z: tf.Tensor) -> tf.Tensor:
        size = self.vae.inference_noise_size
        noise = normals(as_seed(0), self.num_samples * tf.shape(z)[0], size)
        q, u = self.vae.infer_from(z, tf.reshape(noise, [self.num_samples, -1, size]))
        return importance_weighted_bound(self.vae.log_weights_of(z, q, u))

    def transform(self, noise, batch=None):
        of_u, of_z = tf.split(noise, [self.vae.prior.noise_size, self.latent_dim], axis=-1)
        params = self.vae.decode_params(self.vae.prior.transform(of_u))
        return self.vae.now(self.vae.likelihood).transform(params, of_z)

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]
        vae: Any = keras.saving.serialize_keras_object(self.vae)
        return config | {"vae": vae, "num_samples": self.num_samples}

    @classmethod
    def from_config(cls, config):
        return cls(**(config | {"vae": keras.saving.deserialize_keras_object(config["vae"])}))
