r"""Training speed, side by side: keras_vae, Keras by hand, PyTorch by hand, other libraries.

    python benchmarks/training.py --torch-python .venv-torch/bin/python \
        --output benchmarks/results/training.json

Every peer is a process of its own, with all cores, on the same network, batch, data and float32; the
peers take turns (A B C, A B C, ...), and medians and ranges over the rounds are printed. The others
join where `--torch-python` and `--rapidae-python` name interpreters that have them.
"""

import argparse
import statistics
import sys
from pathlib import Path

import machine
from contest import interpreter, report  # before what is in peers/
from task import TASKS

# Name: program, variant, environment.
CONTESTANTS = {
    "keras_vae": ("ours.py", "tuned", "own"),
    "keras_vae, plain compile and fit": ("ours.py", "default", "own"),
    "Keras, a tutorial's train_step": ("keras_step.py", "plain", "own"),
    "PyTorch with a DataLoader": ("torch_loop.py", "loader", "torch"),
    "PyTorch on a tensor": ("torch_loop.py", "tensors", "torch"),
    "PyTorch, torch.compile": ("torch_loop.py", "compile", "torch"),
    "pythae": ("pythae_trainer.py", "plain", "torch"),
    "rapidae": ("rapidae_trainer.py", "plain", "rapidae"),
}
PEAK = "large float32 matrix product"
BARE = "the step's own matrix products, bare"


def measure(
    task: str, contestant: str, seconds: float, pythons: dict[str, str | None]
) -> dict | None:
    """What one contestant reports, or None where its environment is missing."""
    program, variant, environment = CONTESTANTS[contestant]
    if (python := pythons[environment]) is None:
        return None
    return report(python, program, task, variant, str(seconds))


def products(task: str, seconds: float) -> dict:
    """GFLOP/s of a large matrix product, and of the task's own products for one step after another."""
    return report(sys.executable, "products.py", task, "bare", str(seconds))


def rows(task: str, runs: dict[str, list[dict]], bare: list[dict]) -> list[dict]:
    """Medians and ranges, by contestant."""
    work = TASKS[task].flops()
    peak = statistics.median(each["peak_gflops"] for each in bare)
    table = []
    for name, results in runs.items():
        speeds = [each["images_per_second"] for each in results]
        table.append(
            {
                "name": name,
                "images_per_second": statistics.median(speeds),
                "lowest": min(speeds),
                "highest": max(speeds),
                "share_of_peak": statistics.median(speeds) * work / 1e9 / peak,
                "peak_megabytes": statistics.median(each["peak_megabytes"] for each in results),
                "first_step": statistics.median(each["first_step"] for each in results),
            }
        )
    return table


def markdown(table: list[dict]) -> str:
    """The table as a document shows it."""
    ours = table[0]["images_per_second"]
    lines = [
        "| | images/s | range | keras_vae is faster by | of peak | memory | first step |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        lines.append(
            f"| {row['name']} | {row['images_per_second']:,.0f} | {row['lowest']:,.0f} - "
            f"{row['highest']:,.0f} | {ours / row['images_per_second']:.2f}x | "
            f"{row['share_of_peak']:.0%} | {row['peak_megabytes'] / 1000:.2f} GB | "
            f"{row['first_step']:.1f} s |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", action="append", choices=list(TASKS), help="all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of timed epochs in a round")
    parser.add_argument(
        "--torch-python", type=interpreter, help="an interpreter with torch, numpy and pythae"
    )
    parser.add_argument(
        "--rapidae-python", type=interpreter, help="an interpreter with tensorflow and rapidae"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    pythons = {
        "own": sys.executable,
        "torch": given.torch_python,
        "rapidae": given.rapidae_python,
    }
    results = {**machine.describe(), "tasks": {}}
    for task in given.task or TASKS:
        runs, bare = {}, []
        for number in range(given.rounds):
            bare.append(products(task, given.seconds / 2))
            for name in CONTESTANTS:
                if (result := measure(task, name, given.seconds, pythons)) is not None:
                    runs.setdefault(name, []).append(result)
            print(f"{task}: round {number + 1} of {given.rounds} is done", file=sys.stderr)
        table = rows(task, runs, bare)
        whole = table[0]["images_per_second"]
        alone = statistics.median(each["bare_images_per_second"] for each in bare)
        peak = statistics.median(each["peak_gflops"] for each in bare)
        results["tasks"][task] = {"rows": table, "peak_gflops": peak}
        print(f"\n{task}\n\n{markdown(table)}\n")
        print(f"{PEAK}: {peak:.0f} GFLOP/s")
        if not TASKS[task].convolutional:
            share = {"bare_images_per_second": alone, "share_of_bare": whole / alone}
            results["tasks"][task] |= share
            print(
                f"{BARE}: {alone:,.0f} images/s, of which the whole step reaches {whole / alone:.0%}"
            )
        machine.save(results, given.output)


if __name__ == "__main__":
    main()
