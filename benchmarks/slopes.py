r"""Training's time and memory against the number of examples, of latent samples, and of pixels.

    python benchmarks/slopes.py --output benchmarks/results/slopes.json

Every point is a process of its own; they take turns, and medians over the rounds are printed with
their least-squares slopes and drawn into docs/images/slopes.png. Memory is the peak of the resident
set less what was resident before the data were loaded: data, pipeline, model and compiler, but not
the libraries. It is read where Linux says it.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from task import TASKS, Clock

PICTURE = Path(__file__).resolve().parent.parent / "docs/images/slopes.png"


def pixels(num_examples: int, side: int = 28) -> np.ndarray:
    """uint8 images [N, side, side, 1]; from the 6,001st on they repeat."""
    images = min(num_examples, 6000)
    task = dataclasses.replace(TASKS["mlp"], shape=(side, side, 1), images=images)
    return np.resize(task.pixels(), (num_examples, side, side, 1))


def write_npz(folder: Path, num_examples: int) -> Path:
    """A file of two arrays."""
    path = folder / f"{num_examples}.npz"
    np.savez(path, train=pixels(num_examples), test=pixels(1000))
    return path


def write_tfrecords(folder: Path, num_examples: int) -> Path:
    """A folder of ten shards for training and one for testing; an example's `image` is a PNG."""
    import tensorflow as tf

    def example(image) -> bytes:
        png = tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])
        feature = {"image": tf.train.Feature(bytes_list=png)}
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    written = [example(image) for image in pixels(min(num_examples, 6000))]
    path = folder / str(num_examples)
    path.mkdir()
    for split, number, shards in (("train", num_examples, 10), ("test", 1000, 1)):
        for shard in range(shards):
            file = path / f"{split}-{shard:05}-of-{shards:05}.tfrecord"
            with tf.io.TFRecordWriter(str(file)) as writer:
                for index in range(shard, number, shards):
                    writer.write(written[index % len(written)])
    return path


KINDS = {"in memory": (write_npz, {}), "streamed": (write_tfrecords, {"stream": True})}
"""How examples are written, and the options that `data.load` takes them with."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """What a panel varies.

    Attributes:
        symbol: in "time ~ N^0.5".
        batch: examples of a step.
        steps: of an epoch, by value: about equal times for all, and a multiple of what one
            execution of the compiled program holds.
    """

    label: str
    symbol: str
    values: tuple[int, ...]
    batch: int
    steps: tuple[int, ...]


AXES = {
    "examples": Axis("training examples", "N", (6_000, 60_000, 600_000), 100, (60, 60, 60)),
    "samples": Axis("latent samples K", "K", (1, 2, 5, 10, 20, 50), 128,
                    (100, 100, 50, 20, 10, 10)),
    "pixels": Axis("height = width of images", "s", (16, 32, 64, 128), 32, (100, 50, 20, 10)),
}  # fmt: skip
QUANTITIES = {"ms_per_step": ("ms", "tab:blue"), "megabytes": ("MB", "tab:red")}
"""What is drawn: unit and colour."""


def megabytes(what: str) -> float:
    """Of this process: "VmRSS", resident now, or "VmHWM", the most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def worker(axis: str, line: str, value: int, source: str, seconds: float) -> dict:
    """A point's milliseconds per step, images per second, megabytes, seconds to load the data."""
    from keras_clock import Timed

    from keras_vae import data
    from keras_vae.training import Recipe

    batch = AXES[axis].batch
    before, begun = megabytes("VmRSS"), time.perf_counter()
    if axis == "examples":
        splits = data.load(
            source, protocol="dynamic", validation=0, batch_size=batch, **KINDS[line][1]
        )
        recipe = Recipe(batch_size=batch)
    else:
        images = pixels(10 * batch, value if axis == "pixels" else 28)
        splits = data.from_arrays(
            images, images, validation=0, protocol="dynamic", batch_size=batch
        )
        recipe = {
            "samples": Recipe(batch_size=batch, objective="iwae", num_samples=value),
            "pixels": Recipe(batch_size=batch, network="conv"),
        }[axis]
    loaded = time.perf_counter() - begun
    steps = dict(zip(AXES[axis].values, AXES[axis].steps, strict=True))[value]
    clock = Clock(steps * batch, seconds)
    recipe.build(splits).fit(
        splits.train, epochs=10_000, steps_per_epoch=steps, callbacks=[Timed(clock)], verbose=0
    )
    rate = clock.epochs * clock.images / clock.elapsed
    return {
        "ms_per_step": 1000 * batch / rate,
        "images_per_second": rate,
        "megabytes": megabytes("VmHWM") - before,
        "seconds_to_load": loaded,
    }


