"""Encoders and decoders: plain Keras models, ready to use as they are or to be replaced by your
own.

An encoder maps x to the posterior's parameters, a decoder maps z to the likelihood's. Builders ask
both parts how many parameters they take, so networks and parts always fit.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from keras_vae import likelihoods, posteriors
from keras_vae._parts import as_tuple, check_count, check_known, register

__all__ = [
    "MECHANISMS",
    "Features",
    "OneHot",
    "SelfMasking",
    "call_by_name",
    "conditional",
    "conv",
    "input_names",
    "labels_of",
    "missingness",
    "mlp",
    "over_samples",
    "table",
    "widest_layer",
]

Conditions: TypeAlias = Mapping[str, int | Sequence[int]]
"""Conditions by name: a number of classes, or the shape of a continuous one."""


def input_names(network: keras.Model) -> list[str]:
    """The names of a network's inputs: what it asks a dict batch for."""
    return [tensor.name for tensor in network.inputs]


def call_by_name(network: keras.Model, main: str, entries: dict, *, training=False) -> tf.Tensor:
    """Calls a network on those entries that its inputs are named after.

    One with a single input takes the entry `main`, whatever its own name.
    """
    if len(network.inputs) == 1:
        return network(entries[main], training=training)
    return network(
        keras.tree.map_structure(lambda tensor: entries[tensor.name], network.input),
        training=training,
    )


def over_samples(
    network: keras.Model, z: tf.Tensor, conditions: dict, *, training=False
) -> tf.Tensor:
    """Calls a decoder on z with any number of leading sample axes, all in one pass.

    Args:
        network: takes "z" [N, D] and, by name, conditions [N, ...].
        z: [..., B, D].
        conditions: name -> [B, ...], repeated over the leading axes of z; what the network does not
            ask for is left out.

    Returns:
        [..., B, *the network's output shape].
    """
    z, conditions = tf.nest.map_structure(tf.convert_to_tensor, (z, conditions))
    if len(z.shape) == 2:
        return call_by_name(network, "z", {**conditions, "z": z}, training=training)
    leading = tf.shape(z)[:-1]

    def fold(condition):
        event = tf.shape(condition)[1:]
        repeated = tf.broadcast_to(condition, tf.concat([leading, event], axis=0))
        return tf.reshape(repeated, tf.concat([[-1], event], axis=0))

    asked = {name: fold(conditions[name]) for name in input_names(network) if name in conditions}
    flat = tf.reshape(z, [-1, z.shape[-1]])
    output = call_by_name(network, "z", {**asked, "z": flat}, training=training)
    unfolded = tf.reshape(output, tf.concat([leading, tf.shape(output)[1:]], axis=0))
    return tf.ensure_shape(unfolded, [*z.shape[:-1], *output.shape[1:]])


def widest_layer(network: keras.Model) -> int:
    """The most numbers that one of a network's layers puts out for one example."""
    widest = 1
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            widest = max(widest, widest_layer(layer))
        for tensor in keras.tree.flatten(getattr(layer, "output", ())):
            widest = max(widest, math.prod(size or 1 for size in tensor.shape[1:]))
    return widest


@register
class OneHot(keras.layers.Layer):
    """A label 0 ... num_classes - 1 as a vector of zeros and a one; models refuse other labels.

    Args:
        num_classes: number of classes, at least 2.
    """

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        check_count("OneHot", least=2, num_classes=num_classes)
        self.num_classes = int(num_classes)

    def call(self, labels):
        return tf.one_hot(tf.cast(labels, tf.int32), self.num_classes, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.num_classes)

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes}


