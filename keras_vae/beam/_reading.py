"""Files in, blocks out."""
# Beam is an extra, and Arrow's functions carry no types:
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportIncompatibleMethodOverride=false

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from keras_vae._parts import check_count

BLOCK_ROWS = 1_000
_NPY = ".npy"


class Read(beam.PTransform):
    """Reads rows of files: a PCollection of blocks, tables with `file`, `row`, `id` where there is one,
    and what a model takes.

    A Parquet file has a column per input of the model, a list of numbers in each row (lists of any
    kind, of any numbers; an array of several axes is flattened in C order), and may have an `id`, which
    is handed on as it is. Workers share it by its row groups. An `.npy` file [N, ...] is the input
    `x`, and is read a block at a time.

    Args:
        *patterns: names of files, which may hold wildcards, on any file system that Beam knows.
        names: the columns to read, besides `id`.
        block_rows: number of rows of a block.

    Raises:
        FileNotFoundError: where a pattern matches nothing.
        ValueError: where a file is damaged or of another kind, or where the files' `id`s are of
            different types.

    Attributes:
        num_rows: number of rows in all files.
        identity: `pyarrow.Schema` of the columns that say which row it is.
    """

    def __init__(self, *patterns: str, names: Sequence[str] = ("x",), block_rows: int = BLOCK_ROWS):
        super().__init__()
        check_count("Read", block_rows=block_rows)
        self._names, self._block_rows = tuple(names), block_rows
        self._files = sorted({file for pattern in patterns for file in _matches(pattern)})
        with ThreadPoolExecutor() as pool:
            headers = list(pool.map(header, self._files))
        self.num_rows = sum(num_rows for num_rows, _ in headers)
        kinds = {kind: file for file, (_, kind) in zip(self._files, headers, strict=True)}
        if len(kinds) > 1:
            found = ", ".join(f"{kind or 'none'} in {file}" for kind, file in kinds.items())
            raise ValueError(
                f"The ids of the files are of different types: {found}. Read such files in jobs of their own."
            )
        ids = [("id", kind) for kind in kinds if kind is not None]
        self.identity = pa.schema([("file", pa.string()), ("row", pa.int64()), *ids])

    def expand(self, pbegin):
        return (
            pbegin
            | beam.Create(self._files)
            | "Cut" >> beam.FlatMap(_spans, self._block_rows)
            | beam.Reshuffle()
            | beam.FlatMap(_blocks, self._names, self._block_rows).with_output_types(pa.Table)
        )


def found(pattern: str) -> list[str]:
    """The files that a pattern matches, in order."""
    return sorted(m.path for match in FileSystems.match([pattern]) for m in match.metadata_list)


def header(file: str) -> tuple[int, pa.DataType | None]:
    """The number of rows, and the type of `id` if there is one."""
    with _open(file) as opened:
        if file.endswith(_NPY):
            return _npy_header(file, opened)[0][0], None
        parquet = _parquet(file, opened)
        schema = parquet.schema_arrow
        return parquet.metadata.num_rows, schema.field("id").type if "id" in schema.names else None


def identified(row: int, num_rows: int, file: str | None = None) -> pa.Table:
    """A block without data: the numbers of its rows, and their file."""
    files = {} if file is None else {"file": pa.array([file] * num_rows, pa.string())}
    return pa.table(files | {"row": pa.array(range(row, row + num_rows), pa.int64())})


def _matches(pattern: str) -> list[str]:
    files = found(pattern)
    if not files or os.path.isdir(pattern):
        raise FileNotFoundError(
            f"No file matches {pattern}. Expected names of files, such as data/*.parquet."
        )
    return files


def _spans(file: str, block_rows: int) -> Iterator[tuple[str, int, int]]:
    """What can be read on its own: the file, the number of the row group (none in an .npy file: -1),
    the first row.
    """
    num_rows, _ = header(file)
    if file.endswith(_NPY):
        yield from ((file, -1, row) for row in range(0, num_rows, block_rows))
        return
    with _open(file) as opened:
        metadata, row = _parquet(file, opened).metadata, 0
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).num_rows:
            yield file, group, row
        row += metadata.row_group(group).num_rows


def _blocks(
    span: tuple[str, int, int], names: Sequence[str], block_rows: int
) -> Iterator[pa.Table]:
    file, group, row = span
    with _open(file) as opened:
        if group < 0:
            x = _npy_rows(file, opened, row, block_rows)
            yield identified(row, len(x), file).append_column("x", x)
            return
        parquet = _parquet(file, opened)
        columns = [name for name in ("id", *names) if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(block_rows, row_groups=[group], columns=columns):
            block = identified(row, batch.num_rows, file)
            for name in columns:
                block = block.append_column(name, batch.column(name))
            yield block
            row += batch.num_rows


def _open(file: str):
    return FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED)


def _parquet(file: str, opened) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(opened)
    except pa.ArrowException as error:
        raise ValueError(
            f"{file} is damaged, or neither a Parquet nor an .npy file: {error}"
        ) from error


def _npy_header(file: str, opened) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type, and where the numbers begin."""
    try:
        is_first = np.lib.format.read_magic(opened) == (1, 0)
        read = (
            np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, dtype = read(opened)
    except ValueError as error:
        raise ValueError(f"{file} is damaged, or not an .npy file: {error}") from error
    begin = opened.tell()
    is_whole = opened.seek(0, os.SEEK_END) == begin + math.prod(shape) * dtype.itemsize
    if is_fortran or dtype.kind not in "biuf" or not shape or 0 in shape[1:] or not is_whole:
        raise ValueError(
            f"{file} cannot be read in blocks. Expected an array [N, ...] of numbers in C order, and all of it. "
            f"Received: {dtype} {shape}, in {'Fortran' if is_fortran else 'C'} order"
            f"{'' if is_whole else ', in a file of another length'}"
        )
    return shape, dtype, begin


def _npy_rows(file: str, opened, row: int, block_rows: int) -> pa.Array:
    (num_rows, *event), dtype, begin = _npy_header(file, opened)
    width = math.prod(event)
    opened.seek(begin + row * width * dtype.itemsize)
    content = opened.read(min(block_rows, num_rows - row) * width * dtype.itemsize)
    numbers = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers), width)
