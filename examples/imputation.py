"""Fill in a table with half of its values missing, and say how sure the model is of them.

python examples/imputation.py --epochs 100 --output imputation.png
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer

from keras_vae import pictures
from keras_vae.applications import Imputer


def main(epochs: int, steps: int | None, output: Path):
    table = load_breast_cancer(as_frame=True).data[: 20 * steps if steps else None]
    hidden = np.random.default_rng(0).random(table.shape) < 0.5
    holes = table.mask(hidden)

    imputer = Imputer(latent_dim=10, epochs=epochs)
    filled = imputer.fit_transform(holes)
    by_mean = SimpleImputer().set_output(transform="pandas").fit_transform(holes)
    units = table.std()
    for name, answer in (("mean", by_mean), ("Imputer", filled)):
        error = ((answer - table) / units).to_numpy()[hidden]
        print(f"{name}: mean squared error {np.mean(error**2):.3f} of hidden values")

    several = imputer.sample_imputations(holes, 5)
    means = [each["mean area"].mean() for each in several]
    print(f"mean area: {np.mean(means):.1f}, +- {np.std(means):.1f} because of what is missing")

    numbers = [((each - table.mean()) / units).to_numpy()[hidden] for each in (table, filled)]
    shown = [
        (
            name,
            {"hidden": table[name][gone].to_numpy(), "imputed": filled[name][gone].to_numpy()},
            [],
        )
        for name, gone in ((name, holes[name].isna()) for name in table.columns[:7])
    ]
    pictures.true_and_imputed(output, shown, (numbers[0], numbers[1]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--steps", type=int, help="for a quick look: 20 rows times this number")
    parser.add_argument("--output", type=Path, default=Path("imputation.png"))
    main(**vars(parser.parse_args()))
