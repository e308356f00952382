"""A decoder served by MLServer on this machine: requests per second, and how long one takes.

    python benchmarks/serving.py --run demo/run --output benchmarks/results/serving.json

Clients, server and network share the machine's cores. A request is `decode` over gRPC.
"""

import argparse
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import machine
import numpy as np

KIT = Path(__file__).resolve().parent.parent / "export/serving"


@contextlib.contextmanager
def serving(saved_model: Path, folder: Path):
    """An MLServer with a SavedModel; yields its gRPC address."""
    models = folder / "models"
    shutil.copytree(KIT / "mlserver", models)
    shutil.copytree(saved_model, models / "saved_model")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        http, grpc, metrics = (each.getsockname()[1] for each in sockets)
    settings = json.loads((models / "settings.json").read_text())
    settings |= {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (models / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "mlserver.cli.main", "start", str(models)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(240):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/models/vae/ready").close()
                    break
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.5)
            yield f"127.0.0.1:{grpc}"
        finally:
            process.terminate()
            process.wait(30)


def load(address: str, clients: int, z: np.ndarray, seconds: float) -> dict[str, float]:
    """Requests of all clients for some seconds, one after another each."""
    import tritonclient.grpc as triton

    latencies: list[list[float]] = [[] for _ in range(clients)]
    begun = time.perf_counter()

    def client(number: int) -> None:
        with triton.InferenceServerClient(address) as connection:
            tensor = triton.InferInput("z", z.shape, "FP32")
            tensor.set_data_from_numpy(z)
            while time.perf_counter() - begun < seconds:
                sent = time.perf_counter()
                connection.infer("vae", [tensor], parameters={"signature_name": "decode"})
                latencies[number].append(time.perf_counter() - sent)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - begun
    every = np.concatenate(latencies)
    return {
        "requests per second": len(every) / taken,
        "p50": float(np.quantile(every, 0.5)),
        "p99": float(np.quantile(every, 0.99)),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="a run folder")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    from keras_vae import export, training

    model = training.Run(given.run).model
    results = {**machine.describe(), "rows": []}
    print("| clients | batch | requests/s | pictures/s | p50 | p99 |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        export.saved_model(model, folder / "saved_model")
        with serving(folder / "saved_model", folder) as address:
            for batch in (1, 64):
                z = np.asarray(model.prior.sample(batch, seed=1))
                load(address, 1, z, 2)  # warm
                for clients in (1, 4):
                    row = load(address, clients, z, given.seconds)
                    rate = row["requests per second"]
                    print(
                        f"| {clients} | {batch} | {rate:,.0f} | {batch * rate:,.0f} "
                        f"| {1e3 * row['p50']:.1f} ms | {1e3 * row['p99']:.1f} ms |",
                        flush=True,
                    )
                    results["rows"].append({"clients": clients, "batch": batch, **row})
    machine.save(results, given.output)


if __name__ == "__main__":
    main()
