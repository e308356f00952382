"""Where data come from: the embedded MNIST, files, folders and TensorFlow Datasets."""

import gzip
import hashlib
import shutil
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_vae import data
from keras_vae.data.builders import MNIST_FOLDER, EmbeddedMnist, IdxFolder
from keras_vae.data.idx import read_idx, read_idx_header

IDX_FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def idx_bytes(array, code=0x08):
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx_folder(folder, zipped=True):
    arrays = [pixels(50, 5, 4), pixels(50) % 7, pixels(12, 5, 4, seed=1), pixels(12, seed=1) % 7]
    for name, array in zip(IDX_FILES, arrays, strict=True):
        content = idx_bytes(array)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return arrays


def write_images(folder, images, suffix=".png", start=0):
    folder.mkdir(parents=True, exist_ok=True)
    encode = {".png": tf.io.encode_png, ".jpg": lambda x: tf.io.encode_jpeg(x, quality=100)}[suffix]
    for number, image in enumerate(images, start):
        tf.io.write_file(str(folder / f"{number:04d}{suffix}"), encode(image))


def of_one_set(splits):
    """The examples of all splits in the order of their labels, which number them."""
    labels = [splits.train_labels, splits.validation_labels, splits.test_labels]
    values = [held.values for held in splits.stored.values()]
    return np.concatenate(values)[np.argsort(np.concatenate(labels))]


def of_train(splits):
    """The examples of a source's training set, of which some were held out for validation."""
    return np.concatenate([splits.stored[name].values for name in ("train", "validation")])


def in_any_order(images):
    return sorted(image.tobytes() for image in images)


# IDX


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("code", "stored", "dtype"),
    [
        (0x08, "u1", np.uint8),
        (0x09, "i1", np.int8),
        (0x0B, ">i2", np.int16),
        (0x0C, ">i4", np.int32),
        (0x0D, ">f4", np.float32),
        (0x0E, ">f8", np.float64),
    ],
)
def test_idx_types_and_shapes(tmp_path, zipped, code, stored, dtype):
    array = np.array([[[1, 2, 3], [-4, 5, 60]]]).astype(stored)
    content = idx_bytes(array, code)
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == dtype
    assert read.dtype.isnative
    assert read_idx_header(path) == (read.dtype, (1, 2, 3))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: b"", "is not an IDX file.*no bytes"),
        (lambda whole: b"PK\3\4" + whole, "is not an IDX file.*Received: 50 4b 03 04"),
        (lambda whole: b"\0\0\7\3" + whole[4:], "is not an IDX file.*Received: 00 00 07 03"),
        (lambda whole: whole[:10], "ends in its header.*Expected 16 bytes.*Received: 10 bytes"),
        (lambda whole: whole[:-1], r"cut short.*Expected 60 bytes.*\(3, 5, 4\).*Received: 59"),
        (lambda whole: whole + b"!", "goes on after.*Expected 60.*Received: more"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, zipped, damage, message):
    path = tmp_path / "images"
    content = damage(idx_bytes(pixels(3, 5, 4)))
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=f"{path}.*{message}"):
        read_idx(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda zipped: zipped[:-20],
        lambda zipped: zipped[:3],
        lambda zipped: zipped[:40] + bytes([zipped[40] ^ 255]) + zipped[41:],
        lambda zipped: zipped[:-6] + b"\0" + zipped[-5:],
    ],
)
def test_damaged_gzip_files_are_refused(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx_bytes(pixels(3, 20, 20)))))
    with pytest.raises(ValueError, match=f"{path}.*damaged gzip file"):
        read_idx(path)


