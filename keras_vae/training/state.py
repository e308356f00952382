"""Everything `fit` needs to continue as if it had never stopped, in one file per epoch."""

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vae import _files

_KEPT_FIELDS = ("best", "best_epoch", "wait", "stopped_epoch", "epoch", "history")
_DIGEST = hashlib.sha256().digest_size


class TrainingState(keras.callbacks.Callback):
    """Writes the state of a run after every epoch, and restores it.

    One file holds the model's and the optimiser's variables (draw counter and step among them), the
    fields that the other callbacks keep between epochs, and a SHA-256 of it all; it is written
    atomically, and the last two are kept, so that a damaged newest one falls back to the one
    before. Give it last in the list of callbacks.

    Args:
        folder: where the state files are.
        callbacks: those whose fields are kept, in order.
        writes: False for a process that only restores, because another one writes.
    """

    def __init__(
        self, folder: Path, callbacks: Sequence[keras.callbacks.Callback], *, writes: bool = True
    ):
        super().__init__()
        self.folder, self.kept_callbacks, self.writes = folder, list(callbacks), writes
        self._fields: list[dict] = []
        self.stopped = False

    def restore(self, model: keras.Model) -> int:
        """Loads the newest intact state into the model; returns the number of epochs it has behind
        it, 0 where none has been written.

        Raises:
            ValueError: where all are damaged, or those of another model.
        """
        for path in reversed(self._files()):
            try:
                record, values = read_state(path.read_bytes())
            except ValueError:
                warnings.warn(
                    f"{path} is damaged; falling back to the state before it.", stacklevel=2
                )
                continue
            variables = self._variables(model)
            if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
                raise ValueError(
                    f"{path} was written by a different model: its weights have other shapes."
                )
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            self._fields, self.stopped = record["callbacks"], record["stopped"]
            self.on_train_begin()
            return record["epochs"]
        if self._files():
            raise ValueError(
                f"{self.folder} holds no intact state, so the run cannot be continued. Its model.keras and "
                "history.csv are kept; to train anew, use another folder or --overwrite."
            )
        return 0

    def on_train_begin(self, logs=None):
        """Gives the other callbacks their fields back, which they have reset."""
        for callback, fields in zip(self.kept_callbacks, self._fields, strict=False):
            vars(callback).update(fields)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the state at the end of the epoch, and takes all but the last two away."""
        if not self.writes:
            return
        variables = self._variables(self.model)
        arrays: dict[str, Any] = {f"variable_{i}": np.asarray(v) for i, v in enumerate(variables)}
        fields = [
            {k: v for k, v in vars(callback).items() if k in _KEPT_FIELDS}
            for callback in self.kept_callbacks
        ]
        record = json.dumps(
            {"epochs": epoch + 1, "stopped": bool(self.model.stop_training), "callbacks": fields},
            default=float,
        )
        body = io.BytesIO()
        np.savez(body, record=np.frombuffer(record.encode(), np.uint8), **arrays)
        content = body.getvalue()
        self.folder.mkdir(exist_ok=True)
        _files.write(
            self.folder / f"state-{epoch + 1:06d}.npz", content + hashlib.sha256(content).digest()
        )
        for old in self._files()[:-2]:
            old.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("state-*.npz"))

    @staticmethod
    def _variables(model):
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return [*model.variables, *model.optimizer.variables]


def read_state(content: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The record and the variables of a state file; `ValueError` where it is damaged."""
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("The SHA-256 at the end of the state is not that of what is before it.")
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            record = json.loads(arrays["record"].tobytes())
            values = [arrays[f"variable_{i}"] for i in range(len(arrays.files) - 1)]
        _ = record["callbacks"], record["stopped"], record["epochs"]
    except Exception as error:  # whatever the damage leads to
        raise ValueError(f"The state is not one that was written here: {error}") from error
    return record, values
