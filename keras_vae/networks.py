"""Encoders and decoders: plain Keras models, ready to use as they are or to be replaced by your
own.

An encoder maps x to the posterior's parameters, a decoder maps z to the likelihood's. Builders ask
both parts how many parameters they take, so networks and parts always fit.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_vae import likelihoods, posteriors
from keras_vae._parts import as_tuple, check_count

__all__ = ["call_by_name", "conv", "input_names", "mlp", "over_samples", "widest_layer"]


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
    """
    event_shape, hidden = as_tuple(input_shape), as_tuple(hidden)
    latent_dim = _checked_sizes("mlp", latent_dim, input_shape=event_shape, hidden=hidden)
    posterior = posterior or posteriors.Normal()
    likelihood = likelihood or likelihoods.Bernoulli()
    output_shape = (*event_shape[:-1], likelihood.params_size(event_shape[-1]))

    x = keras.Input(event_shape, name="x")
    h = keras.layers.Flatten()(x) if len(event_shape) > 1 else x
    for units in hidden:
        h = keras.layers.Dense(units, activation=activation)(h)
    encoder = keras.Model(
        x, keras.layers.Dense(posterior.params_size(latent_dim))(h), name="encoder"
    )

    z = keras.Input((latent_dim,), name="z")
    h = z
    for units in reversed(hidden):
        h = keras.layers.Dense(units, activation=activation)(h)
    output = keras.layers.Dense(math.prod(output_shape))
    h = output(h)
    _set_bias(output, _initial_bias(likelihood, output_mean, event_shape))
    if len(event_shape) > 1:
        h = keras.layers.Reshape(output_shape)(h)
    return encoder, keras.Model(z, h, name="decoder")


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

    x = keras.Input(event_shape, name="x")
    h = x
    for channels_out in filters:
        h = keras.layers.Conv2D(channels_out, kernel_size, 2, "same", activation=activation)(h)
    inner_shape = (math.ceil(height / halvings), math.ceil(width / halvings), filters[-1])
    h = keras.layers.Dense(units, activation=activation)(keras.layers.Flatten()(h))
    encoder = keras.Model(
        x, keras.layers.Dense(posterior.params_size(latent_dim))(h), name="encoder"
    )

    z = keras.Input((latent_dim,), name="z")
    h = keras.layers.Dense(units, activation=activation)(z)
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
    return encoder, keras.Model(z, h, name="decoder")
