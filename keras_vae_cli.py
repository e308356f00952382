"""The command line: `keras-vae COMMAND --help`.

A module beside the package, so that help and shell completion answer without importing TensorFlow;
every command imports what it needs when it runs.
"""

import contextlib
import enum
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(
    name="keras-vae",
    help="Variational autoencoders from data to a served decoder: train, evaluate, look, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
beam_app = typer.Typer(
    no_args_is_help=True,
    help="Embed, score and generate over files of any size, on Apache Beam (the extra `beam`).",
)
app.add_typer(beam_app, name="beam")
console = Console()
errors = Console(stderr=True)

LogFormat = enum.StrEnum("LogFormat", ["text", "json"])
Format = enum.StrEnum("Format", ["saved_model", "tflite", "onnx", "all"])
Quantization = enum.StrEnum("Quantization", ["none", "float16", "dynamic_int8", "int8", "int4"])
RunArgument = Annotated[Path, typer.Argument(help="A run folder that `keras-vae train` made.")]
SplitOption = Annotated[
    Literal["train", "validation", "test"], typer.Option(help="Which examples.")
]
SeedOption = Annotated[
    int,
    typer.Option(min=-(2**63), max=2**64 - 1, help="The same seed gives the same result."),
]
ModelOption = Annotated[
    str, typer.Option(help="What `keras-vae export` wrote, or a SavedModel in it.")
]
InputOption = Annotated[
    list[str], typer.Option(help="Parquet or .npy files: names with wildcards; may be repeated.")
]
BeamOutputOption = Annotated[str, typer.Option(help="The folder to make.")]
BlockOption = Annotated[
    int, typer.Option(min=1, help="Rows of one call of the model; decides what is drawn.")
]
BeamArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Options of Beam, after --, such as -- --runner=FlinkRunner."),
]


