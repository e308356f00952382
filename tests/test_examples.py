"""Every example runs at smoke size, as the command its docstring gives."""

import os
import subprocess
import sys
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
    "parts_of_your_own.py": ["combination.keras"],
    "latent_size.py": ["latent_size/search.png", "latent_size/report.md"],
}


def test_every_example_is_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(MAKES)


@pytest.mark.parametrize("name", list(MAKES))
def test_example_runs(name, tmp_path):
    result = subprocess.run(
        [sys.executable, EXAMPLES / name, "--epochs", "1", "--steps", "3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    for made in MAKES[name]:
        assert (tmp_path / made).stat().st_size > 500
