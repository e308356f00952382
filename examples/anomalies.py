"""Learn what a handwritten 3 looks like, flag other digits, show where they differ, export the detector.

python examples/anomalies.py --epochs 40 --output anomalies
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from keras_vae import data, export, pictures
from keras_vae.applications import AnomalyDetector


def main(epochs: int, steps: int | None, output: Path):
    mnist = data.load("mnist", protocol="grey")
    threes = mnist.examples("train")[mnist.train_labels == 3][: 128 * steps if steps else None]
    detector = AnomalyDetector(
        anomaly_score="relative_error",
        likelihood="shared-scale-normal",
        latent_dim=16,
        hidden=(256,),
        epochs=epochs,
        num_samples=8,
    ).fit(threes)

    test, labels = mnist.examples("test", 500), mnist.test_labels[:500]
    scores = -detector.score_samples(test)
    low, high = detector.false_positive_rate_interval_
    print(f"AUROC {roc_auc_score(labels != 3, scores):.3f}")
    for name, rows in (("threes", labels == 3), ("other digits", labels != 3)):
        print(f"flagged of {name}: {np.mean(detector.predict(test[rows]) == -1):.1%}")
    print(f"of threes between {low:.1%} and {high:.1%} were to be expected")

    worst = np.argsort(-scores)[:8]
    pictures.anomalies(
        output / "anomalies.png",
        scores,
        -detector.offset_,
        name="relative error",
        of="test digits",
        images=test[worst],
        heat_maps=detector.attributions(test[worst]).sum(axis=-1),
    )
    print(detector.export(output / "export", overwrite=True))
    model = export.load(output / "export" / "model.tflite")
    about = export.metadata(output / "export" / "model.tflite")["detector"]
    served = model("score", x=test, seed=about["seed"])["anomaly_score"]
    print(
        "LiteRT flags the same:", np.array_equal(served > about["value"], scores > about["value"])
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--steps", type=int, help="batches of 128 threes to train on; all by default"
    )
    parser.add_argument("--output", type=Path, default=Path("anomalies"))
    main(**vars(parser.parse_args()))
