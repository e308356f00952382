"""Commands that undo damage: several answers, their mean and their spread."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import (
    RunArgument,
    SeedOption,
    SplitOption,
    app,
    open_run,
    quietly,
    say,
    usage,
)

OutputOption = Annotated[
    Path, typer.Option(help="A .png picture, a row for each image; or a .npy array of the answers.")
]
SourceOption = Annotated[
    Path | None,
    typer.Option(
        "--input",
        help="A picture (hidden pixels transparent), or a .npy array of images (hidden pixels NaN); by default "
        "images of the run's own data.",
    ),
]
AnswersOption = Annotated[
    int,
    typer.Option(
        min=1, help="Answers to each image; a picture shows five, and mean and spread of all."
    ),
]
NumberOption = Annotated[int, typer.Option(min=1, help="How many images, from the start.")]


@app.command()
def upscale(
    run: RunArgument,
    output: OutputOption,
    input: SourceOption = None,
    num_answers: AnswersOption = 16,
    num_examples: NumberOption = 6,
    split: SplitOption = "test",
    seed: SeedOption = 0,
):
    """Enlarge images: several answers, their mean, their spread (condition downscaled-2 or -4)."""
    _restored(run, "upscale", output, input, num_answers, num_examples, split, seed)


@app.command()
def restore(
    run: RunArgument,
    output: OutputOption,
    input: SourceOption = None,
    num_answers: AnswersOption = 16,
    num_examples: NumberOption = 6,
    split: SplitOption = "test",
    seed: SeedOption = 0,
):
    """Take noise away, or fill in what is hidden: several answers (condition noisy or hidden)."""
    _restored(run, "restore", output, input, num_answers, num_examples, split, seed)


def _restored(run, command, output, source, num_answers, num_examples, split, seed) -> None:
    opened = open_run(run, output, sources=[source])
    with quietly():
        from keras_vae import pictures
        from keras_vae.applications import restored_runs

    shape = opened.model.event_shape
    with usage():
        restored_runs.check_damage(opened, restored_runs.damages_of(command))
        pictures.check_output(output, shape)
    numbers = restored_runs.restore_run(
        opened,
        output,
        source=source,
        num_examples=num_examples,
        split=split,
        num_answers=num_answers,
        seed=seed,
    )
    say(f"{numbers['images']} images, {num_answers} answers to each, seed {seed}: {output}")
    if "mean" in numbers:
        say(
            f"PSNR: mean of the answers {numbers['mean']:.2f} dB, first answer {numbers['first']:.2f} dB"
        )
