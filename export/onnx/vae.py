"""A VAE in ONNX Runtime: NumPy and Pillow beside it, nothing else.

pip install onnxruntime numpy pillow
python vae.py exported/onnx generate --seed 7 --number 16 --output grid.png
python vae.py exported/onnx decode --latents z.npy --output decoded.npy
"""

import argparse
import math
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


class Vae:
    """A folder of .onnx files, one per signature; each is loaded when it is first called."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self._sessions = {}

    def run(self, signature, **inputs):
        """Arrays by name, for arrays by name."""
        if signature not in self._sessions:
            self._sessions[signature] = onnxruntime.InferenceSession(
                str(self.folder / f"{signature}.onnx"), providers=["CPUExecutionProvider"]
            )
        session = self._sessions[signature]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))

    def generate(self, num_samples, seed, **conditions):
        """Pictures [num_samples, ...], the same ones for the same seed on every runtime."""
        words = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32).view(np.int32)
        number = np.array(num_samples, np.int32)
        return self.run("generate", num_samples=number, seed=words, **conditions)["mean"]

    def decode(self, z, **conditions):
        """Pictures [n, ...] for latents [n, latent_dim]."""
        return self.run("decode", z=np.asarray(z, np.float32), **conditions)["mean"]


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
    vae = Vae(given.folder)
    if given.signature == "generate":
        images = vae.generate(given.number, given.seed)
    else:
        images = vae.decode(np.load(given.latents))
    if given.output.suffix == ".npy":
        np.save(given.output, images)
    else:
        grid(images).save(given.output)


if __name__ == "__main__":
    main()
