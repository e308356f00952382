"""The names of a recipe's parts, and what each of them makes."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vae import likelihoods, networks, objectives, posteriors, priors
from keras_vae.data import Splits
from keras_vae.models import x_of

if TYPE_CHECKING:
    from keras_vae.training.recipe import Recipe

_LOOKED_AT = 10_000  # examples, for the size of counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A pair of networks by name.

    Attributes:
        build: as `networks.mlp`.
        sizes: the name of its argument for the hidden layers' sizes.
        jit_compile: whether it trains faster under XLA on a CPU.
    """

    build: Callable[..., tuple[keras.Model, keras.Model]]
    sizes: str
    jit_compile: bool


def _by_rank(kind: Callable[..., likelihoods.Likelihood]):
    return lambda splits: kind(event_rank=len(splits.shape))


def _counts(kind: Callable[..., Any]):
    """A family over counts, in units of their mean over some of the training examples."""

    def build(splits: Splits) -> Any:
        x = np.asarray(
            x_of(splits.examples("train", min(_LOOKED_AT, splits.num_train))), np.float64
        )
        logs = np.log1p(np.maximum(x, 0.0))  # values below zero are refused later, by name
        return kind(
            event_rank=len(splits.shape),
            data_mean=max(float(x.mean()), 1e-3),
            log_mean=float(logs.mean()),
            log_stddev=float(logs.std()) or 1.0,
        )

    return build


def _discretized_logistic(num_components: int):
    return lambda splits: likelihoods.DiscretizedLogistic(
        num_components=num_components,
        event_rank=len(splits.shape),
        maximum=255.0 if splits.value_range[1] > 1.0 else 1.0,
    )


def _zero_inflated(kind: Callable[..., Any]):
    return lambda splits: likelihoods.ZeroInflated(likelihood=_counts(kind)(splits))


def _vamp(recipe: "Recipe", splits: Splits, encoder: keras.Model) -> priors.VampPrior:
    if recipe.num_components > splits.num_train:
        raise ValueError(
            f"The prior vamp takes its {recipe.num_components:,} pseudo-inputs from the training examples, of "
            f"which there are {splits.num_train:,}. Choose as many components or fewer."
        )
    pseudo_inputs = splits.examples("train", recipe.num_components)
    return priors.VampPrior(
        encoder, POSTERIORS[recipe.chosen_posterior](recipe), pseudo_inputs=pseudo_inputs
    )


def _warmed_up(recipe: "Recipe", splits: Splits, high: float):
    """What rises from 0 within the recipe's warm-up; the number itself where there is none."""
    if not recipe.warm_up:
        return high
    steps = recipe.warm_up * recipe.steps_in_epoch(splits)
    return keras.optimizers.schedules.PolynomialDecay(0.0, steps, high)


def _elbo(recipe: "Recipe", splits: Splits) -> objectives.ELBO:
    beta = _warmed_up(recipe, splits, recipe.rate_weight)
    if recipe.cycles:
        steps = recipe.epochs * recipe.steps_in_epoch(splits)
        beta = objectives.Cyclical(math.ceil(steps / recipe.cycles), high=recipe.rate_weight)
    return objectives.ELBO(beta=beta, free_bits=recipe.free_bits)


def _capacity(recipe: "Recipe", splits: Splits) -> objectives.Capacity:
    capacity = _warmed_up(recipe, splits, recipe.capacity)
    return objectives.Capacity(capacity=capacity, **_weight(recipe, "gamma"))


def _weight(recipe: "Recipe", *names: str) -> dict[str, Any]:
    """The arguments for the weight of what a method adds, by their names there; none for its default."""
    return {} if recipe.beta is None else dict.fromkeys(names, recipe.beta)


def _with_discriminator(kind: Callable[..., objectives.Objective], weight: str):
    return lambda recipe, splits: kind(
        networks.discriminator(recipe.latent_dim), **_weight(recipe, weight)
    )


def _of_samples(kind: Callable[..., objectives.Objective]):
    return lambda recipe, splits: kind(num_samples=recipe.num_samples)


