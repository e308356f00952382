"""A VAE without TensorFlow: LiteRT, NumPy and Pillow.

pip install ai-edge-litert numpy pillow
python vae.py model.tflite                                   # what the file holds
python vae.py model.tflite generate --seed 7 --output grid.png
python vae.py model.tflite decode --latents z.npy --output decoded.npy
python vae.py model.tflite encode --input x.npy --output embedded.npz
"""

import argparse
import math
import os
import re
import sys
import zlib
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


class Vae:
    """An exported .tflite file; its three signatures as methods. Rows are taken one batch at a time.

    Whatever the file cannot take is a ValueError.
    """

    def __init__(self, path):
        content = Path(path).read_bytes()
        check_intact(path, content)
        try:
            self._interpreter = Interpreter(model_content=content)  # the runners need it to live
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise ValueError(f"{path} cannot be run by LiteRT: {error}") from error
        self.signatures = self._interpreter.get_signature_list()
        self._runners = {
            name: self._interpreter.get_signature_runner(name) for name in self.signatures
        }

    def generate(self, seed, **conditions):
        """Pictures [n, ...], the same ones for the same seed on every runtime; n is the file's."""
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"the seed has to be an integer of 64 bits. Received: {seed}")
        words = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32).view(np.int32)
        runner = self._runner("generate", {"seed": words, **conditions})
        return runner(seed=words, **conditions)["mean"]

    def decode(self, z, **conditions):
        """Pictures [n, ...] for latents [n, latent_dim]."""
        return self._by_batch("decode", {"z": z, **conditions})["mean"]

    def encode(self, x, **conditions):
        """Arrays by name, "location" [n, latent_dim] among them, for data [n, ...]."""
        return self._by_batch("encode", {"x": x, **conditions})

    def _runner(self, signature, inputs):
        """What runs a signature, if the file has it and it takes these inputs."""
        if signature not in self._runners:
            raise ValueError(
                f"the file has no signature {signature!r}, but {sorted(self._runners)}"
            )
        runner = self._runners[signature]
        takes = runner.get_input_details()
        if set(inputs) != set(takes):
            raise ValueError(f"{signature} takes {sorted(takes)}. Received: {sorted(inputs)}")
        for name, value in inputs.items():
            shape = ["rows", *takes[name]["shape"][1:].tolist()]
            if value.dtype.kind not in "buif" or not np.isfinite(value).all():
                raise ValueError(f"{name} has to be finite numbers")
            if name != "seed" and (list(value.shape[1:]) != shape[1:] or not value.size):
                raise ValueError(f"{name} has to have shape {shape}. Received: {list(value.shape)}")
        return runner

    def _by_batch(self, signature, inputs):
        inputs = {name: np.asarray(value) for name, value in inputs.items()}
        runner = self._runner(signature, inputs)
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


def check_intact(path, content):
    """The file's metadata hold the CRC-32 of all its bytes, with zeros in the place of the checksum."""
    found = re.search(rb'"keras_vae_crc32": "(\w{8})"', content)
    if content[4:8] != b"TFL3" or not found:
        raise ValueError(f"{path} is not a LiteRT file that keras_vae exported, or it is cut short")
    blank = content[: found.start(1)] + b"0" * 8 + content[found.end(1) :]
    if f"{zlib.crc32(blank):08x}".encode() != found[1]:
        raise ValueError(f"{path} is damaged; export it again, or fetch it anew")


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


def write(path, images):
    """A .png grid of images [n, height, width, 1 or 3], or an .npy array of anything; whole or not at all."""
    is_picture = path.suffix != ".npy"
    if is_picture and (images.ndim != 4 or images.shape[-1] not in (1, 3)):
        raise ValueError(f"[{', '.join(map(str, images.shape))}] is no pictures: write .npy")
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        grid(images).save(file, format="PNG") if is_picture else np.save(file, images)
    os.replace(part, path)


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
    for option, signatures in {
        "output": ("generate", "decode", "encode"),
        "latents": ("decode",),
        "input": ("encode",),
    }.items():
        if given.signature in signatures and getattr(given, option) is None:
            parser.error(f"{given.signature} needs --{option}")

    vae = Vae(given.file)
    if given.signature is None:
        for name, ends in vae.signatures.items():
            print(f"{name}({', '.join(ends['inputs'])}) -> {', '.join(ends['outputs'])}")
    elif given.signature == "encode":
        np.savez(given.output, **vae.encode(np.load(given.input)))
    elif given.signature == "generate":
        write(given.output, vae.generate(given.seed))
    else:
        write(given.output, vae.decode(np.load(given.latents)))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"vae: {error}")
