"""The trained network that every evaluating peer is given, and how peers are timed. Only NumPy and the standard
library are used here.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCHES = (1, 8, 64, 512, 4096)


def folder() -> Path:
    """Where the trained network and the examples are."""
    return Path(sys.argv[1])


def variant() -> str:
    """What the command line asks a peer for beside the folder."""
    return sys.argv[2]


def weights() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Encoder and decoder: kernel, bias, kernel, bias each."""
    with np.load(folder() / "weights.npz") as arrays:
        kept = [arrays[name] for name in arrays.files]
    return kept[: len(kept) // 2], kept[len(kept) // 2 :]


def examples() -> np.ndarray:
    """Binary test images, float32 [N, 784]."""
    return np.load(folder() / "x.npy")


def report_estimate(estimate: Callable[[np.ndarray, int], dict]) -> None:
    """Times `estimate(x, k)`, which gives the mean log p(x): cold on 100 examples, then on all."""
    x, k = examples(), int(sys.argv[3])
    begun = time.perf_counter()
    estimate(x[:100], k)
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    result = estimate(x, k)
    seconds = time.perf_counter() - begun
    print(json.dumps({"decodes_per_second": len(x) * k / seconds, "first": first, **result}))


def report_calls(prepare: Callable[[int], Callable[[], object]]) -> None:
    """Times, for each batch size n, the call `prepare(n)`: items per second."""
    seconds, rates = float(sys.argv[3]), {}
    for n in BATCHES:
        call = prepare(n)
        for _ in range(3):
            call()
        calls, begun = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds:
            call()
            calls += 1
        rates[n] = calls * n / elapsed
    print(json.dumps(rates))
