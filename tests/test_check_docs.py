"""The documents' checker reports what is broken, where, and nothing else."""

import subprocess

import pytest
import typer
import typer.main
from check_docs import Problem, check_repository

SOUND = """\
# The title

[a section](#a-section-twice), [the guide](docs/guide.md#use-it), [docs](docs), [web](https://example.org)

## A section, twice

## A section, twice

[second](#a-section-twice-1) <img src="docs/guide.md" alt="">

```sh
$ make demo PYTHON=python3.12  # make nothing
CUDA_VISIBLE_DEVICES= keras-vae train \\
    --epochs=3 && ls
```

```python
>>> 1 + 1
2
```
"""


@pytest.fixture
def problems_of(tmp_path):
    """A function that checks a small repository with the given README."""
    app = typer.Typer()

    @app.command()
    def train(epochs: int = 1): ...

    @app.command()
    def demo(): ...

    def check(readme):
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "guide.md").write_text("# Guide\n\n### Use *it*\n")
        (tmp_path / "Makefile").write_text("PYTHON := python3\ndemo: x\n\techo\n")
        (tmp_path / ".gitignore").write_text("/made.png\n")
        (tmp_path / "made.png").touch()
        (tmp_path / "README.md").write_text(readme)
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        return check_repository(tmp_path, typer.main.get_command(app))

    return check


def test_a_sound_document_has_no_problems(problems_of):
    assert problems_of(SOUND) == []


@pytest.mark.parametrize(
    ("broken", "line", "message"),
    [
        ("[x](docs/gone.md)", 1, "link to docs/gone.md: there is no docs/gone.md"),
        ("![x](made.png)", 1, "link to made.png: there is no made.png"),
        ("a\n<img src='gone.svg'>", 2, "link to gone.svg: there is no gone.svg"),
        ("a\n[x](#nowhere)", 2, "link to #nowhere: README.md has no anchor #nowhere"),
        ("[x](docs/guide.md#nowhere)", 1, "docs/guide.md has no anchor #nowhere"),
        ("```sh\nls\nmake coffee\n```", 3, "`make coffee`: the Makefile has no such target"),
        ("a\n`make coffee`", 2, "`make coffee`: the Makefile has no such target"),
        ("```\nkeras-vae fly\n```", 2, "`keras-vae` has no command fly"),
        ("```sh\nkeras-vae train --wings 2\n```", 2, "`keras-vae train` has no option --wings"),
        ("```python\na = 1\nb = = 2\n```", 3, "the Python block does not compile"),
    ],
)
def test_what_is_broken_is_reported_with_its_line(problems_of, broken, line, message):
    (problem,) = problems_of(broken + "\n")
    assert isinstance(problem, Problem)
    assert (problem.path, problem.line) == ("README.md", line)
    assert message in problem.message
