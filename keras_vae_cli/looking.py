"""Commands that look at what a run has learned."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import RunArgument, SeedOption, SplitOption, app, open_run, say, usage


@app.command()
def generate(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="A .png grid, or a .npy array.")],
    num_samples: Annotated[int, typer.Option(min=1, help="How many.")] = 64,
    label: Annotated[
        str | None,
        typer.Option(
            help="Of a run with the condition label: the class to draw, its number or its name; all classes, a "
            "row each, by default."
        ),
    ] = None,
    seed: SeedOption = 0,
):
    """Draw new examples from the prior."""
    opened = open_run(run, output)
    from keras_vae import pictures
    from keras_vae.training.results import class_number, generate_run

    shape = opened.model.event_shape
    with usage():
        pictures.check_output(output, shape)
        number = None if label is None else class_number(opened, label)
    samples, columns = generate_run(opened, num_samples, label=number, seed=seed)
    pictures.save(output, samples, value_range=opened.value_range, columns=columns)
    say(f"{len(samples)} samples, seed {seed}: {output}")


@app.command()
def reconstruct(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="A .png grid, originals above; or a .npy array.")],
    num_examples: Annotated[
        int, typer.Option(min=1, help="How many, from the start of the split.")
    ] = 32,
    split: SplitOption = "test",
):
    """Encode and decode examples again."""
    opened = open_run(run, output)
    from keras_vae import pictures
    from keras_vae.models import x_of
    from keras_vae.training.results import examples

    shape = opened.model.event_shape
    with usage():
        pictures.check_output(output, shape)
    originals = examples(opened.data, split, num_examples)
    again = opened.model.reconstruct(originals)
    pictures.save(output, again, beside=x_of(originals), value_range=opened.value_range)
    say(f"{len(again)} reconstructions: {output}")


@app.command()
def embed(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="A .npz file (z, labels), or a .png map.")],
    split: SplitOption = "test",
):
    """Write the posterior's location for every example of a split."""
    opened = open_run(run, output)
    from keras_vae.training.results import check_embed_output, embed_run

    with usage():
        check_embed_output(output)
    z = embed_run(opened, output, split=split)
    say(f"{z.shape[0]:,} embeddings of size {z.shape[1]}: {output}")
