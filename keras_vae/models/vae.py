import keras

from keras_vae._parts import name_of, register
from keras_vae.likelihoods import Likelihood
from keras_vae.models.encoder_decoder import EncoderDecoder, entries_of, with_defaults
from keras_vae.objectives import Objective
from keras_vae.posteriors import Posterior
from keras_vae.priors import Prior


@register
class VAE(EncoderDecoder):
    """A variational autoencoder with one level of latents: six parts, any combination that fits.

        x -> encoder -> posterior -> z        training, `infer`, `embed`
        prior -> z -> decoder -> likelihood   `generate`

    Conditional models need no other class: an encoder or decoder with several inputs gets the
    entries of a dict batch that its inputs are named after ("x" and "z" are the data and the
    latents). A "mask" entry marks which elements of "x" are observed.

    Args:
        encoder: `keras.Model`, x [B, *event] -> [B, posterior.params_size(latent_dim)].
        decoder: `keras.Model`, z [B, latent_dim] -> [B, *event with its last axis multiplied].
        likelihood: p(x|z); has to suit the data, so there is no default.
        posterior: q(z|x); diagonal `posteriors.Normal` by default.
        prior: p(z); `priors.StandardNormal` of the decoder's input size by default.
        objective: what training minimises; `objectives.ELBO` by default.
        seed: integer, of every draw in training.

    Raises:
        ValueError: where parts do not fit each other; the message names both.

    Example:
        >>> from keras_vae import likelihoods, networks
        >>> encoder, decoder = networks.mlp(784, latent_dim=20)
        >>> vae = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
        >>> vae.generate(4, seed=7).shape
        (4, 784)

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
    """

    parts = ("encoder", "decoder", "likelihood", "posterior", "prior", "objective")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        likelihood: Likelihood,
        posterior: Posterior | None = None,
        prior: Prior | None = None,
        objective: Objective | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        parts = with_defaults(encoder, decoder, posterior, prior, objective)
        super().__init__(parts={**parts, "likelihood": likelihood}, seed=seed, name=name)

    def log_likelihood(self, batch, z, *, training=False):
        entries = entries_of(batch)
        params = self.decode_params(z, batch, training=training)
        return self.now(self.likelihood).log_prob(
            params, entries["x"], mask=entries.get("mask"), training=training
        )


def need_vae(model, owner: str) -> None:
    """Raises `ValueError` where a model is not a `VAE`, whose latents are z and nothing else."""
    if not isinstance(model, VAE):
        raise ValueError(f"{owner} takes a keras_vae.VAE. Received: {name_of(model)}")
