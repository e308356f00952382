r"""Training by two workers of one core each, against one: images per second, and how much of it is lost.

    python benchmarks/workers.py --output benchmarks/results/workers.json

The classic 784-512-20 network on random images of 28 x 28, by `keras-vae train`; processes are pinned
to a core each and talk over loopback. The settings take turns (A B C, A B C, ...), and medians over
the rounds are printed. "Alone" is a run without a strategy, which XLA compiles and which makes many
updates per call; a single worker runs the program of several. What two workers take longer for a step
than one with the same batch per worker is the exchange of gradients, and waiting for each other.

The second table is computed. Of N workers each sends 2 (N - 1) / N times the gradients, 4 bytes a
parameter: once with two, nearly twice with many. A step takes the computation that was measured,
and that exchange, over links of several speeds or as slow as it was here.
"""

import argparse
import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np

IMAGES = 16_000  # of which a tenth is held out for validation, and another for test
EPOCHS = 3  # the first of which compiles
OPTIONS = ("--protocol", "dynamic", "--hidden", "512", "--latent-dim", "20", "--epochs", EPOCHS)
EACH = "2 workers, the same batch for each"
SETTINGS = {
    "alone": (0, 1),
    "1 worker": (1, 1),
    "2 workers, the same batch for both": (2, 1),
    EACH: (2, 2),
}
"""By name: how many workers, and how many times the batch; 0 workers: one process, no strategy."""
LINKS = (1, 10, 100)  # Gbit/s


def train(data: Path, output: Path, workers: int, batch: int) -> float:
    """Trains and returns images per second: the median epoch's, but for the first."""
    command = [sys.executable, "-m", "keras_vae_cli", "train", "--log-format", "json"]
    command += ["--data", data, "--output", output, "--batch-size", batch, *OPTIONS]
    command += ["--strategy", "multiworker", "--no-jit"] if workers else []
    hosts = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    processes = []
    for index, core in zip(range(workers or 1), sorted(os.sched_getaffinity(0)), strict=False):
        task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                list(map(str, command)),
                env=os.environ | ({"TF_CONFIG": json.dumps(task)} if workers else {}),
                preexec_fn=functools.partial(os.sched_setaffinity, 0, {core}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [process.communicate() for process in processes]
    for process, (_, complaint) in zip(processes, said, strict=True):
        if process.returncode:
            raise SystemExit(f"{' '.join(process.args)} failed:\n{complaint[-3000:]}")
    events = [json.loads(line) for line in said[0][0].splitlines() if line.startswith("{")]
    speeds = [event["steps_per_second"] for event in events if event["event"] == "epoch"]
    return batch * statistics.median(speeds[1:])


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def num_parameters(run: Path) -> int:
    """Of the trained model: as many gradients are exchanged at every step."""
    from keras_vae.training import Run

    return sum(int(np.prod(v.shape)) for v in Run(run).model.trainable_variables)


def measure(batches: list[int], rounds: int) -> tuple[list[dict], int]:
    """The rows of the table, and the number of parameters."""
    speeds: dict[tuple[int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        data, output = Path(scratch) / "images.npy", Path(scratch) / "run"
        images = np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28, 1), np.uint8)
        np.save(data, images)
        for number in range(rounds):
            for batch in batches:
                for name, (workers, times) in SETTINGS.items():
                    speed = train(data, output / f"{number}-{batch}-{name}", workers, batch * times)
                    speeds.setdefault((batch, name), []).append(speed)
            print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
        parameters = num_parameters(next(output.iterdir()))
    rows = []
    for (batch, name), values in speeds.items():
        workers, times = SETTINGS[name]
        speed = statistics.median(values)
        rows.append(
            {
                "batch": batch * times,
                "name": name,
                "images_per_second": speed,
                "lowest": min(values),
                "highest": max(values),
                "seconds_per_step": batch * times / speed,
                **{
                    f"efficiency_to_{one.replace(' ', '_')}": speed
                    / (workers or 1)
                    / statistics.median(speeds[batch, one])
                    for one in ("alone", "1 worker")
                },
            }
        )
    return rows, parameters


def markdown(rows: list[dict]) -> str:
    lines = [
        "| | global batch | images/s | range | step | efficiency | to alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['name']} | {row['batch']:,} | {row['images_per_second']:,.0f} | "
            f"{row['lowest']:,.0f} - {row['highest']:,.0f} | {1e3 * row['seconds_per_step']:.1f} ms | "
            f"{row['efficiency_to_1_worker']:.0%} | {row['efficiency_to_alone']:.0%} |"
        )
    return "\n".join(lines)


def predicted(rows: list[dict], parameters: int) -> str:
    """The efficiency of many workers, by batch per worker."""
    seconds = {(row["name"], row["batch"]): row["seconds_per_step"] for row in rows}
    lines = [
        "| batch per worker | computation | exchange | "
        + "".join(f"{link} Gbit/s | " for link in LINKS)
        + "exchange as here |",
        "|---|---|---|" + "---|" * len(LINKS) + "---|",
    ]
    for (name, batch), compute in seconds.items():
        if name == "1 worker":
            exchange = seconds[EACH, 2 * batch] - compute
            exchanges = [4 * parameters / (1e9 * link / 8) for link in LINKS] + [exchange]
            shares = [f"{compute / (compute + 2 * each):.0%}" for each in exchanges]
            cells = [f"{batch:,}", *(f"{1e3 * each:.1f} ms" for each in (compute, exchange))]
            lines.append(f"| {' | '.join(cells + shares)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, action="append", help="128 and 1024 by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("Two workers need two cores; this process may use one.")

    rows, parameters = measure(given.batch_size or [128, 1024], given.rounds)
    print(markdown(rows))
    print(f"\n{parameters:,} parameters: {4e-6 * parameters:.2f} MB of gradients at every step.\n")
    print(predicted(rows, parameters))
    machine.save({**machine.describe(), "rows": rows, "parameters": parameters}, given.output)


if __name__ == "__main__":
    main()
