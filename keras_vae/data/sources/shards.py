"""Shards of records: TFRecord and ArrayRecord files, a tf.train.Example or a picture in each record."""

import io
import os
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import google_crc32c
import numpy as np
import tensorflow as tf
from array_record.python.array_record_data_source import ArrayRecordDataSource
from google.protobuf.message import DecodeError
from tensorflow.core.framework.tensor_pb2 import TensorProto  # pyright: ignore[reportAttributeAccessIssue]

from keras_vae.data.examples import SET_NAMES, Array, Examples, RawData, event_like
from keras_vae.data.records import Records
from keras_vae.data.sources.images import decode_images, images_in, is_picture

Decode = Callable[[Sequence[bytes]], Sequence[Array] | Array]

_NAME = re.compile(
    r".*\.(?P<kind>tfrecord|array_?record)s?(-\d+-of-\d+)?|.*-\d+-of-\d+\.(?P<last>tfrecord|array_?record)s?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(.*?)-(\d+)-of-(\d+)")
_FEATURES = ("image", "x")  # of a tf.train.Example, in the order of preference
_LABELS = {"label", "y"}


def is_shard_folder(source: str) -> bool:
    """Whether the source is a folder with such files."""
    return Path(source).is_dir() and bool(_shards(Path(source)))


def stream_shards(source: str) -> RawData:
    """The records of a folder's shards, by set where the files' names say one."""
    folder, sets = Path(source), {}
    paths = _shards(folder)
    _check_nothing_is_left_out(folder, paths)
    for path in paths:
        sets.setdefault(_set_of(path.name), []).append(path)
    if list(sets) == [""]:
        sets = {"train": sets[""]}
    if "" in sets or "train" not in sets:
        raise ValueError(
            f"It is not clear which of the shards in {folder} are for training. Expected names with train, with "
            "or without validation and test, such as train-00000-of-00010.tfrecord; or no set in any name. "
            f"Received: {', '.join(path.name for paths in sets.values() for path in paths[:2])}."
        )
    read: dict[str, Any] = {
        split: Examples(Records(ShardReader(paths))) for split, paths in sets.items()
    }
    return RawData(folder.resolve().name, **read)


def _shards(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if _NAME.fullmatch(path.name) and not path.name.startswith(".") and not path.is_dir()
    )


def _check_nothing_is_left_out(folder: Path, paths: list[Path]) -> None:
    """Raises for images beside shards, for shards that lead nowhere, and for ones that are missing."""
    if images := images_in(folder):
        raise ValueError(
            f"{folder} holds both shards and images, such as {images[0].name}. Expected one kind."
        )
    found: dict[tuple[str, int], int] = {}
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} leads nowhere. Expected a file.")
        if numbered := _NUMBERED.match(path.name):
            key = _NUMBERED.sub(r"\1-*-of-\3", path.name), int(numbered[3])
            found[key] = found.get(key, 0) + 1
    for (name, total), count in found.items():
        if count != total:
            raise ValueError(
                f"Of the shards {folder / name}, {total:,} by their names, {count:,} are there. Expected all of them."
            )


def _set_of(name: str) -> str:
    """The set that a file's name ends with; of "test_patterns-train.tfrecord-00000" it is train."""
    words = [word.removesuffix("set") for word in re.split(r"[^a-z]+", name.lower())]
    named = [split for word in words for split, names in SET_NAMES.items() if word in names]
    return named[-1] if named else ""


