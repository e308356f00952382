"""What a model serves: pure functions with named inputs and outputs, for SavedModel and LiteRT."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae.export._audit import refuse_random_ops
from keras_vae.models import VAE
from keras_vae.sampling import normals

tfd = tfp.distributions

__all__ = ["endpoints"]

Specs: TypeAlias = dict[str, tf.TensorSpec]
Outputs: TypeAlias = dict[str, tf.Tensor]


def endpoints(
    vae: VAE, names: Sequence[str] | None = None, *, batch_size: int | None = None
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Traces what a model serves; nothing is drawn but by `generate`, from the seed it is given.

        encode       x [B, *event]                  -> location [B, D]; stddev [B, D] if q has it
        decode       z [B, D]                       -> mean [B, *event]
        reconstruct  x [B, *event]                  -> mean [B, *event]
        generate     num_samples [], seed int32 [2] -> mean [num_samples, *event]

    `mean` is what the likelihood shows for p(x|z): its mean, or (`Categorical`) the most probable
    category. `reconstruct` is the deterministic one, `generate` is `vae.generate`. Whatever else
    the encoder or the decoder asks for is one more input, under the name and with the type of the
    `keras.Input`; all other numbers are float32, whatever the networks compute in.

    Args:
        vae: the model.
        names: which endpoints to trace; all by default.
        batch_size: number of rows that every call takes; any by default.

    Returns:
        Concrete functions by name, called with keywords: `decode(z=...)["mean"]`.

    Raises:
        ValueError: for unknown names, for inputs whose names cannot be served, and where a network
            draws random numbers; the message names the signature, the op and the layer.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> vae = VAE(*networks.mlp(784, latent_dim=20), likelihood=likelihoods.Bernoulli())
        >>> generate = endpoints(vae, ["generate"])["generate"]
        >>> generate(num_samples=tf.constant(4), seed=tf.constant([7, 0]))["mean"].shape
        TensorShape([4, 784])
    """
    names = list(_ENDPOINTS) if names is None else names
    if unknown := set(names) - set(_ENDPOINTS):
        raise ValueError(f"There is no endpoint {sorted(unknown)}. Expected: {list(_ENDPOINTS)}")
    traced = {}
    for name in names:
        function, specs = _ENDPOINTS[name](vae, batch_size)
        traced[name] = tf.function(_in_float32(function)).get_concrete_function(**specs)
        refuse_random_ops(name, traced[name])
    return traced


def _encode(vae: VAE, batch_size) -> tuple[Callable[..., Outputs], Specs]:
    def encode(**inputs):
        posterior, params = vae.now(vae.posterior), vae.encode(inputs)
        location = posterior.location(params)
        return {"location": location} | _stddev(posterior.distribution(params))

    return encode, _data_specs(vae, batch_size)


def _decode(vae: VAE, batch_size) -> tuple[Callable[..., Outputs], Specs]:
    def decode(z, **conditions):
        return {"mean": vae.now(vae.likelihood).location(vae.decode_params(z, conditions))}

    z = tf.TensorSpec((batch_size, vae.latent_dim), tf.float32)
    return decode, _joined({"z": z}, _condition_specs(vae, batch_size))


def _reconstruct(vae: VAE, batch_size) -> tuple[Callable[..., Outputs], Specs]:
    def reconstruct(**inputs):
        return {"mean": vae.call(inputs)}

    return reconstruct, _data_specs(vae, batch_size) | _condition_specs(vae, batch_size)


def _generate(vae: VAE, batch_size) -> tuple[Callable[..., Outputs], Specs]:
    def generate(num_samples, seed, **conditions):
        noise = normals(seed, num_samples, vae.prior.noise_size)
        params = vae.decode_params(vae.prior.transform(noise, conditions), conditions)
        return {"mean": vae.now(vae.likelihood).location(params)}

    drawn = {"num_samples": tf.TensorSpec((), tf.int32), "seed": tf.TensorSpec((2,), tf.int32)}
    return generate, _joined(drawn, _condition_specs(vae, batch_size))


_ENDPOINTS = {
    "encode": _encode,
    "decode": _decode,
    "reconstruct": _reconstruct,
    "generate": _generate,
}


def _in_float32(function: Callable[..., Outputs]) -> Callable[..., Outputs]:
    def served(**inputs):
        return {name: tf.cast(value, tf.float32) for name, value in function(**inputs).items()}

    return served


def _stddev(q: tfd.Distribution) -> Outputs:
    """The standard deviations of q where it knows them; a flow does not."""
    try:
        return {"stddev": q.stddev()}
    except NotImplementedError:
        return {}


def _data_specs(vae: VAE, batch_size) -> Specs:
    """The data, and what else the encoder asks for."""
    x = tf.TensorSpec((batch_size, *vae.event_shape), tf.float32)
    inputs = vae.encoder.inputs if len(vae.encoder.inputs) > 1 else []
    others = {tensor.name: _spec(tensor, batch_size) for tensor in inputs if tensor.name != "x"}
    return _joined({"x": x}, others)


def _condition_specs(vae: VAE, batch_size) -> Specs:
    return {name: _spec(tensor, batch_size) for name, tensor in vae.conditions.items()}


def _spec(tensor: keras.KerasTensor, batch_size) -> tf.TensorSpec:
    return tf.TensorSpec((batch_size, *tensor.shape[1:]), tensor.dtype)


def _joined(main: Specs, conditions: Specs) -> Specs:
    for name in conditions:
        if name in main or not name.isidentifier():
            raise ValueError(
                f"The networks' input {name!r} cannot be served under its name, which has to be a "
                f"Python identifier other than {sorted(main)}. Rename that keras.Input."
            )
    return main | conditions
