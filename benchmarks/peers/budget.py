"""Training with equal compute: the same images in, the weights of the classic network out.

Only NumPy and the standard library are used here.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


class Budget:
    """Processor seconds, of all threads, from the start of the process; tells when they are spent."""

    def __init__(self):
        self.seconds, self.epochs = float(sys.argv[2]), 0

    def step(self) -> None:
        """An update is done."""

    def epoch(self) -> bool:
        """An epoch is done; whether that was the last."""
        self.epochs += 1
        return time.process_time() >= self.seconds


def images() -> tuple[np.ndarray, np.ndarray]:
    """Training and validation images, float32 [N, 28, 28, 1], pixels drawn once."""
    with np.load(Path(sys.argv[1]) / "images.npz") as arrays:
        return tuple(arrays[name].astype(np.float32) for name in ("train", "validation"))


def report(budget: Budget, encoder: list[np.ndarray], decoder: list[np.ndarray]) -> None:
    """Saves the weights, kernel and bias of each layer, and prints what they cost as JSON."""
    path = Path(sys.argv[1]) / f"{Path(sys.argv[0]).stem}.npz"
    np.savez(path, *encoder, *decoder)
    result = {"weights": str(path), "epochs": budget.epochs, "cpu_seconds": time.process_time()}
    print("\n" + json.dumps(result))