@register
class Features(keras.layers.Layer):
    """The columns of a table as numbers of about unit size: standardised, or one-hot.

    Args:
        likelihood: the table's `Mixed`, which knows what each column is.
    """

    def __init__(self, likelihood: likelihoods.Mixed, **kwargs):
        super().__init__(**kwargs)
        self.likelihood = likelihood

    def call(self, x, observed=None):
        """Features [B, F] of x [B, D]; with `observed` [B, D], those of missing values are zero, and
        `observed` stands behind them.
        """
        features = self.likelihood.features(tf.cast(x, tf.float32))
        if observed is None:
            return tf.cast(features, self.compute_dtype)
        observed = tf.cast(observed, tf.float32)
        shown = features * tf.gather(observed, self.likelihood.feature_columns, axis=-1)
        return tf.cast(tf.concat([shown, observed], axis=-1), self.compute_dtype)

    def compute_output_shape(self, x_shape, observed_shape=None):
        columns = self.likelihood.num_columns
        size = self.likelihood.features_size(columns)
        return (x_shape[0], size if observed_shape is None else size + columns)

    def get_config(self):
        likelihood = keras.saving.serialize_keras_object(self.likelihood)
        return super().get_config() | {"likelihood": likelihood}

    @classmethod
    def from_config(cls, config):
        likelihood = keras.saving.deserialize_keras_object(config.pop("likelihood"))
        return cls(likelihood, **config)


@register
class SelfMasking(keras.layers.Layer):
    """A logit for every element that depends on it alone: w_d x_d + b_d.

    Args:
        sign: of the slopes w_d, 1 or -1, where it is known; 0 where it is learned.
    """

    def __init__(self, sign: int = 0, **kwargs):
        super().__init__(**kwargs)
        if sign not in (-1, 0, 1):
            raise ValueError(f"The sign of SelfMasking is -1, 0 or 1. Received: {sign!r}")
        self.sign = sign

    def build(self, input_shape):
        self.slope = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="slope")
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, x):
        slope = tf.convert_to_tensor(self.slope)
        return (self.sign * tf.nn.softplus(slope) if self.sign else slope) * x + self.bias

    def get_config(self):
        return super().get_config() | {"sign": self.sign}


MECHANISMS = {
    "self-masking": "by itself",
    "self-masking-high": "by itself, and the more often the higher it is",
    "self-masking-low": "by itself, and the more often the lower it is",
    "linear": "by a linear function of all values of the row",
    "nonlinear": "by a network of all values of the row",
}
"""How it may be decided whether a value is missing."""


def missingness(mechanism: str, likelihood: likelihoods.Mixed, *, hidden: int = 32) -> keras.Model:
    """A model of which values of a row are observed: what `NotMIWAE` takes.

    Args:
        mechanism: a name in `MECHANISMS`.
        likelihood: what the columns are, real numbers, for x to be standardised.
        hidden: units of the hidden layer of "nonlinear".

    Returns:
        X [B, D] -> logits of being observed [B, D].
    """
    check_known("mechanism", mechanism, MECHANISMS)
    x = keras.Input((likelihood.num_columns,), name="x")
    order = [likelihood.feature_columns.index(i) for i in range(likelihood.num_columns)]
    h = keras.ops.take(Features(likelihood)(x), order, axis=-1)
    if mechanism.startswith("self-masking"):
        sign = {"self-masking-high": -1, "self-masking-low": 1}.get(mechanism, 0)
        return keras.Model(x, SelfMasking(sign)(h), name="missingness")
    h = _dense(h, (hidden,) if mechanism == "nonlinear" else (), "tanh")
    return keras.Model(x, keras.layers.Dense(likelihood.num_columns)(h), name="missingness")


def labels_of(network: keras.Model) -> dict[str, int]:
    """Which inputs of a network are labels, and of how many classes: those that go into a `OneHot`."""
    of_layers = ((layer, layer.input) for layer in network.layers if isinstance(layer, OneHot))
    return {labels.name: layer.num_classes for layer, labels in of_layers}  # pyright: ignore[reportAttributeAccessIssue]


def _condition_inputs(owner: str, conditions: Conditions | None) -> dict[str, keras.KerasTensor]:
    inputs = {}
    for name, kind in (conditions or {}).items():
        if not str(name).isidentifier() or name in ("x", "z", "mask", "seed", "num_samples"):
            raise ValueError(
                f"A condition of {owner} needs a name of its own, a Python identifier. Received: {name!r}"
            )
        if isinstance(kind, Sequence):
            for size in kind:
                check_count(owner, **{name: size})
            inputs[name] = keras.Input(as_tuple(kind), name=name)
        else:
            check_count(owner, least=2, **{name: kind})
            inputs[name] = keras.Input((), name=name, dtype="int32")
    return inputs


def _with_conditions(h, inputs: dict[str, keras.KerasTensor], conditions: Conditions | None):
    """H [B, n] with the conditions beside it."""
    if not conditions:
        return h
    return keras.layers.Concatenate()([h, _flat_conditions(inputs, conditions)])


