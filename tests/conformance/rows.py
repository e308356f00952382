"""One row for every public class that a model is made of: a small model that uses it.

A new part needs one row here; `test_every_public_class_has_a_row` fails until it has one.
"""

import keras
import numpy as np

from keras_vae import VAE, Sampling, likelihoods, networks, objectives, posteriors, priors
from keras_vae.models import NotMIWAE

EVENT_SIZE, LATENT_DIM = 6, 3


MIXED = likelihoods.Mixed(
    blocks=(
        likelihoods.Block(
            likelihood=likelihoods.Normal(data_mean=(1.0, 0.5), data_stddev=0.5), indices=(4, 1)
        ),
        likelihoods.Block(likelihood=likelihoods.Bernoulli(), indices=(0, 5)),
        likelihoods.Block(likelihood=likelihoods.Categorical(num_categories=3), indices=(2, 3)),
    ),
    columns=[likelihoods.Column(name=name) for name in "abcdef"],
)


def vae(likelihood=None, posterior=None, prior=None, objective=None, networks_of=None) -> VAE:
    likelihood = likelihood or likelihoods.Bernoulli()
    posterior = posterior or posteriors.Normal()
    encoder, decoder = networks_of or networks.mlp(
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


REAL = likelihoods.Mixed(
    blocks=[
        likelihoods.Block(likelihood=likelihoods.Normal(data_mean=0.5), indices=(4, 1, 0)),
        likelihoods.Block(likelihood=likelihoods.Normal(scale=0.5), indices=(2, 3, 5)),
    ]
)


def not_miwae() -> NotMIWAE:
    return NotMIWAE(
        *networks.table(REAL, LATENT_DIM, hidden=8, has_missing=True),
        networks.missingness("self-masking-high", REAL),
        likelihood=REAL,
        objective=objectives.IWAE(num_samples=2),
        seed=3,
    )


def vamp() -> VAE:
    encoder, decoder = networks.mlp(EVENT_SIZE, LATENT_DIM, hidden=8)
    prior = priors.VampPrior(encoder, num_components=4)
    return vae(prior=prior, networks_of=(encoder, decoder))


def spherical() -> VAE:
    prior = priors.HypersphericalUniform(LATENT_DIM)
    return vae(posterior=posteriors.PowerSpherical(), prior=prior)


def relaxed() -> VAE:
    cooling = keras.optimizers.schedules.PolynomialDecay(1.0, 9, 0.5)
    posterior = posteriors.RelaxedCategorical(num_categories=LATENT_DIM, temperature=cooling)
    return vae(posterior=posterior, prior=priors.RelaxedCategorical(LATENT_DIM, LATENT_DIM))


def two_stage() -> VAE:
    normal = likelihoods.Normal()
    second = vae(normal, networks_of=networks.mlp(LATENT_DIM, 2, hidden=4, likelihood=normal))
    return vae(prior=priors.TwoStage(second, num_samples=2))


def data_for(model: VAE | NotMIWAE, num_examples: int) -> np.ndarray | dict[str, np.ndarray]:
    """Data inside the support of the model's likelihood."""
    rng = np.random.default_rng(0)
    if model.labels:
        label = rng.integers(0, 3, num_examples).astype(np.int32)
        return {"x": data_for(vae(), num_examples), "label": label}
    if isinstance(model, NotMIWAE):
        x = rng.normal(size=(num_examples, EVENT_SIZE)).astype(np.float32)
        return {"x": x, "mask": (x < 0.5).astype(np.float32)}
    if isinstance(model.likelihood, likelihoods.Categorical):
        return rng.integers(0, 3, (num_examples, EVENT_SIZE)).astype(np.float32)
    return (rng.random((num_examples, *model.event_shape)) < 0.5).astype(np.float32)


IMAGE = (8, 8, 1)


def of_images(objective) -> VAE:
    likelihood = likelihoods.Bernoulli(event_rank=3)
    images = networks.mlp(IMAGE, LATENT_DIM, hidden=8, likelihood=likelihood)
    return vae(likelihood, objective=objective, networks_of=images)


def features() -> keras.Model:
    x = keras.Input(IMAGE)
    edges = keras.layers.Conv2D(2, 3, activation="tanh")(x)
    return keras.Model(x, [edges, keras.layers.Conv2D(2, 3, 2)(edges)])


ROWS = {
    VAE: vae,
    NotMIWAE: not_miwae,
    Sampling: vae,
    posteriors.Normal: lambda: vae(posterior=posteriors.Normal()),
    posteriors.MultivariateNormal: lambda: vae(posterior=posteriors.MultivariateNormal()),
    posteriors.PlanarFlow: lambda: vae(posterior=posteriors.PlanarFlow(num_layers=2)),
    posteriors.IAF: lambda: vae(
        posterior=posteriors.IAF(LATENT_DIM, num_steps=2, hidden=8, context_size=4)
    ),
    posteriors.PowerSpherical: spherical,
    posteriors.RelaxedCategorical: relaxed,
    posteriors.Deterministic: lambda: vae(
        posterior=posteriors.Deterministic(), objective=objectives.RAE()
    ),
    priors.StandardNormal: lambda: vae(prior=priors.StandardNormal(LATENT_DIM)),
    priors.ConditionalNormal: lambda: vae(
        prior=priors.ConditionalNormal(networks.conditional({"label": 3}, 2 * LATENT_DIM, hidden=4))
    ),
    priors.NormalMixture: lambda: vae(prior=priors.NormalMixture(LATENT_DIM, num_components=4)),
    priors.VampPrior: vamp,
    priors.HypersphericalUniform: spherical,
    priors.RelaxedCategorical: relaxed,
    priors.RealNVP: lambda: vae(prior=priors.RealNVP(LATENT_DIM, num_blocks=2, hidden=4)),
    priors.MAF: lambda: vae(prior=priors.MAF(LATENT_DIM, num_blocks=2, hidden=4)),
    priors.MultivariateNormalMixture: lambda: vae(
        prior=priors.MultivariateNormalMixture(LATENT_DIM, num_components=2)
    ),
    priors.TwoStage: two_stage,
    likelihoods.Normal: lambda: vae(likelihoods.Normal()),
    likelihoods.OptimalNormal: lambda: vae(likelihoods.OptimalNormal()),
    likelihoods.SharedScaleNormal: lambda: vae(likelihoods.SharedScaleNormal()),
    likelihoods.Laplace: lambda: vae(likelihoods.Laplace(scale=0.5)),
    likelihoods.StudentT: lambda: vae(likelihoods.StudentT(df=4.0)),
    likelihoods.Bernoulli: lambda: vae(likelihoods.Bernoulli()),
    likelihoods.ContinuousBernoulli: lambda: vae(likelihoods.ContinuousBernoulli()),
    likelihoods.Beta: lambda: vae(likelihoods.Beta(squeeze=0.1)),
    likelihoods.DiscretizedLogistic: lambda: vae(likelihoods.DiscretizedLogistic(num_components=2)),
    likelihoods.Poisson: lambda: vae(likelihoods.Poisson()),
    likelihoods.NegativeBinomial: lambda: vae(likelihoods.NegativeBinomial(data_mean=2.0)),
    likelihoods.ZeroInflated: lambda: vae(
        likelihoods.ZeroInflated(likelihood=likelihoods.NegativeBinomial())
    ),
    likelihoods.Mixed: lambda: vae(MIXED, networks_of=networks.table(MIXED, LATENT_DIM, hidden=8)),
    likelihoods.Categorical: lambda: vae(likelihoods.Categorical(num_categories=3)),
    objectives.ELBO: lambda: vae(
        objective=objectives.ELBO(beta=keras.optimizers.schedules.PolynomialDecay(0.0, 9, 1.0))
    ),
    objectives.IWAE: lambda: vae(objective=objectives.IWAE(num_samples=3)),
    objectives.AdversarialAutoencoder: lambda: vae(
        objective=objectives.AdversarialAutoencoder(networks.discriminator(LATENT_DIM, hidden=8))
    ),
    objectives.BetaTC: lambda: vae(objective=objectives.BetaTC(num_examples=24)),
    objectives.Capacity: lambda: vae(
        objective=objectives.Capacity(
            gamma=5.0, capacity=keras.optimizers.schedules.PolynomialDecay(0.0, 9, 2.0)
        )
    ),
    objectives.CIWAE: lambda: vae(objective=objectives.CIWAE(num_samples=3)),
    objectives.DIPVAE: lambda: vae(objective=objectives.DIPVAE()),
    objectives.DReG: lambda: vae(objective=objectives.DReG(num_samples=3)),
    objectives.FactorVAE: lambda: vae(
        objective=objectives.FactorVAE(
            networks.discriminator(LATENT_DIM, hidden=8),
            gamma=keras.optimizers.schedules.PolynomialDecay(0.0, 9, 2.0),
        )
    ),
    objectives.InfoVAE: lambda: vae(objective=objectives.InfoVAE(scale=5.0)),
    objectives.MultiplyIWAE: lambda: vae(objective=objectives.MultiplyIWAE(num_samples=2)),
    objectives.PIWAE: lambda: vae(objective=objectives.PIWAE(num_samples=2)),
    objectives.Perceptual: lambda: of_images(objectives.Perceptual(features(), weight=5.0)),
    objectives.RAE: lambda: vae(
        posterior=posteriors.Deterministic(),
        objective=objectives.RAE(beta=0.1, weight_decay=1e-3, gradient_penalty=0.01),
    ),
    objectives.StickingTheLanding: lambda: vae(objective=objectives.StickingTheLanding()),
    objectives.StructuralSimilarity: lambda: of_images(
        objectives.StructuralSimilarity(filter_size=4)
    ),
}
