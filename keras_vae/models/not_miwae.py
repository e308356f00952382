from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import name_of, register
from keras_vae.likelihoods import Likelihood
from keras_vae.models.encoder_decoder import EncoderDecoder, entries_of, with_defaults
from keras_vae.networks import over_samples
from keras_vae.noise import standard_normals, threefry
from keras_vae.objectives import Objective
from keras_vae.posteriors import Posterior
from keras_vae.priors import Prior

tfd = tfp.distributions


@register
class NotMIWAE(EncoderDecoder):
    """A VAE of rows whose values are missing because of what they are: not at random.

    Beside p(x|z) it has a model p(m|x) of which values are observed, and its likelihood is that of
    both:

        log p(x_o, m|z) = log E_{x_m ~ p(x_m|z)} p(x_o|z) p(m|x_o, x_m)

    with one x_m for every z, drawn as loc + scale * noise. Its latents are z and that noise, (z, e):
    under them it is a latent variable model like any other, with objectives and estimates of
    log p(x_o, m) as they are. With `objectives.IWAE` it is the not-MIWAE.

    Only what is known of p(m|x) tells such a mechanism from values that are rare: choose the
    simplest missingness model that can be true, as `networks.missingness` lists them.

    Args:
        encoder: as of `VAE`, with an input "mask" (`networks.table(..., has_missing=True)`).
        decoder: as of `VAE`.
        missingness: `keras.Model`, x [B, D] -> logits [B, D] of being observed.
        likelihood: p(x|z) of rows of real numbers: `Normal`, or a `Mixed` of it.
        posterior, prior, objective, seed: as of `VAE`.

    Example:
        >>> from keras_vae import likelihoods, networks
        >>> normal = likelihoods.Block(likelihood=likelihoods.Normal(), indices=range(5))
        >>> mixed = likelihoods.Mixed(blocks=[normal])
        >>> model = NotMIWAE(
        ...     *networks.table(mixed, 2, has_missing=True),
        ...     networks.missingness("self-masking", mixed),
        ...     likelihood=mixed,
        ... )
        >>> q, z = model.infer({"x": tf.zeros([3, 5]), "mask": tf.ones([3, 5])})
        >>> z.shape
        TensorShape([3, 7])

    References:
        Ipsen, Mattei and Frellsen, not-MIWAE: Deep Generative Modelling with Missing not at Random
        Data, ICLR 2021, arXiv:2006.12871.
    """

    parts = ("encoder", "decoder", "missingness", "likelihood", "posterior", "prior", "objective")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        missingness: keras.Model,
        *,
        likelihood: Likelihood,
        posterior: Posterior | None = None,
        prior: Prior | None = None,
        objective: Objective | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        parts = with_defaults(encoder, decoder, posterior, prior, objective)
        parts |= {"likelihood": likelihood, "missingness": missingness}
        super().__init__(parts=parts, seed=seed, name=name)

    @property
    def measure(self):
        return f"{super().measure}, with the probability of what is missing"

    @property
    def _num_columns(self) -> int:
        return self.event_shape[-1]

    def _with_noise(self, p) -> tfd.Distribution:
        """The distribution of z and of the noise of x_m beside it."""
        shape = tf.concat([p.batch_shape_tensor(), [self._num_columns]], axis=0)
        return tfd.Blockwise([p, tfd.Independent(tfd.Normal(tf.zeros(shape), 1.0), 1)])

    def infer(self, batch, num_samples=None, *, training=False, seed=None):
        seed = self.sampling.next_seed() if seed is None else seed
        q, z = super().infer(batch, num_samples, training=training, seed=seed)
        beside = tf.stack(threefry(seed, tf.constant(1), tf.constant(0)))
        shape = tf.concat([tf.shape(z)[:-1], [self._num_columns]], axis=0)
        return self._with_noise(q), tf.concat([z, standard_normals(beside, shape)], axis=-1)

    @property
    def inference_noise_size(self):
        return super().inference_noise_size + self._num_columns

    def infer_from(self, batch, noise):
        of_z, of_x = tf.split(noise, [-1, self._num_columns], axis=-1)
        q, z = super().infer_from(batch, of_z)
        return self._with_noise(q), tf.concat([z, of_x], axis=-1)

    def prior_over(self, batch):
        return self._with_noise(super().prior_over(batch))

    def _params_and_draw(self, batch, z, training=False) -> tuple[tf.Tensor, tf.Tensor]:
        """The parameters of p(x|z), and the x that the noise beside z is pushed forward to."""
        z, noise = tf.split(z, [self.latent_dim, self._num_columns], axis=-1)
        params = self.decode_params(z, batch, training=training)
        return params, self.now(self.likelihood).transform(params, noise)

    def log_likelihood(self, batch, z, *, training=False):
        entries = entries_of(batch)
        params, drawn = self._params_and_draw(batch, z, training)
        observed = tf.cast(entries["mask"], tf.bool)
        complete = tf.where(observed, tf.cast(entries["x"], tf.float32), drawn)
        logits = over_samples(self.missingness, complete, {}, training=training)
        logits = tf.cast(logits, tf.float32)
        log_mask = -tf.nn.softplus(tf.where(observed, -logits, logits))
        log_x = self.now(self.likelihood).log_prob(
            params, entries["x"], mask=entries["mask"], training=training
        )
        return log_x + tf.reduce_sum(log_mask, axis=-1)

    def expected(self, batch, z, *, training=False):
        """The x drawn with z: the weights of z and of x_m are the same."""
        return self._params_and_draw(batch, z, training)[1]

    def draw(self, batch, z, seed):
        if z.shape[-1] == self.latent_dim:  # without the noise of an x: of the prior
            return super().draw(batch, z, seed)
        return self._params_and_draw(batch, z)[1]

    def check(self):
        super().check()
        if not self.posterior.invertible:
            raise ValueError(
                f"{name_of(self)} carries the noise of missing values beside z, and {name_of(self.posterior)} knows "
                "log q at its own draws alone. Choose a posterior whose density is known everywhere, such as Normal "
                "or MultivariateNormal."
            )
        if (objective := self.objective).looks_at_latents or objective.needs_factorized:
            raise ValueError(
                f"{name_of(objective)} looks at z itself, and {name_of(self)} carries the noise of missing values "
                "beside it. Choose an objective that takes z by its densities, such as IWAE or ELBO (without free "
                "bits)."
            )
        likelihood, missingness, columns = self.likelihood, self.missingness, self.event_shape
        if not likelihood.is_push_forward:
            raise ValueError(
                f"{name_of(self)} draws missing values as loc + scale * noise, which {likelihood!r} cannot. "
                "Expected the likelihood Normal, or a Mixed of it for real columns alone."
            )
        if "mask" not in self.encoder_conditions:
            raise ValueError(
                f"{name_of(self)} reads masks: its encoder has to have an input named 'mask', as "
                "networks.table(..., has_missing=True) makes it. Received an encoder with the inputs "
                f"{[tensor.name for tensor in self.encoder.inputs]}."
            )
        shapes: Any = None
        if isinstance(missingness, keras.Model) and len(missingness.inputs) == 1:
            shapes = missingness.input_shape[1:], missingness.output_shape[1:]
        if len(columns) != 1 or shapes != (columns, columns):
            raise ValueError(
                f"The missingness model of {name_of(self)} is a keras.Model that gives a logit for every value of "
                f"a row: {columns} -> {columns}. Received: {missingness!r} with shapes {shapes}."
            )

    def check_batch(self, batch):
        super().check_batch(batch)
        if np.ndim(batch["mask"]) != 2:
            raise ValueError("The mask of a not-MIWAE is [N, D], like x.")