def _flat_conditions(inputs: dict[str, keras.KerasTensor], conditions: Conditions):
    """Each condition, one-hot or flat, beside the others: [B, n]."""
    flat: list[Any] = [
        (keras.layers.Flatten() if isinstance(kind, Sequence) else OneHot(kind))(inputs[name])
        for name, kind in conditions.items()
    ]
    return flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat)


def _network(main, inputs: Mapping[str, Any], output, name: str) -> keras.Model:
    return keras.Model([main, *inputs.values()] if inputs else main, output, name=name)


def _checked_sizes(owner: str, latent_dim: int, **sizes: tuple[int, ...]) -> int:
    """Raises where a size is not a count; gives latent_dim as Python's own integer."""
    check_count(owner, latent_dim=latent_dim)
    for name, values in sizes.items():
        if not values and name != "hidden":  # no hidden layer is a linear network
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. Expected at least one size. '
                "Received none."
            )
        for value in values:
            check_count(owner, **{name: value})
    return int(latent_dim)


def _initial_bias(likelihood, output_mean, shape: tuple[int, ...]):
    """An initializer for the output bias: the parameters whose mean is `output_mean`, one per entry
    of `shape`.
    """
    if output_mean is None:
        return "zeros"
    mean = np.asarray(output_mean, np.float32)
    if not np.isfinite(mean).all():
        raise ValueError(
            'Invalid value received for argument "output_mean". Expected finite numbers. Received NaN '
            "or infinite ones."
        )
    try:
        mean = np.broadcast_to(mean, shape)
    except ValueError:
        raise ValueError(
            f'Invalid value received for argument "output_mean". Expected a number or an array of shape {shape}. '
            f"Received an array of shape {mean.shape}"
        ) from None
    return np.asarray(likelihood.params_for_mean(mean), np.float32)


def _set_bias(layer, bias):
    if not isinstance(bias, str):
        layer.bias.assign(bias.reshape(layer.bias.shape))


