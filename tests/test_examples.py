"""Every example runs at smoke size, with the options of the command that its docstring gives."""

import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
MAKES = {
    "anomalies.py": ["anomalies/anomalies.png", "anomalies/export/model.tflite"],
    "quickstart.py": ["quickstart/samples.png", "quickstart/export/model.tflite"],
    "conditional_digits.py": ["digits.png", "analogy.png"],
    "embedding.py": ["map.png"],
    "latent_directions.py": ["directions/traversals.gif", "directions/attributes.png"],
    "super_resolution.py": ["upscaled.png"],
    "synthetic_table.py": ["synthetic/report.png", "synthetic/report.md"],
    "imputation.py": ["imputation.png"],
    "parts_of_your_own.py": ["combination.keras"],
    "latent_size.py": ["latent_size/search.png", "latent_size/report.md"],
}


def test_every_example_is_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(MAKES)


SMOKE = ("--epochs", "1", "--steps", "3")


def assert_made(name, folder):
    for made in MAKES[name]:
        assert (folder / made).stat().st_size > 500


@pytest.mark.parametrize("name", sorted(MAKES.keys() - {"quickstart.py"}))
def test_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *SMOKE])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert_made(name, tmp_path)


def test_an_example_runs_as_a_command(tmp_path):
    result = subprocess.run(
        [sys.executable, EXAMPLES / "quickstart.py", *SMOKE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert_made("quickstart.py", tmp_path)
