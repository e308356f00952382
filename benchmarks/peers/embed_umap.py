"""Embeds images by UMAP, fitted to the training images without their labels.

Arguments: an .npz file with train [N, ...] and test [M, ...]; the size of the embedding; the .npz file
to write.
"""

import json
import sys
import time

import numpy as np
import umap


def main():
    images, size, output = sys.argv[1:]
    with np.load(images) as arrays:
        train, test = (arrays[name].reshape(len(arrays[name]), -1) for name in ("train", "test"))
    begun = time.perf_counter()
    model = umap.UMAP(n_components=int(size), random_state=0, n_jobs=1)
    z = {"train": model.fit_transform(train), "test": model.transform(test)}
    seconds = time.perf_counter() - begun
    np.savez(output, **z)
    print(json.dumps({"seconds": seconds, "version": umap.__version__}))


if __name__ == "__main__":
    main()
