"""Few labels, many images: embed digits without labels, learn to read them from 200 labels, draw a map.

python examples/embedding.py --epochs 20 --output map.png
"""

import argparse
from pathlib import Path

from sklearn.linear_model import LogisticRegression

from keras_vae import data
from keras_vae.applications import Embedder


def main(epochs: int, steps: int | None, output: Path):
    mnist = data.load("mnist", protocol="grey")
    images, labels = mnist.examples("train"), mnist.train_labels
    if steps:  # a small run
        images, labels = images[: 128 * steps], labels[: 128 * steps]
    embedder = Embedder(latent_dim=16, protocol="dynamic", epochs=epochs).fit(images)

    reader = LogisticRegression(max_iter=1000).fit(embedder.transform(images[:200]), labels[:200])
    test = mnist.examples("test", 2000)
    accuracy = reader.score(embedder.transform(test), mnist.test_labels[:2000])
    print(f"{accuracy:.1%} of the test images are read after 200 labels")
    print(f"bound on log p(x): {embedder.score(test):.2f} nats")
    embedder.draw(output, test, mnist.test_labels[:2000])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, help="batches of images; all of them by default")
    parser.add_argument("--output", type=Path, default=Path("map.png"))
    main(**vars(parser.parse_args()))
