"""Sources: the forms in which data may be named, each with its reader.

A new form is one module with a function to `RawData` and one row in `SOURCES`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from keras_vae._parts import nearest
from keras_vae.data.examples import RawData, checked
from keras_vae.data.records import Records
from keras_vae.data.sources import arrays, catalogue, images, shards, sprites, tables

__all__ = ["SOURCES", "Source", "absolute", "read"]


@dataclasses.dataclass(frozen=True)
class Source:
    """A form of naming data.

    Args:
        form: How it is written.
        meaning: One line for error messages and help.
        matches: Whether a name has this form.
        read: Reads the data of this name: arrays, or `Records`.
        stream: The same as `Records`, where `read` gives arrays and there is another way.
        has_columns: Whether `read` takes types of columns as well.
    """

    form: str
    meaning: str
    matches: Callable[[str], bool]
    read: Callable[..., RawData]
    stream: Callable[[str], RawData] | None = None
    has_columns: bool = False


SOURCES: tuple[Source, ...] = (
    Source(
        "mnist",
        "the MNIST database that comes with the package",
        catalogue.is_embedded,
        catalogue.read_embedded,
    ),
    Source(
        "dsprites",
        "shapes drawn from five known factors, 64 x 64 binary pixels; streamed, all 737,280",
        sprites.is_dsprites,
        sprites.read_dsprites,
        stream=sprites.stream_dsprites,
    ),
    Source(
        "tfds:NAME",
        "a TensorFlow Datasets name, such as tfds:fashion_mnist",
        catalogue.is_tfds,
        catalogue.read_tfds,
        stream=catalogue.stream_tfds,
    ),
    Source(
        "FILE.npy",
        "a table [N, D], grey images [N, H, W] or images [N, H, W, C]",
        arrays.is_npy,
        arrays.read_npy,
        stream=arrays.stream_npy,
    ),
    Source(
        "FILE.npz",
        "arrays train, validation and test; or x_train, x_val, x_test (y_...); or a single one",
        arrays.is_npz,
        arrays.read_npz,
    ),
    Source(
        "FILE.csv or FILE.parquet",
        "a table with named columns: numbers, categories, missing values",
        tables.is_table,
        tables.read_table,
        has_columns=True,
    ),
    Source(
        "FOLDER of IDX files",
        "named like those of MNIST, gzipped or not",
        catalogue.is_idx_folder,
        catalogue.read_idx_folder,
    ),
    Source(
        "FOLDER of shards",
        "TFRecord or ArrayRecord files, with train, validation or test in their names",
        shards.is_shard_folder,
        shards.stream_shards,
    ),
    Source(
        "FOLDER of images",
        "png, jpg or bmp of one size; subfolders are classes, or train, validation and test",
        images.is_image_folder,
        images.stream_image_folder,
    ),
)
"""The forms, in the order in which they are tried."""


def read(
    source: str | os.PathLike[str],
    *,
    stream: bool = False,
    column_types: Mapping[str, str] | None = None,
) -> RawData:
    """Reads the data that `source` names.

    Args:
        source: A name in one of the forms of `SOURCES`.
        stream: Whether the examples are to stay on disk.
        column_types: What columns of a table are, by name.

    Returns:
        The data as the source has it: arrays, or `Records` of a stream.

    Raises:
        FileNotFoundError: If nothing of that name exists.
        ValueError: If what exists has none of the forms, or cannot be read, or not as a stream.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"A data source is a name or a path; arrays go to from_arrays. Received: {type(source).__name__}"
        )
    name = os.fspath(source)
    if not name:
        raise ValueError(f"The name of the data is empty. {_forms()}")
    for kind in SOURCES:
        if kind.matches(name):
            if column_types and not kind.has_columns:
                raise ValueError(
                    f"column_types belong to tables (.csv, .parquet), and {name!r} is {kind.form}."
                )
            if kind.has_columns and not stream:
                return kind.read(name, column_types)
            if not stream:
                return _in_memory(kind.read(name))
            data = (kind.stream or kind.read)(name)
            if not isinstance(data.train.values, Records):
                raise ValueError(
                    f"{name!r} is not streamed: {kind.form} is read whole. Leave stream out, or bring the data "
                    "into TFRecord or ArrayRecord shards, a folder of images or an .npy file."
                )
            return data
    raise _unknown(name)


def _in_memory(data: RawData) -> RawData:
    """The same data as checked arrays."""
    read = {
        split: dataclasses.replace(held, values=checked(held.values.load(), split=split).values)
        for split, held in data.sets.items()
        if isinstance(held.values, Records)
    }
    return dataclasses.replace(data, **read)


def absolute(source: str | os.PathLike[str]) -> str:
    """The same name for use from any working directory: paths are absolute."""
    name = os.fspath(source)
    is_name = catalogue.is_embedded(name) or sprites.is_dsprites(name) or catalogue.is_tfds(name)
    return os.path.abspath(name) if name and not is_name and Path(name).exists() else name


def _unknown(name: str) -> Exception:
    path = Path(name)
    if path.exists():
        what = (
            "a folder without IDX files, images or shards"
            if path.is_dir()
            else "a file of another kind"
        )
        return ValueError(f"{name!r} is {what}. {_forms()}")
    near = nearest(name, ["mnist", "dsprites"])
    if path.parent.is_dir():
        neighbours = [entry.name for entry in path.parent.iterdir()]
        near += [str(path.parent / entry) for entry in nearest(path.name, neighbours)]
    if not near and path.name == name:
        near = [f"tfds:{each}" for each in nearest(name, catalogue.names())]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return FileNotFoundError(f"There is no data source {name!r}.{hint} {_forms()}")


def _forms() -> str:
    lines = (f"  {kind.form}: {kind.meaning}" for kind in SOURCES)
    return "Expected a data source:\n" + "\n".join(lines)
