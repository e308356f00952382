"""One model, exported in every form, for the kits of `export/`: each is run as its README says."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

KITS = Path(__file__).resolve().parents[2] / "export"
QUANTIZATIONS = (None, "float16", "dynamic_int8", "int8", "int4")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.consumers)


def absent(reason: str) -> None:
    """Skips a test whose consumer is not there; with REQUIRE_CONSUMERS set it fails."""
    if os.environ.get("REQUIRE_CONSUMERS"):
        pytest.fail(reason)
    pytest.skip(reason)


def need(*programs: str, packages: tuple[str, ...] = ()) -> None:
    """What a test cannot run without: programs on the path, Python packages."""
    for program in programs:
        if shutil.which(program) is None:
            absent(f"{program} is not installed")
    for package in packages:  # not imported: two of them register the same protos
        if importlib.util.find_spec(package) is None:
            absent(f"{package} is not installed: pip install 'keras-vae[beam,consumers]'")


def run(*command, code: int = 0, **options) -> subprocess.CompletedProcess:
    """Runs a program of a kit; its output is shown if it ends with another code."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, timeout=300, **options
    )
    assert done.returncode == code, f"{command}\n{done.stdout!r}\n{done.stderr!r}"
    return done


def python(*command, **options) -> subprocess.CompletedProcess:
    return run(sys.executable, *command, **options)


@pytest.fixture(scope="session")
def model():
    """A classic VAE whose weights are large enough for pictures with contrast."""
    from keras_vae import VAE, likelihoods, networks

    keras.utils.set_random_seed(0)
    vae = VAE(
        *networks.mlp((28, 28, 1), 20, hidden=512),
        likelihood=likelihoods.Bernoulli(event_rank=3),
    )
    rng = np.random.default_rng(0)
    vae.decoder.set_weights(
        [3 * w + 0.05 * rng.normal(size=w.shape) for w in vae.decoder.get_weights()]
    )
    return vae


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    from keras_vae.export import BUDGETS, Budget, export

    folder = tmp_path_factory.mktemp("exported") / "export"
    export(
        model,
        folder,
        formats=("saved_model", "tflite", "onnx"),
        quantizations=QUANTIZATIONS,
        budgets={name: Budget() for name in BUDGETS if name},  # random weights quantise badly
    )
    return folder


@pytest.fixture(scope="session")
def z():
    return np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)


@pytest.fixture(scope="session")
def x():
    return (np.random.default_rng(1).random((5, 28, 28, 1)) < 0.3).astype(np.float32)
