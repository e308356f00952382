"""A training run in words and numbers: what a run folder's config.json holds, and the model it
gives.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vae import likelihoods, networks
from keras_vae._parts import check_count, check_known, check_positive
from keras_vae.data import CONDITIONS, Splits, load
from keras_vae.data.splits import steps_per_execution
from keras_vae.data.tables import mixed
from keras_vae.models import VAE, EncoderDecoder, NotMIWAE
from keras_vae.training.parts import (
    LIKELIHOODS,
    NETWORKS,
    OBJECTIVES,
    POSTERIORS,
    PRIORS,
    SUITED_POSTERIORS,
    SUITED_PRIORS,
    TABLE,
    TABLE_LIKELIHOODS,
    Network,
)

_OWNERS = {
    "beta": (
        "objective",
        (
            "elbo",
            "beta-tc",
            "factor",
            "dip",
            "info",
            "capacity",
            "adversarial",
            "rae",
            "structural-similarity",
        ),
    ),
    "capacity": ("objective", ("capacity",)),
    "warm_up": ("objective", ("elbo", "capacity")),
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
        beta: final weight of the rate in the objective "elbo", and of the codes' size in "rae", None: 1;
            weight of what others add, None: 6 in "beta-tc", 35 in "factor", 10 in "dip", 100 in "info",
            "capacity" and "structural-similarity", 1 in "adversarial".
        capacity: nats of rate that the objective "capacity" holds to, in the end.
        warm_up: epochs over which beta of "elbo", or the capacity, rises from 0.
        cycles: how often beta rises from 0 instead, in the first half of every cycle; 0: never.
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
    capacity: float = 25.0
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
        weights = {"beta": self.rate_weight, "free_bits": self.free_bits, "capacity": self.capacity}
        check_positive("Recipe", or_zero=True, **weights)
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