def main() -> None:
    """Runs the command line; a failure is one line on standard error and exit code 1."""
    warnings.showwarning = _show_warning
    try:
        app()
    except Exception as error:
        if os.environ.get("KERAS_VAE_DEBUG"):
            raise
        text = str(error)
        if not isinstance(
            error, ValueError | OSError | RuntimeError | ImportError
        ):  # not one that we raise
            text = f"{type(error).__name__}: {text} (KERAS_VAE_DEBUG=1 shows where)"
        errors.print("[bold red]Error:[/]", end=" ")
        errors.print(text, markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning in one line, without the place in the code."""
    errors.print("[yellow]Warning:[/]", end=" ")
    errors.print(str(message), markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _quietly():
    """Holds back what TensorFlow's C++ prints while it is imported; shows it if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def _usage():
    """Turns a refused argument into an error of usage, with exit code 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _open_run(path: Path):
    with _quietly():
        from keras_vae.training import Run
    return Run(path)


def _say(what) -> None:
    """Prints text as it is: paths may hold what is markup elsewhere."""
    console.print(str(what), markup=False, highlight=False, soft_wrap=True)


def _rows(rows, *header: str) -> Table:
    table = Table(show_header=any(header), box=None, padding=(0, 2, 0, 0))
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


@app.command()
def train(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="The run folder to make.")],
    data: Annotated[
        str,
        typer.Option(
            help="mnist, tfds:NAME, a folder of IDX files, of images or of TFRecord or ArrayRecord shards, or a "
            ".npy or .npz file."
        ),
    ] = "mnist",
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Leave the data on disk and read them batch by batch, with flat memory.",
        ),
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(help="grey, dynamic, static or raw; the source's own by default."),
    ] = None,
    network: Annotated[str, typer.Option(help="mlp or conv.")] = "mlp",
    hidden: Annotated[
        str | None, typer.Option(help="Units per hidden layer, or channels per level: 512,256.")
    ] = None,
    activation: Annotated[
        str, typer.Option(help="Of the hidden layers: relu, silu, tanh, or another of Keras's.")
    ] = "relu",
    latent_dim: Annotated[int, typer.Option(min=1, help="Size of z.")] = 20,
    likelihood: Annotated[
        str | None,
        typer.Option(
            help="bernoulli, continuous-bernoulli, normal, shared-scale-normal, laplace or student-t or "
            "categorical; what suits the protocol by default."
        ),
    ] = None,
    prior: Annotated[str, typer.Option(help="normal or mixture.")] = "normal",
    num_components: Annotated[
        int, typer.Option(min=1, help="Components of the mixture prior.")
    ] = 50,
    objective: Annotated[str, typer.Option(help="elbo or iwae.")] = "elbo",
    num_samples: Annotated[
        int, typer.Option(min=1, help="Importance samples of the iwae objective.")
    ] = 5,
    beta: Annotated[float, typer.Option(help="Weight of the rate in the elbo objective.")] = 1.0,
    warm_up: Annotated[
        int, typer.Option(min=0, help="Epochs over which that weight rises from 0.")
    ] = 0,
    epochs: Annotated[
        int,
        typer.Option(min=1, help="Passes over the training data, or, see below, parts of them."),
    ] = 20,
    steps_per_epoch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Updates until the next validation and checkpoint, where a pass is too long for that.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples per update.")] = 128,
    learning_rate: Annotated[
        float, typer.Option(help="Adam's highest; it falls along a cosine.")
    ] = 2e-3,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without a better validation bound."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of weights, order, binarisation and draws.")
    ] = 0,
    jit: Annotated[
        bool | None, typer.Option(help="Train under XLA; by default for mlp, not for conv.")
    ] = None,
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
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in ("output", "resume", "strategy", "log_format")
        and context.get_parameter_source(name).name == "COMMANDLINE"  # pyright: ignore[reportOptionalMemberAccess]
    ]
    if resume and given:
        raise typer.BadParameter(
            f"--resume goes on as the run's config.json says; leave out {', '.join(given)}."
        )
    with _quietly():
        from keras_vae import training
    with _usage():
        where = training.make_strategy(strategy)
        recipe = None
        if not resume:
            recipe = training.Recipe(
                data=data,
                stream=stream,
                protocol=protocol,
                network=network,
                hidden=_sizes(hidden),
                activation=activation,
                latent_dim=latent_dim,
                likelihood=likelihood,
                prior=prior,
                num_components=num_components,
                objective=objective,
                num_samples=num_samples,
                beta=beta,
                warm_up=warm_up,
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


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise typer.BadParameter(
            f"--hidden takes positive numbers with commas, as in 512,256. Received: {text}"
        )
    return sizes


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
    seed: SeedOption = 0,
):
    """Estimate log p(x) by importance sampling, and the objective's terms; writes
    RUN/evaluation.json.
    """
    opened = _open_run(run)
    with _quietly():
        from keras_vae.training.results import evaluate_run
    result = evaluate_run(opened, num_samples=num_samples, split=split, limit=limit, seed=seed)
    console.print(_rows(result.rows(), "", "nats per example", "standard error"))
    _say(result.estimate)
    _say(f"active units: {result.active_units} of {opened.model.latent_dim}")
    result.write(opened)


@app.command()
def generate(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="A .png grid, or a .npy array.")],
    num_samples: Annotated[int, typer.Option(min=1, help="How many.")] = 64,
    seed: SeedOption = 0,
):
    """Draw new examples from the prior."""
    opened = _open_run(run)
    from keras_vae import pictures

    shape = opened.model.event_shape
    with _usage():
        pictures.check_output(output, shape)
    samples = opened.model.generate(num_samples, seed=seed)
    pictures.save(output, samples, value_range=opened.value_range)
    _say(f"{num_samples} samples, seed {seed}: {output}")


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
    opened = _open_run(run)
    from keras_vae import pictures
    from keras_vae.training.results import examples

    shape = opened.model.event_shape
    with _usage():
        pictures.check_output(output, shape)
    originals = examples(opened.data, split, num_examples)
    reconstructions = opened.model.reconstruct(originals)
    pictures.save(output, reconstructions, beside=originals, value_range=opened.value_range)
    _say(f"{len(originals)} reconstructions: {output}")


@app.command()
def embed(
    run: RunArgument,
    output: Annotated[Path, typer.Option(help="A .npz file (z, labels), or a .png map.")],
    split: SplitOption = "test",
):
    """Write the posterior's location for every example of a split."""
    opened = _open_run(run)
    from keras_vae.training.results import check_embed_output, embed_run

    with _usage():
        check_embed_output(output)
    z = embed_run(opened, output, split=split)
    _say(f"{z.shape[0]:,} embeddings of size {z.shape[1]}: {output}")


@app.command()
def info(run: RunArgument):
    """Show what a run is: recipe, data, model, best epoch."""
    opened = _open_run(run)
    with _quietly():
        from keras_vae.training.results import describe
    console.print(_rows(describe(opened), "", ""))


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
    opened = _open_run(run)
    with _quietly():
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
    _say(result)
    _say(f"written: {output}")


@app.command()
def export_check(
    folder: Annotated[Path, typer.Argument(help="A folder that `keras-vae export` made.")],
):
    """Run exported files again, in every runtime that is installed, against the model's numbers."""
    with _quietly():
        from keras_vae.export import check
    _say(check(folder))


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
    with _quietly():
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
        _rows(((name, f"{number:,}") for name, number in counts._asdict().items()), "", "rows")
    )
    _say(f"written: {output}")


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
    with _quietly():
        from keras_vae.demo import check_arguments, run_demo
    with _usage():
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


if __name__ == "__main__":
    main()