def test_idx_checksums_are_verified(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(pixels(3, 5, 4)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_idx(path, sha256=digest).shape == (3, 5, 4)
    with pytest.raises(ValueError, match=f"{path}.*Expected SHA-256 0000.*Received: {digest}"):
        read_idx(path, sha256="0" * 64)


# Folders of IDX files


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_folder(tmp_path, zipped):
    images, labels, test_images, test_labels = write_idx_folder(tmp_path, zipped)
    splits = data.load(tmp_path, batch_size=8)
    assert (splits.name, splits.protocol, splits.shape) == (tmp_path.name, "grey", (5, 4, 1))
    assert (splits.num_train, splits.num_validation, splits.num_test) == (45, 5, 12)
    np.testing.assert_array_equal(splits.stored["train"].values[..., 0], images[:45])
    np.testing.assert_array_equal(splits.stored["validation"].values[..., 0], images[45:])
    np.testing.assert_array_equal(splits.stored["test"].values[..., 0], test_images)
    np.testing.assert_array_equal(splits.train_labels, labels[:45])
    np.testing.assert_array_equal(splits.test_labels, test_labels)


def test_idx_names_with_a_dot_are_accepted(tmp_path):
    write_idx_folder(tmp_path, zipped=False)
    for name in IDX_FILES:
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert data.load(tmp_path, batch_size=8).num_test == 12


def test_missing_idx_files_are_named(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    message = "lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte"
    with pytest.raises(FileNotFoundError, match=message):
        data.load(tmp_path)


def test_mixed_up_idx_files_are_refused(tmp_path):
    write_idx_folder(tmp_path, zipped=False)
    shutil.copy(tmp_path / IDX_FILES[1], tmp_path / IDX_FILES[0])
    message = rf"{IDX_FILES[0]} does not hold images.*rank 3.*\(50,\).*mixed up"
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    write_idx_folder(tmp_path, zipped=False)
    shutil.copy(tmp_path / IDX_FILES[1], tmp_path / IDX_FILES[3])
    with pytest.raises(ValueError, match=r"do not belong together.*12 images and 50 labels"):
        data.load(tmp_path)


def test_empty_idx_files_are_refused(tmp_path):
    write_idx_folder(tmp_path, zipped=False)
    (tmp_path / IDX_FILES[0]).write_bytes(idx_bytes(pixels(0, 5, 4)))
    (tmp_path / IDX_FILES[1]).write_bytes(idx_bytes(pixels(0)))
    with pytest.raises(ValueError, match=rf"{IDX_FILES[0]} is empty.*\(0, 5, 4\)"):
        data.load(tmp_path)


def test_checksums_beside_idx_files_are_verified(tmp_path):
    write_idx_folder(tmp_path, zipped=False)
    digest = hashlib.sha256((tmp_path / IDX_FILES[0]).read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  {IDX_FILES[0]}\n")
    assert data.load(tmp_path, batch_size=8).num_train == 45
    (tmp_path / IDX_FILES[0]).write_bytes(idx_bytes(pixels(50, 5, 4, seed=2)))
    with pytest.raises(ValueError, match=f"{IDX_FILES[0]} is not the file it should be"):
        data.load(tmp_path, batch_size=8)


# The builders


def test_damaged_checksums_are_named(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "SHA256SUMS").write_text("not a checksum\n")
    with pytest.raises(ValueError, match=r"SHA256SUMS is damaged.*sha256sum.*'not a checksum'"):
        data.load(tmp_path, batch_size=4)


def test_idx_builder_is_a_tfds_builder(tmp_path):
    images, labels, test_images, _ = write_idx_folder(tmp_path)
    builder = IdxFolder(data_dir=tmp_path)
    info = builder.info
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": 50,
        "test": 12,
    }
    assert info.features["image"].shape == (5, 4, 1)
    assert info.features["label"].num_classes == 7
    assert info.splits["train[:10%]"].num_examples == 5
    assert set(builder.as_dataset()) == {"train", "test"}

    part = builder.as_dataset(split="train[10:14]+test[:2]", as_supervised=True)
    read = [(image.numpy(), label.numpy()) for image, label in part]
    expected = np.concatenate([images[10:14], test_images[:2]])
    np.testing.assert_array_equal([image[..., 0] for image, _ in read], expected)
    assert [label for _, label in read[:4]] == labels[10:14].tolist()
    assert [spec.shape for spec in part.element_spec] == [(5, 4, 1), ()]

    whole = builder.as_dataset(split="test", batch_size=-1)
    np.testing.assert_array_equal(whole["image"][..., 0], test_images)
    assert whole["label"].dtype == tf.int64


def test_idx_builder_never_touches_the_files(tmp_path):
    write_idx_folder(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    builder = IdxFolder(data_dir=tmp_path)
    config = tfds.download.DownloadConfig(download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS)
    builder.download_and_prepare(download_config=config)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_idx_builder_needs_a_folder_and_no_decoders(tmp_path):
    with pytest.raises(ValueError, match="data_dir=None"):
        IdxFolder()
    write_idx_folder(tmp_path)
    with pytest.raises(ValueError, match="decoders=None"):
        IdxFolder(data_dir=tmp_path).as_dataset(
            split="train", decoders={"image": tfds.decode.SkipDecoding()}
        )


def test_mnist_files_carry_their_licence_and_checksums():
    assert "CC BY-SA 3.0" in (MNIST_FOLDER / "LICENSE").read_text()
    assert "Yann LeCun and Corinna Cortes" in (MNIST_FOLDER / "LICENSE").read_text()
    sums = dict(
        reversed(line.split()) for line in (MNIST_FOLDER / "SHA256SUMS").read_text().splitlines()
    )
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in MNIST_FOLDER.glob("*.gz")
    }
    assert len(sums) == 4


def test_mnist_builder_describes_mnist():
    info = EmbeddedMnist().info
    assert info.splits["train"].num_examples == 60_000
    assert info.splits["test"].num_examples == 10_000
    assert info.features["image"].shape == (28, 28, 1)
    assert info.features["label"].num_classes == 10
    assert info.full_name == "mnist/1.0.0"
    assert "CC BY-SA 3.0" in info.redistribution_info.license
    assert "lecun1998gradient" in info.citation


def test_a_damaged_copy_of_mnist_is_refused(tmp_path):
    folder = tmp_path / "mnist"
    shutil.copytree(MNIST_FOLDER, folder)
    path = folder / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.gz is not the file it should"):
        EmbeddedMnist(data_dir=folder).as_dataset(split="test")


# TensorFlow Datasets


class Blobs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Small images; what varies between tests is in the class attributes."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = Path(__file__).parent

    shape = (3, 4, 1)
    column = "image"
    sets = ("train", "test")
    factors: ClassVar[dict[str, int]] = {}

    def _info(self):
        features = {
            self.column: tfds.features.Image(shape=self.shape, encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ant", "bee"]),
            **{
                f"label_{name}": tfds.features.ClassLabel(num_classes=size)
                for name, size in self.factors.items()
            },
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(seed) for seed, name in enumerate(self.sets)}

    def _generate_examples(self, seed):
        for number, image in enumerate(pixels(20, 3, 4, 1, seed=seed)):
            factors = {f"label_{name}": number % size for name, size in self.factors.items()}
            yield number, {self.column: image, "label": number % 2, **factors}


@pytest.fixture
def tfds_source(tmp_path, monkeypatch):
    """Lets `tfds:blobs` be a builder with the attributes given."""

    def prepare(**attributes):
        builder = type("Blobs", (Blobs,), attributes, skip_registration=True)(data_dir=tmp_path)
        monkeypatch.setattr(tfds, "builder", {"blobs": builder}.__getitem__)
        return "tfds:blobs"

    return prepare


def test_tfds(tfds_source):
    splits = data.load(tfds_source(), batch_size=6)
    assert (splits.name, splits.protocol, splits.shape) == ("tfds:blobs", "grey", (3, 4, 1))
    assert splits.class_names == ("ant", "bee")
    assert (splits.num_train, splits.num_validation, splits.num_test) == (18, 2, 20)
    assert in_any_order(of_train(splits)) == in_any_order(pixels(20, 3, 4, 1))
    np.testing.assert_array_equal(splits.stored["test"].values, pixels(20, 3, 4, 1, seed=1))
    np.testing.assert_array_equal(splits.test_labels, np.arange(20) % 2)


def test_tfds_with_a_validation_set(tfds_source):
    splits = data.load(tfds_source(sets=("train", "validation", "test")), batch_size=6)
    assert (splits.num_train, splits.num_validation, splits.num_test) == (20, 20, 20)
    np.testing.assert_array_equal(splits.stored["validation"].values, pixels(20, 3, 4, 1, seed=1))
    with pytest.raises(ValueError, match=r"have a validation set, of 20 examples.*validation=3"):
        data.load("tfds:blobs", batch_size=6, validation=3)


def test_tfds_with_one_set_is_divided(tfds_source):
    splits = data.load(tfds_source(sets=("train",)), batch_size=4)
    assert (splits.num_train, splits.num_validation, splits.num_test) == (16, 2, 2)


def test_tfds_labels_of_single_factors(tfds_source):
    splits = data.load(tfds_source(factors={"shape": 3, "angle": 5}), batch_size=6)
    assert list(splits.factor_sizes.items()) == [("shape", 3), ("angle", 5)]
    numbers = np.arange(20)
    np.testing.assert_array_equal(
        splits.factors("test"), np.stack([numbers % 3, numbers % 5], axis=1)
    )
    assert splits.class_names == ("ant", "bee")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"column": "picture"}, "no images.*feature named image.*picture"),
        ({"shape": (None, None, 1)}, r"differ in size.*\(None, None, 1\)"),
        ({"sets": ("all_of_it",)}, "no training set.*all_of_it"),
    ],
)
def test_tfds_data_without_images_to_train_on_are_refused(tfds_source, attributes, message):
    with pytest.raises(ValueError, match=message):
        data.load(tfds_source(**attributes), batch_size=4)


