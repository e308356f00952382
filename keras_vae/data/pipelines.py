"""tf.data pipelines over arrays in memory."""

import tensorflow as tf

from keras_vae.data.protocols import Protocol
from keras_vae.data.streams import Stream, key, permutation

_PREFETCHED_BATCHES = 4


def training_batches(
    values: tf.Tensor, protocol: Protocol, batch_size: int, seed: int, step: int
) -> tf.data.Dataset:
    """Returns the infinite stream of training batches from a global step on.

    Epoch `e` is steps `e * S ... (e + 1) * S - 1` with `S = N // batch_size`; it visits
    `S * batch_size` examples in an order that is a function of (seed, e), and draws of step `s`
    are a function of (seed, s). So the stream has no state: started anywhere, it yields what the
    uninterrupted stream would have yielded.

    Args:
        values: Stored examples [N, *event].
        protocol: What makes them float32 examples.
        batch_size: Examples per batch, at most N.
        seed: Seed of order and draws.
        step: Global step of the first batch.

    Returns:
        A dataset of float32 batches [batch_size, *event].
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
        return protocol(tf.gather(values, indices), key(seed, Stream.TRAINING_DRAWS, step))

    dataset = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(steps_of)
    dataset = dataset.skip(skipped_steps).map(batch_of)
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return _tuned(dataset.apply(endless))


def evaluation_batches(values: tf.Tensor, protocol: Protocol, batch_size: int) -> tf.data.Dataset:
    """Returns one pass over all examples in order, the last batch being what is left.

    Args:
        values: Stored examples [N, *event], drawn already if the protocol draws.
        protocol: What makes them float32 examples.
        batch_size: Examples per batch, but for the last.

    Returns:
        A finite dataset of float32 batches [at most batch_size, *event].
    """

    def batch_from(start):
        return protocol.scale(values[start : start + batch_size])

    return _tuned(tf.data.Dataset.range(0, len(values), batch_size).map(batch_from))


def _tuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # the tuner stalls short epochs, waiting for its own timer
    options.deterministic = True
    # Several workers take their rows of every batch, not every so many batches.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(_PREFETCHED_BATCHES).with_options(options)
