import re
from collections.abc import Iterator

import tensorflow as tf

# Control flow and calls share the prefixes "Stateless" and "Stateful" with random ops.
_RANDOM = re.compile(
    "Random|Rng|^Stateful(?!PartitionedCall)|^Stateless(?!If|While|Case)|TruncatedNormal"
    "|Multinomial|NonDeterministicInts|CandidateSampler|SampleDistorted"
)


def nodes(function: tf.types.experimental.ConcreteFunction) -> Iterator:
    """Every node of a function's graph, those of the functions that it calls included."""
    graph = function.graph.as_graph_def()  # pyright: ignore[reportAttributeAccessIssue]
    yield from graph.node
    for called in graph.library.function:
        yield from called.node_def


def refuse_random_ops(name: str, function: tf.types.experimental.ConcreteFunction) -> None:
    """Raises `ValueError` where the signature `name` draws random numbers."""
    drawn = {node.name: node.op for node in nodes(function) if _RANDOM.search(node.op)}
    if drawn:
        places = ", ".join(f"{op} at {node!r}" for node, op in drawn.items())
        raise ValueError(
            f"The signature {name!r} draws random numbers, so nothing was exported: {places}. "
            "Expected a function of its inputs alone. Take the noise as an input of the network, "
            "or move the sampling out of it: exported models sample through generate(seed)."
        )
