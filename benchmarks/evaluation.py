r"""Evaluation, side by side: log p(x) by importance sampling, generation and scoring.

    python benchmarks/evaluation.py --torch-python .venv-torch/bin/python \
        --output benchmarks/results/evaluation.json

The 784-512-20 network is trained on binarised MNIST for three epochs, and every peer gets its weights.
Each is a process of its own, with all cores; they take turns (A B C, A B C, ...), and medians and
ranges over the rounds are printed. The estimates have to agree, or nothing is printed. A call of
`log_likelihood` is timed whole, with the tracing that it begins with.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

import machine
from contest import interpreter, report  # before what is in peers/
from trained import BATCHES

# Name: program, variant, environment.
ESTIMATES = {
    "keras_vae": ("estimate_ours.py", "", "own"),
    "NumPy, a loop over examples": ("estimate_numpy.py", "", "own"),
    "PyTorch, a loop over examples": ("estimate_torch.py", "", "torch"),
    "pythae": ("estimate_pythae.py", "default", "torch"),
    "pythae, batch_size=k": ("estimate_pythae.py", "whole", "torch"),
}
CALLS = {
    "`vae.generate`": ("calls_ours.py", "arrays", "own"),
    "served `generate`": ("calls_ours.py", "generate", "own"),
    "PyTorch, generate": ("calls_torch.py", "generate", "torch"),
    "served `score`": ("calls_ours.py", "score", "own"),
    "PyTorch, score": ("calls_torch.py", "score", "torch"),
}
MOST_ERRORS = 5  # standard errors of Monte Carlo between two estimates of one number


def train(folder: Path, num_examples: int) -> None:
    """Writes the trained model, its weights and the examples that it is evaluated on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np

    from keras_vae import data
    from keras_vae.training import Recipe

    mnist = data.load("mnist", flatten=True)
    vae = Recipe(epochs=3).build(mnist)
    vae.fit(mnist.train, steps_per_epoch=mnist.steps_per_epoch, verbose=0)
    vae.save(folder / "vae.keras")
    np.savez(folder / "weights.npz", *vae.encoder.get_weights(), *vae.decoder.get_weights())
    np.save(folder / "x.npy", mnist.examples("test", num_examples))


def rounds(contestants: dict, folder: Path, argument: str, given) -> dict[str, list[dict]]:
    """What every contestant reports, round by round; left out where its environment is missing."""
    pythons = {"own": sys.executable, "torch": given.torch_python}
    runs = {name: [] for name, (_, _, environment) in contestants.items() if pythons[environment]}
    for number in range(given.rounds):
        for name, results in runs.items():
            program, variant, environment = contestants[name]
            words = (program, str(folder), variant, argument)
            results.append(report(pythons[environment], *words))
            print(f"round {number + 1} of {given.rounds}: {name}", file=sys.stderr)
    return runs


def estimate_rows(runs: dict[str, list[dict]]) -> list[dict]:
    """Medians and ranges, and how far each estimate of log p(x) is from keras_vae's."""
    ours = runs["keras_vae"][0]
    error = math.sqrt(2) * ours["monte_carlo_error"]
    table = []
    for name, results in runs.items():
        speeds = [each["decodes_per_second"] for each in results]
        off = (results[0]["log_likelihood"] - ours["log_likelihood"]) / error
        if abs(off) > MOST_ERRORS:
            raise SystemExit(f"{name} estimates another log p(x): {off:.1f} standard errors off.")
        table.append(
            {
                "name": name,
                "decodes_per_second": statistics.median(speeds),
                "lowest": min(speeds),
                "highest": max(speeds),
                "first": statistics.median(each["first"] for each in results),
                "log_likelihood": results[0]["log_likelihood"],
                "standard_errors_off": off,
            }
        )
    return table


def estimates_table(table: list[dict]) -> str:
    ours = table[0]["decodes_per_second"]
    lines = [
        "| | decodes/s | range | keras_vae is faster by | first 100 examples | log p(x) | off by |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        lines.append(
            f"| {row['name']} | {row['decodes_per_second']:,.0f} | {row['lowest']:,.0f} - "
            f"{row['highest']:,.0f} | {ours / row['decodes_per_second']:.2f}x | {row['first']:.1f} s | "
            f"{row['log_likelihood']:.3f} | {row['standard_errors_off']:+.1f} s.e. |"
        )
    return "\n".join(lines)


def calls_table(table: dict[str, dict]) -> str:
    lines = [
        "| images/s at batch | " + " | ".join(f"{n:,}" for n in BATCHES) + " |",
        "|---" * (1 + len(BATCHES)) + "|",
    ]
    for name, rates in table.items():
        lines.append(f"| {name} | " + " | ".join(f"{rates[str(n)]:,.0f}" for n in BATCHES) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=300, help="test images for log p(x)")
    parser.add_argument("--num-samples", type=int, default=500, help="importance samples k")
    parser.add_argument("--seconds", type=float, default=0.5, help="per batch size and round")
    parser.add_argument(
        "--torch-python", type=interpreter, help="an interpreter with torch, numpy and pythae"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    results = {**machine.describe(), "examples": given.examples, "num_samples": given.num_samples}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        train(folder, given.examples)
        runs = rounds(ESTIMATES, folder, str(given.num_samples), given)
        results["estimates"] = estimate_rows(runs)
        print(f"\nlog p(x) of {given.examples:,} test images, k={given.num_samples}\n")
        print(estimates_table(results["estimates"]) + "\n", flush=True)
        machine.save(results, given.output)

        runs = rounds(CALLS, folder, str(given.seconds), given)
        results["calls"] = {
            name: {n: statistics.median(each[n] for each in reports) for n in reports[0]}
            for name, reports in runs.items()
        }
        print("\n" + calls_table(results["calls"]))
        machine.save(results, given.output)


if __name__ == "__main__":
    main()
