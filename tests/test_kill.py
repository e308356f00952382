"""`kill -9` at any moment, then `--resume`: what an uninterrupted run gives, to the bit.

KERAS_VAE_KILLS says how many kills (3 by default): `KERAS_VAE_KILLS=20 pytest tests/test_kill.py`.
"""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_vae.training import Run

COMMAND = [sys.executable, "-m", "keras_vae_cli", "train"]
SMALL = (
    "--protocol", "dynamic", "--hidden", "16", "--latent-dim", "3", "--batch-size", "20",
    "--epochs", "40", "--patience", "35", "--warm-up", "3",
)  # fmt: skip


def start(output, *arguments):
    command = [*COMMAND, "--output", str(output), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def begun(output, process):
    """Waits until training has begun and at least one epoch is behind it, or the process is done."""
    known = set((output / "state").glob("state-*"))
    while process.poll() is None and set((output / "state").glob("state-*")) <= known:
        time.sleep(0.005)


def writing(output):
    """Whether a file of the run is being written right now."""
    return any(output.glob(".*/new/*")) or any((output / "state").glob(".*/new/*"))


def content(run):
    """Everything that a run is remembered by."""
    variables = (*run.model.variables, *run.model.optimizer.variables)
    state = sorted((run.path / "state").glob("*.npz"))[-1]
    with np.load(state) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    return {
        "weights": [np.asarray(v) for v in variables],
        "history": run.history(),
        "samples": run.model.generate(4, seed=3),
        "state": (state.name, kept),
        "best": (run.path / "history.csv").read_bytes(),
    }


def test_killed_at_any_moment_and_resumed(cli, images, tmp_path):
    whole = tmp_path / "whole"
    code, _, error = cli("train", "--output", whole, "--data", images, *SMALL)
    assert code == 0, error

    output, kills, rng = tmp_path / "killed", 0, random.Random(os.environ.get("KERAS_VAE_SEED"))
    wanted = int(os.environ.get("KERAS_VAE_KILLS", "3"))
    arguments = ("--data", images, *SMALL)
    for attempt in range(10 * wanted):
        process = start(output, *arguments)
        if kills < wanted:
            if attempt == 0:  # in the first epoch
                while process.poll() is None and not (output / "config.json").exists():
                    time.sleep(0.005)
            else:
                begun(output, process)
            if attempt % 2:  # in the middle of a write
                while process.poll() is None and not writing(output):
                    time.sleep(0)
            else:
                time.sleep(rng.uniform(0, 0.3))
            kills += process.poll() is None
            process.kill()
        code = process.wait(300)
        message = process.stderr.read().decode()
        process.stderr.close()
        if code == 0:
            break
        assert code == -9, message
        arguments = ("--resume",)
    else:
        pytest.fail("it never came to an end")
    np.testing.assert_equal(content(Run(output)), content(Run(whole)))
    if kills < wanted:
        pytest.skip(f"the run was over after {kills} kills; it was resumed to the bit")
