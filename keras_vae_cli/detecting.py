"""The command that finds what is unlike the data of a run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from keras_vae_cli._app import RunArgument, SeedOption, app, console, open_run, rows, say, usage


@app.command()
def detect(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option(help="A .csv file; anomalies.csv in the run by default.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Other data to look at, as of `train`; the run's own by default."),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Which of their examples.")
    ] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    score: Annotated[
        str,
        typer.Option(
            help="elbo, log_likelihood, reconstruction, relative_error, latent_distance, likelihood_regret or "
            "typicality."
        ),
    ] = "elbo",
    false_positive_rate: Annotated[
        float, typer.Option(help="Share of normal examples that may be flagged.")
    ] = 0.05,
    confidence: Annotated[float, typer.Option(help="Of the interval for that share.")] = 0.95,
    num_samples: Annotated[int, typer.Option(min=1, help="Draws of z per example.")] = 32,
    seed: SeedOption = 0,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="A .png file: scores and, of images, heat maps; beside the .csv by default."
        ),
    ] = None,
):
    """Score examples against a threshold calibrated on the run's validation examples."""
    opened = open_run(run, output, picture, sources=[data])
    from keras_vae.applications.detection import detect_run

    output = output or opened.path / "anomalies.csv"
    with usage():
        if output.suffix != ".csv":
            raise ValueError(f"Scores are written as .csv. Received: {output}")
        if picture is not None and picture.suffix != ".png":
            raise ValueError(f"Pictures are written as .png. Received: {picture}")
    found = detect_run(
        opened,
        score,
        data=data,
        split=split,
        limit=limit,
        false_positive_rate=false_positive_rate,
        confidence=confidence,
        num_samples=num_samples,
        seed=seed,
    )
    found.write(output)
    picture = picture or output.with_suffix(".png")
    found.draw(picture, opened.value_range)
    console.print(rows(found.rows()))
    say(f"written: {output}, {picture}")