def measure(points: list[tuple], rounds: int, seconds: float) -> dict[tuple, dict]:
    """Medians over the rounds, by (axis, line, value)."""
    runs = {point[:3]: [] for point in points}
    for number in range(rounds):
        for point in points:
            command = [sys.executable, __file__, "--worker", *map(str, (*point, seconds))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{point[:3]} failed:\n{done.stderr[-3000:]}")
            runs[point[:3]].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"round {number + 1} of {rounds}: {point[:3]}", file=sys.stderr)
    return {
        point: {key: statistics.median(each[key] for each in results) for key in results[0]}
        for point, results in runs.items()
    }


def panels(medians: dict[tuple, dict]) -> dict[str, dict[str, dict]]:
    """Axis -> line -> values, columns, and least-squares slopes in log-log."""
    found: dict[str, dict[str, dict]] = {}
    for (axis, line, value), point in medians.items():
        columns = found.setdefault(axis, {}).setdefault(line, {"values": []})
        columns["values"].append(value)
        for key, number in point.items():
            columns.setdefault(key, []).append(number)
    for lines in found.values():
        for columns in lines.values():
            logs = {key: np.log(numbers) for key, numbers in columns.items()}
            columns["slopes"] = {
                key: float(np.polyfit(logs["values"], logs[key], 1)[0]) for key in QUANTITIES
            }
    return found


def markdown(axis: Axis, lines: dict[str, dict]) -> str:
    """The table as a document shows it."""
    rows = [f"| {axis.label} | | ms per step | images/s | memory | loaded in |", "|---" * 6 + "|"]
    for line, columns in lines.items():
        for number, value in enumerate(columns["values"]):
            rows.append(
                f"| {value:,} | {line} | {columns['ms_per_step'][number]:.1f} | "
                f"{columns['images_per_second'][number]:,.0f} | "
                f"{columns['megabytes'][number]:,.0f} MB | "
                f"{columns['seconds_to_load'][number]:.1f} s |"
            )
    for line, columns in lines.items():
        slopes = columns["slopes"]
        rows.append(
            f"\n{line}: time ~ {axis.symbol}^{slopes['ms_per_step']:.2f}, "
            f"memory ~ {axis.symbol}^{slopes['megabytes']:.2f}"
        )
    return "\n".join(rows)


def draw(found: dict[str, dict[str, dict]], path: Path) -> None:
    """Three panels in log-log; the end of every line says what it is, its last value and its slope."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 3.7), layout="constrained")
    axes = figure.subplots(1, len(found), sharey=True)
    for ax, (axis, lines) in zip(axes, found.items(), strict=True):
        values = AXES[axis].values
        for line, columns in lines.items():
            look = {"ls": "--", "markerfacecolor": "white"} if line == "streamed" else {"ls": "-"}
            for key, (_, colour) in QUANTITIES.items():
                ax.plot(values, columns[key], marker="o", color=colour, markersize=4.5, **look)
        ax.set(xscale="log", yscale="log", xlabel=AXES[axis].label)
        ax.set_xticks(values, [f"{value:,}" for value in values])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks([10, 100, 1000], ["10", "100", "1,000"])
    axes[0].set_ylim(top=2 * axes[0].get_ylim()[1])  # where labels are pushed to
    axes[0].set_title("ms per step (blue), MB of memory (red)", loc="left", fontsize=10)
    for ax, (axis, lines) in zip(axes, found.items(), strict=True):
        label_ends(ax, AXES[axis].symbol, lines)
    figure.savefig(path, dpi=150)


def label_ends(ax, symbol: str, lines: dict[str, dict]) -> None:
    """Writes beside the lines' ends, from the lowest up, each no nearer to the last than it is high."""
    low, high = np.log(ax.get_ylim())
    ends = [
        ((np.log(columns[key][-1]) - low) / (high - low), line, key)
        for line, columns in lines.items()
        for key in QUANTITIES
    ]
    free = 0.0
    for height, line, key in sorted(ends):
        unit, colour = QUANTITIES[key]
        slope = f"~ ${symbol}^{{{lines[line]['slopes'][key]:.2f}}}$"
        text = f"{line} {lines[line][key][-1]:,.0f} {unit}\n{slope}"
        height = max(height, free)
        free = height + 0.13
        ax.text(1.03, height, text, color=colour, fontsize=9, va="center", transform=ax.transAxes)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of timed steps at each point")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="all by default")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        axis, line, value, source, seconds = given.worker
        print(json.dumps(worker(axis, line, int(value), source, float(seconds))))
        return

    with tempfile.TemporaryDirectory() as folder:
        points: list[tuple] = []
        for kind in given.kind or KINDS:
            for value in AXES["examples"].values:
                points.append(("examples", kind, value, KINDS[kind][0](Path(folder), value)))
                print(f"{value:,} examples for {kind} are written", file=sys.stderr)
        for axis, line in (("samples", "IWAE"), ("pixels", "conv")):
            points += [(axis, line, value, "") for value in AXES[axis].values]
        found = panels(measure(points, given.rounds, given.seconds))
    for axis, lines in found.items():
        print("\n" + markdown(AXES[axis], lines))
    machine.save({**machine.describe(), **found}, given.output)
    draw(found, given.picture)


if __name__ == "__main__":
    main()
