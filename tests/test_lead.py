"""The tools we start are kept on a lead: nothing phones home, nothing is written below the user's home."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"


def test_no_runtime_and_no_converter_writes_below_the_home(tmp_path):
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    quiet = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK")}
    given = [path.read_bytes() for path in sorted(EXAMPLE.iterdir()) if path.is_file()]
    words = ("run", EXAMPLE / "gru.onnx", "--on", "all", "--rounds", "1", "--budget", "1s", "-o", tmp_path / "r.json")
    ran = subprocess.run(
        [sys.executable, "-m", "whichpu", *map(str, words)],
        env={**quiet, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "WHICHPU_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()] == []
    assert [path.read_bytes() for path in sorted(EXAMPLE.iterdir()) if path.is_file()] == given
