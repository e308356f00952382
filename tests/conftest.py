"""The environment of every test, set before anything imports TensorFlow, which reads it once."""

import os
import shutil
import sys
import tempfile
import warnings

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # two test processes share a GPU
if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers on two cores: one thread each is faster than two that wait for the other worker's.
    # Variables, unlike tf.config.threading, also reach docstring examples and child processes.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def pytest_configure(config):
    """Keep tests away from the TFDS data sets of the person who runs them."""
    folder = tempfile.mkdtemp(prefix="keras-vae-tests-")
    os.environ["TFDS_DATA_DIR"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """300 grey images of 8 x 8, half of each dark, in an .npy file."""
    import numpy as np

    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "images.npy"
    bright = rng.random((300, 8, 1, 1)) < 0.5
    np.save(path, (255 * rng.random((300, 8, 8, 1)) * bright).astype(np.uint8))
    return path


@pytest.fixture(autouse=True)
def _seeds():
    """The same random numbers in every test, whichever tests ran before it in this process."""
    if "keras" in sys.modules:  # a test that has not imported it draws no numbers
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def eagerly():
    """Without graphs: for tests that fit many models for a few steps each."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():  # it does not apply to tf.data, which is as it should be
        warnings.filterwarnings("ignore", ".*run_functions_eagerly", UserWarning)
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def untraced():
    """Estimators make one update an epoch, untraced: most of the time of a small fit is tracing."""
    from keras_vae import VAE

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_vae.applications._base._STEPS", 1)
        patch.setattr(VAE, "run_eagerly", property(lambda model: True, lambda model, value: None))
        yield


@pytest.fixture
def cli(monkeypatch, capsys):
    """Runs a command line in this process: exit code, standard output, standard error."""
    import keras_vae_cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["keras-vae", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "300")
        try:
            code = keras_vae_cli.main() or 0
        except SystemExit as exit:
            code = exit.code
        return code, *capsys.readouterr()

    return run
