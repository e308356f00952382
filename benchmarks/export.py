"""Exported decoders side by side: size, load time, memory, latency, error, cost in nats.

    python benchmarks/export.py --output benchmarks/results/export.json
    python benchmarks/export.py --run demo/run --torch-python .venv-torch/bin/python ...

Every runtime is a process of its own, on one thread where it does not say two; they take turns (A B C,
A B C, ...), and the medians over the rounds are printed. PyTorch joins where `--torch-python` names an
interpreter that has torch and NumPy; it gets the same weights, and its pictures are checked against
the others'.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KIT = Path(__file__).resolve().parent.parent / "export/litert_python/vae.py"
QUANTIZATIONS = ("float32", "float16", "dynamic_int8", "int8", "int4")
BATCHES = (1, 64)
CALLS = {1: 2000, 64: 100}
KINDS = {"ONNX Runtime": "onnx", "TensorFlow SavedModel": "saved_model", "PyTorch eager": "torch"}
TWO = ", 2 threads"


def worker(kind: str, threads: int, path: Path, z_path: Path) -> None:
    """Loads a decoder and runs it: prints load time, memory, latency by batch size, pictures' sum."""
    begun = time.perf_counter()
    opened = {batch: OPEN[kind](path, batch, threads) for batch in BATCHES[:1]}
    import numpy as np

    z = np.load(z_path)
    first = opened[1](z[:1])
    result = {"load": time.perf_counter() - begun}
    for batch in BATCHES:
        run = opened.get(batch) or OPEN[kind](path, batch, threads)
        rows = np.ascontiguousarray(z[:batch])
        for _ in range(20):
            run(rows)
        seconds = []
        for _ in range(CALLS[batch]):
            begun = time.perf_counter()
            run(rows)
            seconds.append(time.perf_counter() - begun)
        result[f"batch {batch}"] = statistics.median(seconds)
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    result["memory"] = int(peak.split()[1]) * 1024
    result["first"] = np.ravel(first).astype(float).tolist()
    print(json.dumps(result))


