"""One row for every public class that a model is made of: a small model that uses it.

A new part needs one row here; `test_every_public_class_has_a_row` fails until it has one.
"""

import keras
import numpy as np

from keras_vae import VAE, Sampling, likelihoods, networks, objectives, posteriors, priors

EVENT_SIZE, LATENT_DIM = 6, 3


def vae(likelihood=None, posterior=None, prior=None, objective=None) -> VAE:
    likelihood = likelihood or likelihoods.Bernoulli()
    posterior = posterior or posteriors.Normal()
    encoder, decoder = networks.mlp(
        EVENT_SIZE, LATENT_DIM, hidden=8, posterior=posterior, likelihood=likelihood
    )
    return VAE(
        encoder,
        decoder,
        likelihood=likelihood,
        posterior=posterior,
        prior=prior,
        objective=objective,
        seed=3,
    )


def data_for(model: VAE, num_examples: int) -> np.ndarray:
    """Data inside the support of the model's likelihood."""
    rng = np.random.default_rng(0)
    if isinstance(model.likelihood, likelihoods.Categorical):
        return rng.integers(0, 3, (num_examples, EVENT_SIZE)).astype(np.float32)
    return (rng.random((num_examples, EVENT_SIZE)) < 0.5).astype(np.float32)


ROWS = {
    VAE: vae,
    Sampling: vae,
    posteriors.Normal: lambda: vae(posterior=posteriors.Normal()),
    priors.StandardNormal: lambda: vae(prior=priors.StandardNormal(LATENT_DIM)),
    priors.NormalMixture: lambda: vae(prior=priors.NormalMixture(LATENT_DIM, num_components=4)),
    likelihoods.Normal: lambda: vae(likelihoods.Normal()),
    likelihoods.SharedScaleNormal: lambda: vae(likelihoods.SharedScaleNormal()),
    likelihoods.Laplace: lambda: vae(likelihoods.Laplace(scale=0.5)),
    likelihoods.StudentT: lambda: vae(likelihoods.StudentT(df=4.0)),
    likelihoods.Bernoulli: lambda: vae(likelihoods.Bernoulli()),
    likelihoods.ContinuousBernoulli: lambda: vae(likelihoods.ContinuousBernoulli()),
    likelihoods.Categorical: lambda: vae(likelihoods.Categorical(num_categories=3)),
    objectives.ELBO: lambda: vae(
        objective=objectives.ELBO(beta=keras.optimizers.schedules.PolynomialDecay(0.0, 9, 1.0))
    ),
    objectives.IWAE: lambda: vae(objective=objectives.IWAE(num_samples=3)),
}
