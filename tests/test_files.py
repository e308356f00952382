"""Files and folders appear whole or not at all, and nothing of anybody else's is lost."""

import os
import stat

import pytest

from keras_vae import _files


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    _files.write(path, "old")

    def fail():
        with _files.replacing(path) as new:
            new.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    _files.write(path, "new")
    assert path.read_text() == "new"


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    folder = tmp_path / "picture.png"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        _files.write(folder, b"")
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_file_does_not_take_the_place_of_a_device(tmp_path):
    """Such as /dev/null: with a pipe, as that takes no rights."""
    os.mkfifo(tmp_path / "pipe")
    for write in (lambda path: _files.write(path, b""), _files.claim_file):
        with pytest.raises(OSError, match="pipe is a device, pipe or socket"):
            write(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_whose_replacement_is_missing_comes_back(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model").write_text("weights")
    with pytest.raises(FileNotFoundError), _files.replacing(folder):
        pass  # nothing was written
    assert (folder / "model").read_text() == "weights"
    with _files.replacing(folder) as new:
        new.mkdir()
        (new / "model").write_text("better")
    assert (folder / "model").read_text() == "better"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with _files.replacing(tmp_path / "link") as new:
        new.mkdir()
        (new / "model").write_text("weights")
    assert (tmp_path / "real" / "model").read_text() == "weights"
    assert (tmp_path / "link").is_symlink()


def test_entries_are_published_together_and_what_is_earlier_goes(tmp_path):
    for name in ("a", "b", "mine"):
        (tmp_path / name).write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    earlier = ("a", "b", "folder", "never")

    def fail():
        with _files.publishing(tmp_path, earlier) as new:
            (new / "a").write_text("new")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", "folder", "mine"}
    assert (tmp_path / "a").read_text() == "old"
    with _files.publishing(tmp_path, earlier) as new:
        (new / "a").write_text("new")
        (new / "config.json").write_text("{}")
        (new / "folder").mkdir()
    assert {p.name for p in tmp_path.iterdir()} == {"a", "folder", "mine", "config.json"}
    assert (tmp_path / "a").read_text() == "new"
    assert not list((tmp_path / "folder").iterdir())


def test_what_killed_writers_leave_is_no_content(tmp_path):
    (tmp_path / ".keras_vae-abc" / "new").mkdir(parents=True)
    (tmp_path / "lost+found").mkdir()
    _files.claim_folder(tmp_path, "run", overwrite=False)
    assert [p.name for p in tmp_path.iterdir()] == ["lost+found"]


def test_claims(tmp_path):
    folder = _files.claim_folder(tmp_path / "run", "run", overwrite=False)
    (folder / "config.json").write_text('{"keras_vae": {"kind": "run", "format": 1}}')
    assert _files.claim_folder(folder, "run", overwrite=True) == folder
    with pytest.raises(FileExistsError, match="earlier result"):
        _files.claim_folder(folder, "run", overwrite=False)
    with pytest.raises(FileExistsError, match=r"run\. Expected: export"):
        _files.claim_folder(folder, "export", overwrite=True)
