"""Encoders and decoders of the usual kinds."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_vae import likelihoods, posteriors
from keras_vae._parts import as_tuple, check_count
from keras_vae.networks.conditions import (
    Conditions,
    condition_inputs,
    flat_conditions,
    network_of,
    with_conditions,
)
from keras_vae.networks.layers import Features, activated, dense, seen


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
        activation: of the hidden layers, any Keras name; "glu" for gated ones, a * sigmoid(b).
        posterior: how many parameters per latent dimension; diagonal `Normal` by default.
        likelihood: how many parameters per channel; `Bernoulli` by default. Of counts the encoder sees
            the logarithms, standardised as the likelihood says.
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
        >>> [tensor.name for tensor in mlp(784, conditions={"label": 10, "angle": (1,)})[1].inputs]
        ['z', 'label', 'angle']
    """
    event_shape, hidden = as_tuple(input_shape), as_tuple(hidden)
    latent_dim = _checked_sizes("mlp", latent_dim, input_shape=event_shape, hidden=hidden)
    posterior = posterior or posteriors.Normal()
    likelihood = likelihood or likelihoods.Bernoulli()
    output_shape = (*event_shape[:-1], likelihood.params_size(event_shape[-1]))

    x, beside = keras.Input(event_shape, name="x"), condition_inputs("mlp", conditions)
    h = seen(x, likelihood)
    h = keras.layers.Flatten()(h) if len(event_shape) > 1 else h
    h = dense(with_conditions(h, beside, conditions), hidden, activation)
    params = keras.layers.Dense(posterior.params_size(latent_dim))(h)
    encoder = network_of(x, beside, params, "encoder")

    z, beside = keras.Input((latent_dim,), name="z"), condition_inputs("mlp", conditions)
    h = dense(with_conditions(z, beside, conditions), hidden[::-1], activation)
    output = keras.layers.Dense(math.prod(output_shape))
    h = output(h)
    _set_bias(output, _initial_bias(likelihood, output_mean, event_shape))
    if len(event_shape) > 1:
        h = keras.layers.Reshape(output_shape)(h)
    return encoder, network_of(z, beside, h, "decoder")


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
        activation: of the hidden layers, any Keras name; "glu" for gated ones, a * sigmoid(b).
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
    x, beside = keras.Input(columns, name="x"), condition_inputs("table", conditions)
    observed = {"mask": keras.Input(columns, name="mask")} if has_missing else {}
    h = Features(likelihood)(x, *observed.values())
    h = dense(with_conditions(h, beside, conditions), hidden, activation)
    params = keras.layers.Dense(posterior.params_size(latent_dim))(h)
    encoder = network_of(x, observed | beside, params, "encoder")

    z, beside = keras.Input((latent_dim,), name="z"), condition_inputs("table", conditions)
    h = dense(with_conditions(z, beside, conditions), hidden[::-1], activation)
    output = keras.layers.Dense(likelihood.params_size(likelihood.num_columns))(h)
    return encoder, network_of(z, beside, output, "decoder")


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
        activation: of the hidden layers, any Keras name; "glu" for gated ones, a * sigmoid(b).

    Example:
        >>> conditional({"label": 10}, output_size=2 * 20).output_shape
        (None, 40)
    """
    if not conditions:
        raise ValueError("A network of conditions needs at least one. Received none.")
    check_count("conditional", output_size=output_size)
    hidden = as_tuple(hidden)
    for units in hidden:
        check_count("conditional", hidden=units)
    inputs = condition_inputs("conditional", conditions)
    h = dense(flat_conditions(inputs, conditions), hidden, activation)
    return keras.Model(list(inputs.values()), keras.layers.Dense(output_size)(h), name="prior")


def discriminator(
    latent_dim: int = 20,
    *,
    hidden: int | Sequence[int] = (256, 256),
    activation: str = "leaky_relu",
) -> keras.Model:
    """A fully connected network that tells two kinds of z apart, such as `objectives.FactorVAE` and
    `objectives.AdversarialAutoencoder` take; float32 under any policy.

    Smaller than in the papers (six hidden layers of 1000, four of 512), so that it costs no more than
    the model that it is for: raise `hidden` for theirs.

    Args:
        latent_dim: size of z.
        hidden: units of the hidden layers, first to last.
        activation: of the hidden layers, any Keras name; "glu" for gated ones.

    Returns:
        z [B, latent_dim] -> logit [B, 1].

    Example:
        >>> discriminator(20).output_shape
        (None, 1)
    """
    hidden = as_tuple(hidden)
    latent_dim = _checked_sizes("discriminator", latent_dim, hidden=hidden)
    h = z = keras.Input((latent_dim,), name="z", dtype="float32")
    for units in hidden:
        h = activated(keras.layers.Dense, h, activation, units, dtype="float32")
    return keras.Model(z, keras.layers.Dense(1, dtype="float32")(h), name="discriminator")


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
        activation: of all hidden layers, as of `mlp`.
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

    x, beside = keras.Input(event_shape, name="x"), condition_inputs("conv", conditions)
    h = seen(x, likelihood)
    for channels_out in filters:
        h = activated(keras.layers.Conv2D, h, activation, channels_out, kernel_size, 2, "same")
    inner_shape = (math.ceil(height / halvings), math.ceil(width / halvings), filters[-1])
    h = with_conditions(keras.layers.Flatten()(h), beside, conditions)
    h = dense(h, (units,), activation)
    params = keras.layers.Dense(posterior.params_size(latent_dim))(h)
    encoder = network_of(x, beside, params, "encoder")

    z, beside = keras.Input((latent_dim,), name="z"), condition_inputs("conv", conditions)
    h = with_conditions(z, beside, conditions)
    h = dense(h, (units, math.prod(inner_shape)), activation)
    h = keras.layers.Reshape(inner_shape)(h)
    for channels_out in reversed(filters):
        transposed = (channels_out, kernel_size, 2, "same")
        h = activated(keras.layers.Conv2DTranspose, h, activation, *transposed)
    grown_height, grown_width = (size * halvings for size in inner_shape[:2])
    if (grown_height, grown_width) != (height, width):
        h = keras.layers.Cropping2D(((0, grown_height - height), (0, grown_width - width)))(h)
    output = keras.layers.Conv2D(likelihood.params_size(channels), kernel_size, padding="same")
    h = output(h)
    if output_mean is not None:
        output_mean = np.broadcast_to(output_mean, event_shape).mean(axis=(0, 1))
    _set_bias(output, _initial_bias(likelihood, output_mean, (channels,)))
    return encoder, network_of(z, beside, h, "decoder")
