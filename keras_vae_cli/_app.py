"""What the commands share: the application, options, and how they speak."""

import contextlib
import enum
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
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
def quietly():
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
def usage():
    """Turns a refused argument into an error of usage, with exit code 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def open_run(path: Path, *outputs: Path | None, sources: Sequence[str | Path | None] = ()):
    """The run of a folder, if the files to be written are none that it, or what is to be read, needs."""
    with quietly():
        from keras_vae.training import Run
    run = Run(path)
    run.check_outputs(*outputs, sources=sources)
    return run


def say(what) -> None:
    """Prints text as it is: paths may hold what is markup elsewhere."""
    console.print(str(what), markup=False, highlight=False, soft_wrap=True)


def rows(cells, *header: str) -> Table:
    table = Table(show_header=any(header), box=None, padding=(0, 2, 0, 0))
    for name in header:
        table.add_column(name, overflow="fold")
    for row in cells:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def given_options(context: typer.Context, besides: tuple[str, ...]) -> list[str]:
    """The options that were given on the command line, besides some."""
    return [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in besides and context.get_parameter_source(name).name == "COMMANDLINE"  # pyright: ignore[reportOptionalMemberAccess]
    ]


def sizes(option: str, text: str) -> tuple[int, ...]:
    """Positive whole numbers with commas; an error of usage otherwise."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(
            f"{option} takes positive numbers with commas, as in 512,256. Received: {text}"
        )
    return numbers


def column_types(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The columns of a table and their types, of words NAME=TYPE."""
    pairs = []
    for word in given:
        name, _, kind = word.rpartition("=")
        if not name or not kind:
            raise typer.BadParameter(
                f"--column-type takes NAME=TYPE, as in code=categorical. Received: {word}"
            )
        pairs.append((name, kind))
    return tuple(pairs)
