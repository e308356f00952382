r"""The size of MNIST's test images in a file of a trained model, against -ELBO and other formats.

    keras-vae demo --output demo
    python benchmarks/compression.py --run demo/run --output benchmarks/results/compression.json

Prints the table of docs/compression.md: all examples, and fewer, since the first ones of a file cost
more than the later ones. Every file is decompressed again and compared before it counts.
"""

import argparse
import os
import tempfile
from pathlib import Path

import machine

COUNTS = (1, 10, 100, 1000)  # of examples, beside all


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("demo/run"))
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_vae.applications.compressed_runs import compress_run
    from keras_vae.training import Run

    run = Run(given.run)
    with tempfile.TemporaryDirectory() as folder:
        found = [compress_run(run, Path(folder) / "x", limit=limit) for limit in (*COUNTS, None)]
    whole = found[-1]
    print("\n| | bytes | bits an image | bits a pixel | over -ELBO |\n|---|---|---|---|---|")
    for cells in whole.rows():
        print(f"| {' | '.join(cells)} |")
    print("\n| images | bytes | bits an image | -ELBO | over it |\n|---|---|---|---|---|")
    for each in found:
        n = each.num_examples
        print(
            f"| {n:,} | {each.num_bytes:,} | {8 * each.num_bytes / n:.1f} | {8 * each.bound_bytes / n:.1f} | "
            f"{each.overhead:+.2%} |"
        )
    print("\nseconds, all: compressed in {:.1f}, decompressed in {:.1f}".format(*whole.seconds))
    results = machine.describe() | {
        "prior": type(run.model.prior).__name__,
        "latent_dim": run.model.latent_dim,
        "files": [each.to_json() for each in found],
    }
    machine.save(results, given.output)


if __name__ == "__main__":
    main()
