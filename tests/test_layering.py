"""Imports inside keras_vae run downwards only, and the command line starts without TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "keras_vae"

# From the bottom up. A module may import from the lines above its own (and from its own folder).
LAYERS = (
    {"_parts", "_files", "noise"},
    {"posteriors", "likelihoods", "estimators"},
    {"sampling"},
    {"priors", "networks", "data"},
    {"objectives"},
    {"models"},
    {"aggregate", "evaluation", "export", "compression"},
    {"pictures", "reports", "beam"},
    {"training"},
    {"applications"},
    {"demo"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PUBLIC = "the package itself"

# What `keras-vae --help` must not wait for.
HEAVY = {
    "ai_edge_litert",
    "keras",
    "keras_vae",
    "keras_tuner",
    "matplotlib",
    "pandas",
    "numpy",
    "PIL",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
    "tensorflow_probability",
}


def runtime_nodes(tree, *, functions=True):
    """Every node that runs: not under `if TYPE_CHECKING`, and inside functions only if asked."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from runtime_nodes(node, functions=functions)


def imported_names(tree, package=(), *, functions=True):
    """Yield (line, dotted name) of what a module inside `package` imports."""
    for node in runtime_nodes(tree, functions=functions):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


def upward_imports(source, parts):
    """The imports of the module `parts` (("objectives", "elbo")) that do not run downwards."""
    own = parts[0]
    modules = {path.stem for path in PACKAGE.iterdir()} | set(LEVEL)
    for line, name in imported_names(ast.parse(source), ("keras_vae", *parts[:-1])):
        root, *rest = name.split(".")
        if root != "keras_vae":
            continue
        target = rest[0] if rest and rest[0] in modules else PUBLIC
        if target != own and LEVEL.get(target, len(LAYERS)) >= LEVEL[own]:
            yield f"keras_vae/{'/'.join(parts)}.py:{line}: {own} imports {target} ({name})"


MODULES = [
    path.relative_to(PACKAGE).with_suffix("").parts
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
]


@pytest.mark.parametrize("parts", MODULES, ids="/".join)
def test_imports_run_downwards_only(parts):
    assert parts[0] in LEVEL, f"give keras_vae.{parts[0]} its place in LAYERS of {__file__}"
    source = PACKAGE.joinpath(*parts).with_suffix(".py").read_text("utf-8")
    assert list(upward_imports(source, parts)) == []


@pytest.mark.parametrize(
    ("statement", "is_upward"),
    [
        ("from keras_vae import estimators", False),
        ("from ..sampling import Sampling", False),
        ("from ._base import Objective", False),
        ("import keras_vae.priors as priors", False),
        ("import keras", False),
        ("if TYPE_CHECKING:\n    from keras_vae.models import VAE", False),
        ("from keras_vae.models import VAE", True),
        ("from ..models.vae import VAE", True),
        ("from .. import models", True),
        ("from keras_vae import VAE", True),
        ("def late():\n    import keras_vae.training", True),
    ],
)
def test_upward_imports_are_seen_in_every_spelling(statement, is_upward):
    found = list(upward_imports(statement, ("objectives", "elbo")))
    assert bool(found) is is_upward, found


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("keras_vae_cli/*.py")), ids=lambda path: path.stem
)
def test_the_command_line_imports_heavy_modules_only_inside_functions(path):
    tree = ast.parse(path.read_text("utf-8"))
    imported = {name.split(".")[0] for _, name in imported_names(tree, functions=False)}
    assert imported & HEAVY == set()


def test_the_command_line_starts_without_tensorflow():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, keras_vae_cli; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(loaded) & HEAVY == set()
