"""A VAE in ONNX Runtime: NumPy and Pillow beside it, nothing else.

pip install onnxruntime numpy pillow
python vae.py exported/onnx generate --seed 7 --number 16 --output grid.png
python vae.py exported/onnx decode --latents z.npy --output decoded.npy
"""

import argparse
import math
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


class Vae:
    """A folder of .onnx files, one per signature; each is loaded when it is first called.

    Whatever a file cannot take is a ValueError.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._sessions = {}

    def run(self, signature, **inputs):
        """Arrays by name, for arrays by name."""
        session = self._session(signature)
        takes = sorted(node.name for node in session.get_inputs())
        if takes != sorted(inputs):
            raise ValueError(f"{signature} takes {takes}. Received: {sorted(inputs)}")
        for name, value in inputs.items():
            if value.dtype.kind not in "buif" or not np.isfinite(value).all():
                raise ValueError(f"{name} has to be finite numbers")
        names = [output.name for output in session.get_outputs()]
        try:
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # the runtime's own classes are private
            raise ValueError(f"{signature} cannot run: {error}") from error

    def _session(self, signature):
        path = self.folder / f"{signature}.onnx"
        if not path.is_file():
            found = sorted(file.stem for file in self.folder.glob("*.onnx"))
            raise ValueError(f"{self.folder} holds no signature {signature!r}, but {found}")
        if signature not in self._sessions:
            try:
                self._sessions[signature] = onnxruntime.InferenceSession(
                    str(path), providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                raise ValueError(f"{path} is not an ONNX file, or damaged: {error}") from error
        return self._sessions[signature]

    def generate(self, num_samples, seed, **conditions):
        """Pictures [num_samples, ...], the same ones for the same seed on every runtime."""
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"the seed has to be an integer of 64 bits. Received: {seed}")
        if not 1 <= num_samples < 2**31:
            raise ValueError(f"the number has to be at least 1. Received: {num_samples}")
        words = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32).view(np.int32)
        number = np.array(num_samples, np.int32)
        return self.run("generate", num_samples=number, seed=words, **conditions)["mean"]

    def decode(self, z, **conditions):
        """Pictures [n, ...] for latents [n, latent_dim]."""
        return self.run("decode", z=np.asarray(z, np.float32), **conditions)["mean"]


def write(path, images):
    """A .png grid of images [n, height, width, 1 or 3], or an .npy array of anything; whole or not at all."""
    is_picture = path.suffix != ".npy"
    if is_picture and (images.ndim != 4 or images.shape[-1] not in (1, 3)):
        raise ValueError(f"[{', '.join(map(str, images.shape))}] is no pictures: write .npy")
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        grid(images).save(file, format="PNG") if is_picture else np.save(file, images)
    os.replace(part, path)


def grid(images):
    """One picture of all images [n, height, width, 1 or 3] with values in [0, 1]."""
    columns = math.ceil(math.sqrt(len(images)))
    blank = np.zeros((-len(images) % columns, *images.shape[1:]), images.dtype)
    rows = np.concatenate([images, blank]).reshape(-1, columns, *images.shape[1:])
    picture = np.concatenate(np.concatenate(rows, axis=1), axis=1)
    pixels = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder onnx/ of an export")
    parser.add_argument("signature", choices=["generate", "decode"])
    parser.add_argument("--seed", type=int, default=0, help="of generate")
    parser.add_argument("--number", type=int, default=16, help="of pictures to generate")
    parser.add_argument("--latents", type=Path, help="of decode: .npy [n, latent_dim]")
    parser.add_argument("--output", type=Path, required=True, help=".png grid or .npy array")
    given = parser.parse_args()
    if given.signature == "decode" and given.latents is None:
        parser.error("decode needs --latents")
    vae = Vae(given.folder)
    if given.signature == "generate":
        images = vae.generate(given.number, given.seed)
    else:
        images = vae.decode(np.load(given.latents))
    write(given.output, images)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"vae: {error}")
