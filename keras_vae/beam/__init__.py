"""Batch work on Apache Beam: embed, score and generate over files of any size from an exported
SavedModel, on any runner.

    from keras_vae import beam

    beam.run(beam.Score("exported"), "scored", beam.Read("data/*.parquet"))

Rows travel in blocks, `pyarrow.Table`s of at most `BLOCK_ROWS` rows, which are cut from files before
anything is computed. A row keeps the name of its `file` and its number there, `row`, by which results are
joined to what they came from.

What is drawn is drawn per block, from a seed that is a function of (seed, name of the file without its
folder, first row): files of one name share their noise. So a result does not depend on the runner, on the
number of its workers, on other rows, or on what was tried before and failed; it does depend on
`block_rows`.
"""

try:
    import apache_beam  # noqa: F401  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ImportError("keras_vae.beam needs Apache Beam: pip install 'keras-vae[beam]'") from error

from keras_vae.beam._inference import Apply, Embed, Generate, Results, Score, Signature
from keras_vae.beam._job import Counts, run
from keras_vae.beam._reading import BLOCK_ROWS, Read

__all__ = [
    "BLOCK_ROWS",
    "Apply",
    "Counts",
    "Embed",
    "Generate",
    "Read",
    "Results",
    "Score",
    "Signature",
    "run",
]
