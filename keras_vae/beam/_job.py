"""A job: files in, files out, whole or not at all."""
# Beam is an extra:
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import contextlib
import copy
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from keras_vae.beam._inference import Apply, Generate
from keras_vae.beam._reading import Read, found, header


class Counts(NamedTuple):
    """The rows of a job, counted in its files: `read` is `accepted` plus `rejected`."""

    read: int
    accepted: int
    rejected: int


def run(
    transform: Apply | Generate,
    output: str | os.PathLike[str],
    source: Read | None = None,
    options: Sequence[str] = (),
) -> Counts:
    """Runs a job, and writes what comes of it into a folder, whole or not at all.

        results-*.parquet     what the transform gives
        rejected-*.parquet    the rows that it cannot take, and why
        counts.json           how many; written last

    A job that fails leaves nothing, and gives the same when it is run again.

    Args:
        transform: what to do.
        output: a new or empty folder, on any file system that Beam knows.
        source: the rows to do it with; None for `Generate`.
        options: Beam's own, as on a command line. By default the job runs in this process
            (`--runner=FnApiRunner`); `--direct_running_mode=multi_processing
            --direct_num_workers=2` runs it in two others.

    Returns:
        The counts. They are those of the files read and written: runners count again what they try
        again.

    Raises:
        FileExistsError: where the folder holds something; nothing is touched.
        ValueError: where its name holds wildcards.
        RuntimeError: where the job fails, or rows were lost.
    """
    output = os.fspath(output) if "://" in os.fspath(output) else os.path.abspath(output)
    begin: Any = source or transform
    schema = pa.schema([*begin.identity, *transform.outputs])
    with _unfinished(output) as folder:
        with _failing_to(output), beam.Pipeline(options=_beam_options(options)) as pipeline:
            rows = pipeline | copy.copy(begin)  # Beam lets a transform be part of one pipeline only
            if source is not None:
                rows, rejected = rows | copy.copy(transform)
                reasons = begin.identity.append(pa.field("reason", pa.string()))
                _write(rejected, folder, "rejected", reasons)
            _write(rows, folder, "results", schema)
        written = (_num_rows(folder, name) for name in ("results", "rejected"))
        counts = Counts(begin.num_rows, *written)
        if counts.read != counts.accepted + counts.rejected:
            raise RuntimeError(
                f"Rows were lost or doubled; nothing was written to {output}. {counts}"
            )
        _publish(folder, output, counts)
    return counts


def _publish(folder: str, output: str, counts: Counts) -> None:
    """Moves the files to where they belong, all or none, and writes counts.json after them."""
    files = found(f"{folder}/*.parquet")
    published = [FileSystems.join(output, os.path.basename(file)) for file in files]
    try:
        FileSystems.rename(files, published)
        with FileSystems.create(FileSystems.join(output, "counts.json")) as file:
            file.write(json.dumps(counts._asdict(), indent=2).encode() + b"\n")
    except BaseException:
        for file in (*published, FileSystems.join(output, "counts.json")):
            _remove(file)
        raise


def _beam_options(options: Sequence[str]) -> PipelineOptions:
    """Beam's options; its DirectRunner, the default otherwise, first tries to download a runner."""
    return PipelineOptions(["--runner=FnApiRunner", *options])


@contextlib.contextmanager
def _unfinished(output: str) -> Iterator[str]:
    """A folder inside the output for files of a job that goes on; it is gone in the end."""
    if wildcards := set("[]*?") & set(output):
        raise ValueError(
            f"Beam takes {' '.join(sorted(wildcards))} in a path for wildcards. Choose another folder than {output}."
        )
    unfinished = FileSystems.join(output, ".unfinished-")
    if others := [file for file in found(f"{output}/**") if not file.startswith(unfinished)]:
        raise FileExistsError(
            f"{output} is not empty: it holds {others[0]}. Nothing was changed. Choose another folder."
        )
    folder = unfinished + uuid.uuid4().hex[:8]  # two jobs may have been given one output
    FileSystems.mkdirs(folder)
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    if FileSystems.exists(folder):
        FileSystems.delete([folder])


@contextlib.contextmanager
def _failing_to(output: str) -> Iterator[None]:
    """Says of a failed job what failed: Beam's messages hold the tracebacks of other processes."""
    try:
        yield
    except Exception as error:
        last = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise RuntimeError(
            f"The job failed; nothing was written to {output}. Beam: {last}"
        ) from error


def _write(blocks, folder: str, name: str, schema: pa.Schema) -> None:
    prefix = FileSystems.join(folder, name)
    sink = beam.io.WriteToParquetBatched(
        prefix, schema, codec="snappy", file_name_suffix=".parquet"
    )
    _ = blocks | f"Write {name}" >> sink


def _num_rows(folder: str, name: str) -> int:
    return sum(header(file)[0] for file in found(f"{folder}/{name}-*.parquet"))
