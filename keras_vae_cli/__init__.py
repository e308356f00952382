"""The command line: `keras-vae COMMAND --help`.

A package beside `keras_vae`, so that help and shell completion answer without importing TensorFlow;
every command imports what it needs when it runs. A module per group of commands.
"""

import importlib

from keras_vae_cli._app import app, main

__all__ = ["app", "main"]

for _group in (  # in the order of --help
    "training",
    "evaluating",
    "searching",
    "looking",
    "control",
    "detecting",
    "restoration",
    "tables",
    "compressing",
    "exporting",
    "beam",
):
    importlib.import_module(f"keras_vae_cli.{_group}")
