import abc
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, name_of
from keras_vae.estimators import kl_divergence

if TYPE_CHECKING:
    from keras_vae.models._base import LatentVariableModel


class Objective(Configurable, abc.ABC):
    """What training minimises: `objective(model, batch, training)` gives the loss and its named
    terms.

    An objective is a frozen value object. It gets the model, not the results of one pass, and asks
    it three things: `infer`, `log_likelihood` and `prior_over`. Terms are scalars in nats per
    example, mean over the batch. Any field may be a Keras schedule: the model gives the objective
    its value at the current step.

    Attributes:
        terms: the names of what is returned, "loss" first.
        monitor: the term that says which of two models is better: lower is better (`mode="min"`
            of Keras's callbacks), and it is never annealed.
    """

    terms: ClassVar[tuple[str, ...]]
    monitor: ClassVar[str]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.terms[0] != "loss" or cls.monitor not in cls.terms:
            raise TypeError(
                f"{cls.__name__}: terms have to begin with 'loss' and hold the monitor. "
                f"Received: terms={cls.terms}, monitor={cls.monitor!r}"
            )

    def check(self, model: "LatentVariableModel") -> None:
        """Raises `ValueError` where the model's parts do not fit this objective, naming both."""

    def need_factorized(self, model: Any, *parts: str) -> None:
        """Raises `ValueError` for the first of these parts that is no product over dimensions."""
        for name in parts:
            if not (part := getattr(model, name)).factorized:
                raise ValueError(
                    f"{name_of(self)} looks at every latent dimension by itself, and the {name} "
                    f"{name_of(part)} is no product over them. Choose one that is, such as "
                    f"{'StandardNormal' if name == 'prior' else 'Normal'}."
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
    distortion = -tf.reduce_mean(model.log_likelihood(batch, z, training=training))
    rate = tf.reduce_mean(kl_divergence(q, model.prior_over(batch), z))
    return {"distortion": distortion, "rate": rate, "negative_elbo": distortion + rate}, q, z
