import abc
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, name_of
from keras_vae.estimators import kl_divergence
from keras_vae.noise import standard_normals

if TYPE_CHECKING:
    from keras_vae.models._base import LatentVariableModel

Rows = TypeVar("Rows", tf.Tensor, tfp.distributions.Distribution)


class Objective(Configurable, abc.ABC):
    """What training minimises: `objective(model, batch, training)` gives the loss and its named
    terms.

    An objective is a frozen value object, or, with a network of its own, a layer: the model's optimiser
    trains both. It gets the model, not the results of one pass, and asks it for `infer`,
    `log_likelihood` and `prior_over`, and for `expected` where it looks at what is decoded. Terms are
    scalars in nats per example, mean over the batch. Any field may be a Keras schedule: the model gives
    a value object its value at the current step, and a layer asks for it, `model.now(self.gamma)`.

    Attributes:
        terms: the names of what is returned, "loss" first.
        monitor: the term that says which of two models is better: lower is better (`mode="min"`
            of Keras's callbacks), and it is never annealed.
        needs_density: whether it measures z by its density under q(z|x).
        looks_at_latents: whether it looks at z by more than densities, so that z may have nothing
            beside it.
        needs_factorized: the parts that have to be products over latent dimensions.
    """

    terms: ClassVar[tuple[str, ...]]
    monitor: ClassVar[str]
    needs_density: ClassVar[bool] = True
    looks_at_latents: ClassVar[bool] = False

    @property
    def needs_factorized(self) -> tuple[str, ...]:
        return ()

    @property
    def looks_by_dimension(self) -> str:
        """What asks for `needs_factorized`, in words."""
        return name_of(self)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        terms, monitor = getattr(cls, "terms", ()), getattr(cls, "monitor", None)
        if terms[:1] != ("loss",) or monitor not in terms:
            raise TypeError(
                f"{cls.__name__}: terms have to begin with 'loss' and hold the monitor. "
                f"Received: terms={terms}, monitor={monitor!r}"
            )

    def check(self, model: "LatentVariableModel") -> None:
        """Raises `ValueError` where the model's parts do not fit this objective, naming both."""

    def need_factorized(self, model: Any) -> None:
        """Raises `ValueError` for the first of `needs_factorized` that is no product over dimensions."""
        for name in self.needs_factorized:
            if not (part := getattr(model, name)).factorized:
                raise ValueError(
                    f"{self.looks_by_dimension} looks at every latent dimension by itself, and the {name} "
                    f"{name_of(part)} is no product over them. Choose one that is, such as "
                    f"{'StandardNormal' if name == 'prior' else 'Normal'}."
                )

    def need_fixed_prior(self, model: Any) -> None:
        """Raises `ValueError` where the prior changes in training, of which the loss knows nothing."""
        shares_encoder = model.encoder in model.prior._flatten_layers()
        if model.prior.trainable_variables or shares_encoder:
            what = "moves with the encoder" if shares_encoder else "has weights that learn"
            raise ValueError(
                f"{name_of(self)} trains no prior, and {name_of(model.prior)} {what}. Use StandardNormal, or a prior "
                "of its own that was fitted before and frozen: prior.trainable = False."
            )

    def need_uncoupled(self, model: Any) -> None:
        """Raises `ValueError` where log p(x|z) of an example depends on the z of others in training."""
        networks = [model.decoder, *filter(None, [getattr(model, "missingness", None)])]
        normalization = [
            layer
            for network in networks
            for layer in network._flatten_layers()  # those that layers hold, too
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        if model.likelihood.couples_examples or normalization:
            what = normalization[0] if normalization else model.likelihood
            raise ValueError(
                f"{name_of(self)} takes log p(x|z) of an example to depend on its own z alone, and {name_of(what)} "
                "computes with the whole batch in training. Choose a likelihood such as SharedScaleNormal, networks "
                "without batch normalisation, or the objective IWAE."
            )

    def need_invertible(self, model: Any) -> None:
        """Raises `ValueError` for a posterior that knows log q at its own draws alone."""
        if not (posterior := model.posterior).invertible:
            raise ValueError(
                f"{name_of(self)} asks for log q of a posterior that stands still at z that moves, and "
                f"{name_of(posterior)} knows it at its own draws alone. Choose a posterior whose density is known "
                "everywhere, such as Normal or MultivariateNormal, or an objective that takes it as it is, such as "
                "ELBO or IWAE."
            )

    @abc.abstractmethod
    def __call__(
        self, model: "LatentVariableModel", batch, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """The terms for one batch, as the data set yields it."""


def elbo_terms(
    model: "LatentVariableModel", batch, training: bool
) -> tuple[dict[str, tf.Tensor], tfp.distributions.Distribution, tf.Tensor]:
    """Distortion, rate and their sum over one sample of z for each example; and q and z."""
    q, z = model.infer(batch, training=training)
    rates = kl_divergence(q, model.prior_over(batch), z)
    return mean_terms(-model.log_likelihood(batch, z, training=training), rates), q, z


def mean_terms(distortions: tf.Tensor, rates: tf.Tensor) -> dict[str, tf.Tensor]:
    """Means of the distortions and rates [B] of examples, and their sum."""
    distortion, rate = tf.reduce_mean(distortions), tf.reduce_mean(rates)
    return {"distortion": distortion, "rate": rate, "negative_elbo": distortion + rate}


@tf.custom_gradient
def gradient_only(value: tf.Tensor) -> Any:
    """Zero, with the gradient of a value; zero too where that is not finite, of which the gradient tells."""
    return tf.zeros_like(value), lambda upstream: upstream


def prior_draws(model: Any, batch, z: tf.Tensor) -> tf.Tensor:
    """As many draws from the prior as z [B, D] has rows, under the batch's conditions."""
    shape = tf.stack([tf.shape(z)[0], model.prior.noise_size])
    return model.prior.transform(standard_normals(model.sampling.next_seed(), shape), batch)


def gathered(rows: Rows) -> Rows:
    """A tensor [b, ...], or a distribution made of such, with the rows of all replicas: what a statistic
    of the global batch is taken over.

    Gradients flow back to each replica's rows; as replicas divide their loss by their number, they add up
    to what one process has.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rows
    return tf.nest.map_structure(
        lambda each: context.all_gather(each, axis=0), rows, expand_composites=True
    )