def test_a_failed_download_says_what_to_do(tfds_source, tmp_path):
    def no_network(self, dl_manager):
        raise ConnectionError("Name or service not known")

    source = tfds_source(_split_generators=no_network)
    message = rf"'tfds:blobs' is not prepared in {tmp_path}.*not known.*tfds build.*TFDS_DATA_DIR"
    with pytest.raises(FileNotFoundError, match=message):
        data.load(source)


def test_an_unknown_tfds_name_is_refused():
    with pytest.raises(ValueError, match=r"not know 'fashion_mnits'.*perhaps fashion_mnist"):
        data.load("tfds:fashion_mnits")
    with pytest.raises(ValueError, match=r"no such configuration or version of 'mnist:9.9.9'"):
        data.load("tfds:mnist:9.9.9")


# NumPy files


@pytest.mark.parametrize(
    ("shape", "event_shape"),
    [((100, 3), (3,)), ((100, 4, 5), (4, 5, 1)), ((100, 4, 5, 3), (4, 5, 3))],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_npy(tmp_path, shape, event_shape, dtype):
    path = tmp_path / "things.npy"
    np.save(path, pixels(*shape).astype(dtype))
    splits = data.load(path, batch_size=16)
    assert (splits.name, splits.shape, splits.num_train) == ("things", event_shape, 80)
    assert splits.protocol == ("grey" if dtype == np.uint8 else "raw")
    assert splits.train_labels is None


@pytest.mark.parametrize("keys", [("train", "test"), ("x_train", "x_test")])
def test_npz_with_two_sets(tmp_path, keys):
    path = tmp_path / "things.npz"
    arrays = {keys[0]: pixels(40, 4, 5), keys[1]: pixels(10, 4, 5, seed=1)}
    np.savez(path, y_train=np.arange(40)[:, None], y_test=np.arange(10), **arrays)
    splits = data.load(path, batch_size=16)
    np.testing.assert_array_equal(splits.stored["test"].values[..., 0], arrays[keys[1]])
    held_out = splits.validation_labels
    np.testing.assert_array_equal(splits.train_labels, np.setdiff1d(np.arange(40), held_out))
    np.testing.assert_array_equal(
        splits.stored["validation"].values[..., 0], arrays[keys[0]][held_out]
    )
    np.testing.assert_array_equal(splits.test_labels, np.arange(10))


@pytest.mark.parametrize("keys", [("train", "val", "test"), ("x_train", "x_valid", "x_test")])
def test_npz_with_three_sets(tmp_path, keys):
    path = tmp_path / "things.npz"
    arrays = {key: pixels(n, 4, 5) for key, n in zip(keys, (40, 9, 10), strict=True)}
    np.savez(path, y_val=np.arange(9), **arrays)
    splits = data.load(path, batch_size=16)
    assert (splits.num_train, splits.num_validation, splits.num_test) == (40, 9, 10)
    np.testing.assert_array_equal(splits.stored["validation"].values[..., 0], arrays[keys[1]])
    np.testing.assert_array_equal(splits.validation_labels, np.arange(9))


@pytest.mark.parametrize("key", ["train", "anything"])
def test_npz_with_one_set(tmp_path, key):
    path = tmp_path / "things.npz"
    np.savez(path, y_train=np.arange(40), **{key: pixels(40, 4, 5)})
    np.testing.assert_array_equal(
        of_one_set(data.load(path, batch_size=16))[..., 0], pixels(40, 4, 5)
    )


@pytest.mark.parametrize(
    "keys",
    [
        ("a", "b"),
        ("x_test",),
        ("x_train", "train"),
        ("x_val", "x_test"),
        ("a", "y_test"),
        ("x_train", "y_test"),
    ],
)
def test_npz_without_clear_keys_is_refused(tmp_path, keys):
    path = tmp_path / "things.npz"
    np.savez(path, **{key: np.zeros((9, 2)) for key in keys})
    with pytest.raises(ValueError, match=f"not clear which arrays.*Received: {', '.join(keys)}"):
        data.load(path)


def test_object_arrays_are_refused(tmp_path):
    path = tmp_path / "things.npy"
    np.save(path, np.array([[1, None], [2, "x"]], dtype=object))
    with pytest.raises(ValueError, match=r"things.npy cannot be read.*Python objects"):
        data.load(path)
    np.savez(tmp_path / "things.npz", train=np.array([[None]]))
    with pytest.raises(ValueError, match=r"things.npz cannot be read.*Python objects"):
        data.load(tmp_path / "things.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_damaged_numpy_files_are_refused(tmp_path, suffix, kept):
    path = tmp_path / f"things{suffix}"
    write = np.save if suffix == ".npy" else np.savez
    write(path, pixels(40, 5))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"things{suffix} cannot be read"):
        data.load(path)


def test_numpy_files_with_the_wrong_suffix_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", pixels(40, 5))
    np.savez(tmp_path / "two.npz", pixels(40, 5))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    (tmp_path / "two.npz").rename(tmp_path / "two.npy")
    with pytest.raises(ValueError, match=r"Rename it to \.npy"):
        data.load(tmp_path / "one.npz")
    with pytest.raises(ValueError, match=r"Rename it to \.npz"):
        data.load(tmp_path / "two.npy")


# Folders of images


def test_image_folder(tmp_path):
    images = pixels(30, 5, 4, 3)
    write_images(tmp_path, images)
    (tmp_path / "notes.txt").write_text("not an image")
    splits = data.load(tmp_path, batch_size=8)
    assert (splits.shape, splits.protocol) == ((5, 4, 3), "grey")
    assert (splits.num_train, splits.num_validation, splits.num_test) == (24, 3, 3)
    assert splits.train_labels is None
    read = np.concatenate([held.values for held in splits.stored.values()])
    assert sorted(x.tobytes() for x in read) == sorted(x.tobytes() for x in images)


def test_image_folder_of_classes(tmp_path):
    images = pixels(30, 5, 4, 1)
    write_images(tmp_path / "bees", images[10:])
    write_images(tmp_path / "ants", images[:10])
    splits = data.load(tmp_path, batch_size=8)
    assert splits.class_names == ("ants", "bees")
    ants = {image.tobytes() for image in images[:10]}
    for split in ("train", "validation", "test"):
        held = splits.stored[split]
        assert [x.tobytes() in ants for x in held.values] == [label == 0 for label in held.labels]


def test_image_folder_with_train_and_test(tmp_path):
    images = pixels(30, 5, 4, 1)
    write_images(tmp_path / "train" / "a", images[:10])
    write_images(tmp_path / "train" / "b", images[10:20])
    write_images(tmp_path / "test" / "a", images[20:25])
    write_images(tmp_path / "test" / "b", images[25:])
    splits = data.load(tmp_path, batch_size=8)
    np.testing.assert_array_equal(splits.stored["test"].values, images[20:])
    np.testing.assert_array_equal(splits.test_labels, np.repeat([0, 1], 5))
    assert in_any_order(of_train(splits)) == in_any_order(images[:20])
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    with pytest.raises(ValueError, match=r"classes .* differ.*\('a', 'b'\).*\('a', 'c'\)"):
        data.load(tmp_path, batch_size=8)


@pytest.mark.parametrize(
    "names", [("train", "val"), ("Train", "Valid", "TEST"), ("training", "validation", "testing")]
)
@pytest.mark.parametrize("of_classes", [False, True])
def test_sets_are_never_taken_for_classes(tmp_path, names, of_classes):
    for number, name in enumerate(names):
        for label in ("a", "b") if of_classes else ("",):
            write_images(tmp_path / name / label, np.full((10, 4, 5, 1), number, np.uint8))
    splits = data.load(tmp_path, batch_size=2)
    assert splits.class_names == (("a", "b") if of_classes else None)
    num_test = 0 if "test" in names[-1].lower() else len(splits.stored["test"])
    assert splits.num_train == (20 if of_classes else 10) - num_test
    assert splits.stored["train"].values.max() == 0
    assert splits.stored["validation"].values.min() == 1


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("cats", "dogs", "test"), "not clear.*test, cats, dogs.*folder train"),
        (("val", "test"), "not clear.*Expected train"),
        (("train", "val", "valid"), "two validation sets, val and valid"),
    ],
)
def test_sets_beside_classes_are_refused(tmp_path, names, words):
    for name in names:
        write_images(tmp_path / name, pixels(4, 5, 4, 1))
    with pytest.raises(ValueError, match=words):
        data.load(tmp_path, batch_size=2)


