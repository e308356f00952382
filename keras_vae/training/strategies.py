"""Several devices or machines: TensorFlow's own strategies, by name."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from keras_vae._parts import check_known

STRATEGIES = {
    "none": tf.distribute.get_strategy,
    "mirrored": tf.distribute.MirroredStrategy,
    "multiworker": tf.distribute.MultiWorkerMirroredStrategy,
}
"""One device; the devices of this machine; those of the machines that TF_CONFIG lists."""


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of that name; "multiworker" has to be made before TensorFlow runs anything.

    Raises:
        ValueError: for an unknown name, and for "multiworker" where TF_CONFIG does not say which
            machines there are and which is this one.
    """
    check_known("strategy", name, STRATEGIES)
    if name == "multiworker" and not os.environ.get("TF_CONFIG"):
        raise ValueError(
            "The strategy multiworker needs the environment variable TF_CONFIG on every machine, such as "
            '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}} '
            "on the first. On one machine use mirrored."
        )
    return STRATEGIES[name]()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.cluster_spec():
        return True
    if cluster.task_type == "chief":
        return True
    has_chief = "chief" in cluster.cluster_spec().jobs
    return cluster.task_type == "worker" and cluster.task_id == 0 and not has_chief


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every process has come to this point."""

    @tf.function
    def count():
        one = strategy.run(lambda: tf.constant(1.0))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None)

    count()


@contextlib.contextmanager
def named_losses_of_peers() -> Iterator[None]:
    """Says in words that another process of the job is gone, instead of in TensorFlow's."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise RuntimeError(
            "Another worker is gone, so this one stopped; the last complete epoch is kept. Start all "
            f"workers again with --resume. (TensorFlow: {str(error).splitlines()[0]})"
        ) from error
