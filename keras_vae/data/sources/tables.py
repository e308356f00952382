"""Tables in .csv and .parquet files."""

from collections.abc import Mapping
from pathlib import Path

from keras_vae.data.examples import Examples, RawData
from keras_vae.data.tables import encode, infer_columns, read_frame

ENDINGS = (".csv", ".parquet", ".pq")


def is_table(source: str) -> bool:
    """Whether the source is an existing file with a table."""
    return source.lower().endswith(ENDINGS) and Path(source).is_file()


def read_table(source: str, column_types: Mapping[str, str] | None = None) -> RawData:
    """Reads a table; its columns are what `column_types` says, or what they look like."""
    frame = read_frame(source)
    columns = infer_columns(frame, column_types)
    rows = Examples(encode(frame[[column.name for column in columns]], columns))
    return RawData(Path(source).stem, train=rows, protocol="table", columns=columns)
