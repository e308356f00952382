"""What the processor does at most: a large matrix product, and a dense task's own products, bare."""

import itertools
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from task import given


def rate(function, seconds: float) -> float:
    """Calls per second."""
    function()
    calls, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        function()
        calls += 1
    return calls / elapsed


def layers(task) -> list[tuple[int, int]]:
    """(rows, columns) of the dense kernels."""
    sizes = [int(np.prod(task.shape)), *task.hidden]
    back = [task.latent_dim, *reversed(sizes)]
    encoder = [*itertools.pairwise(sizes), (sizes[-1], 2 * task.latent_dim)]
    return [*encoder, *itertools.pairwise(back)]


def main():
    task, _, seconds = given()
    side = 4096
    a = tf.random.normal((side, side))
    peak = rate(lambda: tf.linalg.matmul(a, a).numpy(), seconds) * 2 * side**3 / 1e9

    kernels = [tf.random.normal(shape) for shape in layers(task)]
    inputs = [tf.random.normal((task.batch, rows)) for rows, _ in layers(task)]
    errors = [tf.random.normal((task.batch, columns)) for _, columns in layers(task)]

    @tf.function(jit_compile=True)
    def step():
        """Forward, and backward to the kernels and (but for the data) to the inputs."""
        all_of_them = []  # given back whole, or the compiler would leave some out
        for number, (x, w, e) in enumerate(zip(inputs, kernels, errors, strict=True)):
            all_of_them += [tf.linalg.matmul(x, w), tf.linalg.matmul(x, e, transpose_a=True)]
            if number:
                all_of_them.append(tf.linalg.matmul(e, w, transpose_b=True))
        return all_of_them

    bare = rate(lambda: step()[0].numpy(), seconds) * task.batch
    print(json.dumps({"peak_gflops": peak, "bare_images_per_second": bare}))


if __name__ == "__main__":
    main()
