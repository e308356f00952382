"""Every Python block of README.md and docs/*.md runs, in order, in one namespace per file.

`<!-- no-run -->` right before a block leaves it out.
"""

import sys
import types
from pathlib import Path

import pytest
from check_docs import PYTHON, read_document

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def runnable_blocks(path):
    blocks = read_document(path.read_text("utf-8")).blocks
    return [block for block in blocks if block.language in PYTHON and block.comment != "no-run"]


def test_the_readme_has_a_python_block_that_runs():
    assert README.exists(), "README.md is missing"
    assert runnable_blocks(README), "README.md has no Python block to run: show how to begin"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.relative_to(ROOT).as_posix())
        for path in [README, *sorted(ROOT.glob("docs/**/*.md"))]
        if path.exists() and runnable_blocks(path)
    ],
)
def test_python_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A module of its own: dataclasses and AutoGraph look up the module of what a block defines.
    module = types.ModuleType("readme")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "readme", module)
    for block in runnable_blocks(path):
        # The blank lines make a traceback, and inspect.getsource, point into the document.
        source = "\n" * (block.line - 1) + block.source
        exec(compile(source, path, "exec"), vars(module))
