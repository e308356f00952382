"""tf.data pipelines over examples in memory or on disk."""

import math
import os
from collections.abc import Callable, Mapping

import tensorflow as tf

from keras_vae.data.protocols import Protocol, chunk_rows
from keras_vae.data.records import Records
from keras_vae.data.streams import Stream, key, permutation

_PREFETCHED_BATCHES = 4


def training_batches(
    values: tf.Tensor | Records,
    protocol: Protocol,
    batch_size: int,
    seed: int,
    step: int,
    entries: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]] | None = None,
) -> tf.data.Dataset:
    """Returns the infinite stream of training batches from a global step on.

    Epoch `e` is steps `e * S ... (e + 1) * S - 1` with `S = N // batch_size`; it visits
    `S * batch_size` examples in an order that is a function of (seed, e), and draws of step `s`
    are a function of (seed, s). So the stream has no state: started anywhere, it yields what the
    uninterrupted stream would have yielded.

    Args:
        values: Stored examples [N, *event]; `Records` are read by several threads, ahead of time.
        protocol: What makes them float32 examples.
        batch_size: Examples per batch, at most N.
        seed: Seed of order and draws.
        step: Global step of the first batch.
        entries: Makes a dict of a batch of examples, their numbers and the step.

    Returns:
        A dataset of float32 batches [batch_size, *event], or of the dicts.
    """
    num_examples = len(values)
    steps_per_epoch = num_examples // batch_size
    first_epoch, skipped_steps = divmod(step, steps_per_epoch)

    def steps_of(epoch):
        order = permutation(num_examples, key(seed, Stream.ORDER, epoch))
        indices = tf.reshape(order[: steps_per_epoch * batch_size], [steps_per_epoch, batch_size])
        steps = epoch * steps_per_epoch + tf.range(steps_per_epoch, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((steps, indices))

    def batch_of(step, indices):
        x = protocol(_take(values, indices), key(seed, Stream.TRAINING_DRAWS, step))
        return x if entries is None else entries(x, indices, step)

    dataset = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(steps_of)
    dataset = dataset.skip(skipped_steps).map(batch_of, num_parallel_calls=_readers(values))
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return _tuned(dataset.apply(endless))


def evaluation_batches(
    values: tf.Tensor | Records,
    protocol: Protocol,
    batch_size: int,
    stream: Stream,
    beside: Mapping[str, tf.Tensor],
) -> tf.data.Dataset:
    """Returns one pass over all examples in order, the last batch being what is left.

    Args:
        values: Stored examples [N, *event], drawn already if the protocol draws; `Records` are drawn
            as they are read, with the same result.
        protocol: What makes them float32 examples.
        batch_size: Examples per batch, but for the last.
        stream: The split's stream.
        beside: What stands beside x, by name, [N, ...] each.

    Returns:
        A finite dataset of float32 batches [at most batch_size, *event], or of dicts of "x" and what
        stands beside it.
    """
    is_drawn = isinstance(values, Records) and protocol.draw is not None
    rows = chunk_rows(values.event_shape) if is_drawn else batch_size

    def part(number):
        start = number * rows
        indices = tf.range(start, tf.minimum(start + rows, len(values)))
        taken = _take(values, indices)
        if is_drawn:
            return protocol.held_out(taken, stream, number)
        x = protocol.scale(taken)
        if not beside:
            return x
        return {"x": x, **{name: tf.gather(held, indices) for name, held in beside.items()}}

    parts = tf.data.Dataset.range(math.ceil(len(values) / rows))
    dataset = parts.map(part, num_parallel_calls=_readers(values))
    num_batches = tf.data.experimental.assert_cardinality(math.ceil(len(values) / batch_size))
    return _tuned(dataset.rebatch(batch_size).apply(num_batches) if is_drawn else dataset)


def _take(values: tf.Tensor | Records, indices: tf.Tensor) -> tf.Tensor:
    return values.gather(indices) if isinstance(values, Records) else tf.gather(values, indices)


def _readers(values: tf.Tensor | Records) -> int | None:
    """Batches that are made at a time."""
    return os.cpu_count() if isinstance(values, Records) else None


def _tuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # the tuner stalls short epochs, waiting for its own timer
    options.deterministic = True
    # Several workers take their rows of every batch, not every so many batches.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(_PREFETCHED_BATCHES).with_options(options)
