"""The command line: `keras-vae COMMAND --help`.

A package beside `keras_vae`, so that help and shell completion answer without importing TensorFlow;
every command imports what it needs when it runs. A module per group of commands.
"""

from keras_vae_cli import training, looking, tables, exporting, beam  # noqa: F401, I001  in the order of --help
from keras_vae_cli._app import app, main

__all__ = ["app", "main"]
