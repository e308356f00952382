"""Rows per second of `keras_vae.beam` on this machine: the demo's model scores 100,000 images.

    python benchmarks/beam.py --model demo/export --output benchmarks/results/beam.json

Each job is a process of its own, from its start to its end: TensorFlow's start and, with two workers,
theirs are in its time.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np

OPTIONS = {1: (), 2: ("--direct_running_mode=multi_processing", "--direct_num_workers=2")}


def rows_per_second(model: Path, num_rows: int, workers: int, folder: Path) -> float:
    """Of one job."""
    np.save(
        folder / "x.npy",
        (np.random.default_rng(0).random((num_rows, 28, 28, 1)) < 0.13).astype(np.uint8),
    )
    words = ["-m", "keras_vae_cli", "beam", "score", "--model", str(model)]
    words += ["--input", str(folder / "x.npy"), "--output", str(folder / "out")]
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *words, "--", *OPTIONS[workers]], check=True, capture_output=True
    )
    return num_rows / (time.perf_counter() - begun)


def main(model: Path, num_rows: int, output: Path | None) -> None:
    results = {**machine.describe(), "rows": num_rows, "rows_per_second": {}}
    print("| workers | rows/s |\n|---|---|")
    for workers in OPTIONS:
        with tempfile.TemporaryDirectory() as folder:
            rate = rows_per_second(model, num_rows, workers, Path(folder))
        results["rows_per_second"][workers] = rate
        print(f"| {workers} | {rate:,.0f} |")
    machine.save(results, output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--num-rows", type=int, default=100_000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    main(arguments.model, arguments.num_rows, arguments.output)
