"""keras_vae as `keras-vae train` does it, for as many epochs as the budget holds; under the protocol that
the third argument names.
"""

import dataclasses
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from budget import Budget, report
from rich.console import Console
from task import TASKS

from keras_vae.training import Recipe, train

VALIDATING = 1.15  # an epoch with validation and checkpoint, against its training steps alone


def main():
    task, budget, protocol = TASKS["mlp"], Budget(), sys.argv[3]
    with tempfile.TemporaryDirectory() as folder:
        data = {"data": "mnist", "protocol": "dynamic"}
        if protocol == "static":
            data = {"data": f"{sys.argv[1]}/images.npz", "protocol": "raw"}
        recipe = Recipe(
            **data,
            hidden=task.hidden,
            latent_dim=task.latent_dim,
            batch_size=task.batch,
            likelihood="bernoulli",
        )
        splits = recipe.load_data()
        model = recipe.build(splits)
        steps = splits.steps_per_epoch
        model.fit(splits.train, steps_per_epoch=steps, verbose=0)  # compiles, too
        begun = time.process_time()
        model.fit(splits.train, steps_per_epoch=steps, verbose=0)
        per_epoch = VALIDATING * (time.process_time() - begun)
        left = budget.seconds - time.process_time() - 20.0  # the model is compiled once more
        recipe = dataclasses.replace(recipe, epochs=max(1, int(left / per_epoch)))
        run = train(recipe, f"{folder}/run", console=Console(quiet=True))
        budget.epochs = recipe.epochs
        weights = run.model.encoder.get_weights(), run.model.decoder.get_weights()
        report(budget, *weights)


if __name__ == "__main__":
    main()
