"""The worker's own tests, from the zipapp, under this Python and under 3.8 with NumPy alone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from whichpu.targets import bundle

HERE = Path(__file__).parent
PYTHON38 = HERE.parent.parent / ".venv-py38" / "bin" / "python"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("worker") / "worker.pyz"
    bundle.write(path)
    return path


@pytest.mark.parametrize("script", ["test_worker.py", "test_native.py", "test_meters.py", "test_own_memory.py"])
@pytest.mark.parametrize("python", [sys.executable, str(PYTHON38)], ids=["this-python", "python3.8"])
def test_worker_passes_its_own_tests_from_the_zipapp(archive, python, script, tmp_path):
    if not Path(python).exists():
        pytest.skip("no Python 3.8 on this machine (make test looks for pyenv's 3.8.18 and for python3.8)")
    shutil.copy(HERE / script, tmp_path)  # alone: nothing of the project is beside it
    ran = subprocess.run(
        [python, script],
        cwd=tmp_path,
        env={**os.environ, "WHICHPU_WORKER": str(archive), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "OK" in ran.stderr


def test_python38_has_numpy_only():
    if not PYTHON38.exists():
        pytest.skip("no Python 3.8 on this machine")
    listed = subprocess.run([str(PYTHON38), "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True)
    names = {line.split("==")[0] for line in listed.stdout.split()}
    assert names <= {"numpy", "pip", "setuptools"}


def test_bundle_is_the_same_bytes_each_time(archive, tmp_path):
    again = tmp_path / "again.pyz"
    bundle.write(again)
    assert again.read_bytes() == archive.read_bytes()


def test_bundle_holds_the_worker_and_nothing_else(archive):
    names = zipfile.ZipFile(archive).namelist()
    assert all(name == "__main__.py" or name.startswith("whichpu_worker/") for name in names)
    assert "whichpu_worker/backends/null.py" in names
    assert "whichpu_worker/loop.c" in names


def test_archive_is_named_after_its_sources_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("WHICHPU_CACHE", str(tmp_path))
    bundle.archive.cache_clear()
    try:
        first = bundle.archive()
        assert first.parent == tmp_path
        assert first.name.startswith("worker-")
        written = first.stat().st_mtime_ns
        bundle.archive.cache_clear()
        assert bundle.archive().stat().st_mtime_ns == written
    finally:
        bundle.archive.cache_clear()
