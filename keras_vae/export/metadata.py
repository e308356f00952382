"""What a LiteRT file says of itself: model, signatures, values, random numbers."""

import importlib.metadata
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae.export.endpoints import Detection, input_specs, output_specs
from keras_vae.models import VAE

__all__ = ["description", "is_intact", "metadata", "sealed", "with_metadata"]

_ENTRY = "keras_vae"  # the name of our entry among a file's metadata
_CHECKSUM = re.compile(rb'"keras_vae_crc32": "([0-9a-f]{8})"')
_BLANK = "0" * 8


def metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file that `tflite` wrote says of itself: model, signatures, values, random numbers.

    Raises:
        ValueError: where the file holds nothing of ours.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = Path(path).read_bytes()
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for entry in model.metadata or []:
        if entry.name == _ENTRY.encode():
            buffer = model.buffers[entry.buffer]
            apart = content[buffer.offset : buffer.offset + buffer.size]  # after the flatbuffer
            return json.loads(apart if buffer.data is None else bytes(buffer.data))
    raise ValueError(f"{path} holds no metadata of keras_vae.")


def description(
    vae: VAE,
    functions: dict[str, tf.types.experimental.ConcreteFunction],
    quantization: str | None,
    about: dict[str, str],
    detector: Detection | None = None,
) -> dict[str, Any]:
    """What `metadata` gives for a file with these functions as its signatures."""
    low, high = vae.likelihood.location_bounds
    bounded = np.isfinite([low, high]).all()
    least = f"at least {low:g}" if np.isfinite(low) else "any real number"
    values = f"in [{low:g}, {high:g}]" if bounded else least
    pictures = (
        f"an element v is the grey level (or colour) round(255 * (v - {low:g}) / {high - low:g})"
        if bounded
        else "scale the values to what your display takes"
    )
    meanings = {
        "z": f"latents; the prior is {type(vae.prior).__name__}",
        "x": f"data: {vae.likelihood.support} per element",
        "seed": "two 32-bit words; the same seed gives the same examples on every runtime",
        "mean": f"what is shown for p(x|z), {values}",
        "stddev": "standard deviation",
        "location": "the posterior's location: an embedding",
        "anomaly_score": "an anomaly is what lies above the detector's threshold",
    }

    def described(specs) -> dict[str, Any]:
        return {
            name: {
                "shape": list(spec.shape),
                "dtype": spec.dtype.name,
                "meaning": meanings.get(name, "condition"),
            }
            for name, spec in specs.items()
        }

    return {
        "name": "vae",
        "version": "1",
        "licence": "not stated",
        **about,
        "keras_vae": importlib.metadata.version("keras-vae"),
        "quantization": quantization or "float32",
        "latent_dim": vae.latent_dim,
        "event_shape": list(vae.event_shape),
        "pictures": f"decode(z) or generate(seed) -> mean; {pictures}",
        "random_numbers": "Threefry-2x32-20 and Box-Muller, inside generate and score",
        "signatures": {
            name: {
                "inputs": described(input_specs(f)),
                "outputs": described(output_specs(f)),
            }
            for name, f in functions.items()
        },
        **({} if detector is None else {"detector": detector.to_json()}),
    }


def with_metadata(content: bytes, description: dict[str, Any]) -> bytes:
    """The same file with a description in it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    buffer: Any
    entry: Any
    buffer, entry = schema.BufferT(), schema.MetadataT()
    entries = {"keras_vae_crc32": _BLANK, **description}
    buffer.data = np.frombuffer(json.dumps(entries).encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = _ENTRY.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def sealed(content: bytes) -> bytes:
    """The same file with the CRC-32 of all its bytes, those of the checksum being zeros, in its metadata.

    Runtimes map a file and trust it: a damaged one makes them crash, or draw something else.
    """
    if (found := _CHECKSUM.search(content)) is None:
        raise ValueError("The file has no place for a checksum: it holds no metadata of keras_vae.")
    start, end = found.span(1)
    blank = content[:start] + _BLANK.encode() + content[end:]
    return content[:start] + f"{zlib.crc32(blank):08x}".encode() + content[end:]


def is_intact(content: bytes) -> bool:
    """Whether the bytes are those that were `sealed`; True for files of others, without a checksum."""
    found = _CHECKSUM.search(content)
    return found is None or sealed(content) == content
