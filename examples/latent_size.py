"""How many latent dimensions do digits need? Train a VAE of every size, and choose.

python examples/latent_size.py --epochs 100 --output latent_size
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from keras_vae.applications.search import Plan, search
from keras_vae.training import Recipe


def main(epochs: int, steps: int | None, output: Path):
    digits = load_digits()  # 1,797 images of 8 x 8 pixels
    images = (digits.images * 255 / 16).astype(np.uint8)
    data = output.with_name("digits.npz")
    np.savez(data, x_train=images, y_train=digits.target)

    recipe = Recipe(
        data=str(data),
        protocol="dynamic",
        hidden=(256,),
        batch_size=64,
        epochs=epochs,
        steps_per_epoch=steps,
        jit_compile=False,  # compiling would take longer than it saves
    )
    result = search(Plan(recipe=recipe, latent_dims=(2, 8)), output)
    print(result.table.round(2).to_string(index=False))
    print(result.reason, *result.remarks, sep="\n")
    print(f"{result.command} --output runs/digits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    parser.add_argument("--output", type=Path, default=Path("latent_size"))
    main(**vars(parser.parse_args()))
