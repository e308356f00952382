"""A VAE without TensorFlow: LiteRT, NumPy and Pillow.

pip install ai-edge-litert numpy pillow
python vae.py model.tflite                                   # what the file holds
python vae.py model.tflite generate --seed 7 --output grid.png
python vae.py model.tflite decode --latents z.npy --output decoded.npy
python vae.py model.tflite encode --input x.npy --output embedded.npz
"""

import argparse
import math
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


class Vae:
    """An exported .tflite file; its three signatures as methods. Rows are taken one batch at a time."""

    def __init__(self, path):
        self._interpreter = Interpreter(str(path))  # the runners live no longer than it does
        self._interpreter.allocate_tensors()
        self.signatures = self._interpreter.get_signature_list()
        self._runners = {
            name: self._interpreter.get_signature_runner(name) for name in self.signatures
        }

    def generate(self, seed, **conditions):
        """Pictures [n, ...], the same ones for the same seed on every runtime; n is the file's."""
        words = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32).view(np.int32)
        return self._runners["generate"](seed=words, **conditions)["mean"]

    def decode(self, z, **conditions):
        """Pictures [n, ...] for latents [n, latent_dim]."""
        return self._by_batch("decode", {"z": z, **conditions})["mean"]

    def encode(self, x, **conditions):
        """Arrays by name, "location" [n, latent_dim] among them, for data [n, ...]."""
        return self._by_batch("encode", {"x": x, **conditions})

    def _by_batch(self, signature, inputs):
        runner = self._runners[signature]
        takes, gives = runner.get_input_details(), runner.get_output_details()
        step = next(iter(takes.values()))["shape"][0]
        num_rows = len(next(iter(inputs.values())))
        parts = []
        for start in range(0, num_rows, step):
            rows = {name: value[start : start + step] for name, value in inputs.items()}
            missing = step - len(next(iter(rows.values())))
            rows = {
                name: _to_file(np.concatenate([v, v[-1:].repeat(missing, 0)]), takes[name])
                for name, v in rows.items()
            }
            parts.append(runner(**rows))
        return {
            name: _from_file(np.concatenate([part[name] for part in parts])[:num_rows], gives[name])
            for name in gives
        }


def _to_file(value, details):
    """Real numbers as the file takes them: an int8 file has them quantised."""
    scale, zero_point = details["quantization"]
    if details["dtype"] == np.int8 and scale:
        value = np.clip(np.round(value / scale) + zero_point, -128, 127)
    return value.astype(details["dtype"])


def _from_file(value, details):
    scale, zero_point = details["quantization"]
    if details["dtype"] == np.int8 and scale:
        value = (value.astype(np.float32) - zero_point) * np.float32(scale)
    return value


def grid(images, scale=2, padding=2):
    """One picture of all images [n, height, width, 1 or 3] with values in [0, 1]."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    _, height, width, channels = images.shape
    y, x = height + padding, width + padding
    canvas = np.full((rows * y + padding, columns * x + padding, channels), 40, np.uint8)
    for number, image in enumerate(np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)):
        top, left = y * (number // columns) + padding, x * (number % columns) + padding
        canvas[top : top + height, left : left + width] = image
    canvas = canvas.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a .tflite file that `keras-vae export` wrote")
    parser.add_argument(
        "signature",
        nargs="?",
        choices=["generate", "decode", "encode"],
        help="list them if left out",
    )
    parser.add_argument("--seed", type=int, default=0, help="of generate")
    parser.add_argument("--latents", type=Path, help="of decode: .npy [n, latent_dim]")
    parser.add_argument("--input", type=Path, help="of encode: .npy [n, ...]")
    parser.add_argument("--output", type=Path, help=".png grid, .npy array, or .npz of encode")
    given = parser.parse_args()

    vae = Vae(given.file)
    if given.signature is None:
        for name, ends in vae.signatures.items():
            print(f"{name}({', '.join(ends['inputs'])}) -> {', '.join(ends['outputs'])}")
        return
    if given.output is None:
        parser.error(f"{given.signature} needs --output")
    if given.signature == "encode":
        np.savez(given.output, **vae.encode(np.load(given.input)))
        return
    if given.signature == "generate":
        images = vae.generate(given.seed)
    else:
        images = vae.decode(np.load(given.latents))
    if given.output.suffix == ".npy":
        np.save(given.output, images)
    else:
        grid(images).save(given.output)


if __name__ == "__main__":
    main()
