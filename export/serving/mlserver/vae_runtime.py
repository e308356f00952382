"""Serves the signatures of a SavedModel with MLServer, over REST and gRPC (the V2 protocol).

The request's parameter `signature_name` says which signature runs; `serving_default` otherwise.
"""

import tensorflow as tf
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec
from mlserver.errors import InvalidModelURI, MLServerError
from mlserver.utils import get_model_uri

BAD_REQUEST = 400


def _shaped(array, spec):
    """The array, or, where the signature takes a scalar, its only number: the protocol has none."""
    return array.reshape(()) if spec.shape.rank == 0 else array


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
        arrays = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        if set(arrays) != set(specs):
            raise MLServerError(
                f"{wanted} takes the inputs {sorted(specs)}. Received: {sorted(arrays)}",
                BAD_REQUEST,
            )
        try:
            inputs = {
                name: tf.constant(_shaped(arrays[name], spec), spec.dtype)
                for name, spec in specs.items()
            }
            outputs = signatures[wanted](**inputs)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise MLServerError(f"{wanted} cannot run: {error}", BAD_REQUEST) from error
        return types.InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[_output(name, value.numpy()) for name, value in outputs.items()],
        )
