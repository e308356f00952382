"""Commands on runs that were trained on tables: missing values, and synthetic rows."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import (
    RunArgument,
    SeedOption,
    app,
    console,
    open_run,
    quietly,
    rows,
    say,
    usage,
)


@app.command("impute")
def impute_command(
    run: RunArgument,
    input: Annotated[
        Path | None,
        typer.Option(
            help="A .csv or .parquet file; without one, values of the test split are hidden."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The table to write, .csv or .parquet.")
    ] = None,
    num_imputations: Annotated[
        int,
        typer.Option(min=1, help="1: what is expected; more: as many draws, in a file each."),
    ] = 1,
    num_samples: Annotated[int, typer.Option(min=1, help="Importance samples per row.")] = 1000,
    hide: Annotated[
        float, typer.Option(help="Without --input: the share of the values that is hidden.")
    ] = 0.1,
    picture: Annotated[
        Path | None, typer.Option(help="A .png of what was filled in, column by column.")
    ] = None,
    seed: SeedOption = 0,
):
    """Fill in the missing values of a table, or say how well hidden ones are filled in."""
    if (input is None) != (output is None):
        raise typer.BadParameter("--input and --output go together.")
    opened = open_run(run, output, picture, sources=[input])
    with quietly():
        from keras_vae._parts import check_share
        from keras_vae.applications import tables
    if input is None or output is None:
        with usage():
            check_share("impute", proper=True, hide=hide)
        error = tables.hidden_error(
            opened, hide=hide, num_samples=num_samples, seed=seed, picture=picture
        )
        console.print(rows(error.rows(), f"{error.num_hidden:,} hidden values", "imputed", "mean"))
    else:
        with usage():
            tables.check_table_output(output)
        for path in tables.impute_file(
            opened,
            input,
            output,
            num_imputations=num_imputations,
            num_samples=num_samples,
            seed=seed,
            picture=picture,
        ):
            say(f"filled in: {path}")
    if picture is not None:
        say(f"picture: {picture}")


@app.command("synthesize")
def synthesize_command(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="The table to write, .csv or .parquet.")],
    num_rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = 1000,
    report: Annotated[
        Path | None,
        typer.Option(help="A folder for a report of the rows' quality, with a picture."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="A column that the report predicts from the others (train on synthetic)."
        ),
    ] = None,
    seed: SeedOption = 0,
):
    """Write synthetic rows, and say how like the real ones they are."""
    opened = open_run(run, output)
    with quietly():
        from keras_vae.applications import tables
    model = opened.model
    with usage():
        tables.check_table_output(output)
        tables.check_target(model, target)
    synthetic = tables.synthesize_run(opened, num_rows, seed=seed)
    tables.write_table(synthetic, output)
    say(f"{num_rows:,} rows, seed {seed}: {output}")
    if report is not None or target is not None:
        found = tables.quality_of_run(opened, synthetic, target=target)
        console.print(rows(found.rows(), "", "synthetic", "real"))
        if report is not None:
            found.save(report)
            say(f"report: {report / 'report.md'}")