def mlp(
    input_shape: int | Sequence[int] = 784,
    latent_dim: int = 20,
    *,
    hidden: int | Sequence[int] = 512,
    activation: str = "relu",
    posterior: posteriors.Posterior | None = None,
    likelihood: likelihoods.Likelihood | None = None,
    output_mean=None,
    conditions: Conditions | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Fully connected encoder and decoder, mirror images of each other.

    With its defaults this is the classic 784-512-20-512-784 VAE: relu, a diagonal Normal posterior
    given as `[mean, log_variance]`, Bernoulli logits. Images are flattened on the way in and shaped
    on the way out.

    Args:
        input_shape: shape of one example: 784, (784,) or (28, 28, 1).
        latent_dim: size of z.
        hidden: units of the encoder's hidden layers, first to last; the decoder has them in
            reverse.
        activation: of the hidden layers, any Keras name.
        posterior: how many parameters per latent dimension; diagonal `Normal` by default.
        likelihood: how many parameters per channel; `Bernoulli` by default.
        output_mean: mean of the data, a number or an array of shape `input_shape`: the decoder then
            starts from p(x) = the data's mean instead of one half, which saves the first epochs.
        conditions: what both networks are told beside x and z, by name: a number of classes for a
            label (an integer input), or a shape for continuous numbers.

    Returns:
        encoder: x [B, *input_shape] -> params [B, posterior.params_size(latent_dim)], input named
            "x".
        decoder: z [B, latent_dim] -> params [B, *input_shape with its last axis multiplied], input
            named "z".

    Raises:
        ValueError: for sizes that make no network.

    Example:
        >>> encoder, decoder = mlp(784, latent_dim=20, hidden=512)
        >>> encoder.output_shape, decoder.output_shape
        ((None, 40), (None, 784))
        >>> input_names(mlp(784, conditions={"label": 10, "angle": (1,)})[1])
        ['z', 'label', 'angle']
    """
    event_shape, hidden = as_tuple(input_shape), as_tuple(hidden)
    latent_dim = _checked_sizes("mlp", latent_dim, input_shape=event_shape, hidden=hidden)
    posterior = posterior or posteriors.Normal()
    likelihood = likelihood or likelihoods.Bernoulli()
    output_shape = (*event_shape[:-1], likelihood.params_size(event_shape[-1]))

    x, beside = keras.Input(event_shape, name="x"), _condition_inputs("mlp", conditions)
    h = keras.layers.Flatten()(x) if len(event_shape) > 1 else x
    h = _dense(_with_conditions(h, beside, conditions), hidden, activation)
    params = keras.layers.Dense(posterior.params_size(latent_dim))(h)
    encoder = _network(x, beside, params, "encoder")

    z, beside = keras.Input((latent_dim,), name="z"), _condition_inputs("mlp", conditions)
    h = _dense(_with_conditions(z, beside, conditions), hidden[::-1], activation)
    output = keras.layers.Dense(math.prod(output_shape))
    h = output(h)
    _set_bias(output, _initial_bias(likelihood, output_mean, event_shape))
    if len(event_shape) > 1:
        h = keras.layers.Reshape(output_shape)(h)
    return encoder, _network(z, beside, h, "decoder")


def _dense(h, sizes: tuple[int, ...], activation: str):
    for units in sizes:
        h = keras.layers.Dense(units, activation=activation)(h)
    return h


def table(
    likelihood: likelihoods.Mixed,
    latent_dim: int = 8,
    *,
    hidden: int | Sequence[int] = (128, 128),
    activation: str = "relu",
    posterior: posteriors.Posterior | None = None,
    has_missing: bool = False,
    conditions: Conditions | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Fully connected encoder and decoder for the rows of a table.

    The encoder standardises real columns and takes categories as one-hot vectors, so the model takes
    values as they are in the table.

    Args:
        likelihood: what the columns are.
        latent_dim: size of z.
        hidden: units of the encoder's hidden layers; the decoder has them in reverse.
        activation: of the hidden layers, any Keras name.
        posterior: how many parameters per latent dimension; diagonal `Normal` by default.
        has_missing: whether values may be missing: the encoder then asks for a "mask" like x, 1
            where a value is observed, and sees it.
        conditions: as of `mlp`.

    Returns:
        encoder: x [B, D] -> params [B, posterior.params_size(latent_dim)].
        decoder: z [B, latent_dim] -> params [B, likelihood.params_size(D)].

    Example:
        >>> from keras_vae.likelihoods import Block, Mixed, Normal
        >>> mixed = Mixed(blocks=[Block(likelihood=Normal(), indices=range(5))])
        >>> encoder, decoder = table(mixed, latent_dim=2)
        >>> encoder.output_shape, decoder.output_shape
        ((None, 4), (None, 10))
    """
    hidden = as_tuple(hidden)
    latent_dim = _checked_sizes("table", latent_dim, hidden=hidden)
    posterior = posterior or posteriors.Normal()
    columns = (likelihood.num_columns,)
    x, beside = keras.Input(columns, name="x"), _condition_inputs("table", conditions)
    observed = {"mask": keras.Input(columns, name="mask")} if has_missing else {}
    h = Features(likelihood)(x, *observed.values())
    h = _dense(_with_conditions(h, beside, conditions), hidden, activation)
    params = keras.layers.Dense(posterior.params_size(latent_dim))(h)
    encoder = _network(x, observed | beside, params, "encoder")

    z, beside = keras.Input((latent_dim,), name="z"), _condition_inputs("table", conditions)
    h = _dense(_with_conditions(z, beside, conditions), hidden[::-1], activation)
    output = keras.layers.Dense(likelihood.params_size(likelihood.num_columns))(h)
    return encoder, _network(z, beside, output, "decoder")


def conditional(
    conditions: Conditions,
    output_size: int,
    *,
    hidden: int | Sequence[int] = 128,
    activation: str = "relu",
) -> keras.Model:
    """A fully connected network of conditions alone, such as `priors.ConditionalNormal` takes.

    Args:
        conditions: as of `mlp`, at least one.
        output_size: 2 latent_dim, for a location and a log-variance.
        hidden: units of the hidden layers; () for none.
        activation: of the hidden layers, any Keras name.

    Example:
        >>> conditional({"label": 10}, output_size=2 * 20).output_shape
        (None, 40)
    """
    if not conditions:
        raise ValueError("A network of conditions needs at least one. Received none.")
    check_count("conditional", output_size=output_size)
    inputs = _condition_inputs("conditional", conditions)
    h = _dense(_flat_conditions(inputs, conditions), as_tuple(hidden), activation)
    return keras.Model(list(inputs.values()), keras.layers.Dense(output_size)(h), name="prior")


def conv(
    input_shape: Sequence[int] = (28, 28, 1),
    latent_dim: int = 20,
    *,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    units: int = 256,
    activation: str = "relu",
    posterior: posteriors.Posterior | None = None,
    likelihood: likelihoods.Likelihood | None = None,
    output_mean=None,
    conditions: Conditions | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Convolutional encoder and decoder for images; every level halves, or doubles, height and
    width.

    On a CPU these train faster in graph mode than under XLA, unlike `mlp`.

    Args:
        input_shape: (height, width, channels); sizes that do not halve evenly are cropped on the
            way out.
        latent_dim: size of z.
        filters: channels of the encoder's levels, first to last; the decoder has them in reverse.
        kernel_size: of every convolution.
        units: of the dense layer between the convolutions and z.
        activation: of all hidden layers, any Keras name.
        posterior: how many parameters per latent dimension; diagonal `Normal` by default.
        likelihood: how many parameters per channel; `Bernoulli` by default.
        output_mean: mean of the data, a number or an array that broadcasts to `input_shape`; the
            decoder's output bias, one per channel, starts from it.
        conditions: as of `mlp`; they meet x behind the convolutions.

    Returns:
        encoder, decoder: as `mlp` gives them.

    Raises:
        ValueError: for flat examples (use `mlp`), and for images too small for the levels.

    Example:
        >>> encoder, decoder = conv((28, 28, 1), latent_dim=20)
        >>> encoder.output_shape, decoder.output_shape
        ((None, 40), (None, 28, 28, 1))
    """
    event_shape, filters = as_tuple(input_shape), as_tuple(filters)
    latent_dim = _checked_sizes("conv", latent_dim, input_shape=event_shape, filters=filters)
    posterior = posterior or posteriors.Normal()
    likelihood = likelihood or likelihoods.Bernoulli()
    if len(event_shape) != 3:
        raise ValueError(
            f"conv takes images (height, width, channels). Received input_shape={event_shape}. For flat vectors "
            "use mlp, or load the images without flattening."
        )
    height, width, channels = event_shape
    halvings = 2 ** len(filters)
    if min(height, width) < halvings:
        raise ValueError(
            f"{len(filters)} levels need images of at least {halvings} x {halvings}. Received {height} x {width}. "
            "Use fewer filters."
        )

    x, beside = keras.Input(event_shape, name="x"), _condition_inputs("conv", conditions)
    h = x
    for channels_out in filters:
        h = keras.layers.Conv2D(channels_out, kernel_size, 2, "same", activation=activation)(h)
    inner_shape = (math.ceil(height / halvings), math.ceil(width / halvings), filters[-1])
    h = _with_conditions(keras.layers.Flatten()(h), beside, conditions)
    h = keras.layers.Dense(units, activation=activation)(h)
    params = keras.layers.Dense(posterior.params_size(latent_dim))(h)
    encoder = _network(x, beside, params, "encoder")

    z, beside = keras.Input((latent_dim,), name="z"), _condition_inputs("conv", conditions)
    h = _with_conditions(z, beside, conditions)
    h = keras.layers.Dense(units, activation=activation)(h)
    h = keras.layers.Dense(math.prod(inner_shape), activation=activation)(h)
    h = keras.layers.Reshape(inner_shape)(h)
    for channels_out in reversed(filters):
        h = keras.layers.Conv2DTranspose(
            channels_out, kernel_size, 2, "same", activation=activation
        )(h)
    grown_height, grown_width = (size * halvings for size in inner_shape[:2])
    if (grown_height, grown_width) != (height, width):
        h = keras.layers.Cropping2D(((0, grown_height - height), (0, grown_width - width)))(h)
    output = keras.layers.Conv2D(likelihood.params_size(channels), kernel_size, padding="same")
    h = output(h)
    if output_mean is not None:
        output_mean = np.broadcast_to(output_mean, event_shape).mean(axis=(0, 1))
    _set_bias(output, _initial_bias(likelihood, output_mean, (channels,)))
    return encoder, _network(z, beside, h, "decoder")
