"""Files and folders that are written whole or not at all."""

import contextlib
import errno
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_SCRATCH = ".keras_vae-"  # what the names of folders for unfinished files begin with
_NOT_CONTENT = ("lost+found",)  # of the file system
_FORMAT = 1  # of the folders that are written
_MADE_BY = {"run": "train", "export": "export", "search": "search"}
_IN_WORDS = {"run": "a run folder", "export": "an export", "search": "a search"}
MARKER = "keras_vae"  # the key in a folder's config.json that says the folder is ours


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path beside `path` to write a file or a folder to; it takes the place of `path` on
    success only.
    """
    path = Path(path).resolve()
    with _scratch(path.parent, path) as scratch:
        new = scratch / "new" / path.name
        with _named(path):
            yield new
        _move(new, path, scratch)


@contextlib.contextmanager
def publishing(folder: Path, earlier: Iterable[str] = ()) -> Iterator[Path]:
    """Yields a folder to write entries to; on success only, they take their places in `folder`.

    They go there one by one, whole each, with config.json last; so `folder` itself may be the working
    directory, or a mount point.

    Args:
        folder: an existing folder.
        earlier: names of entries that an earlier result may have left there: those that are not
            replaced are removed.
    """
    with _scratch(folder, folder) as scratch:
        new = scratch / "new"
        with _named(folder):
            yield new
        written = sorted(path.name for path in new.iterdir())
        for name in set(earlier) - set(written):
            if (folder / name).exists():
                (folder / name).rename(scratch / "replaced" / name)
        for name in sorted(written, key="config.json".__eq__):
            _move(new / name, folder / name, scratch)


@contextlib.contextmanager
def _scratch(parent: Path, path: Path) -> Iterator[Path]:
    """A folder for what is not whole yet, on the file system of what it will be."""
    with _named(path):
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
    try:
        (scratch / "new").mkdir()
        (scratch / "replaced").mkdir()
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move(new: Path, path: Path, scratch: Path) -> None:
    """Gives a file or a folder its place; that of a folder there before is given back on failure."""
    replaced = scratch / "replaced" / path.name
    if new.is_file():
        _check_file(path)
        _sync(new)
    elif path.exists() and new.is_dir():
        path.rename(replaced)
    try:
        new.replace(path)
    except BaseException:
        if replaced.exists():
            replaced.rename(path)
        raise
    _sync(path.parent)


def sweep(folder: Path) -> None:
    """Removes what writers that were killed have left in a folder of ours."""
    for path in folder.rglob(f"{_SCRATCH}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says of a full disk, or a folder that may not be written to, what could not be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise OSError(
            error.errno,
            f"{os.strerror(error.errno)}: {path} could not be written. What was there before is kept",
        ) from error


def write(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Writes a file atomically: readers see the old content or the new, never a part."""
    with replacing(path) as new:
        new.write_bytes(content.encode() if isinstance(content, str) else content)


def claim_file(path: str | os.PathLike[str]) -> None:
    """Raises `OSError` where no file can be written to `path`: for asking before the work, not after it."""
    path = Path(path).resolve()
    _check_file(path)
    with _scratch(path.parent, path):
        pass


def _check_file(path: Path) -> None:
    """Raises `OSError` where something is in the place of a file that is not to be replaced by one."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Expected the name of a file to write.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a device, pipe or socket. Expected the name of a file to write.")


def check_fits(path: str | os.PathLike[str], num_bytes: int) -> None:
    """Raises `ValueError` where a file claims to hold more than this machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > memory:
        raise ValueError(
            f"{path} says that it holds {num_bytes:,} bytes, more than this machine's memory of {memory:,}."
        )


def marker(kind: str) -> dict[str, Any]:
    """What config.json says of a folder of ours: what it is, and what it was made with."""
    names = (
        "keras-vae",
        "tensorflow",
        "keras",
        "tensorflow-probability",
        "ai-edge-litert",
        "numpy",
    )
    versions = {name: importlib.metadata.version(name) for name in names}
    return {
        MARKER: {"kind": kind, "format": _FORMAT},
        "versions": versions | {"python": platform.python_version()},
    }


def claim_folder(path: str | os.PathLike[str], kind: str, *, overwrite: bool) -> Path:
    """Returns `path` as a folder that a result of that kind may be written to.

    Raises:
        FileExistsError: where it holds something that is not ours, or a result of another kind, or
            one of this kind and `overwrite` is not set.
        NotADirectoryError, PermissionError: where it is a file, or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file. Expected a folder, or a name not in use yet.")
    if path.is_dir() and any(map(_is_content, path.iterdir())):
        config = read_marker(path)
        if config is None:
            raise FileExistsError(
                f"{path} exists and holds files that keras-vae did not write; nothing was changed. "
                "Choose another folder."
            )
        if config[MARKER]["kind"] != kind:
            raise FileExistsError(
                f"{path} holds another result of keras-vae: {config[MARKER]['kind']}. Expected: "
                f"{kind}, or an empty folder. Nothing was changed. Choose another folder."
            )
        if not overwrite:
            raise FileExistsError(
                f"{path} holds an earlier result; nothing was changed. Choose another folder, continue a run "
                "or a search with --resume, or allow its replacement with --overwrite."
            )
    try:
        path.mkdir(parents=True, exist_ok=True)
        sweep(path)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise PermissionError(f"{path} cannot be written to: {error.strerror or error}.") from error


def read_config(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """The config.json of a folder of ours that holds a result of that kind.

    Raises:
        ValueError: for any other folder.
    """
    config = read_marker(path)
    made = f"Expected a folder that `keras-vae {_MADE_BY[kind]}` made."
    if config is None:
        raise ValueError(
            f"{path} is not {_IN_WORDS[kind]} of keras-vae, or its config.json is damaged. {made}"
        )
    if config[MARKER]["kind"] != kind:
        raise ValueError(
            f"{path} is not {_IN_WORDS[kind]} of keras-vae: it holds another result, "
            f"{config[MARKER]['kind']}. {made}"
        )
    if config[MARKER].get("format") != _FORMAT:
        raise ValueError(
            f"{path} was written in format {config[MARKER].get('format')!r}, and this version of keras-vae reads "
            f"format {_FORMAT}. Use the version that config.json names."
        )
    return config


def _is_content(path: Path) -> bool:
    return path.name not in _NOT_CONTENT and not path.name.startswith(_SCRATCH)


def read_marker(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The config.json of a folder of ours.

    None where the folder is somebody else's, or the file is damaged.
    """
    try:
        config = json.loads((Path(path) / "config.json").read_text())
        return config if isinstance(config[MARKER]["kind"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
