"""Make a synthetic table, and see how like the real one it is.

python examples/synthetic_table.py --epochs 100 --output synthetic
"""

import argparse
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from keras_vae.applications import Synthesizer


def main(epochs: int, steps: int | None, output: Path):
    data = load_breast_cancer(as_frame=True)
    table = data.data.assign(diagnosis=data.target_names[data.target])
    train, test = train_test_split(table[: 20 * steps if steps else None], random_state=0)

    synthesizer = Synthesizer(epochs=epochs).fit(train)
    print(synthesizer.sample(5, seed=7))
    report = synthesizer.report(train, test, target="diagnosis", n=1000)
    print(report)
    report.save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--steps", type=int, help="for a quick look: 20 rows times this number")
    parser.add_argument("--output", type=Path, default=Path("synthetic"))
    main(**vars(parser.parse_args()))
