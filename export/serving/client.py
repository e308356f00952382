"""Calls a served VAE: TensorFlow Serving or a V2 server (MLServer, Triton), over REST or gRPC.

    python client.py generate --seed 7 --number 16 --output images.npy --server v2-rest
    python client.py decode --input z.npy --output images.npy --server tf-grpc --address host:8500

Servers, with their usual ports: v2-rest 8080, v2-grpc 8081, tf-rest 8501, tf-grpc 8500.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

PORTS = {"v2-rest": 8080, "v2-grpc": 8081, "tf-rest": 8501, "tf-grpc": 8500}


def seed_words(seed: int) -> np.ndarray:
    """An integer as the two 32-bit words that `generate` and `score` take."""
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"the seed has to be an integer of 64 bits. Received: {seed}")
    return np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32).view(np.int32)


def call(server, address, signature, inputs, model="vae"):
    """Arrays by name from a server, for arrays by name."""
    return CALLS[server](address, signature, inputs, model)


def v2_rest(address, signature, inputs, model):
    import tritonclient.http as triton

    with triton.InferenceServerClient(address) as client:
        return _v2(triton, client, signature, inputs, model, binary_data=False)


def v2_grpc(address, signature, inputs, model):
    import tritonclient.grpc as triton

    with triton.InferenceServerClient(address) as client:
        return _v2(triton, client, signature, inputs, model)


def _v2(triton, client, signature, inputs, model, **options):
    from tritonclient.utils import np_to_triton_dtype

    tensors = []
    for name, value in inputs.items():
        array = np.atleast_1d(value)  # the protocol has no scalars
        tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, **options)
        tensors.append(tensor)
    parameters = {"signature_name": signature}
    result = client.infer(model, tensors, parameters=parameters)
    response = result.get_response()
    outputs = response["outputs"] if isinstance(response, dict) else response.outputs
    names = [out["name"] if isinstance(out, dict) else out.name for out in outputs]
    return {name: result.as_numpy(name) for name in names}


def tf_rest(address, signature, inputs, model):
    columns = {name: np.asarray(value).tolist() for name, value in inputs.items()}
    request = urllib.request.Request(
        f"http://{address}/v1/models/{model}:predict",
        json.dumps({"signature_name": signature, "inputs": columns}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        outputs = json.load(response)["outputs"]
    return {name: np.asarray(value, np.float32) for name, value in outputs.items()}


def tf_grpc(address, signature, inputs, model):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = service.Predict(predict_request(signature, inputs, model), timeout=60)
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def predict_request(signature, inputs, model):
    """TensorFlow Serving's request for a signature."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


CALLS = {"v2-rest": v2_rest, "v2-grpc": v2_grpc, "tf-rest": tf_rest, "tf-grpc": tf_grpc}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "signature", choices=["generate", "decode", "encode", "reconstruct", "score"]
    )
    parser.add_argument("--server", choices=sorted(CALLS), default="v2-rest")
    parser.add_argument("--address", help="host:port; on this machine by default")
    parser.add_argument("--model", default="vae", help="its name on the server")
    parser.add_argument("--seed", type=int, default=0, help="of generate and score")
    parser.add_argument("--number", type=int, default=16, help="of examples to generate")
    parser.add_argument("--input", type=Path, help=".npy of latents (decode) or data (the others)")
    parser.add_argument("--output", type=Path, required=True, help=".npy, or .npz of all outputs")
    given = parser.parse_args()

    inputs = {}
    if given.signature in ("generate", "score"):
        inputs["seed"] = seed_words(given.seed)
    if given.signature == "generate":
        inputs["num_samples"] = np.array(given.number, np.int32)
    elif given.input is None:
        parser.error(f"{given.signature} needs --input")
    else:
        array = np.load(given.input).astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"{given.input} holds NaN or infinite numbers")
        inputs["z" if given.signature == "decode" else "x"] = array
    address = given.address or f"localhost:{PORTS[given.server]}"
    outputs = call(given.server, address, given.signature, inputs, given.model)
    if given.output.suffix == ".npz":
        np.savez(given.output, **outputs)
    else:
        np.save(given.output, next(iter(outputs.values())))
    for name, value in outputs.items():
        print(f"{name} {list(value.shape)}")


def reason(error):
    """What a server, or the way to it, says of a call that failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error}: {error.read().decode(errors='replace')[:500]}"
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        sys.exit(f"client: {error}; see README.md for what to install")
    except Exception as error:  # each protocol has errors of its own
        sys.exit(f"client: {reason(error)}")
