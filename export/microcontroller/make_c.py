"""Makes the decoder of a run into C source for a microcontroller: int8 throughout, for tflite-micro.

    python make_c.py ../../runs/a --output firmware

writes vae_decoder.h and vae_decoder.c. The memory that tflite-micro needs for the tensors (its
arena) is measured by running it here, so that the header can state it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ALIGNMENT = 16  # that of tflite-micro's arena, in bytes
LARGEST_ARENA = 1 << 24


def c_source(name: str, content: bytes) -> str:
    """The file as a C array, 12 bytes a line."""
    lines = [
        ", ".join(f"0x{b:02x}" for b in content[i : i + 12]) for i in range(0, len(content), 12)
    ]
    body = ",\n    ".join(lines)
    return (
        f'#include "{name}.h"\n\n#include <stdalign.h>\n\n'
        f"alignas({ALIGNMENT}) const unsigned char {name}[{name.upper()}_BYTES] = {{\n    {body}}};\n"
    )


def c_header(name: str, content: bytes, details: dict, arena_bytes: int, meanings: dict) -> str:
    """What a program has to know of the array; `meanings` says what `z` and `mean` are."""
    numbers = {
        "BYTES": len(content),
        "ARENA_BYTES": arena_bytes,
        "LATENT_DIM": details["z"]["shape"][-1],
        "OUTPUT_SIZE": int(np.prod(details["mean"]["shape"])),
        "INPUT_ZERO_POINT": details["z"]["quantization"][1],
        "OUTPUT_ZERO_POINT": details["mean"]["quantization"][1],
    }
    scales = {
        "INPUT_SCALE": details["z"]["quantization"][0],
        "OUTPUT_SCALE": details["mean"]["quantization"][0],
    }
    defines = [f"#define {name.upper()}_{key} {value}" for key, value in numbers.items()]
    defines += [f"#define {name.upper()}_{key} {value:.9g}f" for key, value in scales.items()]
    return (
        f"/* A VAE's decoder for tflite-micro, made by keras_vae.\n\n"
        f"   In:  LATENT_DIM int8 values, round(z / INPUT_SCALE) + INPUT_ZERO_POINT, and -128 or 127 where\n"
        f"        that is further out; z: {meanings['z']}.\n"
        f"   Out: OUTPUT_SIZE int8 values; (value - OUTPUT_ZERO_POINT) * OUTPUT_SCALE is\n"
        f"        {meanings['mean']}.\n"
        f"   ARENA_BYTES is the least tensor arena that this decoder ran in on a PC. */\n"
        f"#ifndef {name.upper()}_H_\n#define {name.upper()}_H_\n\n"
        + "\n".join(defines)
        + f'\n\n#ifdef __cplusplus\nextern "C" {{\n#endif\n'
        f"extern const unsigned char {name}[{name.upper()}_BYTES];\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )


class DoesNotRun(RuntimeError):
    """tflite-micro refuses a file, for one reason or another."""


def run_on_micro(file: Path, q: np.ndarray, arena_bytes: int) -> np.ndarray:
    """int8 pictures [n, pixels] of int8 latents [n, latent_dim] by tflite-micro.

    In a process of its own: an arena that is too small ends the process.
    """
    program = """
import sys, numpy as np
from tflite_micro.python.tflite_micro import runtime
file, arena = sys.argv[1], int(sys.argv[2])
q = np.frombuffer(sys.stdin.buffer.read(), np.int8).reshape(-1, int(sys.argv[3]))
interpreter = runtime.Interpreter.from_file(file, arena_size=arena)
for row in q:
    interpreter.set_input(row[np.newaxis], 0)
    interpreter.invoke()
    sys.stdout.buffer.write(interpreter.get_output(0).tobytes())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(file), str(arena_bytes), str(q.shape[1])],
        input=q.astype(np.int8).tobytes(),
        capture_output=True,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise DoesNotRun(reason[0] if reason else f"exit code {done.returncode}")
    return np.frombuffer(done.stdout, np.int8).reshape(len(q), -1)


def least_arena(file: Path, latent_dim: int) -> int:
    """Bytes of the least arena that one picture runs in, a multiple of the alignment."""
    q = np.zeros([1, latent_dim], np.int8)
    low, high = 0, LARGEST_ARENA // ALIGNMENT
    run_on_micro(file, q, LARGEST_ARENA)  # a file that does not run here does not run at all
    while high - low > 1:
        middle = (low + high) // 2
        try:
            run_on_micro(file, q, middle * ALIGNMENT)
            high = middle
        except DoesNotRun:
            low = middle
    return high * ALIGNMENT


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder that `keras-vae train` made")
    parser.add_argument("--output", type=Path, required=True, help="folder for the C files")
    parser.add_argument("--name", default="vae_decoder", help="of the files and of the array")
    parser.add_argument(
        "--per-channel",
        action="store_true",
        help="a scale per channel: more exact, and a larger arena",
    )
    given = parser.parse_args()
    if not re.fullmatch(r"[A-Za-z_]\w*", given.name):
        parser.error(f"--name has to be a C identifier. Received: {given.name}")

    from keras_vae import export
    from keras_vae.training import Run

    with tempfile.TemporaryDirectory() as folder:
        try:
            file = export.tflite(
                Run(given.run).model,
                Path(folder) / f"{given.name}.tflite",
                "int8",
                signatures=["decode"],
                integer_io=True,
                per_tensor=not given.per_channel,
            )
            content, details = file.read_bytes(), ends(file)
            arena_bytes = least_arena(file, details["z"]["shape"][-1])
        except (OSError, ValueError) as error:
            raise SystemExit(f"make_c: {error}") from None
        except DoesNotRun as error:
            raise SystemExit(f"tflite-micro cannot run this decoder: {error}") from None
        ends_of = export.metadata(file)["signatures"]["decode"]
        meanings = {
            "z": ends_of["inputs"]["z"]["meaning"],
            "mean": ends_of["outputs"]["mean"]["meaning"],
        }
    header = c_header(given.name, content, details, arena_bytes, meanings)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / f"{given.name}.tflite").write_bytes(content)
    (given.output / f"{given.name}.h").write_text(header)
    (given.output / f"{given.name}.c").write_text(c_source(given.name, content))
    print(f"{len(content):,} bytes of weights and graph, {arena_bytes:,} bytes of arena")


def ends(file: Path) -> dict:
    """Shape and quantisation of the decoder's input `z` and output `mean`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("decode")
    return {**runner.get_input_details(), **runner.get_output_details()}


if __name__ == "__main__":
    main()
