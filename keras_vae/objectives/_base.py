import abc
from typing import TYPE_CHECKING, ClassVar

import tensorflow as tf

from keras_vae._parts import Configurable

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

    @abc.abstractmethod
    def __call__(
        self, model: "LatentVariableModel", batch, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """The terms for one batch, as the data set yields it."""
