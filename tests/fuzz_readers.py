"""Feeds mutated files to every reader of the package: `python tests/fuzz_readers.py FOLDER [libFuzzer's options]`.

FOLDER holds a whole file of each kind, `KIND/seed`. The first byte of an input says which reader it
is for. A reader may refuse a file with ValueError or OSError; anything else is a finding, and the
input is written to the working directory.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.simplefilter("ignore")

import atheris  # noqa: E402

with atheris.instrument_imports(include=["keras_vae"]):
    from readers import READERS


def main():
    seeds = {kind: (Path(sys.argv[1]) / kind / "seed").read_bytes() for kind in READERS}
    kinds = list(READERS)
    with tempfile.TemporaryDirectory() as folder:
        corpus, place = Path(folder) / "corpus", Path(folder) / "place"
        corpus.mkdir()
        for number, kind in enumerate(kinds):
            (corpus / kind).write_bytes(bytes([number]) + seeds[kind])

        def run(content):
            kind = kinds[content[0] % len(kinds)] if content else kinds[0]
            try:
                READERS[kind](place, content[1:])
            except (ValueError, OSError):
                return  # refused

        atheris.Setup([sys.argv[0], *sys.argv[2:], str(corpus)], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
