"""Commands that train a run and say what it is."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae_cli._app import (
    LogFormat,
    RunArgument,
    SeedOption,
    app,
    column_types,
    console,
    given_options,
    open_run,
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
    CyclesOption,
    DataOption,
    EpochsOption,
    FreeBitsOption,
    JitOption,
    LearningRateOption,
    LikelihoodOption,
    MechanismOption,
    PatienceOption,
    PosteriorOption,
    PriorOption,
    ProtocolOption,
    StepsPerEpochOption,
    StreamOption,
    WarmUpOption,
)


@app.command()
def train(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    data: DataOption = "mnist",
    stream: StreamOption = False,
    protocol: ProtocolOption = None,
    column_type: ColumnTypeOption = None,
    condition: ConditionOption = None,
    network: Annotated[str, typer.Option(help="mlp or conv.")] = "mlp",
    hidden: Annotated[
        str | None, typer.Option(help="Units per hidden layer, or channels per level: 512,256.")
    ] = None,
    activation: ActivationOption = "relu",
    latent_dim: Annotated[int, typer.Option(min=1, help="Size of z.")] = 20,
    likelihood: LikelihoodOption = None,
    posterior: PosteriorOption = None,
    num_categories: CategoriesOption = 10,
    prior: PriorOption = None,
    num_components: Annotated[
        int, typer.Option(min=1, help="Components of the priors mixture and vamp.")
    ] = 50,
    objective: Annotated[
        str,
        typer.Option(
            help="elbo, iwae, dreg, ciwae, piwae, multiply-iwae, sticking-the-landing, capacity, beta-tc, factor, "
            "dip, info, adversarial (AAE, WAE-GAN), rae or structural-similarity."
        ),
    ] = "elbo",
    num_samples: Annotated[
        int, typer.Option(min=1, help="Importance samples of iwae and its like.")
    ] = 5,
    beta: Annotated[
        float | None,
        typer.Option(
            help="Weight of the rate in elbo and of the codes' size in rae, by default 1; or of what the others add, "
            "by default 6 in beta-tc, 35 in factor, 10 in dip, 100 in info, capacity and structural-similarity, 1 in "
            "adversarial."
        ),
    ] = None,
    capacity: Annotated[
        float, typer.Option(help="Nats of rate that capacity holds to, after a warm-up.")
    ] = 25.0,
    warm_up: WarmUpOption = 0,
    cycles: CyclesOption = 0,
    free_bits: FreeBitsOption = 0.0,
    mechanism: MechanismOption = None,
    epochs: EpochsOption = 20,
    steps_per_epoch: StepsPerEpochOption = None,
    batch_size: BatchSizeOption = 128,
    learning_rate: LearningRateOption = 2e-3,
    patience: PatienceOption = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of weights, order, binarisation and draws.")
    ] = 0,
    jit: JitOption = None,
    strategy: Annotated[
        str,
        typer.Option(help="none, mirrored (this machine's devices) or multiworker (TF_CONFIG)."),
    ] = "none",
    log_format: Annotated[
        LogFormat, typer.Option(help="A progress bar, or a JSON object per line.")
    ] = LogFormat.text,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run there.")
    ] = False,
):
    """Train a VAE: a run folder with the best model, history, pictures and a report.

    Ctrl-C keeps what was learned; --resume goes on as if the run had never stopped.
    """
    besides = ("output", "resume", "strategy", "log_format")
    if resume and (given := given_options(context, besides)):
        raise typer.BadParameter(
            f"--resume goes on as the run's config.json says; leave out {', '.join(given)}."
        )
    with quietly():
        from keras_vae import training
    with usage():
        where = training.make_strategy(strategy)
        recipe = None
        if not resume:
            recipe = training.Recipe(
                data=data,
                stream=stream,
                protocol=protocol,
                column_types=column_types(column_type or ()),
                condition=condition,
                network=network,
                hidden=None if hidden is None else sizes("--hidden", hidden),
                activation=activation,
                latent_dim=latent_dim,
                likelihood=likelihood,
                posterior=posterior,
                num_categories=num_categories,
                prior=prior,
                num_components=num_components,
                objective=objective,
                num_samples=num_samples,
                beta=beta,
                capacity=capacity,
                warm_up=warm_up,
                cycles=cycles,
                free_bits=free_bits,
                mechanism=mechanism,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                batch_size=batch_size,
                learning_rate=learning_rate,
                patience=patience,
                seed=seed,
                jit_compile=jit,
            )
    try:
        if recipe is None:
            training.resume(output, strategy=where, console=console, log_format=log_format)
        else:
            training.train(
                recipe,
                output,
                overwrite=overwrite,
                strategy=where,
                console=console,
                log_format=log_format,
            )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def info(run: RunArgument):
    """Show what a run is: recipe, data, model, best epoch."""
    opened = open_run(run)
    with quietly():
        from keras_vae.training.results import describe
    console.print(rows(describe(opened), "", ""))


@app.command("fit-prior")
def fit_prior_command(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    prior: Annotated[
        str,
        typer.Option(
            help="mixture, flow or two-stage (a second VAE, on z: its density has only a bound)."
        ),
    ] = "mixture",
    num_components: Annotated[
        int | None, typer.Option(min=1, help="Components of the mixture; 10 by default.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Fit to so many training examples, or to all there are.")
    ] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the fit.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run there.")
    ] = False,
):
    """Give a trained model a prior fitted to its latents: a new run folder, for better samples."""
    opened = open_run(run)
    with quietly():
        from keras_vae._parts import check_known
        from keras_vae.training import FITS, fit_prior
    with usage():
        check_known("prior", prior, FITS)
    made = fit_prior(
        opened,
        output,
        prior,
        num_components=num_components,
        limit=limit,
        seed=seed,
        overwrite=overwrite,
    )
    say(f"run folder: {made.path}")
    say(f"report: {made.path / 'report.md'}")


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option(help="The folder to make; an earlier demo there is replaced.")
    ] = Path("demo"),
    minutes: Annotated[
        float, typer.Option(help="Time for training; epochs are chosen to fit.")
    ] = 2.6,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Train for so many epochs instead.")
    ] = None,
    num_samples: Annotated[
        int, typer.Option(min=1, help="Importance samples per example, k.")
    ] = 500,
    num_test: Annotated[int, typer.Option(min=1, help="Test images for the likelihood.")] = 1000,
    seed: SeedOption = 0,
):
    """MNIST from data to a LiteRT decoder: train, evaluate, draw, export, check; writes a report."""
    with quietly():
        from keras_vae.demo import check_arguments, run_demo
    with usage():
        check_arguments(minutes=minutes, num_samples=num_samples, num_test=num_test)
    try:
        run_demo(
            output,
            minutes=minutes,
            epochs=epochs,
            num_samples=num_samples,
            num_test=num_test,
            seed=seed,
            console=console,
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
