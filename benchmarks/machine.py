"""What a benchmark ran on, and where its results go."""

import json
import os
import platform
from pathlib import Path


def describe() -> dict[str, str | int | None]:
    """The processor and the number of cores, for a results file."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"machine": (names or [platform.processor()])[0], "cores": os.cpu_count()}


def save(results: dict, path: Path | None) -> None:
    """Writes results as JSON, if a path is given."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(json.dumps(results, indent=2) + "\n")
        new.replace(path)
