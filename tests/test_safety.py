"""Hostile files: what they would do is not done, and the reason is said."""

import csv
import gzip
import hashlib
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conformance.rows import vae

import keras_vae
from keras_vae import VAE, data, likelihoods, networks
from keras_vae.data.idx import read_idx
from keras_vae.training.state import TrainingState


class Opened:
    """Executes when it is unpickled: the file that it would make must never be there."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def saved(tmp_path):
    model = vae()
    model.compile("adam")
    model.save(tmp_path / "good.keras")
    return tmp_path / "good.keras"


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path, changes, compression=zipfile.ZIP_STORED):
    """A copy of a model file with other entries; None takes one out."""
    bad = path.with_name("bad.keras")
    with zipfile.ZipFile(bad, "w", compression) as archive:
        for name, content in (entries(path) | changes).items():
            if content is not None:
                archive.writestr(name, content)
    return bad


def config_with(path, change):
    """A copy of a model file whose config a function has changed."""
    config = json.loads(entries(path)["config.json"])
    change(config)
    return rewritten(path, {"config.json": json.dumps(config)})


def weights_with(path, change):
    content = io.BytesIO(entries(path)["model.weights.h5"])
    with h5py.File(content, "r+") as weights:
        change(weights)
    return rewritten(path, {"model.weights.h5": content.getvalue()})


def touch(path):
    Path(path).touch()


def layers(config):
    return config["config"]["decoder"]["config"]["layers"]


def test_a_good_file_is_loaded(saved):
    model = keras_vae.load_model(saved)
    np.testing.assert_array_equal(model.generate(3), vae_of(saved).generate(3))
    assert model.compiled


def vae_of(path):
    return keras.saving.load_model(path)


def test_a_lambda_layer_is_never_run(tmp_path):
    z = keras.Input((3,), name="z")
    marker = tmp_path / "run"
    decoder = keras.Model(
        z, keras.layers.Lambda(lambda t, path=str(marker): (touch(path), t)[1])(z)
    )
    encoder, _ = networks.mlp(3, 3, hidden=4)
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    marker.unlink()
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(
        ValueError, match=r"cannot be loaded.*Lambda layer, whose code would be run"
    ):
        keras_vae.load_model(tmp_path / "lambda.keras")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.update(module="os", class_name="system"),
            r"os\.system, which is neither Keras",
        ),
        (
            lambda c: c.update(module="subprocess", class_name="Popen"),
            "neither Keras's nor registered",
        ),
        (lambda c: c.update(module="keras.utils", class_name="get_file"), "cannot be loaded"),
        (lambda c: c["config"]["likelihood"].update(class_name="Bernuli"), "cannot be loaded"),
        (lambda c: c["config"].pop("decoder"), "cannot be loaded"),
        (
            lambda c: layers(c)[1]["config"].update(units=10**9),
            "units=1,000,000,000, and no weights",
        ),
        (lambda c: layers(c)[1]["config"].update(units=9), "units=9, and no weights"),
        (lambda c: layers(c)[1]["config"].update(units=-1), "units=-1"),
        (
            lambda c: layers(c)[0]["config"].update(batch_shape=[None, 10**6, 10**6]),
            "an input has the shape",
        ),
        (
            lambda c: layers(c)[1]["config"].update(
                kernel_initializer={
                    "module": "keras.layers",
                    "class_name": "StringLookup",
                    "config": {"vocabulary": "/etc/passwd"},
                }
            ),
            "StringLookup would read a file of this machine",
        ),
        (lambda c: c.clear(), "cannot be loaded"),
    ],
)
def test_configs_are_looked_at_before_anything_is_built(saved, change, words):
    with pytest.raises(ValueError, match=words):
        keras_vae.load_model(config_with(saved, change))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"../evil.py": b"print()"}, "'../evil.py', which is no part of a model"),
        ({"assets/../../evil": b""}, "no part of a model"),
        ({"/etc/evil": b""}, "no part of a model"),
        ({"..\\evil": b""}, "no part of a model"),
        ({"evil.py": b""}, "no part of a model"),
        ({"model.weights.h5": None}, "Expected the entries"),
        ({"config.json": None}, "Expected the entries"),
        ({"config.json": b"{"}, "cannot be loaded"),
        ({"config.json": b"[" * 100_000}, "cannot be loaded"),
        ({"config.json": b" " * (2**24 + 1)}, "more than 16,777,216"),
        ({"config.json": b"\xff\xfe"}, "cannot be loaded"),
        ({"model.weights.h5": b"not HDF5"}, "cannot be loaded"),
    ],
)
def test_archives_are_looked_at_before_they_are_unpacked(saved, changes, words):
    with pytest.raises(ValueError, match=words):
        keras_vae.load_model(rewritten(saved, changes))
    assert not (saved.parent.parent / "evil").exists()


def test_bombs_and_links_and_doubles_are_refused(saved):
    bomb = {"assets/zeros": bytes(5_000_000)}
    with pytest.raises(ValueError, match=r"assets/zeros unpacks [\d,]+ bytes to 5,000,000"):
        keras_vae.load_model(rewritten(saved, bomb, zipfile.ZIP_DEFLATED))
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    bad = rewritten(saved, {})
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="assets/link is a symbolic link"):
        keras_vae.load_model(bad)
    bad = rewritten(saved, {})
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="once each"):
        keras_vae.load_model(bad)


def external(weights):
    del weights["vars/0"]
    weights.create_dataset("vars/0", (), "int64", external=[("/etc/passwd", 0, 8)])


def virtual(weights):
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    weights.create_virtual_dataset("more", layout)


def false_claim(weights):
    weights.create_dataset("more", (10**6, 10**6), "float32", chunks=(64, 64))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external, "in another file|claim 8 bytes"),
        (virtual, "in another file"),
        (false_claim, "claim 4,000,000,000,000 bytes"),
        (lambda w: w.update({"more": h5py.ExternalLink("/etc/passwd", "x")}), "more are a link"),
        (lambda w: w.update({"more": h5py.SoftLink("/vars")}), "more are a link"),
        (lambda w: w.pop("decoder"), "cannot be loaded"),
    ],
)
def test_weights_are_in_the_file_itself(saved, change, words):
    with pytest.raises(ValueError, match=words):
        keras_vae.load_model(weights_with(saved, change))


def test_what_is_no_archive_is_no_model(tmp_path):
    good = tmp_path / "pickle.keras"
    good.write_bytes(pickle.dumps(Opened(tmp_path / "run")))
    for name, content in (("empty", b""), ("text", b"{}"), ("cut", b"PK\x03\x04")):
        (tmp_path / f"{name}.keras").write_bytes(content)
    (tmp_path / "folder.keras").mkdir()
    for name in ("pickle", "empty", "text", "cut"):
        with pytest.raises(ValueError, match=f"{name}.keras cannot be loaded"):
            keras_vae.load_model(tmp_path / f"{name}.keras")
    with pytest.raises(OSError, match=r"folder.keras cannot be read"):
        keras_vae.load_model(tmp_path / "folder.keras")
    with pytest.raises(FileNotFoundError, match="no model file"):
        keras_vae.load_model(tmp_path / "none.keras")
    assert not (tmp_path / "run").exists()


def test_pickles_in_arrays_are_never_run(tmp_path):
    hostile = np.array([Opened(tmp_path / "run")], dtype=object)
    np.save(tmp_path / "a.npy", hostile, allow_pickle=True)
    np.savez(tmp_path / "a.npz", train=hostile)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match="arrays of Python objects are not accepted"):
            data.load(tmp_path / name)
    (tmp_path / "state").mkdir()
    body = io.BytesIO()
    np.savez(body, record=hostile)
    content = body.getvalue()
    path = tmp_path / "state" / "state-000001.npz"
    path.write_bytes(content + hashlib.sha256(content).digest())
    model = vae()
    model.compile("adam")
    with (
        pytest.warns(UserWarning, match="state-000001.npz is damaged"),
        pytest.raises(ValueError, match="no intact state"),
    ):
        TrainingState(tmp_path / "state", []).restore(model)
    assert not (tmp_path / "run").exists()


def npy_header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_claims_of_more_than_there_is_take_no_memory(tmp_path):
    for shape in ("(1000000, 1000000)", f"({2**40}, {2**40})", "(-1, 4)", "(1000000000000,)"):
        (tmp_path / "a.npy").write_bytes(npy_header(shape) + bytes(64))
        with pytest.raises(ValueError, match=r"a.npy cannot be read"):
            data.load(tmp_path / "a.npy")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("train.npy", npy_header(shape) + bytes(64))
        with pytest.raises(ValueError, match=r"a.npz cannot be read"):
            data.load(tmp_path / "a.npz")
    huge = b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 2**31)
    (tmp_path / "huge").write_bytes(huge)
    with pytest.raises(ValueError, match=r"says that it holds .* more than this machine's memory"):
        read_idx(tmp_path / "huge")


def test_bombs_of_data_are_not_unpacked_further_than_they_say(tmp_path):
    small = b"\0\0\x08\x01" + struct.pack(">I", 10)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(small + bytes(50_000_000)))
    with pytest.raises(ValueError, match=r"goes on after its values.*Received: more"):
        read_idx(tmp_path / "bomb.gz")


def test_fields_too_long_for_a_table_are_damage(tmp_path):
    from keras_vae.training import Run

    run = object.__new__(Run)
    run.path = tmp_path
    (tmp_path / "history.csv").write_text("epoch\n" + "1" * (csv.field_size_limit() + 1) + "\n")
    with pytest.raises(ValueError, match=r"history\.csv is damaged"):
        run.history()
