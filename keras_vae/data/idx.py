"""The IDX format that MNIST is published in.

A file is a magic number (two zero bytes, a type code, the rank), the sizes as big-endian 32-bit
integers, and the values in row-major order, big-endian. Files may be gzipped.
"""

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_vae._files import check_fits
from keras_vae.data.examples import Array

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_PREFIXES = {"train": "train", "test": "t10k"}
_STEMS = {"image": "images-idx3-ubyte", "label": "labels-idx1-ubyte"}


def read_idx(path: str | os.PathLike[str], *, sha256: str | None = None) -> Array:
    """Reads an IDX file, gzipped or not.

    Args:
        path: The file. Whether it is gzipped is seen from its content, not from its name.
        sha256: Expected checksum of the file, in hexadecimal; None does not check.

    Returns:
        The array, in the machine's byte order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, is not an IDX file or differs from its checksum.
    """
    path = Path(path)
    content = path.read_bytes()
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(
            f"{path} is not the file it should be. Expected SHA-256 {sha256}. Received: {found}. "
            "Get the file anew."
        )
    with _opened(io.BytesIO(content)) as stream:
        dtype, shape = _read_header(stream, path)
        expected = dtype.itemsize * math.prod(shape)
        check_fits(path, expected)
        data = _read_all(stream, path, expected + 1)  # however much a damaged one unpacks to
    if len(data) != expected:
        found = f"{len(data):,} bytes" if len(data) < expected else "more"
        fault = "is cut short" if len(data) < expected else "goes on after its values"
        raise ValueError(
            f"{path} {fault}. Expected {expected:,} bytes for shape {shape} of "
            f"{dtype.name}. Received: {found}. Get the file anew."
        )
    values = np.frombuffer(data, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def read_idx_header(path: str | os.PathLike[str]) -> tuple[np.dtype, tuple[int, ...]]:
    """Returns the type and shape that an IDX file declares, without reading its values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file does not start like an IDX file.
    """
    path = Path(path)
    with path.open("rb") as file, _opened(file) as stream:
        dtype, shape = _read_header(stream, path)
    return dtype.newbyteorder("="), shape


def find_idx_files(folder: str | os.PathLike[str]) -> dict[str, dict[str, Path]]:
    """Returns the files of each split ("train", "test") and column ("image", "label").

    Raises:
        FileNotFoundError: If one of the four is missing.
    """
    found = {
        split: {column: _find(Path(folder), split, column) for column in _STEMS}
        for split in _PREFIXES
    }
    missing = [
        _file_names(split, column)[0]
        for split, columns in found.items()
        for column, path in columns.items()
        if path is None
    ]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}. Expected the four IDX files of MNIST's names, "
            "with or without .gz."
        )
    return found  # pyright: ignore[reportReturnType]


def has_idx_files(folder: Path) -> bool:
    """Whether any of the four files is there."""
    return any(_find(folder, split, column) for split in _PREFIXES for column in _STEMS)


def _find(folder: Path, split: str, column: str) -> Path | None:
    candidates = (folder / name for name in _file_names(split, column))
    return next((path for path in candidates if path.is_file()), None)


def _file_names(split: str, column: str) -> list[str]:
    name = f"{_PREFIXES[split]}-{_STEMS[column]}"
    return [
        alias + suffix for alias in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")
    ]


def _opened(file: BinaryIO) -> BinaryIO:
    magic = file.read(len(_GZIP_MAGIC))
    file.seek(0)
    return gzip.open(file) if magic == _GZIP_MAGIC else file  # pyright: ignore[reportReturnType]


def _read_header(stream: BinaryIO, path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = _read_all(stream, path, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] == 0:
        raise ValueError(
            f"{path} is not an IDX file. Expected it to start with 00 00, a type (08 for uint8) "
            f"and a rank (03 for images, 01 for labels). Received: {magic.hex(' ') or 'no bytes'}."
        )
    rank = magic[3]
    sizes = _read_all(stream, path, 4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError(
            f"{path} ends in its header. Expected {4 + 4 * rank} bytes for rank {rank}. "
            f"Received: {4 + len(sizes)} bytes. Get the file anew."
        )
    return np.dtype(_DTYPES[magic[2]]), struct.unpack(f">{rank}I", sizes)


def _read_all(stream: BinaryIO, path: Path, size: int = -1) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is a damaged gzip file ({path.stat().st_size:,} bytes): {error} "
            "Expected a whole one. Get the file anew."
        ) from error
