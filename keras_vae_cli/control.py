"""Commands that generate with control: keep one thing, change another."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import RunArgument, SplitOption, app, open_run, quietly, say, usage

RowsOutputOption = Annotated[
    Path, typer.Option(help="A .png grid, a .gif animation, or a .npy array.")
]
StepsOption = Annotated[int, typer.Option(min=2, help="Pictures of a row.")]
_RATED = 1000  # examples that the rate of a dimension is the mean over


@app.command()
def transfer(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="A .png grid, originals in front; or a .npy array.")],
    num_examples: Annotated[
        int, typer.Option(min=1, help="How many, from the start of the split.")
    ] = 10,
    split: SplitOption = "test",
):
    """Show examples as every other class, their style kept: a row each (condition label)."""
    opened = open_run(run, output)
    with quietly():
        from keras_vae import pictures
        from keras_vae.applications import control
        from keras_vae.training.results import examples

    vae = opened.model
    with usage():
        pictures.check_output(output, vae.event_shape)
        if "label" not in vae.labels:
            raise ValueError(
                f"{run} was trained without labels, so there is no class to change. `keras-vae train "
                "--condition label` trains with them."
            )
    batch = examples(opened.data, split, num_examples)
    others = control.analogies(vae, batch, label=range(vae.labels["label"]))
    pictures.save_analogies(output, batch["x"], others, value_range=opened.value_range)
    say(f"{others.shape[0]} examples as {others.shape[1]} classes: {output}")


@app.command()
def interpolate(
    run: RunArgument,
    output: RowsOutputOption,
    path: Annotated[
        str, typer.Option(help="linear, or spherical: along great circles.")
    ] = "linear",
    num_pairs: Annotated[
        int, typer.Option(min=1, help="Rows: pairs from the start of the split, of one class each.")
    ] = 8,
    steps: StepsOption = 10,
    split: SplitOption = "test",
):
    """Go through latent space from one example to another: a row per pair."""
    opened = open_run(run, output)
    with quietly():
        from keras_vae import pictures
        from keras_vae._parts import check_known
        from keras_vae.applications import control
        from keras_vae.models import PATHS
        from keras_vae.training.results import examples

    vae = opened.model
    with usage():
        pictures.check_output(output, vae.event_shape, animated=True)
        check_known("path", path, PATHS)
    enough = 2 * num_pairs + sum(vae.labels.values())
    first, last = control.pairs(vae, examples(opened.data, split, enough), num_pairs)
    conditions = {name: first[name] for name in vae.conditions}
    ways = vae.interpolate(first, last, steps, path=path, **conditions)
    pictures.save_rows(output, ways, value_range=opened.value_range)
    say(f"{len(ways)} {path} interpolations of {steps} steps: {output}")


@app.command()
def traverse(
    run: RunArgument,
    output: RowsOutputOption,
    num_dims: Annotated[
        int, typer.Option(min=1, help="Rows: latent dimensions, those with the largest rate first.")
    ] = 8,
    steps: StepsOption = 9,
    reach: Annotated[
        float, typer.Option(help="How far to either side, in standard deviations of the prior.")
    ] = 3.0,
    split: SplitOption = "test",
):
    """Change one latent dimension at a time of the split's first example: a row each."""
    opened = open_run(run, output)
    with quietly():
        from keras_vae import pictures
        from keras_vae._parts import check_positive
        from keras_vae.applications import control
        from keras_vae.training.results import examples

    import numpy as np

    shape = opened.model.event_shape
    with usage():
        pictures.check_output(output, shape, animated=True)
        check_positive("traverse", reach=reach)
    batch = examples(opened.data, split, _RATED)
    values = np.linspace(-reach, reach, steps)
    rows = control.traversals(opened.model, batch, num_dims, values)
    pictures.save_rows(output, rows, value_range=opened.value_range)
    say(f"{len(rows)} latent dimensions in {steps} steps: {output}")
