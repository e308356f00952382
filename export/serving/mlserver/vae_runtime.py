"""Serves the signatures of a SavedModel with MLServer, over REST and gRPC (the V2 protocol).

The request's parameter `signature_name` says which signature runs; `serving_default` otherwise.
"""

import numpy as np
import tensorflow as tf
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec
from mlserver.errors import InvalidModelURI, MLServerError
from mlserver.utils import get_model_uri

BAD_REQUEST = 400


def _tensor(name, request, spec):
    """What a request gives for an input, or a `ValueError` where the signature cannot take it as it is."""
    array = NumpyCodec.decode_input(request)
    if spec.shape.rank == 0 and array.size == 1:  # the protocol has no scalars
        array = array.reshape(())
    wanted = np.dtype(spec.dtype.as_numpy_dtype)
    is_kind = np.can_cast(array.dtype, wanted, "same_kind")
    is_kind &= (array.dtype.kind == "b") == (wanted.kind == "b")
    if not is_kind or not spec.shape.is_compatible_with(array.shape):
        raise ValueError(
            f"{name} takes {wanted} of shape {spec.shape}. Received: {array.dtype} of shape {array.shape}"
        )
    with np.errstate(over="ignore"):
        value = array.astype(wanted)
    if wanted.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    if wanted.kind in "iu" and (value != array).any():
        raise ValueError(f"{name} holds integers that {wanted} cannot")
    if name == "num_samples" and value < 1:
        raise ValueError(f"{name} has to be at least 1. Received: {value}")
    return tf.constant(value)


def _output(name, array) -> types.ResponseOutput:
    """The array with its own shape: the codec makes a column of a vector."""
    encoded = NumpyCodec.encode_output(name, array)
    encoded.shape = list(array.shape)
    return encoded


class SavedModelRuntime(MLModel):
    """A SavedModel; its `parameters.uri` is the numbered folder."""

    async def load(self) -> bool:
        uri = await get_model_uri(self.settings)
        if not tf.saved_model.contains_saved_model(uri):
            raise InvalidModelURI(self.name, uri)
        self._model = tf.saved_model.load(uri)  # its signatures do not keep it alive
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        wanted = getattr(payload.parameters, "signature_name", None) or "serving_default"
        signatures = self._model.signatures
        if wanted not in signatures:
            raise MLServerError(
                f"There is no signature {wanted!r}. Expected one of {sorted(signatures)}.",
                BAD_REQUEST,
            )
        specs = signatures[wanted].structured_input_signature[1]
        given = {request.name: request for request in payload.inputs}
        if set(given) != set(specs):
            raise MLServerError(
                f"{wanted} takes the inputs {sorted(specs)}. Received: {sorted(given)}",
                BAD_REQUEST,
            )
        try:
            inputs = {name: _tensor(name, given[name], spec) for name, spec in specs.items()}
            outputs = signatures[wanted](**inputs)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise MLServerError(f"{wanted} cannot run: {error}", BAD_REQUEST) from error
        return types.InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[_output(name, value.numpy()) for name, value in outputs.items()],
        )
