"""Data that stay on disk: the same batches as from memory, flat memory, and errors that name the file."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordWriter
from rich.console import Console
from test_data_sources import Blobs, write_images

from keras_vae import VAE, data, likelihoods, networks, training
from keras_vae.data.records import Records
from keras_vae.data.sources import shards
from keras_vae.training import Recipe, callbacks, results

QUIET = Console(quiet=True)


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *(shape or (6, 5, 1))), np.uint8)


def example(**features):
    """A serialised tf.train.Example: bytes, floats or integers."""
    made = {}
    for name, value in features.items():
        if isinstance(value, bytes):
            made[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        elif np.asarray(value).dtype.kind == "f":
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value))
        else:
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def png(image):
    return tf.io.encode_png(image).numpy()


def write_tfrecord(path, records):
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in records:
            file.write(record)


def write_array_record(path, records):
    file = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        file.write(record)
    file.close()


WRITERS = {"tfrecord": write_tfrecord, "array_record": write_array_record}


def write_shards(folder, images, kind="tfrecord", split="train", num=3, form=None):
    form = form or (lambda image: example(image=png(image), label=[1]))
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(np.array_split(images, num)):
        name = f"{split}-{number:05}-of-{num:05}.{kind}"
        WRITERS[kind](folder / name, map(form, part))
    return folder


def assert_same_data(source, expected, **options):
    """Streamed, the source gives what its examples in memory give, in every split, from any step on."""
    streamed = data.load(source, stream=True, **options)
    assert streamed.is_streamed
    assert not expected.is_streamed
    for step in (0, expected.steps_per_epoch + 1):
        pairs = zip(
            streamed.train_from(step).take(9), expected.train_from(step).take(9), strict=True
        )
        for got, want in pairs:
            assert got.shape == want.shape
            np.testing.assert_array_equal(got, want)
    for split in ("validation", "test"):
        got, want = ([*getattr(s, split)] for s in (streamed, expected))
        assert [len(batch) for batch in got] == [len(batch) for batch in want]
        np.testing.assert_array_equal(np.concatenate(got), np.concatenate(want))
        np.testing.assert_array_equal(streamed.examples(split, 2), expected.examples(split, 2))
    np.testing.assert_array_equal(streamed.examples("train"), expected.examples("train"))
    np.testing.assert_allclose(streamed.mean, expected.mean, atol=1e-6)  # few enough for the sample
    assert streamed.is_binary == expected.is_binary
    assert streamed.value_range == expected.value_range
    return streamed


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("protocol", ["dynamic", "grey", "raw"])
def test_shards_give_the_batches_of_memory(tmp_path, kind, protocol):
    images, test = pixels(100), pixels(23, seed=1)
    write_shards(tmp_path / "blobs", images, kind)
    write_shards(tmp_path / "blobs", test, kind, split="test", num=1)
    expected = data.from_arrays(images, test, protocol=protocol, batch_size=8, seed=5)
    streamed = assert_same_data(
        tmp_path / "blobs", expected, protocol=protocol, batch_size=8, seed=5
    )
    assert streamed.name == "blobs"
    assert "90 examples, streamed" in dict(streamed.summary())["train"]
    in_memory = data.load(tmp_path / "blobs", protocol=protocol, batch_size=8, seed=5)
    assert in_memory.fingerprints == expected.fingerprints


def test_held_out_pixels_are_drawn_alike_across_chunks(tmp_path):
    """More examples than are drawn with one seed."""
    images = pixels(9000, 2, 2, 1)
    np.save(tmp_path / "a.npy", images)
    expected = data.from_arrays(images[:4000], images[4000:], protocol="dynamic", batch_size=100)
    write_shards(tmp_path / "s", images[:4000], form=lambda image: image.tobytes(), num=1)
    streamed = Records(data.load(tmp_path / "a.npy", stream=True).stored["train"].values.reader)
    both = data.Splits(
        "a", "dynamic", 100, 0,
        {"train": data.Examples(streamed[:4000]), "test": data.Examples(streamed[4000:])},
    )  # fmt: skip
    np.testing.assert_array_equal(np.concatenate([*both.test]), np.concatenate([*expected.test]))
    np.testing.assert_array_equal(both.examples("test"), expected.examples("test"))


FORMS = {
    "a picture": (lambda image: png(image), None),
    "a picture in an example": (lambda image: example(image=png(image), label=[3]), None),
    "a single feature": (lambda image: example(picture=png(image), label=[3]), None),
    "a serialised tensor": (lambda image: example(x=tf.io.serialize_tensor(image).numpy()), None),
    "a serialised tensor without channels": (
        lambda image: example(x=tf.io.serialize_tensor(image[..., 0]).numpy()),
        None,
    ),
    "a serialised tensor of booleans": (
        lambda image: example(x=tf.io.serialize_tensor(image > 99).numpy()),
        lambda images: images > 99,
    ),
    "bytes": (lambda image: example(x=image.tobytes()), lambda images: images.reshape(-1, 30)),
    "floats": (
        lambda image: example(x=image.ravel() / 7.0, y=[1]),
        lambda images: (images.reshape(-1, 30) / 7.0).astype(np.float32),
    ),
    "integers": (
        lambda image: example(x=image.ravel().astype(int)),
        lambda images: images.reshape(-1, 30).astype(np.float32),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_record_may_be(tmp_path, form):
    write, as_stored = FORMS[form]
    images = pixels(40)
    source = write_shards(tmp_path / "s", images, form=write)
    arrays = as_stored(images) if as_stored else images
    assert_same_data(source, data.from_arrays(arrays, batch_size=4), batch_size=4)


def test_an_image_folder_gives_the_batches_of_memory(tmp_path):
    images = pixels(60)
    for number, name in enumerate(("ant", "bee")):
        write_images(tmp_path / "i" / name, images[30 * number : 30 * (number + 1)])
    expected = data.load(tmp_path / "i", batch_size=8)
    np.testing.assert_array_equal(
        data.from_arrays(images, batch_size=8).examples("train"), expected.examples("train")
    )
    streamed = assert_same_data(tmp_path / "i", expected, batch_size=8)
    assert streamed.class_names == ("ant", "bee")
    np.testing.assert_array_equal(streamed.train_labels, expected.train_labels)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(7,), (4, 3), (4, 3, 2)])
def test_npy_files_give_the_batches_of_memory(tmp_path, dtype, shape):
    array = (np.random.default_rng(0).random((50, *shape)) * 9).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    for flatten in (False, True):
        options = {"batch_size": 6, "flatten": flatten}
        assert_same_data(tmp_path / "a.npy", data.load(tmp_path / "a.npy", **options), **options)


@pytest.mark.parametrize("kind", WRITERS)
def test_tfds_records_give_the_batches_of_memory(tmp_path, monkeypatch, kind):
    builder = Blobs(data_dir=tmp_path, file_format=kind)
    monkeypatch.setattr("tensorflow_datasets.builder", {"blobs": builder}.__getitem__)
    assert_same_data("tfds:blobs", data.load("tfds:blobs", batch_size=6), batch_size=6)


def test_memory_does_not_grow_with_the_data(tmp_path):
    """Peak memory while 20 times as much is streamed; the data take 8 MB, then 157 MB."""
    for n in (10_000, 200_000):
        np.lib.format.open_memmap(tmp_path / f"{n}.npy", "w+", np.uint8, (n, 28, 28))[:] = 7
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from keras_vae import data\n"
        "for path in sys.argv[1:]:\n"
        "    splits = data.load(path, stream=True, batch_size=100)\n"
        "    for batch in splits.train.take(150): pass\n"
        "    print(re.search('VmHWM:[ \\t]*(.*) kB', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "10000.npy", tmp_path / "200000.npy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    peaks = [int(peak) // 1000 for peak in done.stdout.split()]
    assert peaks[1] - peaks[0] < 80, f"{peaks} MB"


# Training.


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("data") / "s", pixels(200, 8, 8, 1))


@pytest.fixture(scope="module")
def recipe(source):
    return Recipe(
        data=str(source), stream=True, protocol="dynamic", hidden=(16,), latent_dim=2,
        batch_size=20, epochs=4, steps_per_epoch=5, jit_compile=False,
    )  # fmt: skip


def weights(run):
    return [np.asarray(value) for value in run.model.get_weights()]


def test_a_run_goes_on_in_the_middle_of_a_pass(recipe, tmp_path, monkeypatch):
    """A pass is 8 steps and a checkpoint comes every 5: after one, a killed run reads on where it was,
    to the bit, and the data in memory train the same weights.
    """
    whole = training.train(recipe, tmp_path / "whole", console=QUIET)
    assert whole.data.steps_per_epoch == 8
    best = int(np.argmin(whole.history()["val_negative_elbo"])) + 1
    assert int(whole.model.step.numpy()) == 5 * best

    class Killed(Exception):
        pass

    check = callbacks.StopAtNaN.on_train_batch_end

    def killed(self, at, logs=None):
        check(self, at, logs)
        if self.epoch == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopAtNaN, "on_train_batch_end", killed)
        with pytest.raises(Killed):
            training.train(recipe, tmp_path / "killed", console=QUIET)
    resumed = training.resume(tmp_path / "killed", console=QUIET)
    recipe_in_memory = Recipe(**{**recipe.to_json(), "stream": False, "hidden": (16,)})
    in_memory = training.train(recipe_in_memory, tmp_path / "memory", console=QUIET)
    for other in (resumed, in_memory):
        terms = [term for term in other.history() if term != "steps_per_second"]
        for term in terms:
            assert other.history()[term] == whole.history()[term], term
        for got, want in zip(weights(other), weights(whole), strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_run_is_not_overwritten_for_data_that_do_not_fit(recipe, source, tmp_path):
    run = training.train(recipe, tmp_path / "run", console=QUIET)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    unfit = Recipe(
        data=str(source), stream=True, protocol="grey", likelihood="bernoulli", batch_size=20
    )
    with pytest.raises(ValueError, match="Bernoulli is defined for"):
        training.train(unfit, run.path, overwrite=True, console=QUIET)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_data_that_change_are_not_trained_on(recipe, source, tmp_path):
    """Other numbers of the same size in files of the same names are noticed too."""
    plain = tmp_path / "a.npy"
    np.save(plain, pixels(60))
    before = data.load(plain, stream=True, batch_size=8).fingerprints
    assert data.load(plain, stream=True, batch_size=8).fingerprints == before
    np.save(plain, pixels(60, seed=1))
    after = data.load(plain, stream=True, batch_size=8).fingerprints
    assert all(after[split] != before[split] for split in before)
    run = training.train(recipe, tmp_path / "run", console=QUIET)
    moved = source.rename(source.with_name("moved"))
    try:
        write_shards(source, pixels(199, 8, 8, 1, seed=1))
        with pytest.raises(ValueError, match=r"not those that .*run was trained on"):
            _ = training.Run(run.path).data
    finally:
        for path in source.iterdir():
            path.unlink()
        source.rmdir()
        moved.rename(source)


# Damage.


def fit_a_stream(source, before=lambda: None):
    splits = data.load(source, stream=True, batch_size=8, validation=0)
    vae = Recipe(hidden=(4,), latent_dim=2, batch_size=8, jit_compile=False).build(splits)
    before()
    vae.fit(splits.train, steps_per_epoch=splits.steps_per_epoch, epochs=2, verbose=0)


def damaged(path, at=-20):
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("tfrecord", r"Record \d+ of .*train-00002.* is damaged"),
        ("array_record", r"train-00002-of-00003\.array_record cannot be read"),
    ],
)
def test_a_damaged_record_ends_training_with_its_name(tmp_path, kind, words):
    source = write_shards(tmp_path / "s", pixels(90), kind)
    path = source / f"train-00002-of-00003.{kind}"
    damaged(path, at=path.stat().st_size // 2 if kind == "array_record" else -20)
    with pytest.raises(ValueError, match=words):
        fit_a_stream(source)


def test_an_image_that_cannot_be_read_ends_training_with_its_name(tmp_path):
    write_images(tmp_path / "i", pixels(40))
    victim = sorted((tmp_path / "i").iterdir())[5]

    def cut():
        victim.write_bytes(victim.read_bytes()[:40])

    with pytest.raises(ValueError, match=f"{victim.name} cannot be read as an image"):
        fit_a_stream(tmp_path / "i", before=cut)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: write_shards(p, pixels(9), form=lambda i: b"what"), "not clear where in the records"),
        (lambda p: write_shards(p, pixels(9), form=lambda i: example(a=[1], b=[2])), "features a, b"),
        (lambda p: write_shards(p, pixels(9), split="test"), "which of the shards .* are for training"),
        (lambda p: write_shards(p, pixels(9)[:0], num=1), "without records"),
        (
            lambda p: (write_shards(p, pixels(9)) / "train-00001-of-00003.tfrecord").unlink(),
            "3 by their names, 2 are there",
        ),
        (
            lambda p: (write_shards(p, pixels(9)) / "more-train.tfrecord").symlink_to(p / "gone"),
            r"more-train\.tfrecord leads nowhere",
        ),
        (lambda p: write_images(write_shards(p, pixels(9)), pixels(1)), "both shards and images"),
        (lambda p: write_shards(p, pixels(9), form=lambda i: example(x=b"")), "is empty"),
        (
            lambda p: write_shards(
                p, pixels(9), form=lambda i: example(x=tf.io.serialize_tensor(i[None, ..., None]).numpy())
            ),
            r"Record 0 of .*wrong rank",
        ),
        (
            lambda p: write_shards(
                p, pixels(9), form=lambda i: example(x=tf.io.serialize_tensor(i * 1j).numpy())
            ),
            "real numbers",
        ),
        (
            lambda p: write_shards(write_shards(p, pixels(9)), pixels(9), "array_record"),
            "both TFRecord and ArrayRecord",
        ),
        (
            lambda p: write_shards(p, pixels(9), form=lambda i: example(x=i[: i[0, 0, 0] % 5 + 1].tobytes())),
            "another kind than the first",
        ),
    ],
)  # fmt: skip
def test_unfit_shards_are_refused(tmp_path, make, words):
    make(tmp_path / "s")
    for stream in (False, True):
        with pytest.raises(ValueError, match=words):
            [*data.load(tmp_path / "s", batch_size=2, stream=stream).train.take(4)]


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        (np.nan, {}, r"Example 37 of .*a\.npy holds nan.*finite"),
        (np.inf, {"protocol": "dynamic"}, r"Example 37 of .*holds inf.*from 0 to 1"),
        (1.5, {"protocol": "grey"}, r"Example 37 of .*holds 1\.5.*from 0 to 1"),
        (-0.5, {"protocol": "dynamic"}, r"holds -0\.5"),
    ],
)
def test_numbers_that_must_not_be_are_named(tmp_path, value, options, words):
    """Before they are drawn as pixels, which would make zeros and ones of them."""
    array = np.random.default_rng(0).random((90, 4))
    array[37, 2] = value
    np.save(tmp_path / "a.npy", array)
    splits = data.load(tmp_path / "a.npy", stream=True, batch_size=8, validation=0, **options)
    kept = data.Examples(
        Records(splits.stored["train"].values.reader, limit=splits.stored["train"].values.limit)
    )
    splits = data.Splits("a", splits.protocol, 8, 0, {"train": kept})
    with pytest.raises(ValueError, match=words):
        splits.examples("train")
    normal = likelihoods.Normal()
    vae = VAE(*networks.mlp(4, 2, hidden=4, likelihood=normal), likelihood=normal)
    vae.compile("adam")
    with pytest.raises(ValueError, match=words):
        vae.fit(splits.train, steps_per_epoch=splits.steps_per_epoch, epochs=2, verbose=0)


@pytest.mark.parametrize("kept", [3, 11, 30, -1])
def test_a_shard_cut_short_is_refused(tmp_path, kept):
    source = write_shards(tmp_path / "s", pixels(9), num=1)
    path = source / "train-00000-of-00001.tfrecord"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"not a whole TFRecord file"):
        data.load(source, stream=True, batch_size=2)


def test_the_set_is_the_last_one_that_a_name_tells(tmp_path):
    assert shards._set_of("test_patterns-train.tfrecord-00000-of-00001") == "train"
    assert shards._set_of("blobs-val.array_record-00000-of-00001") == "validation"
    assert shards._set_of("trainset.tfrecord") == "train"
    assert shards._set_of("blobs-0.tfrecord") == ""


def test_other_files_are_no_shards(tmp_path):
    source = write_shards(tmp_path / "s", pixels(40))
    for name in ("train.tfrecord.idx", "a.array_record[0:1]", ".train.tfrecord", "readme.txt"):
        (source / name).write_bytes(b"something else")
    assert data.load(source, batch_size=2).num_train == 32


def test_what_is_read_whole_is_not_streamed(tmp_path):
    np.savez(tmp_path / "a.npz", train=pixels(9))
    for source in ("mnist", tmp_path / "a.npz"):
        with pytest.raises(ValueError, match=r"is not streamed.*shards"):
            data.load(source, stream=True)
    (tmp_path / "a.npz").rename(tmp_path / "b.npy")
    with pytest.raises(ValueError, match=r"\.npz archive by its content"):
        data.load(tmp_path / "b.npy", stream=True)
    np.save(tmp_path / "c.npy", np.asfortranarray(np.zeros((9, 4))))
    with pytest.raises(ValueError, match="Fortran order"):
        data.load(tmp_path / "c.npy", stream=True)


def test_static_binarisation_is_not_streamed(source):
    with pytest.raises(ValueError, match=r"static.*keeps them in memory.*dynamic"):
        data.load(source, stream=True, protocol="static", batch_size=8)


def test_the_run_says_that_it_streamed(recipe, tmp_path):
    run = training.train(recipe, tmp_path / "run", console=QUIET)
    config = json.loads((run.path / "config.json").read_text())
    assert config["recipe"]["stream"] is True
    z = results.embed_run(run, tmp_path / "z.npz", split="train")
    np.testing.assert_array_equal(z, run.model.embed(run.data.examples("train")))
    assert "streamed" in (run.path / "report.md").read_text()