class ShardReader:
    """Examples of shards in the order of the files' names; see `records.Reader`.

    Args:
        paths: TFRecord files, not compressed, or ArrayRecord files; what the first record holds says how
            all are decoded.

    Raises:
        ValueError: for files that are neither, are damaged, or hold no examples of one kind.
    """

    def __init__(self, paths: Sequence[Path]):
        are_arrays = [_is_array_record(path) for path in paths]
        if len(set(are_arrays)) > 1:
            raise ValueError(
                f"{paths[0].parent} holds both TFRecord and ArrayRecord shards of one set. Expected one kind."
            )
        self.files = ArrayRecordFiles(paths) if all(are_arrays) else TFRecordFiles(paths)
        if not len(self.files):
            raise ValueError(f"{paths[0].parent} has shards without records. Expected examples.")
        (first,) = self.files.read(np.array([0]))
        self.decode = _decoder(first, paths[0])
        (example,) = self._decoded([0], [first])
        self.stored = example.shape, example.dtype
        self.shape, self.dtype = event_like(*self.stored, f"{self.where(0)}, as the first one,")
        self.identity = "\n".join(f"{path.name} {path.stat().st_size}" for path in paths)

    def __len__(self) -> int:
        return len(self.files)

    def where(self, number):
        return self.files.where(number)

    def read(self, numbers):
        values = self._decoded(numbers, self.files.read(numbers))
        for number, value in zip(numbers, values, strict=True):
            if (value.shape, value.dtype) != self.stored:
                shape, dtype = self.stored
                raise ValueError(
                    f"{self.where(number)} is of another kind than the first one. Expected {dtype} of shape "
                    f"{shape}. Received: {value.dtype} of shape {value.shape}."
                )
        with np.errstate(over="ignore"):
            return np.stack(values).astype(self.dtype, copy=False).reshape(-1, *self.shape)

    def _decoded(self, numbers, records: list[bytes]) -> list[Array]:
        try:
            return list(self.decode(records))
        except Exception:  # whatever the damage leads to; looked for one by one
            return [self._one(*pair) for pair in zip(numbers, records, strict=True)]

    def _one(self, number: int, record: bytes) -> Array:
        try:
            (value,) = self.decode([record])
        except Exception as error:
            raise ValueError(f"{self.where(number)} is unfit: {error}") from error
        return value


class Files(Protocol):
    """The records of several files, by number."""

    def __len__(self) -> int: ...

    def read(self, numbers: Array) -> list[bytes]:
        """Returns the records of these numbers."""
        ...

    def where(self, number: int) -> str:
        """Which record of which file that is."""
        ...


