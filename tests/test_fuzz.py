"""Mutated files: every reader gives what is in them or refuses, whatever the bytes."""

import copy
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conformance.rows import vae
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_streams import example, png, write_array_record, write_tfrecord

from keras_vae import compression, data, export, training

SECONDS = int(os.environ.get("KERAS_VAE_FUZZ_SECONDS", "10"))


@pytest.fixture(scope="module")
def seeds(images, tmp_path_factory):
    """A whole file of every kind, by kind."""
    folder = tmp_path_factory.mktemp("seeds")
    recipe = training.Recipe(
        data=str(images), protocol="dynamic", hidden=(4,), latent_dim=2, epochs=1, jit_compile=False
    )
    run = training.train(recipe, folder / "run", console=Console(quiet=True))
    export.export(vae(), folder / "export")
    np.save(folder / "a.npy", np.zeros((30, 4), np.float32))
    np.savez(folder / "a.npz", train=np.zeros((30, 4), np.uint8), y_train=np.arange(30))
    (folder / "idx").write_bytes(b"\0\0\x08\x01\0\0\0\x04abcd")
    (folder / "sums").write_text("0" * 64 + "  file\n")
    records = [png(image) for image in np.zeros((30, 4, 4, 1), np.uint8)]
    write_tfrecord(folder / "train.tfrecord", [example(image=record) for record in records])
    write_array_record(folder / "train.array_record", records)
    (folder / "compressed").write_bytes(
        compression.compress(vae(), np.ones([9, 6]), progress=False)
    )
    (state,) = (run.path / "state").iterdir()
    return {
        "idx": folder / "idx",
        "npy": folder / "a.npy",
        "streamed npy": folder / "a.npy",
        "streamed png": run.path / "samples.png",
        "streamed tfrecord": folder / "train.tfrecord",
        "npz": folder / "a.npz",
        "png": run.path / "samples.png",
        "tfrecord": folder / "train.tfrecord",
        "arrayrecord": folder / "train.array_record",
        "checksums": folder / "sums",
        "config": run.path / "config.json",
        "history": run.path / "history.csv",
        "state": state,
        "compressed": folder / "compressed",
        "keras": run.model_path,
        "tflite": folder / "export" / "model.tflite",
        "export": folder / "export" / "config.json",
        "reference": folder / "export" / "reference.npz",
    }


def test_bytes(seeds, tmp_path):
    """Coverage-guided: what takes a reader to new code is mutated further."""
    pytest.importorskip("atheris")
    for kind, path in seeds.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "seed").write_bytes(path.read_bytes())
    # Linux counts the peak of the process that starts another as that one's own.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parent / "fuzz_readers.py"),
            str(tmp_path),
            f"-max_total_time={SECONDS}",
            "-max_len=200000",
            f"-rss_limit_mb={inherited + 4096}",
            "-timeout=20",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "INITED" in done.stderr
    assert not list(tmp_path.glob("crash-*"))


def nodes(value, path=()):
    """The path of every value in a JSON document."""
    yield path
    as_pairs = {dict: lambda: value.items(), list: lambda: enumerate(value)}
    for key, child in as_pairs.get(type(value), list)():
        yield from nodes(child, (*path, key))


def replaced(document, path, value):
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
FEW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("kind", ["config", "export"])
def test_configs_of_any_structure(seeds, kind, tmp_path):
    from readers import READERS

    document = json.loads(seeds[kind].read_text())
    places, refusals = list(nodes(document)), []

    @FEW
    @given(st.sampled_from(places), JSON)
    def check(path, value):
        text = json.dumps(replaced(document, path, value)).encode()
        try:
            READERS[kind](tmp_path / "place", text)
        except (ValueError, OSError) as error:
            refusals.append(str(error))

    check()
    assert len(refusals) > 20
    assert all("place" in refusal for refusal in refusals), "every refusal names the folder"


SHAPES = st.lists(st.integers(0, 5), max_size=5).map(tuple)
DTYPES = st.sampled_from(["u1", "i1", "?", "<i8", ">i4", "<f2", ">f8", "<c8", "<U3", "S2", "M8[s]"])


@FEW
@given(SHAPES, DTYPES, st.sampled_from("CF"), st.integers(0, 3))
def test_arrays_of_any_kind(tmp_path_factory, shape, dtype, order, seed):
    """Examples come back as they were, or the array is refused."""
    rng = np.random.default_rng(seed)
    array = np.asarray(rng.integers(0, 2, shape).astype(dtype), order=order)
    path = tmp_path_factory.mktemp("arrays") / "a.npy"
    np.save(path, array)
    if array.ndim not in (2, 3, 4) or array.size == 0 or array.dtype.kind not in "buif":
        with pytest.raises(ValueError, match="Expected"):
            data.load(path, batch_size=1, protocol="raw")
        return
    splits = data.load(path, batch_size=1, protocol="raw")
    held = sum(len(part) for part in splits.stored.values())
    assert held == len(array)
    total = sum(float(part.values.sum()) for part in splits.stored.values())
    assert total == float(array.astype(np.float32).sum())
