"""How many latent dimensions do the digits need? Train a VAE of every size, and choose.

python examples/latent_size.py --epochs 20 --output latent_size
"""

import argparse
from pathlib import Path

from keras_vae.applications.search import Plan, search
from keras_vae.training import Recipe


def main(epochs: int, steps: int | None, output: Path):
    recipe = Recipe(data="mnist", protocol="dynamic", epochs=epochs, steps_per_epoch=steps)
    result = search(Plan(recipe=recipe, latent_dims=(4, 16)), output)
    print(result.table.round(2).to_string(index=False))
    print(result.reason, *result.remarks, sep="\n")
    print(f"{result.command} --output runs/digits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    parser.add_argument("--output", type=Path, default=Path("latent_size"))
    main(**vars(parser.parse_args()))
