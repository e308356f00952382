"""PyOD's detectors on the tasks of `anomaly.py`: FILE.npz vae|ecod SEED -> scores as JSON."""

import json
import sys

import numpy as np
import torch
from pyod.models.ecod import ECOD
from pyod.models.vae import VAE

path, name, seed = sys.argv[1:]
torch.set_num_threads(1)  # the networks are too small for more
scores = []
with np.load(path) as arrays:
    for i in range(len(arrays.files) // 2):
        normal, test = arrays[f"normal_{i}"], arrays[f"test_{i}"]
        constant = normal.std(axis=0) == 0  # PyOD standardises by it
        if name == "vae":
            detector = VAE(random_state=int(seed), verbose=0, batch_size=min(32, len(normal)))
        else:
            detector = ECOD()
        detector.fit(normal[:, ~constant])
        scores.append(detector.decision_function(test[:, ~constant]).tolist())
print(json.dumps({"scores": scores}))