def test_hidden_files_and_folders_are_not_data(tmp_path):
    write_images(tmp_path / "ants", pixels(10, 5, 4, 1))
    write_images(tmp_path / "bees", pixels(10, 5, 4, 1))
    write_images(tmp_path / ".ipynb_checkpoints", pixels(3, 5, 4, 1))
    (tmp_path / "bees" / "._0000.png").write_bytes(b"of another system")
    splits = data.load(tmp_path, batch_size=4)
    assert splits.class_names == ("ants", "bees")
    assert sum(map(len, splits.stored.values())) == 20


def test_images_of_sixteen_bits_are_refused(tmp_path):
    write_images(tmp_path, pixels(9, 5, 4, 1))
    deep = tf.io.encode_png(tf.constant(300 * pixels(5, 4, 1).astype(np.uint16)))
    (tmp_path / "0004.png").write_bytes(deep.numpy())
    with pytest.raises(ValueError, match=r"0004\.png has 16 bits per channel.*8 bits"):
        data.load(tmp_path, batch_size=2)


def test_jpeg_images_are_read(tmp_path):
    write_images(tmp_path, np.full((9, 8, 8, 1), 100, np.uint8), ".jpg")
    assert abs(data.load(tmp_path, batch_size=2).mean * 255 - 100).max() < 2


