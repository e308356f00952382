"""Commands that measure what a run has learned."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import (
    RunArgument,
    SeedOption,
    SplitOption,
    app,
    console,
    open_run,
    quietly,
    rows,
    say,
)


@app.command()
def evaluate(
    run: RunArgument,
    num_samples: Annotated[
        int, typer.Option(min=1, help="Importance samples per example, k.")
    ] = 5000,
    split: SplitOption = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many examples.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also what the latents do and how good samples are, with plots, in RUN/evaluation.",
        ),
    ] = False,
    temperatures: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Also annealed importance sampling, on 50 examples at random: many minutes; take 500 or more.",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="With --all: the features that samples are compared in, another run's "
            "evaluation/features.keras; a classifier is trained by default.",
        ),
    ] = None,
    seed: SeedOption = 0,
):
    """Estimate log p(x) by importance sampling, and the objective's terms; writes
    RUN/evaluation.json.
    """
    if features is not None and not everything:
        raise typer.BadParameter("--features is for --all.")
    opened = open_run(run)
    settings = {
        "num_samples": num_samples,
        "split": split,
        "limit": limit,
        "seed": seed,
        "num_temperatures": temperatures,
    }
    if everything:
        with quietly():
            from keras_vae.applications.whole_evaluation import evaluate_whole
        whole = evaluate_whole(opened, **settings, features=features)
        for title, header, cells in whole.tables():
            say(f"\n{title}")
            console.print(rows(cells, *header))
        for remark in whole.remarks():
            say(f"\n{remark}")
        say(f"\n{whole.write() / 'report.html'}")
        return
    with quietly():
        from keras_vae.training.evaluating import evaluate_run
    result = evaluate_run(opened, **settings)
    console.print(rows(result.rows(), "", "nats per example", "standard error"))
    say(result)
    if result.active_units is not None:
        say(f"active units: {result.active_units} of {opened.model.latent_dim}")
    result.write(opened)


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders that `keras-vae evaluate` has been run on.")
    ],
):
    """Rank runs by log p(x) of the same examples; refuses numbers that cannot be compared."""
    with quietly():
        from keras_vae.training.comparison import HEADER
        from keras_vae.training.comparison import compare as compare_runs
    found = compare_runs(runs)
    console.print(rows(found.rows(), *HEADER))
    say(found)
