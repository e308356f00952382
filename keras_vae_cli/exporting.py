"""Commands that write files for other runtimes, and check them."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import Format, Quantization, RunArgument, app, open_run, quietly, say


@app.command()
def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            help="What to write; may be repeated; saved_model and tflite by default.",
        ),
    ] = None,
    quantization: Annotated[
        list[Quantization] | None,
        typer.Option(help="Of the LiteRT file; may be repeated, a file each; none by default."),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=0, help="Rows that the LiteRT file's decode and encode take; 0: any number."
        ),
    ] = 1,
    num_samples: Annotated[
        int, typer.Option(min=1, help="Examples that the LiteRT file's generate gives.")
    ] = 16,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export there.")
    ] = False,
):
    """Write a SavedModel, LiteRT and ONNX files, each checked against the model in its own runtime."""
    if quantization and formats and not {"tflite", "all"} & set(formats):
        raise typer.BadParameter("--quantization is of LiteRT files: add --format tflite.")
    opened = open_run(run)
    with quietly():
        from keras_vae.training.results import export_run
    result = export_run(
        opened,
        output,
        formats=formats or ("saved_model", "tflite"),
        quantizations=quantization or ("none",),
        batch_size=batch_size or None,
        num_samples=num_samples,
        overwrite=overwrite,
    )
    say(result)
    say(f"written: {output}")


@app.command()
def export_check(
    folder: Annotated[Path, typer.Argument(help="A folder that `keras-vae export` made.")],
):
    """Run exported files again, in every runtime that is installed, against the model's numbers."""
    with quietly():
        from keras_vae.export import check
    say(check(folder))
