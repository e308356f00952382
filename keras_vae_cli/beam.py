"""Commands that run exported models over files of any size, on Apache Beam."""

import logging
from typing import Annotated

import typer

from keras_vae_cli._app import (
    BeamArgument,
    BeamOutputOption,
    BlockOption,
    InputOption,
    ModelOption,
    SeedOption,
    beam_app,
    console,
    quietly,
    rows,
    say,
)


@beam_app.command("embed")
def beam_embed(
    model: ModelOption,
    input: InputOption,
    output: BeamOutputOption,
    block_rows: BlockOption = 1000,
    beam_options: BeamArgument = None,
):
    """Write the posterior's location and standard deviation for every row of Parquet or .npy files."""
    beam = _open_beam()
    _run_beam(beam.Embed(model), output, beam_options, input, block_rows)


@beam_app.command("score")
def beam_score(
    model: ModelOption,
    input: InputOption,
    output: BeamOutputOption,
    seed: SeedOption = 0,
    block_rows: BlockOption = 1000,
    beam_options: BeamArgument = None,
):
    """Write elbo, distortion and rate, in nats, for every row of Parquet or .npy files."""
    beam = _open_beam()
    _run_beam(beam.Score(model, seed), output, beam_options, input, block_rows)


@beam_app.command("generate")
def beam_generate(
    model: ModelOption,
    output: BeamOutputOption,
    num_samples: Annotated[int, typer.Option(min=1, help="How many.")],
    seed: SeedOption = 0,
    block_rows: BlockOption = 1000,
    beam_options: BeamArgument = None,
):
    """Draw any number of new examples from the prior."""
    beam = _open_beam()
    _run_beam(beam.Generate(model, num_samples, seed, block_rows), output, beam_options)


def _open_beam():
    logging.getLogger().setLevel(logging.CRITICAL)  # Beam reports on every step
    logging.getLogger("apache_beam.options").setLevel(logging.WARNING)  # options it does not know
    with quietly():
        from keras_vae import beam
    return beam


def _run_beam(transform, output, options, patterns=(), block_rows=1) -> None:
    from keras_vae import beam

    source = (
        beam.Read(*patterns, names=list(transform.inputs), block_rows=block_rows)
        if patterns
        else None
    )
    counts = beam.run(transform, output, source, options or ())
    console.print(
        rows(((name, f"{number:,}") for name, number in counts._asdict().items()), "", "rows")
    )
    say(f"written: {output}")
