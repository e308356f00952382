"""export/serving: a real MLServer on loopback, and TensorFlow Serving's protos."""

import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from consumers.conftest import KITS, need, python

KIT = KITS / "serving"


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("serving_client", KIT / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    """Addresses by protocol of an MLServer that serves the export."""
    need(packages=("mlserver", "tritonclient"))
    folder = tmp_path_factory.mktemp("mlserver") / "models"
    shutil.copytree(KIT / "mlserver", folder)
    shutil.copytree(exported / "saved_model", folder / "saved_model")
    ports = dict(zip(("http_port", "grpc_port", "metrics_port"), free_ports(3), strict=True))
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | ports))
    log = (folder.parent / "log").open("w")
    command = [sys.executable, "-m", "mlserver.cli.main", "start", str(folder)]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder.parent)
    ready = f"http://127.0.0.1:{ports['http_port']}/v2/models/vae/ready"
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(ready, timeout=5).close()
                break
            assert process.poll() is None, (folder.parent / "log").read_text()
            time.sleep(0.5)
        else:
            pytest.fail((folder.parent / "log").read_text())
        yield {name: f"127.0.0.1:{ports[port]}" for name, port in PROTOCOLS.items()}
    finally:
        process.terminate()
        process.wait(30)
        log.close()


PROTOCOLS = {"v2-rest": "http_port", "v2-grpc": "grpc_port"}


def calls(model, z, x, client):
    """Inputs of every signature, and what the live model gives."""
    score_seed = client.seed_words(3)
    q, _ = model.infer(x)
    return {
        "encode": ({"x": x}, {"location": q.mean(), "stddev": q.stddev()}),
        "decode": ({"z": z}, {"mean": model.decode(z).mean()}),
        "reconstruct": ({"x": x}, {"mean": model.reconstruct(x)}),
        "serving_default": ({"x": x}, {"mean": model.reconstruct(x)}),
        "generate": (
            {"num_samples": np.array(6, np.int32), "seed": client.seed_words(-7)},
            {"mean": model.generate(6, -7)},
        ),
        "score": ({"x": x, "seed": score_seed}, scores(model, x, score_seed)),
    }


