"""Commands that generate with control: keep one thing, change another."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import RunArgument, SplitOption, app, open_run, say, usage

RowsOutputOption = Annotated[
    Path, typer.Option(help="A .png grid, a .gif animation, or a .npy array.")
]


@app.command()
def interpolate(
    run: RunArgument,
    output: RowsOutputOption,
    path: Annotated[
        str, typer.Option(help="linear, or spherical: along great circles.")
    ] = "linear",
    num_pairs: Annotated[
        int, typer.Option(min=1, help="How many, from the start of the split; of a class each.")
    ] = 8,
    steps: Annotated[int, typer.Option(min=2, help="Points of a way, both ends included.")] = 10,
    split: SplitOption = "test",
):
    """Go through latent space from one example to another; a row per pair."""
    opened = open_run(run)
    from keras_vae import pictures
    from keras_vae.training.results import pairs

    vae = opened.model
    with usage():
        pictures.check_output(output, vae.event_shape, animated=True)
    first, last, conditions = pairs(opened, split, num_pairs)
    ways = vae.interpolate(first, last, steps, path=path, **conditions)
    pictures.save_rows(output, ways, value_range=opened.value_range)
    say(f"{len(ways)} {path} interpolations of {steps} steps: {output}")
