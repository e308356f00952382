"""Networks called on what the names of their inputs ask for."""

import math

import keras
import tensorflow as tf


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
