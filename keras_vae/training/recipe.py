"""A training run in words and numbers: what a run folder's config.json holds, and the model it
gives.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vae import likelihoods, networks, objectives, posteriors, priors
from keras_vae._parts import check_count, check_known, check_positive
from keras_vae.data import CONDITIONS, Splits, load
from keras_vae.data.splits import steps_per_execution
from keras_vae.data.tables import mixed
from keras_vae.models import VAE, EncoderDecoder, NotMIWAE, x_of

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


def _elbo(recipe: "Recipe", splits: Splits) -> objectives.ELBO:
    steps_per_epoch, high = recipe.steps_in_epoch(splits), recipe.rate_weight
    beta = high
    if recipe.warm_up:
        steps = recipe.warm_up * steps_per_epoch
        beta = keras.optimizers.schedules.PolynomialDecay(0.0, steps, high)
    if recipe.cycles:
        period = math.ceil(recipe.epochs * steps_per_epoch / recipe.cycles)
        beta = objectives.Cyclical(period, high=high)
    return objectives.ELBO(beta=beta, free_bits=recipe.free_bits)


def _weight(recipe: "Recipe", name: str) -> dict[str, Any]:
    """The argument for the weight of what a method adds, by its name there; none for its default."""
    return {} if recipe.beta is None else {name: recipe.beta}


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
    "capacity": lambda recipe, splits: objectives.Capacity(),
    "beta-tc": lambda recipe, splits: objectives.BetaTC(
        num_examples=splits.num_train, **_weight(recipe, "beta")
    ),
    "factor": _with_discriminator(objectives.FactorVAE, "gamma"),
    "adversarial": _with_discriminator(objectives.AdversarialAutoencoder, "scale"),
    "dip": lambda recipe, splits: objectives.DIPVAE(),
    "info": lambda recipe, splits: objectives.InfoVAE(),
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
_OWNERS = {
    "beta": (
        "objective",
        ("elbo", "beta-tc", "factor", "adversarial", "rae", "structural-similarity"),
    ),
    "warm_up": ("objective", ("elbo",)),
    "cycles": ("objective", ("elbo",)),
    "free_bits": ("objective", ("elbo",)),
    "num_samples": ("objective", ("iwae", "dreg", "ciwae", "piwae", "multiply-iwae")),
    "num_components": ("prior", ("mixture", "vamp")),
    "num_categories": ("posterior", ("relaxed-categorical",)),
}
"""Options that some parts alone read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything needed to repeat a run.

    Attributes:
        data: a source that `keras_vae.data.load` knows.
        stream: leave the data on disk and read them batch by batch.
        protocol: how pixels become data; None: the source's default.
        column_types: (name, type) of the columns of a table that are not what they look like.
        condition: what the networks are told beside x, a name in `data.CONDITIONS`; None: nothing.
        network: a name in `NETWORKS`.
        hidden: units per hidden layer (mlp), or channels per level (conv); None: the network's
            default.
        activation: of the hidden layers, any name that Keras knows.
        latent_dim: size of z.
        likelihood: a name in `LIKELIHOODS`, or in `TABLE_LIKELIHOODS` for a table's real columns;
            None: what suits the data.
        posterior: a name in `POSTERIORS`; None: what suits the objective.
        num_categories: of a group, of the posterior "relaxed-categorical".
        prior: a name in `PRIORS`; None: what suits the posterior.
        num_components: of the priors "mixture" and "vamp".
        objective: a name in `OBJECTIVES`.
        num_samples: importance samples K of the objective "iwae" and its like.
        beta: final weight of the rate in the objective "elbo", and of the codes' size in "rae"; weight of
            what "beta-tc", "factor", "adversarial" and "structural-similarity" add. None: 1, or 6, 35, 1
            and 100 of the latter.
        warm_up: epochs over which that weight rises from 0.
        cycles: how often it rises from 0 instead, in the first half of every cycle; 0: never.
        free_bits: nats of rate that each latent dimension has for nothing in the objective "elbo".
        mechanism: what a table's values are missing by, a name in `networks.MECHANISMS`, which makes
            the model a `NotMIWAE`; None: at random.
        epochs: passes over the training data, or, where steps_per_epoch is given, parts of passes.
        steps_per_epoch: updates until the next validation and checkpoint; None: those of a pass.
        batch_size: examples per update.
        learning_rate: Adam's highest; it falls along a cosine over the run.
        patience: stop after so many epochs without a better validation bound; None: never.
        seed: of weights, order, binarisation and draws.
        jit_compile: train under XLA; None: what is faster for the network on a CPU.
    """

    data: str = "mnist"
    stream: bool = False
    protocol: str | None = None
    column_types: tuple[tuple[str, str], ...] = ()
    condition: str | None = None
    network: str = "mlp"
    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    latent_dim: int = 20
    likelihood: str | None = None
    posterior: str | None = None
    num_categories: int = 10
    prior: str | None = None
    num_components: int = 50
    objective: str = "elbo"
    num_samples: int = 5
    beta: float | None = None
    warm_up: int = 0
    cycles: int = 0
    free_bits: float = 0.0
    mechanism: str | None = None
    epochs: int = 20
    steps_per_epoch: int | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    patience: int | None = None
    seed: int = 0
    jit_compile: bool | None = None

    def __post_init__(self):
        check_known("network", self.network, NETWORKS)
        check_known("posterior", self.chosen_posterior, POSTERIORS)
        check_known("prior", self.chosen_prior, PRIORS)
        check_known("objective", self.objective, OBJECTIVES)
        check_known("activation", self.activation, keras_activations())
        if self.likelihood is not None:
            check_known("likelihood", self.likelihood, LIKELIHOODS)
        if self.mechanism is not None:
            check_known("mechanism", self.mechanism, networks.MECHANISMS)
        if self.condition is not None:
            check_known("condition", self.condition, CONDITIONS)
        elif self.chosen_prior == "conditional-normal":
            raise ValueError("The prior conditional-normal needs a condition: choose one.")
        counts = (
            "epochs",
            "batch_size",
            "latent_dim",
            "num_samples",
            "num_components",
            "num_categories",
        )
        check_count("Recipe", **{name: getattr(self, name) for name in counts})
        check_count("Recipe", least=0, warm_up=self.warm_up, cycles=self.cycles, seed=self.seed)
        for name in ("patience", "steps_per_epoch"):
            if (count := getattr(self, name)) is not None:
                check_count("Recipe", **{name: count})
        check_positive("Recipe", learning_rate=self.learning_rate)
        check_positive("Recipe", or_zero=True, beta=self.rate_weight, free_bits=self.free_bits)
        if self.cycles and (self.warm_up or not self.rate_weight):
            raise ValueError(
                f"The weight of the rate rises {self.cycles} times with cycles, from 0 to beta. Expected no "
                f"warm_up beside it, and a beta above 0. Received: warm_up={self.warm_up}, "
                f"beta={self.rate_weight}"
            )
        if self.warm_up > self.epochs:
            raise ValueError(
                f"A warm_up of {self.warm_up} epochs does not end within {self.epochs} epochs. Expected at "
                "most as many."
            )
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        parts = {
            "objective": self.objective,
            "posterior": self.chosen_posterior,
            "prior": self.chosen_prior,
        }
        for option, (part, owners) in _OWNERS.items():
            unset = (defaults[option], 1.0) if option == "beta" else (defaults[option],)
            if parts[part] not in owners and getattr(self, option) not in unset:
                raise ValueError(
                    f"{option} belongs to the {part} {' or '.join(owners)}, not to {parts[part]}. "
                    "Leave it out, or choose one that has it."
                )

    @property
    def rate_weight(self) -> float:
        """`beta` of the objectives that it is 1 of where none was chosen."""
        return 1.0 if self.beta is None else self.beta

    @property
    def chosen_posterior(self) -> str:
        """The name of the posterior, the objective's own where none was chosen."""
        return self.posterior or SUITED_POSTERIORS.get(self.objective, "normal")

    @property
    def chosen_prior(self) -> str:
        """The name of the prior, the posterior's own where none was chosen."""
        return self.prior or SUITED_PRIORS.get(self.chosen_posterior, "normal")

    def load_data(self) -> Splits:
        return load(
            self.data,
            protocol=self.protocol,
            batch_size=self.batch_size,
            seed=self.seed,
            stream=self.stream,
            condition=self.condition,
            column_types=dict(self.column_types),
        )

    def steps_in_epoch(self, splits: Splits) -> int:
        """Updates between two validations, each of which a run may be resumed from."""
        return self.steps_per_epoch or splits.steps_per_epoch

    def build(self, splits: Splits) -> EncoderDecoder:
        """The compiled model, with weights that are a function of the seed.

        Built under the `tf.distribute` strategy in scope: a batch is then that of all replicas.
        """
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        if self.batch_size % replicas:
            raise ValueError(
                f"The batch of {self.batch_size} is shared by {replicas} replicas, which does not go "
                "evenly. Choose a batch_size that they divide."
            )
        keras.utils.set_random_seed(self.seed % 2**32)
        steps_per_epoch = self.steps_in_epoch(splits)
        self._check_mechanism(splits)
        network, likelihood, shape = self._chosen(splits)
        posterior = POSTERIORS[self.chosen_posterior](self)
        encoder, decoder = network.build(
            latent_dim=self.latent_dim,
            posterior=posterior,
            activation=self.activation,
            likelihood=likelihood,
            conditions=splits.conditions,
            **shape,
            **({network.sizes: self.hidden} if self.hidden else {}),
        )
        parts = {
            "likelihood": likelihood,
            "posterior": posterior,
            "prior": PRIORS[self.chosen_prior](self, splits, encoder),
            "objective": OBJECTIVES[self.objective](self, splits),
            "seed": self.seed,
        }
        if self.mechanism is None:
            vae = VAE(encoder, decoder, **parts)
        else:
            missingness = networks.missingness(self.mechanism, likelihood)  # pyright: ignore[reportArgumentType]
            vae = NotMIWAE(encoder, decoder, missingness, **parts)
        is_alone = not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        jit = (
            network.jit_compile and replicas == 1 if self.jit_compile is None else self.jit_compile
        )
        vae.compile(
            adam(self.learning_rate, self.epochs * steps_per_epoch),
            jit_compile=jit,  # pyright: ignore[reportArgumentType]
            # Keras cannot loop over the batches of several workers inside a graph.
            steps_per_execution=steps_per_execution(steps_per_epoch) if is_alone else 1,
        )
        return vae

    def _check_mechanism(self, splits: Splits) -> None:
        if self.mechanism is None:
            return
        if not splits.columns or not splits.has_missing:
            raise ValueError(
                f"The mechanism {self.mechanism} says which values of a table are missing. Expected a table with "
                f"missing values. Received: {splits.name}, which misses none."
            )
        if others := [c.name for c in splits.columns if c.kind not in ("real", "integer")]:
            raise ValueError(
                f"A mechanism takes real and integer columns. Received categories or counts in "
                f"{', '.join(others)}: leave the mechanism out, or say that they are real."
            )

    def _chosen(self, splits: Splits) -> tuple[Network, likelihoods.Likelihood, dict[str, Any]]:
        """The networks, the likelihood, and what the former are told of the data."""
        if not splits.columns:
            name = self.likelihood or suited_likelihood(splits)
            data = {"input_shape": splits.shape, "output_mean": splits.mean}
            return NETWORKS[self.network], LIKELIHOODS[name](splits), data
        if self.network != "mlp":
            raise ValueError(f"A table takes the network mlp. Received: {self.network}")
        check_known("likelihood of a table", self.likelihood or "normal", TABLE_LIKELIHOODS)
        family = TABLE_LIKELIHOODS[self.likelihood or "normal"]
        likelihood = mixed(splits.columns, np.asarray(splits.stored["train"].values), family)
        return TABLE, likelihood, {"has_missing": splits.has_missing}

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "Recipe":
        hidden, types = config["hidden"], config.get("column_types", ())
        sizes = tuple(hidden) if hidden else None
        return cls(**{**config, "hidden": sizes, "column_types": tuple(map(tuple, types))})


def keras_activations() -> list[str]:
    """The names of those of Keras's own activations that ask for nothing else."""
    names = []
    for name, function in inspect.getmembers(keras.activations, callable):
        first, *others = inspect.signature(function).parameters.values()
        asks = any(parameter.default is parameter.empty for parameter in others)
        if first.name == "x" and not asks:
            names.append(name)
    return names


def suited_likelihood(splits: Splits) -> str:
    """The name of the likelihood for what the data are: binary, in [0, 1], or any numbers."""
    if splits.is_binary:
        return "bernoulli"
    return "continuous-bernoulli" if splits.protocol == "grey" else "normal"


def adam(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Adam for a run of that many steps: its rate rises for a short time, then falls along a cosine
    to zero.
    """
    rise = min(500, max(1, steps // 20))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rise), alpha=0.0, warmup_target=learning_rate, warmup_steps=rise
    )
    return keras.optimizers.Adam(schedule)  # pyright: ignore[reportArgumentType]