def open_litert(path: Path, batch: int, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path / f"decode{batch}.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (mean,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(z):
        interpreter.set_tensor(given["index"], z)
        interpreter.invoke()
        return interpreter.get_tensor(mean["index"])

    return run


def open_onnx(path: Path, batch: int, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        str(path / "onnx/decode.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda z: session.run(["mean"], {"z": z})[0]


def open_saved_model(path: Path, batch: int, threads: int):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(path / "saved_model/1"))
    decode = loaded.signatures["decode"]

    def run(z, keep=loaded):
        return decode(z=tf.constant(z))["mean"].numpy()

    return run


def open_torch(path: Path, batch: int, threads: int):
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    with np.load(path / "weights.npz") as arrays:
        weights = [torch.from_numpy(arrays[name]) for name in arrays.files]
        activation = str(path.joinpath("activation").read_text())
    layers = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data, layer.bias.data = kernel.T.contiguous(), bias
        layers += [layer, {"relu": torch.nn.ReLU(), "silu": torch.nn.SiLU()}[activation]]
    decoder = torch.nn.Sequential(*layers[:-1], torch.nn.Sigmoid()).eval()

    @torch.inference_mode()
    def run(z):
        return decoder(torch.from_numpy(z)).numpy()

    return run


OPEN = {
    "litert": open_litert,
    "onnx": open_onnx,
    "saved_model": open_saved_model,
    "torch": open_torch,
}


def export_decoder(run, folder: Path) -> dict[str, Path]:
    """Writes the decoder of a run in every form; returns the folders by row of the table."""
    import numpy as np

    from keras_vae import export

    rows = {}
    for name in QUANTIZATIONS:
        rows[f"LiteRT {name}"] = folder / name
        rows[f"LiteRT {name}"].mkdir(parents=True)
        for batch in BATCHES:
            export.tflite(
                run.model,
                folder / name / f"decode{batch}.tflite",
                None if name == "float32" else name,
                signatures=["decode"],
                batch_size=batch,
            )
    rows |= dict.fromkeys(KINDS, folder / "rest")
    rows |= {
        f"{name}{TWO}": rows[name] for name in ("LiteRT float32", "ONNX Runtime", "PyTorch eager")
    }
    export.onnx(run.model, folder / "rest/onnx", ["decode"])
    export.saved_model(run.model, folder / "rest/saved_model")
    dense = [layer for layer in run.model.decoder.layers if layer.get_weights()]
    np.savez(folder / "rest/weights.npz", *(w for layer in dense for w in layer.get_weights()))
    (folder / "rest/activation").write_text(run.recipe.activation)
    return rows


def measure(run, torch_python: str | None, rounds: int, folder: Path) -> list[dict]:
    """The rows of the table for one run's decoder."""
    import numpy as np

    from keras_vae import export
    from keras_vae.training.results import examples

    model = run.model
    rows = export_decoder(run, folder)
    z = np.asarray(model.prior.sample(64, seed=1))
    np.save(folder / "z.npy", z)
    exact = np.asarray(model.decode(z).mean())
    data = examples(run.data, "test", 1000)
    if torch_python is None:
        rows = {name: path for name, path in rows.items() if not name.startswith("PyTorch")}
    measured: dict[str, list[dict]] = {name: [] for name in rows}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, path in rows.items():
            kind, threads = KINDS.get(name.removesuffix(TWO), "litert"), 1 + name.endswith(TWO)
            python = torch_python if kind == "torch" else sys.executable
            command = [python, __file__, "--worker", kind, threads, path, folder / "z.npy"]
            command = [str(word) for word in command]
            done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr}")
            measured[name].append(json.loads(done.stdout))
    table = []
    for name, results in measured.items():
        quantization = name.removeprefix("LiteRT ") if name[7:] in QUANTIZATIONS else None
        first = np.array(results[0]["first"]).reshape(exact.shape[1:])
        row = {
            "runtime": name,
            "size": _size(rows[name], KINDS.get(name.removesuffix(TWO))),
            **{
                key: statistics.median(result[key] for result in results)
                for key in ("load", "memory", *(f"batch {batch}" for batch in BATCHES))
            },
            "largest error of a picture": float(np.abs(first - exact[0]).max()),
        }
        if quantization:
            file = export.load(rows[name] / "decode64.tflite")
            row["mean error"] = float(np.abs(file("decode", z=z)["mean"] - exact).mean())
            row["nats"] = export.quantization_cost(
                model, None if quantization == "float32" else quantization, data
            )
        table.append(row)
    return table


ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _size(path: Path, kind: str | None) -> int:
    part = {
        None: "decode1.tflite",
        "onnx": "onnx/decode.onnx",
        "saved_model": "saved_model/1/variables/variables.data-00000-of-00001",
        "torch": "weights.npz",
    }[kind]
    return (path / part).stat().st_size


def cold_start(run, folder: Path, rounds: int) -> float:
    """Seconds from the start of a process to its first pictures, median: the kit without TensorFlow."""
    from keras_vae import export

    file = export.tflite(run.model, folder / "model.tflite")
    command = [
        sys.executable,
        str(KIT),
        str(file),
        "generate",
        "--output",
        str(folder / "grid.png"),
    ]
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def markdown(table: list[dict]) -> str:
    """The table as the documents show it."""
    lines = [
        "| decoder in | size | load | memory | batch 1 | batch 64 | mean error | -ELBO |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        error = f"{255 * row['mean error']:.3f} / 255" if "mean error" in row else ""
        nats = f"{row['nats']:+.2f} nats" if "nats" in row else ""
        lines.append(
            f"| {row['runtime']} | {row['size'] / 1e6:.2f} MB | {row['load']:.2f} s "
            f"| {row['memory'] / 1e6:.0f} MB | {1e6 * row['batch 1']:.0f} us "
            f"| {1e6 * row['batch 64']:,.0f} us | {error} | {nats} |"
        )
    return "\n".join(lines)


def main():
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, action="append", default=[], help="more runs to measure"
    )
    parser.add_argument("--epochs", type=int, default=20, help="of the 784-512-20 VAE trained here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-python", help="an interpreter with torch and numpy")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    import machine

    from keras_vae import training

    results = {
        **machine.describe(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recipe = training.Recipe(epochs=given.epochs)
        runs = {"784-512-20": training.train(recipe, folder / "run")}
        runs |= {str(path): training.Run(path) for path in given.run}
        for number, (name, run) in enumerate(runs.items()):
            table = measure(run, given.torch_python, given.rounds, folder / str(number))
            start = cold_start(run, folder / str(number), given.rounds)
            results[name] = {"table": table, "cold start": start}
            print(f"\n{name}\n\n{markdown(table)}\n")
            print(f"process start to the first 16 pictures in LiteRT: {start:.2f} s")
    machine.save(results, given.output)


if __name__ == "__main__":
    main()
