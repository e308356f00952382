"""The abstract latent variable model: parts, configs, the training step. Written once, for every
model.
"""

import abc
import contextlib
import re
from types import GeneratorType
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import T, UnfitExample, at_step, name_of
from keras_vae.models._batches import (
    NO_WEIGHTS,
    WatchedPyDataset,
    as_arrays,
    batch_of,
    check_length,
    is_endless,
    named,
    refuse_weights,
    x_of,
)
from keras_vae.objectives import ELBO
from keras_vae.priors import Prior
from keras_vae.sampling import Sampling

tfd = tfp.distributions

_UNFIT = "unfit data"  # marks an assertion of ours among TensorFlow's errors
_RAISED = re.compile(rf"\b{UnfitExample.__name__}: (.*?)\nTraceback", re.DOTALL)


class LatentVariableModel(keras.Model, abc.ABC):
    """A `keras.Model` made of parts, trained by its objective.

    A subclass names its parts and says how they infer, decode and weigh; it is final. Objectives
    and evaluation use three verbs, `infer`, `log_likelihood` and `prior_over`, on a `batch` that is
    exactly what the data set yields: an array, or a dict with "x" and whatever else the networks
    ask for by the names of their inputs.

    Attributes:
        parts: the names of the constructor's arguments that config, save and load are derived from.
        sampling: the `Sampling` layer, the only source of randomness.
        step: int64 weight, the number of updates so far; schedules read it.
    """

    parts: ClassVar[tuple[str, ...]]

    def __init__(self, *, parts: dict[str, Any], seed: int, name: str | None):
        # The networks cast x for themselves; the policy is theirs, for Keras to scale the loss by it.
        policy = _mixed_policy(self.parts, parts)
        super().__init__(name=name, dtype=policy, autocast=False)
        for part in self.parts:
            setattr(self, part, parts[part])
        self.seed = seed
        self.sampling = Sampling(seed=seed, name="sampling")
        self.step = self.add_weight(
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            name="step",
            aggregation="only_first_replica",
        )
        self.check()
        self.objective.check(self)
        self._term_means = {term: keras.metrics.Mean(term) for term in self.objective.terms}
        self.build(self.encoder.input_shape)

    def build(self, input_shape):
        self.built = True  # the networks come built, and so do all other parts

    # The verbs that objectives and evaluation use.

    @abc.abstractmethod
    def infer(
        self, batch, num_samples: int | None = None, *, training=False, seed=None
    ) -> tuple[tfd.Distribution, tf.Tensor]:
        """Returns q(z|x) and z ~ q: [B, D], or [num_samples, B, D]; z goes to `q.log_prob`
        untouched.
        """

    @abc.abstractmethod
    def log_likelihood(self, batch, z: tf.Tensor, *, training=False) -> tf.Tensor:
        """Log p(x|z) in nats: [B] for z [B, D], [K, B] for z [K, B, D]."""

    @abc.abstractmethod
    def prior_over(self, batch) -> tfd.Distribution:
        """p(z), or p(z|c) for what the batch holds."""

    def log_weights(self, batch, num_samples: int, *, training=False, seed=None) -> tf.Tensor:
        """Log importance weights log p(x|z_k) + log p(z_k) - log q(z_k|x) of z_k ~ q, [num_samples, B],
        in nats.
        """
        q, z = self.infer(batch, num_samples, training=training, seed=seed)
        return self.log_weights_of(batch, q, z, training=training)

    def log_weights_of(
        self, batch, q: tfd.Distribution, z: tf.Tensor, *, training=False
    ) -> tf.Tensor:
        """`log_weights` of z [K, B, D] that are there already, with the q that drew them: [K, B]."""
        log_joint = self.log_likelihood(batch, z, training=training)
        log_joint += self.prior_over(batch).log_prob(z)
        return log_joint - q.log_prob(z)

    # What a subclass checks, before and during training.

    @abc.abstractmethod
    def check(self) -> None:
        """Raises `ValueError` where parts do not fit each other, naming both."""

    @abc.abstractmethod
    def check_batch(self, batch) -> None:
        """Raises `ValueError` where data (NumPy arrays) are not what the model takes."""

    @property
    @abc.abstractmethod
    def measure(self) -> str:
        """What `log_likelihood` is the log of, in words: only the like can be compared."""

    @property
    @abc.abstractmethod
    def widest_layer(self) -> int:
        """The most numbers that a layer of the decoder, or the prior's density, holds for one z."""

    @abc.abstractmethod
    def are_valid(self, batch) -> tf.Tensor:
        """Whether the values of a batch (tensors) are what the model takes: bool [], in a graph."""

    @property
    @abc.abstractmethod
    def data_needed(self) -> str:
        """What `are_valid` asks for, in words."""

    def now(self, part: T) -> T:
        """The part with its schedules replaced by their values at the current step."""
        return at_step(part, self.step.value)

    # Training.

    @property
    def metrics(self):
        return list(self._term_means.values())

    def train_step(self, data):
        batch = batch_of(data)
        with tf.GradientTape() as tape:
            terms = self._terms(batch, training=True)
            # The gradients of replicas are summed.
            share = terms["loss"] / tf.distribute.get_strategy().num_replicas_in_sync
            scaled_loss = self.optimizer.scale_loss(share)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.step.assign_add(1)
        return self._track(terms, batch)

    def test_step(self, data):
        batch = batch_of(data)
        return self._track(self._terms(batch, training=False), batch)

    def _terms(self, batch, *, training: bool) -> dict[str, tf.Tensor]:
        """The objective's terms; what layers add, such as regularisers, is part of the loss."""
        terms = self.now(self.objective)(self, batch, training=training)
        added = [tf.cast(loss, tf.float32) for loss in self.losses]  # of the layers' own dtypes
        return {**terms, "loss": terms["loss"] + sum(added)}

    def _track(self, terms, batch):
        """Means over examples: a last batch that is smaller counts for less."""
        if set(terms) != set(self._term_means):
            raise ValueError(
                f"{name_of(self.objective)} returned the terms {sorted(terms)} and declares "
                f"{sorted(self._term_means)}. They have to be the same."
            )
        num_examples = tf.cast(tf.shape(x_of(batch))[0], tf.float32)
        for term, value in terms.items():
            counted = tf.where(num_examples > 0, value, 0.0)  # a replica may be left without rows
            self._term_means[term].update_state(counted, sample_weight=num_examples)
        results = {term: mean.result() for term, mean in self._term_means.items()}
        strategy = tf.distribute.get_strategy()
        if (
            isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
            and strategy.extended._in_multi_worker_mode()
        ):
            # Keras 3.15 averages logs over several workers along an axis that scalars have not.
            results = {term: value[tf.newaxis] for term, value in results.items()}
        return results

    def compile(self, *args, **kwargs):
        """`keras.Model.compile`, of an optimiser and of how to run."""
        given = named(keras.Model.compile, self, *args, **kwargs)
        names = ("loss", "loss_weights", "metrics", "weighted_metrics")
        if received := [name for name in names if given.get(name) is not None]:
            raise ValueError(
                "The objective is the loss and names the metrics. Compile with neither loss nor metrics. "
                f"Received: {', '.join(received)}"
            )
        super().compile(*args, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """`keras.Model.fit`, after a look at the data: NaN, wrong shapes and values outside the
        support raise.

        Arrays are checked before, the batches of a `tf.data.Dataset`, a `keras.utils.PyDataset` or a
        generator as they come; a data set that is distributed already is not.
        """
        kwargs = named(keras.Model.fit, self, x, y, *args, **kwargs)
        refuse_weights(kwargs)
        if (validation := kwargs.get("validation_data")) is not None:
            first, *rest = validation if isinstance(validation, tuple) else (validation,)
            if any(weights is not None for weights in rest[1:]):
                raise ValueError(NO_WEIGHTS)
            checked = self._check_data(first, kwargs.get("validation_steps"))
            kwargs["validation_data"] = (checked, *rest) if rest else checked
        steps = kwargs.get("steps_per_epoch")
        kwargs["x"] = x = self._check_data(x, steps)
        if isinstance(x, tf.data.Dataset | GeneratorType):
            kwargs = {"shuffle": False} | kwargs  # these shuffle themselves
            if is_endless(x) and steps % self.steps_per_execution:
                raise ValueError(
                    f"An epoch of {steps} steps is no multiple of steps_per_execution="
                    f"{self.steps_per_execution}, and endless data would be trained on beyond it. Compile "
                    "with steps_per_execution that divides the epoch."
                )
        with self._named_data_errors():
            return super().fit(**kwargs)

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose: Any = "auto", sample_weight=None, **kwargs
    ):
        """`keras.Model.evaluate`, after the same look at the data as in `fit`.

        Its draws are the same every time and none of training's, so that evaluating twice gives the
        same numbers, epochs are compared on the same noise, and validation changes no training.
        """
        if sample_weight is not None:
            raise ValueError(NO_WEIGHTS)
        x = self._check_data(x, kwargs.get("steps"))
        with self._named_data_errors(), self.sampling.evaluation_draws():
            return super().evaluate(x, y, batch_size, verbose, **kwargs)

    def predict(self, x, *args, **kwargs):
        """`keras.Model.predict`: deterministic reconstructions of x, after the same look at the data."""
        kwargs = named(keras.Model.predict, self, x, *args, **kwargs)
        kwargs["x"] = self._check_data(x, kwargs.get("steps"))
        with self._named_data_errors():
            return super().predict(**kwargs)

    def train_on_batch(self, x, *args, **kwargs):
        """`keras.Model.train_on_batch`, after the same look at the data."""
        refuse_weights(named(keras.Model.train_on_batch, self, x, *args, **kwargs))
        self.check_batch(as_arrays(x))
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        """`keras.Model.test_on_batch`, after the same look at the data."""
        refuse_weights(named(keras.Model.test_on_batch, self, x, *args, **kwargs))
        self.check_batch(as_arrays(x))
        return super().test_on_batch(x, *args, **kwargs)

    def _check_data(self, data, steps: int | None):
        """Raises where data are not what the model takes; gives those that come in batches back as ones
        that go on checking.
        """
        if isinstance(data, keras.utils.PyDataset):
            return WatchedPyDataset(data, self._checked)
        if isinstance(data, GeneratorType):
            checked = map(self._checked, data)
            return (each if isinstance(each, tuple) else (each,) for each in checked)
        if isinstance(data, tf.distribute.DistributedDataset):
            return data  # lies on other machines in part
        if not isinstance(data, tf.data.Dataset):
            data = as_arrays(data) if isinstance(data, list) else data
            self.check_batch(as_arrays(data))
            return data
        check_length(data, steps)
        first = next(iter(data.take(1)), None)
        if first is None:
            raise ValueError("The data set is empty: it gave no batch.")
        self.check_batch(tf.nest.map_structure(np.asarray, batch_of(first)))

        def watched(*element):
            given = element if isinstance(data.element_spec, tuple) else element[0]
            valid = tf.debugging.Assert(self.are_valid(batch_of(given)), [_UNFIT])
            with tf.control_dependencies([valid]):
                return tf.nest.map_structure(tf.identity, given)

        options = tf.data.Options()
        if data.options().autotune.enabled is None:
            options.autotune.enabled = False  # the tuner stalls the ends of short epochs
        watching = data.map(watched, num_parallel_calls=2, deterministic=True)
        return watching.with_options(options)

    def _checked(self, element):
        """What a generator or a `PyDataset` gives, if the model takes it."""
        self.check_batch(as_arrays(batch_of(element)))
        return element

    @contextlib.contextmanager
    def _named_data_errors(self):
        """Says of a batch that a data set's check refused what the model takes, and of an example that
        could not be read why.
        """
        try:
            yield
        except (tf.errors.InvalidArgumentError, tf.errors.UnknownError) as error:
            if found := _RAISED.search(str(error)):
                raise ValueError(found[1]) from None
            if _UNFIT not in str(error):
                raise
            raise ValueError(
                "A batch of the data set holds NaN or infinite values, in x or in a condition, values outside "
                f"the support, or labels outside the classes. {self.data_needed}"
            ) from None

    # Keras life cycle.

    def get_compile_config(self):
        """An optimiser that has made no step yet is saved with a state like any other."""
        if self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().get_compile_config()

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def replace(self, **parts) -> Self:
        """A new model over the same layers with some parts exchanged; step and draws are copied.

        Weights of parts that stay are shared with this model, not copied. Compile the new one to
        train it.
        """
        unknown = set(parts) - set(self.parts)
        if unknown:
            raise ValueError(
                f"{name_of(self)} has no part {sorted(unknown)}. Its parts: {list(self.parts)}"
            )
        kept = {part: getattr(self, part) for part in self.parts}
        new = type(self)(**(kept | parts), seed=self.seed)
        new.step.assign(self.step)
        new.sampling.draws.assign(self.sampling.draws)
        return new

    def with_prior(self, prior) -> Self:
        """`replace(prior=prior)`: the same model generating from, and measured against, another
        prior. An objective that takes a prior by dimensions gives its place to `ELBO` for one that is
        no product over them.
        """
        if not isinstance(prior, Prior):
            raise TypeError(
                "with_prior takes an instance of Prior, such as aggregate.fit_mixture gives. Received: "
                f"{prior!r}"
            )
        if "prior" in self.objective.needs_factorized and not prior.factorized:
            return self.replace(prior=prior, objective=ELBO())
        return self.replace(prior=prior)

    def get_config(self):
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part)) for part in self.parts
        }
        return {"name": self.name, "seed": self.seed, **parts}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects)
            for part in cls.parts
        }
        for part in parts.values():
            if isinstance(part, keras.Layer) and not part.trainable:
                # Keras told the layer alone, and not what it is made of; a value it has it does not set.
                part.trainable = True
                part.trainable = False
        parts["prior"] = parts["prior"].over(parts["encoder"])
        return cls(**(config | parts))


def need_model(model, owner: str) -> None:
    """Raises `TypeError` for what is no model, such as the folder that one was saved in."""
    if not isinstance(model, LatentVariableModel):
        raise TypeError(
            f"{owner} takes a model of this package, such as `load_model` gives from a folder. Received: {model!r}"
        )


def _mixed_policy(names: tuple[str, ...], parts: dict[str, Any]) -> str:
    """The mixed precision policy of the networks' layers, if one has any, else float32."""
    layers = [part for name in names if isinstance(part := parts[name], keras.Layer)]
    while layers:
        layer = layers.pop()
        if layer.dtype_policy.name.startswith("mixed_"):
            return layer.dtype_policy.name
        layers += getattr(layer, "layers", [])
    return "float32"
