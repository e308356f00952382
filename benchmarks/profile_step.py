r"""Where a training step's time goes: TensorFlow's profiler over `keras-vae train`'s own settings.

    python benchmarks/profile_step.py --output benchmarks/results/profile.json

Times are those of the threads that ran each part, so parts that overlap can add up to more than the
step. Two floors are measured in the same run: the step's matrix products at the speed of a large one,
and the optimiser's reads and writes at the speed of a copy in memory.
"""

import argparse
import collections
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

import machine
import tensorflow as tf
from products import rate
from task import TASKS
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

from keras_vae import data
from keras_vae.training import Recipe

PASSES = 8  # calls of the compiled training function that are profiled
PARTS = {  # of a name in the profile, by its beginning
    "matrix products": ("MatMul", "ynn_fusion", "dot"),
    "optimiser": ("divide_subtract_fusion", "multiply_add_fusion"),
    "copies": ("copy",),
    "binarisation: random bits": ("stateless_random_uniform",),
}


def part_of(name: str) -> str | None:
    """The part of the step that an event of the profile belongs to; none for what contains others."""
    for part, beginnings in PARTS.items():
        if name.startswith(beginnings):
            return part
    return "the rest of the loss and its gradient" if "fusion" in name else None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    task = TASKS["mlp"]
    pixels = task.pixels()
    splits = data.from_arrays(
        pixels, pixels[:1000], validation=0, protocol="dynamic", batch_size=task.batch
    )
    vae = Recipe(hidden=task.hidden, latent_dim=task.latent_dim, batch_size=task.batch).build(
        splits
    )
    steps = PASSES * vae.steps_per_execution

    def train() -> float:
        begun = time.perf_counter()
        vae.fit(splits.train, steps_per_epoch=steps, verbose=0)
        return time.perf_counter() - begun

    train()
    whole = min(train() for _ in range(5)) / steps
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            train()
        (path,) = Path(folder).rglob("*.xplane.pb")
        profile = XSpace.FromString(path.read_bytes())

    milliseconds = collections.Counter()
    for plane in profile.planes:
        names = {key: event.name for key, event in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                if part := part_of(names[event.metadata_id]):
                    milliseconds[part] += event.duration_ps / 1e9 / steps

    side = 4096
    a = tf.random.normal((side, side))
    flops = rate(lambda: tf.linalg.matmul(a, a).numpy(), 3.0) * 2 * side**3
    moved = sum(4 * 7 * v.shape.num_elements() for v in vae.trainable_variables)
    source = tf.random.normal((moved // 8,))  # as large as what the optimiser reads and writes
    bandwidth = rate(lambda: tf.identity(source + 1.0), 3.0) * 2 * 4 * (moved // 8)
    floors = {
        "matrix products": 1e3 * task.flops() * task.batch / flops,
        "optimiser": 1e3 * moved / bandwidth,
    }
    print("| part of a step | ms | of the step | floor |\n|---|---|---|---|")
    for part, spent in milliseconds.most_common():
        floor = f"{floors[part]:.2f} ms" if part in floors else ""
        print(f"| {part} | {spent:.2f} | {spent / whole / 1e3:.0%} | {floor} |")
    print(f"| whole step, without the profiler | {1e3 * whole:.2f} | | |")
    results = {"step": 1e3 * whole, "parts": dict(milliseconds), "floors": floors}
    machine.save({**machine.describe(), **results}, given.output)


if __name__ == "__main__":
    main()
