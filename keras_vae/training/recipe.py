"""A training run in words and numbers: what a run folder's config.json holds, and the model it
gives.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_vae import likelihoods, networks, objectives, priors
from keras_vae.data import Splits, load
from keras_vae.models import VAE

NETWORKS = {"mlp": networks.mlp, "conv": networks.conv}
LIKELIHOODS = {
    "bernoulli": likelihoods.Bernoulli,
    "continuous-bernoulli": likelihoods.ContinuousBernoulli,
    "normal": likelihoods.Normal,
    "shared-scale-normal": likelihoods.SharedScaleNormal,
    "laplace": likelihoods.Laplace,
    "student-t": likelihoods.StudentT,
}
PRIORS = {
    "normal": lambda recipe: priors.StandardNormal(recipe.latent_dim),
    "mixture": lambda recipe: priors.NormalMixture(
        recipe.latent_dim, recipe.num_components, seed=recipe.seed
    ),
}
OBJECTIVES = ("elbo", "iwae")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything needed to repeat a run.

    Attributes:
        data: a source that `keras_vae.data.load` knows.
        protocol: how pixels become data; None: the source's default.
        network: a name in `NETWORKS`.
        hidden: units per hidden layer (mlp), or channels per level (conv); None: the network's
            default.
        activation: of the hidden layers, any name that Keras knows.
        latent_dim: size of z.
        likelihood: a name in `LIKELIHOODS`; None: what suits the data.
        prior: a name in `PRIORS`.
        num_components: of the prior "mixture".
        objective: a name in `OBJECTIVES`.
        num_samples: importance samples of the objective "iwae".
        beta: final weight of the rate in the objective "elbo".
        warm_up: epochs over which that weight rises from 0.
        epochs: passes over the training data.
        batch_size: examples per update.
        learning_rate: Adam's highest; it falls along a cosine over the run.
        patience: stop after so many epochs without a better validation bound; None: never.
        seed: of weights, order, binarisation and draws.
        jit_compile: train under XLA; None: what is faster for the network on a CPU.
    """

    data: str = "mnist"
    protocol: str | None = None
    network: str = "mlp"
    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    latent_dim: int = 20
    likelihood: str | None = None
    prior: str = "normal"
    num_components: int = 50
    objective: str = "elbo"
    num_samples: int = 5
    beta: float = 1.0
    warm_up: int = 0
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    patience: int | None = None
    seed: int = 0
    jit_compile: bool | None = None

    def __post_init__(self):
        known("network", self.network, NETWORKS)
        known("prior", self.prior, PRIORS)
        known("objective", self.objective, OBJECTIVES)
        known("activation", self.activation, keras_activations())
        if self.likelihood is not None:
            known("likelihood", self.likelihood, LIKELIHOODS)
        for name in ("epochs", "batch_size", "latent_dim", "num_samples", "num_components"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} has to be at least 1. Received: {getattr(self, name)}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate has to be above 0. Received: {self.learning_rate}")
        if self.warm_up < 0:
            raise ValueError(f"warm_up has to be at least 0 epochs. Received: {self.warm_up}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta has to be at least 0. Received: {self.beta}")
        if self.objective != "elbo" and (self.beta != 1 or self.warm_up):
            raise ValueError(
                f"beta and warm_up belong to the objective elbo, not to {self.objective}."
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience has to be at least 1 epoch. Received: {self.patience}")

    def load_data(self) -> Splits:
        return load(self.data, protocol=self.protocol, batch_size=self.batch_size, seed=self.seed)

    def build(self, splits: Splits) -> VAE:
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
        name = self.likelihood or suited_likelihood(splits)
        likelihood = LIKELIHOODS[name](event_rank=len(splits.shape))
        sizes = {"mlp": "hidden", "conv": "filters"}[self.network]
        encoder, decoder = NETWORKS[self.network](
            splits.shape,
            self.latent_dim,
            activation=self.activation,
            likelihood=likelihood,
            output_mean=splits.mean,
            **({sizes: self.hidden} if self.hidden else {}),
        )
        vae = VAE(
            encoder,
            decoder,
            likelihood=likelihood,
            prior=PRIORS[self.prior](self),
            objective=self._objective(splits.steps_per_epoch),
            seed=self.seed,
        )
        steps = self.epochs * splits.steps_per_epoch
        is_alone = not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        jit = (
            self.network == "mlp" and replicas == 1
            if self.jit_compile is None
            else self.jit_compile
        )
        vae.compile(
            adam(self.learning_rate, steps),
            jit_compile=jit,  # pyright: ignore[reportArgumentType]
            # Keras cannot loop over the batches of several workers inside a graph.
            steps_per_execution=steps_per_execution(splits.steps_per_epoch) if is_alone else 1,
        )
        return vae

    def _objective(self, steps_per_epoch: int) -> objectives.Objective:
        if self.objective == "iwae":
            return objectives.IWAE(num_samples=self.num_samples)
        if not self.warm_up:
            return objectives.ELBO(beta=self.beta)
        rising = keras.optimizers.schedules.PolynomialDecay(
            0.0, self.warm_up * steps_per_epoch, self.beta
        )
        return objectives.ELBO(beta=rising)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "Recipe":
        hidden = config["hidden"]
        return cls(**{**config, "hidden": tuple(hidden) if hidden else None})


def keras_activations() -> list[str]:
    """The names of Keras's own activations."""
    names = (name for name in dir(keras.activations) if not name.startswith("_"))
    return [name for name in names if name not in ("get", "serialize", "deserialize")]


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


def steps_per_execution(steps_per_epoch: int, most: int = 32) -> int:
    """The largest divisor of an epoch up to `most`: an endless data set would overrun with any
    other number.
    """
    return max(n for n in range(1, most + 1) if steps_per_epoch % n == 0)


def known(what: str, name: str, names: Iterable[str]) -> None:
    """Raises `ValueError` where a name is not among those known, with the nearest ones."""
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"Unknown {what} {name!r}. Known: {', '.join(names)}.{hint}")