NETWORKS = {
    "mlp": Network(build=networks.mlp, sizes="hidden", jit_compile=True),
    "conv": Network(build=networks.conv, sizes="filters", jit_compile=False),
}
TABLE = Network(build=networks.table, sizes="hidden", jit_compile=True)
"""The network "mlp" of a table with named columns."""
LIKELIHOODS: dict[str, Callable[[Splits], likelihoods.Likelihood]] = {
    "bernoulli": _by_rank(likelihoods.Bernoulli),
    "continuous-bernoulli": _by_rank(likelihoods.ContinuousBernoulli),
    "beta": lambda splits: likelihoods.Beta(
        event_rank=len(splits.shape),
        # The ends that 8-bit pixels have, in the middle of their 256th.
        squeeze=0.5 / 256 if splits.protocol == "grey" else 0.0,
    ),
    "discretized-logistic": _discretized_logistic(1),
    "discretized-logistic-mixture": _discretized_logistic(5),
    "normal": _by_rank(likelihoods.Normal),
    "shared-scale-normal": lambda splits: likelihoods.SharedScaleNormal(
        # Adam moves a scale slowly, and one that is too large keeps the decoder from using z.
        initial_scale=0.1 * float(np.ptp(splits.value_range)) or 1.0,
        event_rank=len(splits.shape),
    ),
    "optimal-normal": _by_rank(likelihoods.OptimalNormal),
    "laplace": _by_rank(likelihoods.Laplace),
    "student-t": _by_rank(likelihoods.StudentT),
    "categorical": lambda splits: likelihoods.Categorical(
        num_categories=max(2, int(splits.extremes[1]) + 1),
        event_rank=len(splits.shape),
    ),
    "poisson": _counts(likelihoods.Poisson),
    "negative-binomial": _counts(likelihoods.NegativeBinomial),
    "zero-inflated-poisson": _zero_inflated(likelihoods.Poisson),
    "zero-inflated-negative-binomial": _zero_inflated(likelihoods.NegativeBinomial),
}
POSTERIORS: dict[str, Callable[["Recipe"], posteriors.Posterior]] = {
    "normal": lambda recipe: posteriors.Normal(),
    "multivariate-normal": lambda recipe: posteriors.MultivariateNormal(),
    "planar-flow": lambda recipe: posteriors.PlanarFlow(),
    "iaf": lambda recipe: posteriors.IAF(recipe.latent_dim),
    "power-spherical": lambda recipe: posteriors.PowerSpherical(),
    "relaxed-categorical": lambda recipe: posteriors.RelaxedCategorical(
        num_categories=recipe.num_categories
    ),
    "deterministic": lambda recipe: posteriors.Deterministic(),
}
SUITED_POSTERIORS = {"rae": "deterministic"}
"""The default posterior of objectives that take another than "normal"."""
SUITED_PRIORS = {
    "power-spherical": "hyperspherical-uniform",
    "relaxed-categorical": "relaxed-categorical",
}
"""The default prior of posteriors that take another than "normal"."""
PRIORS: dict[str, Callable[["Recipe", Splits, keras.Model], priors.Prior]] = {
    "normal": lambda recipe, splits, encoder: priors.StandardNormal(recipe.latent_dim),
    "mixture": lambda recipe, splits, encoder: priors.NormalMixture(
        recipe.latent_dim, recipe.num_components, seed=recipe.seed
    ),
    "vamp": _vamp,
    "real-nvp": lambda recipe, splits, encoder: priors.RealNVP(recipe.latent_dim, seed=recipe.seed),
    "maf": lambda recipe, splits, encoder: priors.MAF(recipe.latent_dim, seed=recipe.seed),
    "conditional-normal": lambda recipe, splits, encoder: priors.ConditionalNormal(
        networks.conditional(splits.conditions, 2 * recipe.latent_dim)
    ),
    "hyperspherical-uniform": lambda recipe, splits, encoder: priors.HypersphericalUniform(
        recipe.latent_dim
    ),
    "relaxed-categorical": lambda recipe, splits, encoder: priors.RelaxedCategorical(
        recipe.latent_dim, recipe.num_categories
    ),
}
OBJECTIVES: dict[str, Callable[["Recipe", Splits], objectives.Objective]] = {
    "elbo": _elbo,
    "sticking-the-landing": lambda recipe, splits: objectives.StickingTheLanding(),
    "iwae": _of_samples(objectives.IWAE),
    "dreg": _of_samples(objectives.DReG),
    "ciwae": _of_samples(objectives.CIWAE),
    "piwae": _of_samples(objectives.PIWAE),
    "multiply-iwae": _of_samples(objectives.MultiplyIWAE),
    "capacity": _capacity,
    "beta-tc": lambda recipe, splits: objectives.BetaTC(
        num_examples=splits.num_train, **_weight(recipe, "beta")
    ),
    "factor": _with_discriminator(objectives.FactorVAE, "gamma"),
    "adversarial": _with_discriminator(objectives.AdversarialAutoencoder, "scale"),
    "dip": lambda recipe, splits: objectives.DIPVAE(**_weight(recipe, "off_diagonal", "diagonal")),
    "info": lambda recipe, splits: objectives.InfoVAE(**_weight(recipe, "scale")),
    "rae": lambda recipe, splits: objectives.RAE(beta=recipe.rate_weight, weight_decay=1e-3),
    "structural-similarity": lambda recipe, splits: objectives.StructuralSimilarity(
        value_range=float(np.ptp(splits.value_range)), **_weight(recipe, "weight")
    ),
}
TABLE_LIKELIHOODS: dict[str, Any] = {
    "normal": likelihoods.Normal,
    "laplace": likelihoods.Laplace,
    "student-t": likelihoods.StudentT,
}
"""Of the real columns of a table; other columns have the likelihood of their type."""
