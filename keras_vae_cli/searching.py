"""The command that searches for the size of the latent space."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import (
    app,
    column_types,
    console,
    given_options,
    quietly,
    rows,
    say,
    sizes,
    usage,
)
from keras_vae_cli._recipe import (
    ActivationOption,
    BatchSizeOption,
    CategoriesOption,
    ColumnTypeOption,
    ConditionOption,
    DataOption,
    EpochsOption,
    JitOption,
    LearningRateOption,
    LikelihoodOption,
    PatienceOption,
    PosteriorOption,
    PriorOption,
    ProtocolOption,
    StepsPerEpochOption,
    StreamOption,
    WarmUpOption,
)


@app.command()
def search(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    data: DataOption = "mnist",
    stream: StreamOption = False,
    protocol: ProtocolOption = None,
    column_type: ColumnTypeOption = None,
    condition: ConditionOption = None,
    latent_dims: Annotated[str, typer.Option(help="Sizes of z, with commas.")] = "2,4,8,16,32,64",
    network: Annotated[
        list[str] | None, typer.Option(help="mlp or conv; may be repeated; mlp by default.")
    ] = None,
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            help="Units per hidden layer, or channels per level: 512,256; may be repeated."
        ),
    ] = None,
    betas: Annotated[
        str, typer.Option(help="Weights of the rate in training, with commas: 1,4.")
    ] = "1",
    activation: ActivationOption = "relu",
    likelihood: LikelihoodOption = None,
    posterior: PosteriorOption = None,
    num_categories: CategoriesOption = 10,
    prior: PriorOption = None,
    warm_up: WarmUpOption = 0,
    epochs: EpochsOption = 20,
    steps_per_epoch: StepsPerEpochOption = None,
    batch_size: BatchSizeOption = 128,
    learning_rate: LearningRateOption = 2e-3,
    patience: PatienceOption = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Runs of every combination, each with its own seed.")
    ] = 1,
    prune: Annotated[bool, typer.Option(help="Stop runs early that fall behind.")] = True,
    limit: Annotated[
        int, typer.Option(min=2, help="Validation examples that are compared, at most.")
    ] = 5000,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="Of the first repeat.")] = 0,
    jit: JitOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search in --output.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier search there.")
    ] = False,
):
    """Find out how many latent dimensions the data need: the smallest size within one standard
    error of the best bound, with a table, a picture and the reason.

    Killed, or stopped with Ctrl-C, --resume goes on as if it had never stopped.
    """
    if resume and (given := given_options(context, ("output", "resume"))):
        raise typer.BadParameter(
            f"--resume goes on as the search's config.json says; leave out {', '.join(given)}."
        )
    with quietly():
        from keras_vae.applications import search as searches
        from keras_vae.training import Recipe
    try:
        if resume:
            result = searches.resume(output, console=console)
        else:
            with usage():
                recipe = Recipe(
                    data=data,
                    stream=stream,
                    protocol=protocol,
                    column_types=column_types(column_type or ()),
                    condition=condition,
                    activation=activation,
                    likelihood=likelihood,
                    posterior=posterior,
                    num_categories=num_categories,
                    prior=prior,
                    warm_up=warm_up,
                    epochs=epochs,
                    steps_per_epoch=steps_per_epoch,
                    batch_size=batch_size,
                    learning_rate=learning_rate,
                    patience=patience,
                    seed=seed,
                    jit_compile=jit,
                )
                plan = searches.Plan(
                    recipe=recipe,
                    latent_dims=sizes("--latent-dims", latent_dims),
                    networks=tuple(network or ("mlp",)),
                    hidden=tuple(sizes("--hidden", text) for text in hidden) if hidden else (None,),
                    betas=_numbers("--betas", betas),
                    repeats=repeats,
                    prune=prune,
                    limit=limit,
                )
            result = searches.search(plan, output, overwrite=overwrite, console=console)
    except KeyboardInterrupt:
        say(f"Stopped. Go on with: keras-vae search --resume --output {output}")
        raise typer.Exit(130) from None
    header, cells = result.cells()
    console.print(rows(cells, *header))
    for text in (result.reason, *result.remarks):
        say(text)
    say(f"to train it: {result.command} --output NEW_FOLDER")
    say(f"written: {output}: see report.md and search.png")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{option} takes numbers with commas, as in 1,4. Received: {text}"
        ) from None