@pytest.mark.parametrize("odd", [(5, 6, 1), (5, 4, 3)])
def test_an_image_of_another_size_is_named(tmp_path, odd):
    write_images(tmp_path, pixels(9, 5, 4, 1))
    write_images(tmp_path, [pixels(*odd)], start=100)
    message = rf"0100\.png.*Expected \(5, 4, 1\).*0000\.png.*Received: \({odd[0]}, {odd[1]}, "
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


@pytest.mark.parametrize("kept", [0, 20, -30])
def test_an_unreadable_image_is_named(tmp_path, kept):
    write_images(tmp_path, pixels(9, 5, 4, 1))
    path = tmp_path / "0004.png"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"0004\.png cannot be read as an image"):
        data.load(tmp_path)


def test_images_beside_classes_are_refused(tmp_path):
    write_images(tmp_path, pixels(2, 5, 4, 1))
    write_images(tmp_path / "ants", pixels(2, 5, 4, 1))
    with pytest.raises(ValueError, match=r"both in itself and in subfolders.*0000\.png.*ants"):
        data.load(tmp_path)


def test_no_picture_is_left_out(tmp_path):
    write_images(tmp_path / "a", pixels(9, 5, 4, 1))
    write_images(tmp_path / "b" / "deep", pixels(9, 5, 4, 1))
    with pytest.raises(ValueError, match=r"0000\.png lies deeper than images are looked for"):
        data.load(tmp_path, batch_size=2)
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "a" / "more.webp").write_bytes(b"RIFF")
    with pytest.raises(
        ValueError, match=r"more\.webp is a picture of a kind that is not read here"
    ):
        data.load(tmp_path, batch_size=2)
    (tmp_path / "a" / "more.webp").unlink()
    (tmp_path / "a" / "folder.png").mkdir()
    assert data.load(tmp_path, batch_size=2).class_names == ("a",)