def scores(model, x, seed):
    from keras_vae.export import endpoints

    return endpoints(model, ["score"])["score"](x=tf.constant(x), seed=tf.constant(seed))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_signature_over_the_wire(server, client, model, z, x, protocol):
    for signature, (inputs, expected) in calls(model, z, x, client).items():
        received = client.call(protocol, server[protocol], signature, inputs)
        assert set(received) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(received[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bad_requests_are_answered_with_the_reason(server, client, z, protocol):
    from tritonclient.utils import InferenceServerException

    seed, one = client.seed_words(7), np.array(1, np.int32)
    for signature, inputs, message in (
        ("dekode", {"z": z}, "no signature 'dekode'.*'decode'"),
        ("decode", {"x": z}, r"takes the inputs \['z'\].*\['x'\]"),
        ("decode", {"z": z[:, :7]}, r"decode cannot run: z takes float32 of shape \(None, 20\)"),
        ("decode", {"z": z.astype(np.int32).reshape(-1)}, "decode cannot run"),
        (
            "generate",
            {"num_samples": np.array(0, np.int32), "seed": seed},
            "num_samples.*at least 1",
        ),
        ("generate", {"num_samples": np.array(2.7, np.float32), "seed": seed}, "takes int32"),
        ("generate", {"num_samples": one, "seed": np.array([1.5, 2.5], np.float32)}, "takes int32"),
        ("generate", {"num_samples": one, "seed": np.array([1, 2, 3], np.int32)}, r"shape \(2,\)"),
        (
            "generate",
            {"num_samples": one, "seed": np.array([2**33, 0])},
            "integers that int32 cannot",
        ),
        ("generate", {"num_samples": one, "seed": np.array([True, False])}, "takes int32"),
        *(
            [("decode", {"z": np.full((1, 20), np.nan, "f")}, "NaN")]
            if protocol == "v2-grpc"
            else []
        ),
    ):
        with pytest.raises(InferenceServerException, match=message):
            client.call(protocol, server[protocol], signature, inputs)
    received = client.call(protocol, server[protocol], "decode", {"z": z})
    assert received["mean"].shape == (5, 28, 28, 1), "and the server goes on"


def test_a_malformed_request_is_a_bad_request_without_a_traceback(server):
    tensor = {"name": "z", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3]}
    body = {"inputs": [tensor], "parameters": {"signature_name": "decode"}}
    request = urllib.request.Request(
        f"http://{server['v2-rest']}/v2/models/vae/infer",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 400
    answer = caught.value.read().decode()
    assert "decode cannot run" in answer
    assert "Traceback" not in answer


def test_the_program_says_what_the_server_says(server, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((2, 7), np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, 20), np.nan, np.float32))
    out = ("--output", tmp_path / "out.npy")
    for arguments, message in (
        (("decode", "--input", tmp_path / "z.npy"), "shape (None, 20)"),
        (("decode", "--input", tmp_path / "nan.npy"), "NaN"),
        (("generate", "--number", "-3"), "at least 1"),
        (("generate", "--seed", 2**64), "64 bits"),
        (("decode", "--input", tmp_path / "none.npy"), "none.npy"),
    ):
        words = (*arguments, "--server", "v2-grpc", "--address", server["v2-grpc"], *out)
        error = python(KIT / "client.py", *words, code=1, text=True).stderr
        assert error.startswith("client: ")
        assert message in error
        assert "Traceback" not in error
    (port,) = free_ports(1)
    words = ("generate", "--server", "v2-rest", "--address", f"127.0.0.1:{port}", *out)
    assert python(KIT / "client.py", *words, code=1, text=True).stderr.startswith("client: ")


def test_the_program_calls_the_server(server, model, tmp_path, z):
    np.save(tmp_path / "z.npy", z)
    out = tmp_path / "images.npy"
    for protocol, address in server.items():
        to = ("--output", out, "--server", protocol, "--address", address)
        python(KIT / "client.py", "generate", "--seed", 7, "--number", 3, *to)
        np.testing.assert_allclose(np.load(out), model.generate(3, 7), atol=1e-5)
        python(KIT / "client.py", "decode", "--input", tmp_path / "z.npy", *to)
        np.testing.assert_allclose(np.load(out), model.decode(z).mean(), atol=1e-5)


def test_tensorflow_serving_requests_are_what_the_signatures_take(client, model, exported, z, x):
    """The request's tensors, by the protos of TensorFlow Serving, run in the SavedModel; the response likewise."""
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

    path = exported / "saved_model/1"
    signatures = tf.saved_model.load(str(path)).signatures
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    served = get_model_metadata_pb2.SignatureDefMap(signature_def=meta.signature_def)
    for signature, (inputs, expected) in calls(model, z, x, client).items():
        wire = client.predict_request(signature, inputs, "vae").SerializeToString()
        request = predict_pb2.PredictRequest.FromString(wire)
        declared = served.signature_def[request.model_spec.signature_name].inputs
        assert set(request.inputs) == set(declared)
        for name, value in request.inputs.items():
            assert value.dtype == declared[name].dtype
            shape = tf.TensorShape(declared[name].tensor_shape)
            assert shape.is_compatible_with(tf.TensorShape(value.tensor_shape))
        tensors = {name: tf.constant(tf.make_ndarray(v)) for name, v in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        for name, value in signatures[signature](**tensors).items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        back = predict_pb2.PredictResponse.FromString(response.SerializeToString())
        assert set(back.outputs) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(
                tf.make_ndarray(back.outputs[name]), value, rtol=1e-4, atol=1e-5
            )


def test_the_model_config_is_one_of_tensorflow_serving():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = text_format.Parse(
        (KIT / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (served,) = config.model_config_list.config
    assert (served.name, served.model_platform) == ("vae", "tensorflow")


def test_rest_requests_of_tensorflow_serving(client, model, z):
    """Against a stand-in that answers as TensorFlow Serving's documentation says."""
    import http.server
    import threading

    seen = {}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen["path"] = self.path
            seen["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            mean = model.decode(np.float32(seen["body"]["inputs"]["z"])).mean().numpy()
            body = json.dumps({"outputs": {"mean": mean.tolist()}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Stays quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as stand_in:
        threading.Thread(target=stand_in.handle_request, daemon=True).start()
        address = f"127.0.0.1:{stand_in.server_port}"
        received = client.call("tf-rest", address, "decode", {"z": z})
    assert seen["path"] == "/v1/models/vae:predict"
    assert seen["body"]["signature_name"] == "decode"
    np.testing.assert_allclose(received["mean"], model.decode(z).mean(), atol=1e-5)
