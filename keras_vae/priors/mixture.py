import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import check_count, name_of, register, scale_of
from keras_vae.noise import pick
from keras_vae.priors._base import Prior
from keras_vae.priors._mixtures import mixture

tfd = tfp.distributions


@register
class NormalMixture(Prior):
    """p(z) = sum_k pi_k prod_d N(z_d; loc_kd, scale_kd^2), learned with the model.

    The KL to it has no closed form: the objectives estimate it from their samples. Not to be
    confused with a mixture fitted to the latents after training, which can have this form but is
    not learned jointly.

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
        self.num_components, self.seed = num_components, seed
        shape = (num_components, latent_dim)
        around_zero = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")
        self.loc = self.add_weight(shape=shape, initializer=around_zero, name="loc")
        self.log_variance = self.add_weight(shape=shape, initializer="zeros", name="log_variance")

    @property
    def noise_size(self):
        return self.latent_dim + 2

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
