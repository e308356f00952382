"""The file: a header that says what was compressed by which model, the stack of bits, a checksum.

    magic [8]  version  dtype [4]  count  sha256 of the model [16]  of the examples [16]
    the stack, in 32-bit words
    sha256 of all before it [16]

Numbers are little-endian; hashes are cut to 128 bits.
"""

import dataclasses
import hashlib
import json
import re
import struct
from collections.abc import Iterable

import keras
import numpy as np

from keras_vae._parts import name_of
from keras_vae.models import VAE

_MAGIC = b"\x89KVAE\r\n\x1a"  # like PNG's: shows what a transfer as text has done to it
_VERSION = 1
_HEADER = struct.Struct("<8sB4sQ16s16s")
_DIGEST = 16  # bytes of a hash that are kept
_WORD = np.dtype("<u4")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compressed:
    """What is in a file.

    Attributes:
        dtype: of the examples.
        count: number of examples, at least 1.
        model: `fingerprint` of the model that compressed them.
        examples: `digest` of the examples.
        words: the stack, uint32.
    """

    dtype: np.dtype
    count: int
    model: bytes
    examples: bytes
    words: np.ndarray

    def to_bytes(self) -> bytes:
        name = self.dtype.str.encode()
        header = _HEADER.pack(_MAGIC, _VERSION, name, self.count, self.model, self.examples)
        content = header + self.words.astype(_WORD).tobytes()
        return content + digest([content])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Compressed":
        """Reads a file back.

        Raises:
            TypeError: for anything else than bytes, such as the file's name.
            ValueError: for anything else than a whole file of this version.
        """
        if not isinstance(data, bytes):
            raise TypeError(
                f"Expected the content of a compressed file, as bytes. Received: {type(data).__name__}"
            )
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError(
                f"These {len(data):,} bytes are nothing that keras_vae compressed: they begin otherwise."
            )
        if len(data) > len(_MAGIC) and (version := data[len(_MAGIC)]) != _VERSION:
            raise ValueError(
                f"The file is of version {version}, or damaged. This version of keras_vae reads version "
                f"{_VERSION}."
            )
        content, checksum = data[:-_DIGEST], data[-_DIGEST:]
        stack = content[_HEADER.size :]
        if (
            len(content) < _HEADER.size
            or len(stack) % _WORD.itemsize
            or digest([content]) != checksum
        ):
            raise ValueError(
                f"The file is damaged or cut off: its {len(data):,} bytes do not have the checksum that ends "
                "them. Nothing can be restored from a part; fetch the file again."
            )
        _, _, name, count, model, examples = _HEADER.unpack(content[: _HEADER.size])
        words = np.frombuffer(stack, _WORD).astype(np.uint32)
        if count == 0 or words.size == 0 or words[-1] == 0:
            raise ValueError(
                "The file is damaged: it says that it holds no example, or holds none."
            )
        return cls(dtype=_dtype(name), count=count, model=model, examples=examples, words=words)

    def check_model(self, model: VAE) -> None:
        """Raises `ValueError` where another model made the file."""
        received = fingerprint(model)
        if received != self.model:
            raise ValueError(
                f"The file was compressed by another model. Expected the model {self.model.hex()[:8]}. Received: "
                f"{received.hex()[:8]}. A model that was trained further is another one."
            )


def _dtype(name: bytes) -> np.dtype:
    try:
        dtype = np.dtype(name.rstrip(b"\0").decode())
    except (TypeError, UnicodeDecodeError):
        dtype = np.dtype(object)
    if dtype.kind not in "buif":
        raise ValueError(f"The file is damaged: it names {name!r} as the dtype of its examples.")
    return dtype


def digest(contents: Iterable[bytes]) -> bytes:
    """SHA-256 of byte strings, cut to 128 bits."""
    hashed = hashlib.sha256()
    for content in contents:
        hashed.update(content)
    return hashed.digest()[:_DIGEST]


def fingerprint(model: VAE) -> bytes:
    """A digest of what codes examples: networks, prior, posterior and likelihood, with their weights.

    Objective, optimiser and the names of layers are left out.
    """
    posterior, likelihood = model.now(model.posterior), model.now(model.likelihood)
    texts = [_architecture(part) for part in (model.encoder, model.decoder, model.prior)]
    weights = [
        np.asarray(weight)
        for part in (model.encoder, model.decoder, model.prior)
        for weight in part.weights
    ]
    about = repr((posterior, likelihood, [(w.shape, w.dtype.str) for w in weights]))
    return digest([*(text.encode() for text in (*texts, about)), *(w.tobytes() for w in weights)])


def _architecture(layer: keras.Layer) -> str:
    """The config of a layer as text, with numbers for names: those are counted per process."""
    text = json.dumps([name_of(layer), layer.get_config()], sort_keys=True, default=str)
    for number, name in enumerate(dict.fromkeys(re.findall(r'"name": ("[^"]+")', text))):
        text = text.replace(name, f'"{number}"')
    return text