def test_an_empty_set_of_images_is_refused(tmp_path):
    write_images(tmp_path / "train", pixels(9, 5, 4, 1))
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="test is empty"):
        data.load(tmp_path, batch_size=2)


# Unknown sources


def test_unknown_sources_suggest_what_was_meant(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'mnist'.*\?") as caught:
        data.load("mnits")
    for source in data.SOURCES:
        assert source.form in str(caught.value)
    (tmp_path / "digits.npy").touch()
    with pytest.raises(FileNotFoundError, match=f"Did you mean '{tmp_path}/digits.npy'"):
        data.load(tmp_path / "digit.npy")
    with pytest.raises(FileNotFoundError, match=f"Did you mean '{tmp_path}/digits.npy'"):
        data.load(tmp_path / "DIGITS.NPY")
    with pytest.raises(FileNotFoundError, match="Did you mean 'tfds:fashion_mnist'"):
        data.load("fashion-mnist")
    with pytest.raises(ValueError, match="name of the data is empty"):
        data.load("")
    with pytest.raises(TypeError, match=r"arrays go to from_arrays. Received: ndarray"):
        data.load(np.zeros((3, 2)))


def test_things_of_no_known_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a folder without IDX files, images or shards"):
        data.load(tmp_path)
    (tmp_path / "notes.txt").write_text("1,2\n")
    with pytest.raises(ValueError, match=r"notes.txt' is a file of another kind"):
        data.load(tmp_path / "notes.txt")
