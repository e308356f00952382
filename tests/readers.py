"""Every reader of files that may come from anywhere, as a function of a folder and of the file's bytes."""

import shutil
from pathlib import Path

import keras_vae
from keras_vae import export
from keras_vae.compression.container import Compressed
from keras_vae.data import sources
from keras_vae.data.builders import _read_checksums
from keras_vae.data.idx import read_idx
from keras_vae.training import Run
from keras_vae.training.state import read_state


def _written(name):
    """Calls a reader with a file of that name and content, in a folder of its own."""

    def decorate(read):
        def reader(place: Path, content: bytes):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            (place / name).write_bytes(content)
            return read(place / name)

        return reader

    return decorate


def _history(path):
    run = object.__new__(Run)
    run.path = path.parent
    return run.history(["loss"])


def _streamed(source):
    return sources.read(source, stream=True).train.values.sample


READERS = {
    "idx": _written("images")(read_idx),
    "streamed npy": _written("a.npy")(_streamed),
    "streamed png": _written("a.png")(lambda path: _streamed(path.parent)),
    "streamed tfrecord": _written("train.tfrecord")(lambda path: _streamed(path.parent)),
    "npy": _written("a.npy")(sources.read),
    "npz": _written("a.npz")(sources.read),
    "png": _written("a.png")(lambda path: sources.read(path.parent)),
    "tfrecord": _written("train.tfrecord")(lambda path: sources.read(path.parent)),
    "arrayrecord": _written("train.array_record")(lambda path: sources.read(path.parent)),
    "checksums": _written("SHA256SUMS")(lambda path: _read_checksums(path.parent)),
    "config": _written("config.json")(lambda path: Run(path.parent)),
    "history": _written("history.csv")(_history),
    "state": _written("state.npz")(lambda path: read_state(path.read_bytes())),
    "compressed": _written("x")(lambda path: Compressed.from_bytes(path.read_bytes())),
    "keras": _written("model.keras")(keras_vae.load_model),
    "tflite": _written("model.tflite")(export.load),
    "export": _written("config.json")(lambda path: export.check(path.parent)),
    "reference": _written("reference.npz")(export.Reference.load),
}
