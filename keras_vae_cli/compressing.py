"""Commands that make a file of examples as small as the model's bound, and read it again."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import (
    RunArgument,
    SplitOption,
    app,
    console,
    open_run,
    quietly,
    rows,
    say,
    usage,
)


@app.command()
def compress(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="The file to write.")],
    data: Annotated[
        str | None,
        typer.Option(help="Other data to compress, as of `train`; the run's own by default."),
    ] = None,
    split: SplitOption = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
):
    """Write examples in about -ELBO bits, lossless (bits-back coding), beside gzip, xz and PNG.

    Needs the extra `compress`, a likelihood over finitely many values (bernoulli, categorical,
    discretized-logistic), and for reading the same run, software and kind of machine. What is written was
    read back first.
    """
    opened = open_run(run)
    with quietly():
        from keras_vae.applications.compressed_runs import compress_run
    result = compress_run(opened, output, data=data, split=split, limit=limit)
    console.print(rows(result.rows(), "", "bytes", "bits/example", "bits/element", "over -ELBO"))
    there, back = result.seconds
    say(
        f"{result.num_examples:,} examples, all given back: {output} (compressed in {there:.1f} s, decompressed in "
        f"{back:.1f} s)"
    )


@app.command()
def decompress(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(help="A file that `keras-vae compress` wrote.")],
    output: Annotated[Path, typer.Option(help="A .npy array, or a .png grid.")],
):
    """Read the examples of a compressed file, with the run that compressed them."""
    opened = open_run(run)
    with quietly():
        from keras_vae import pictures
        from keras_vae.applications.compressed_runs import decompress_run

    shape = opened.model.event_shape
    with usage():
        pictures.check_output(output, shape)
    x = decompress_run(opened, file, output)
    say(f"{len(x):,} examples: {output}")
