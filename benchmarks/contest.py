"""Runs a contestant of a benchmark: a program in `peers/`, in a process of its own."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(PEERS))


def interpreter(name: str) -> str:
    """A Python given on the command line, as an absolute path: contestants run in a folder of their own."""
    if (found := shutil.which(name)) is None:
        raise argparse.ArgumentTypeError(
            f"no program {name}; expected a path to a Python interpreter"
        )
    return str(Path(found).absolute())


def report(python: str, program: str, *arguments: str) -> dict:
    """What the program prints on its last line, as JSON."""
    command = [python, program, *arguments]
    done = subprocess.run(command, cwd=PEERS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])
