from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import Scheduled, check_constant, check_positive, name_of, value_object
from keras_vae.noise import standard_normals
from keras_vae.objectives._base import Objective


@value_object
class RAE(Objective):
    """A regularised autoencoder: a code without noise that is kept near zero, and a decoder that is kept
    smooth.

        loss = distortion + beta |z|^2 / 2 + weight_decay |decoder|^2 + gradient_penalty |dE[x|z]/dz|^2

    It takes the posterior `Deterministic`, has no rate, and trains no prior: at beta = 1 it gives the
    most probable z under N(0, I), but its codes are no draws from it. To generate, put a prior that was
    fitted to `embed(x)` in the model's place with `with_prior`. The decoder's weights may instead be held by
    spectral normalisation (RAE-SN): hand `networks.spectrally_normalized(decoder)` to the model. The
    gradient penalty (RAE-GP) is the squared Frobenius norm of the Jacobian, estimated without bias by
    one random projection per example.

    Args:
        beta: weight of half the squared length of z, at least 0, or a schedule.
        weight_decay: weight of the sum of squares of all that trains in the decoder (RAE-L2), at least 0,
            or a schedule.
        gradient_penalty: weight of the Jacobian's squared norm, at least 0; 0 costs nothing.

    Raises:
        ValueError: in a model whose posterior draws, or whose prior learns.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks, posteriors
        >>> point = posteriors.Deterministic()
        >>> encoder, decoder = networks.mlp(6, latent_dim=2, hidden=8, posterior=point)
        >>> model = VAE(
        ...     encoder, decoder, posterior=point, likelihood=likelihoods.Normal(scale=1.0), objective=RAE()
        ... )
        >>> model.embed(tf.zeros([3, 6])).shape
        (3, 2)

    References:
        Ghosh, Sajjadi, Vergari, Black and Schoelkopf, From Variational to Deterministic Autoencoders,
        2019, arXiv:1903.12436.
    """

    beta: Scheduled = 1.0
    weight_decay: Scheduled = 0.0
    gradient_penalty: float = 0.0
    terms: ClassVar[tuple[str, ...]] = ("loss", "distortion", "latent_penalty", "decoder_penalty")
    monitor: ClassVar[str] = "distortion"
    needs_density: ClassVar[bool] = False
    looks_at_latents: ClassVar[bool] = True

    def __post_init__(self):
        check_constant(name_of(self), gradient_penalty=self.gradient_penalty)
        weights = {"beta": self.beta, "weight_decay": self.weight_decay}
        weights["gradient_penalty"] = self.gradient_penalty
        check_positive(name_of(self), or_zero=True, **weights)

    def check(self, model):
        if model.posterior.has_density:
            raise ValueError(
                f"{name_of(self)} trains codes without noise, and the posterior {name_of(model.posterior)} draws "
                "them from a density. Choose the posterior Deterministic, or the objective ELBO."
            )
        self.need_fixed_prior(model)

    def __call__(self, model, batch, training=False):
        _, z = model.infer(batch, training=training)
        distortion = -tf.reduce_mean(model.log_likelihood(batch, z, training=training))
        latent = self.beta * tf.reduce_mean(tf.reduce_sum(z**2, axis=-1)) / 2.0
        weights = model.decoder.trainable_variables  # none where it is frozen
        squares = (tf.reduce_sum(tf.cast(weight, tf.float32) ** 2) for weight in weights)
        decoder = self.weight_decay * sum(squares, tf.zeros([]))
        if self.gradient_penalty:
            decoder += self.gradient_penalty * jacobian_squared(model, batch, z, training)
        return {
            "loss": distortion + latent + decoder,
            "distortion": distortion,
            "latent_penalty": latent,
            "decoder_penalty": decoder,
        }


def jacobian_squared(model, batch, z: tf.Tensor, training: bool) -> tf.Tensor:
    """E |J^T noise|^2 = sum_ij (dE[x_i|z] / dz_j)^2, one draw of noise for each z [B, D], mean over them."""
    with tf.GradientTape() as tape:
        tape.watch(z)
        x = model.expected(batch, z, training=training)
        flat = tf.reshape(x, [tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:])])
        noise = standard_normals(model.sampling.next_seed(), tf.shape(flat))
        projected = tf.reduce_sum(flat * noise)
    slopes = tf.convert_to_tensor(tape.gradient(projected, z))
    return tf.reduce_mean(tf.reduce_sum(slopes**2, axis=-1))
