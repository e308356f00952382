"""Enlarge digits from 7 x 7 to 28 x 28: several plausible answers, their mean, where they differ.

python examples/super_resolution.py --epochs 8 --output upscaled.png
"""

import argparse
from pathlib import Path

import numpy as np

from keras_vae import data, pictures
from keras_vae.applications import SuperResolution


def main(epochs: int, steps: int | None, output: Path):
    mnist = data.load("mnist", protocol="grey")
    images = mnist.examples("train", 200 * steps if steps else None)
    model = SuperResolution(factor=4, hidden=(512,), epochs=epochs, verbose=True).fit(images)

    digits = mnist.examples("test", 8)
    low = model.degrade(digits)
    enlarged = low.repeat(4, axis=1).repeat(4, axis=2)
    spread = model.spread(low)
    rows = [enlarged, *model.sample(low, 4), model.predict(low), spread / spread.max(), digits]
    print(f"PSNR of the mean answer: {model.score(mnist.examples('test', 500)):.1f} dB")
    pictures.save_png(output, pictures.image_grid(np.concatenate(rows), columns=8), scale=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, help="use few images; all of them by default")
    parser.add_argument("--output", type=Path, default=Path("upscaled.png"))
    main(**vars(parser.parse_args()))