class ArrayRecordFiles:
    """ArrayRecord files; see `Files`. They are checked by the format's own hashes, and stay open."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)
        self.ends = np.cumsum([self._length(path) for path in paths])
        self.source = ArrayRecordDataSource([str(path) for path in paths])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def where(self, number):
        return _placed(self.paths, self.ends, number)

    def read(self, numbers):
        try:
            return list(self.source.__getitems__([int(number) for number in numbers]))
        except (RuntimeError, ValueError) as error:
            if len(numbers) > 1:  # which of them it is
                return [record for number in numbers for record in self.read(np.array([number]))]
            raise ValueError(f"{self.where(numbers[0])} cannot be read: {_line(error)}") from error

    @staticmethod
    def _length(path: Path) -> int:
        try:
            return len(ArrayRecordDataSource(str(path)))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{path} cannot be read. Expected a whole ArrayRecord file. {_line(error)}"
            ) from error


class TFRecordFiles:
    """TFRecord files; see `Files`. Their headers are gone through once, to know where records begin."""

    HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")  # length and its checksum; checksum

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)
        spans = [self._spans(path) for path in paths]
        self.ends = np.cumsum([len(each) for each in spans])
        self.spans = np.concatenate(spans)

    def __len__(self) -> int:
        return len(self.spans)

    def where(self, number):
        return _placed(self.paths, self.ends, number)

    def read(self, numbers):
        records = [b""] * len(numbers)
        files = np.searchsorted(self.ends, numbers, side="right")
        for which in np.unique(files):
            with open(self.paths[which], "rb", buffering=0) as file:
                for place in np.flatnonzero(files == which):
                    records[place] = self._record(file, numbers[place])
        return records

    def _record(self, file: io.FileIO, number: int) -> bytes:
        begin, length = self.spans[number]
        content = os.pread(file.fileno(), length + self.FOOTER.size, begin)
        record, footer = content[:length], content[length:]
        if footer != self.FOOTER.pack(_masked(record)):
            raise ValueError(f"{self.where(number)} is damaged.")
        return record

    def _spans(self, path: Path) -> Array:
        """Where each record begins, and its length: int64 [N, 2]."""
        size, at, spans = path.stat().st_size, 0, []
        with open(path, "rb") as file:
            while at < size:
                file.seek(at)
                header = file.read(self.HEADER.size)
                whole = len(header) == self.HEADER.size
                length, checksum = self.HEADER.unpack(header) if whole else (0, None)
                end = at + self.HEADER.size + length + self.FOOTER.size
                if checksum != _masked(header[:8]) or end > size:
                    raise ValueError(
                        f"{path} is not a whole TFRecord file: its record {len(spans):,} is cut short or damaged. "
                        "Expected an uncompressed TFRecord file, as tf.io.TFRecordWriter writes it."
                    )
                spans.append((at + self.HEADER.size, length))
                at = end
        return np.array(spans, np.int64).reshape(-1, 2)


def _is_array_record(path: Path) -> bool:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise ValueError(
            f"{path} is no shard. Expected names such as train-00000-of-00010.tfrecord or train.array_record."
        )
    return "array" in (named["kind"] or named["last"]).lower()


def _placed(paths: Sequence[Path], ends: Array, number: int) -> str:
    file = int(np.searchsorted(ends, number, side="right"))
    return f"Record {number - (ends[file - 1] if file else 0):,} of {paths[file]}"


def _line(error: Exception) -> str:
    """The first line of what another library says, if it says anything."""
    return next(iter(str(error).splitlines()), "")


def _masked(data: bytes) -> int:
    """The CRC-32C that TFRecord files hold, rotated and shifted."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _decoder(record: bytes, path: Path) -> Decode:
    """What makes an array of records like this one."""
    if is_picture(record):
        return decode_images
    features = _features(record)
    name = next((name for name in _FEATURES if name in features), None)
    others = [name for name in features if name not in _LABELS]
    if name is None and len(others) == 1:
        name = others[0]
    if name is None:
        raise ValueError(
            f"It is not clear where in the records of {path} the examples are. Expected a PNG, JPEG or BMP "
            "picture, or a tf.train.Example with a feature image or x, or a single one beside label. "
            f"Received: {'features ' + ', '.join(sorted(features)) if features else 'something else'}."
        )
    form = _form(features[name])

    def decode(records: Sequence[bytes]) -> Sequence[Array] | Array:
        found = [_features(record) for record in records]
        if not all(name in features for features in found):
            raise ValueError(f"it has no feature {name}.")
        return form([features[name] for features in found])

    return decode


def _features(record: bytes) -> dict[str, Any]:
    """The features of a tf.train.Example; none where it is something else."""
    try:
        return dict(tf.train.Example.FromString(record).features.feature)
    except DecodeError:
        return {}


def _form(feature: Any) -> Callable[[list[Any]], Sequence[Array] | Array]:
    """How features like this one become arrays: pictures, serialised tensors, pixels or numbers."""
    if not feature.bytes_list.value:
        kind = feature.WhichOneof("kind")
        return lambda features: [np.array(getattr(f, kind).value, np.float32) for f in features]
    content = feature.bytes_list.value[0]
    if is_picture(content):
        return lambda features: decode_images([f.bytes_list.value[0] for f in features])
    read = _tensor if _is_tensor(content) else _pixels
    return lambda features: [read(f.bytes_list.value[0]) for f in features]


def _tensor(content: bytes) -> Array:
    """What tf.io.serialize_tensor made bytes of: all of its numbers, so that no shape claims more."""
    proto = TensorProto.FromString(content)
    dtype = tf.as_dtype(proto.dtype).as_numpy_dtype
    return np.frombuffer(proto.tensor_content, dtype).reshape(
        [dim.size for dim in proto.tensor_shape.dim]
    )


def _is_tensor(content: bytes) -> bool:
    try:
        return _tensor(content).size > 0
    except (DecodeError, TypeError, ValueError):
        return False


def _pixels(content: bytes) -> Array:
    return np.frombuffer(content, np.uint8)
