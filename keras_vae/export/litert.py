"""Running an exported decoder with LiteRT."""

import os
from pathlib import Path

import numpy as np

from keras_vae.export._quiet import quiet

__all__ = ["LiteRTDecoder"]


class LiteRTDecoder:
    """A decoder file run by LiteRT: latents in, what the model shows for them out.

    Args:
        file: path of a file that `tflite` wrote, or its content.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is damaged or no LiteRT file, or has no signature `decode`.
    """

    def __init__(self, file: str | os.PathLike[str] | bytes):
        from ai_edge_litert.interpreter import Interpreter  # its start takes a while

        self._name = "The content" if isinstance(file, bytes) else str(file)
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        try:
            with quiet():
                interpreter = Interpreter(model_content=content)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{self._name} is not a LiteRT file, or it is damaged ({len(content)} bytes): "
                f"{error}. Export the model again."
            ) from error
        if "decode" not in (signatures := interpreter.get_signature_list()):
            raise ValueError(
                f"{self._name} has no signature 'decode'. Its signatures: {sorted(signatures)}. "
                "Expected a file that keras_vae.export.tflite wrote."
            )
        self._decode = interpreter.get_signature_runner("decode")
        self._inputs = self._decode.get_input_details()

    @property
    def latent_dim(self) -> int:
        return int(self._inputs["z"]["shape_signature"][1])

    @property
    def batch_size(self) -> int | None:
        """Number of rows that the file takes at a time; None: any."""
        size = int(self._inputs["z"]["shape_signature"][0])
        return None if size == -1 else size

    def __call__(self, z, **conditions) -> np.ndarray:
        """Decodes any number of latents; a file of a fixed batch size is run as often as needed.

        Args:
            z: [N, latent_dim].
            **conditions: for a conditional decoder, [N, ...] each, by input name.

        Returns:
            float32 [N, *event].

        Raises:
            ValueError: for inputs that the file does not take, and for NaN.
        """
        given = {"z": z, **conditions}
        if set(given) != set(self._inputs):
            raise ValueError(
                f"{self._name} takes the inputs {sorted(self._inputs)}. Received: {sorted(given)}"
            )
        num_rows = len(z)
        inputs = {name: self._checked(name, value, num_rows) for name, value in given.items()}
        step = self.batch_size or num_rows
        missing = -num_rows % step
        padded = {
            name: np.pad(value, [(0, missing)] + [(0, 0)] * (value.ndim - 1), mode="edge")
            for name, value in inputs.items()
        }
        means = [
            self._decode(**{name: value[start : start + step] for name, value in padded.items()})
            for start in range(0, num_rows, step)
        ]
        return np.concatenate([outputs["mean"] for outputs in means])[:num_rows]

    def _checked(self, name: str, value, num_rows: int) -> np.ndarray:
        details = self._inputs[name]
        array = np.asarray(value, details["dtype"])
        expected = tuple(int(size) for size in details["shape_signature"][1:])
        if num_rows == 0 or array.shape != (num_rows, *expected):
            raise ValueError(
                f"The input {name!r} of {self._name} has to have shape "
                f"{('N', *expected)} with N at least 1 and the same for all inputs. "
                f"Received shape {array.shape}."
            )
        if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
            raise ValueError(f"The input {name!r} holds {np.isnan(array).sum()} NaN.")
        return array
