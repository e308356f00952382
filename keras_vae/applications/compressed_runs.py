"""What a trained run makes of its data as a file, and of such a file, with the sizes that others reach."""

import bz2
import dataclasses
import io
import lzma
import math
import os
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_vae import _files, pictures
from keras_vae.compression import compress, decompress
from keras_vae.evaluation import bound
from keras_vae.training import Run
from keras_vae.training.results import examples

__all__ = ["Compression", "compress_run", "decompress_run", "other_sizes"]

_DRAWS = 20_000  # of z in all, which the mean -ELBO comes from


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compression:
    """How large examples are in a file of a run's model, beside the bound and other formats.

    Attributes:
        num_examples: how many.
        num_dimensions: number of elements of one.
        num_bytes: size of the file.
        negative_elbo: mean -ELBO in nats per example, of draws of its own.
        others: size of the same examples in bytes, format by format.
        seconds: it took to compress and to decompress them.
    """

    num_examples: int
    num_dimensions: int
    num_bytes: int
    negative_elbo: float
    others: dict[str, int]
    seconds: tuple[float, float]

    @property
    def bound_bytes(self) -> float:
        """What -ELBO says the examples take."""
        return self.negative_elbo * self.num_examples / math.log(2.0) / 8

    @property
    def overhead(self) -> float:
        """How much larger the file is than -ELBO, as a share of it."""
        return self.num_bytes / self.bound_bytes - 1.0

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Rows of (format, bytes, bits per example, bits per element, size against -ELBO)."""
        sizes = {"-ELBO": self.bound_bytes, "this file": self.num_bytes, **self.others}
        return [
            (
                name,
                f"{size:,.0f}",
                f"{8 * size / self.num_examples:.2f}",
                f"{8 * size / self.num_examples / self.num_dimensions:.4f}",
                "" if name == "-ELBO" else f"{size / self.bound_bytes - 1.0:+.2%}",
            )
            for name, size in sizes.items()
        ]

    def to_json(self) -> dict[str, Any]:
        record = dataclasses.asdict(self) | {"overhead": self.overhead}
        return record | {"bits_per_example": 8 * self.num_bytes / self.num_examples}


def compress_run(
    run: Run,
    output: str | os.PathLike[str],
    *,
    data: str | None = None,
    split: str = "test",
    limit: int | None = None,
) -> Compression:
    """Compresses examples with a run's model; the file is written once it was decompressed again.

    Args:
        run: the run.
        output: the file to write.
        data: another source of examples, as `data.load` takes it, read as the run's own were.
        split: "train", "validation" or "test" of that source, or of the run's own.
        limit: only the first so many examples.

    Raises:
        ValueError: as of `compress`, and where the file does not give every element back.
        OSError: where `output` cannot be written, or is what the run needs.
    """
    run.check_outputs(output, sources=[data])
    model, splits = run.model, run.data
    if data is not None:
        recipe = dataclasses.replace(run.recipe, data=data, protocol=splits.protocol, batch_size=1)
        splits = recipe.load_data()
    x = examples(splits, split, limit)
    if isinstance(x, dict):
        raise ValueError(
            f"The examples of {run.path} come with {sorted(set(x) - {'x'})}, which a compressed file does not "
            "hold. Compress with a run without conditions and missing values."
        )
    times = [time.perf_counter()]
    file = compress(model, x)
    times.append(time.perf_counter())
    if not np.array_equal(decompress(model, file), x):
        raise ValueError(f"Not every element came back, so {output} was not written.")
    times.append(time.perf_counter())
    _files.write(output, file)
    first, second = np.diff(times)
    draws = min(100, math.ceil(_DRAWS / len(x)))
    return Compression(
        num_examples=len(x),
        num_dimensions=math.prod(model.event_shape),
        num_bytes=len(file),
        negative_elbo=float(np.mean(bound(model, x, draws).negative_elbo)),
        others=other_sizes(x, model.now(model.likelihood).alphabet),
        seconds=(float(first), float(second)),
    )


def decompress_run(
    run: Run, path: str | os.PathLike[str], output: str | os.PathLike[str]
) -> np.ndarray:
    """Writes the examples of a file that `compress_run` wrote: a .npy array, or a .png grid.

    Returns:
        The examples [N, *event].
    """
    pictures.check_output(output, run.model.event_shape)
    run.check_outputs(output, sources=[path])
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}. `keras-vae compress` writes one.")
    try:
        x = decompress(run.model, Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} cannot be decompressed by {run.path}: {error}") from error
    pictures.save(output, x, value_range=run.value_range)
    return x


def other_sizes(x: np.ndarray, alphabet) -> dict[str, int]:
    """Sizes in bytes of examples [N, *event] whose elements have one of few values, without a model.

    They are handed to general compressors as packed bits where there are two values, in the
    smallest whole numbers otherwise; PNG is one picture of all images.
    """
    symbols = np.searchsorted(np.array(alphabet, x.dtype), x)
    symbols = symbols.astype(np.min_scalar_type(len(alphabet) - 1))
    is_binary = len(alphabet) == 2
    raw = (np.packbits(symbols) if is_binary else symbols).tobytes()
    sizes = {
        "packed bits" if is_binary else f"{8 * symbols.itemsize} bits an element": len(raw),
        "gzip -9": len(zlib.compress(raw, 9, wbits=31)),
        "bzip2 -9": len(bz2.compress(raw, 9)),
        "xz -9e": len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)),
    }
    if pictures.is_image(x.shape[1:]) and symbols.dtype == np.uint8:
        sizes["PNG, one picture"] = _png_size(_sheet(symbols), is_binary)
    return sizes


def _sheet(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] side by side on one that is about as many wide as high: [H', W', C]."""
    num_images, height, width, channels = images.shape
    columns = math.isqrt(num_images)
    missing = -num_images % columns
    full = np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)])
    by_row = full.reshape(-1, columns, height, width, channels).swapaxes(1, 2)
    return by_row.reshape(-1, columns * width, channels)


def _png_size(pixels: np.ndarray, is_binary: bool) -> int:
    grey = pixels.shape[-1] == 1
    picture = Image.fromarray((255 if is_binary else 1) * (pixels[..., 0] if grey else pixels))
    content = io.BytesIO()
    (picture.convert("1") if is_binary and grey else picture).save(content, "PNG", optimize=True)
    return content.tell()
