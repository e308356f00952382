"""What every peer trains, and how it is timed. Only NumPy and the standard library are used here."""

import dataclasses
import itertools
import json
import resource
import sys
import time

import numpy as np


@dataclasses.dataclass(frozen=True)
class Task:
    """A network, its data and its batch; pixels are drawn as Bernoulli variables for every batch.

    Attributes:
        hidden: units of the dense hidden layers, or channels of the convolutional ones (stride 2).
        shape: of an image.
    """

    name: str
    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    latent_dim: int
    batch: int
    images: int
    activation: str = "relu"
    convolutional: bool = False

    def pixels(self) -> np.ndarray:
        """uint8 images [N, *shape]: smooth blobs, the same for every peer."""
        rng = np.random.default_rng(0)
        height, width, channels = self.shape
        y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
        images = np.empty((self.images, *self.shape), np.uint8)
        for start in range(0, self.images, 1000):
            n = min(1000, self.images - start)
            cy, cx, size = rng.uniform(0.2, 0.8, (3, n, 1, 1, channels)).astype(np.float32)
            distance = (y[..., None] - cy) ** 2 + (x[..., None] - cx) ** 2
            images[start : start + n] = 255 * np.exp(-distance / (0.05 * size))
        return images

    def flops(self) -> float:
        """Floating-point operations of one image in training: forward, and backward twice that."""
        if self.convolutional:
            return 3 * sum(_conv_flops(self))
        sizes = [int(np.prod(self.shape)), *self.hidden]
        encoder = [*itertools.pairwise(sizes), (sizes[-1], 2 * self.latent_dim)]
        back = [self.latent_dim, *reversed(sizes)]
        decoder = itertools.pairwise(back)
        return 3 * sum(2 * a * b for a, b in (*encoder, *decoder))


def _conv_flops(task: Task):
    (size, _, channels), kernel = task.shape, 9
    chain = [channels, *task.hidden]
    for a, b in itertools.pairwise(chain):
        size //= 2
        yield 2 * size * size * kernel * a * b
    flat, wide = size * size * chain[-1], 256
    yield 2 * (flat * wide + wide * 2 * task.latent_dim + task.latent_dim * wide + wide * flat)
    for a, b in itertools.pairwise([chain[-1], *reversed(task.hidden)]):
        yield 2 * size * size * kernel * a * b
        size *= 2
    yield 2 * size * size * kernel * chain[1] * channels


TASKS = {
    task.name: task
    for task in (
        Task("mlp", (28, 28, 1), (512,), 20, 128, 60_000),
        Task("demo", (28, 28, 1), (400, 400), 40, 250, 30_000, activation="silu"),
        Task("conv", (64, 64, 1), (32, 64, 64), 32, 64, 2_560, convolutional=True),
    )
}


class Clock:
    """Times epochs: the first step apart, one epoch to warm up, then as many as fit."""

    def __init__(self, images: int, seconds: float):
        self.images, self.seconds = images, seconds
        self.begun = time.perf_counter()
        self.first_step, self.epochs, self.timed_from = None, 0, None

    def step(self) -> None:
        """An update is done."""
        if self.first_step is None:
            self.first_step = time.perf_counter() - self.begun

    def epoch(self) -> bool:
        """An epoch is done; whether that was the last."""
        now = time.perf_counter()
        if self.timed_from is None:
            self.timed_from = now
            return False
        self.epochs += 1
        self.elapsed = now - self.timed_from
        return self.elapsed > self.seconds

    def report(self) -> None:
        """Prints what was measured, as JSON, on the last line."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = {
            "images_per_second": self.epochs * self.images / self.elapsed,
            "first_step": self.first_step,
            "peak_megabytes": peak / (2**20 if sys.platform == "darwin" else 2**10),
        }
        print("\n" + json.dumps(result))


def given() -> tuple[Task, str, float]:
    """The task, the variant and the seconds that the command line names."""
    return TASKS[sys.argv[1]], sys.argv[2], float(sys.argv[3])
