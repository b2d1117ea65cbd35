"""Vela on many small files in one interpreter, which holds ethos-u-vela; started by ``vela_truth.py``.

    PYTHON vela_child.py OUT < lines of "CONFIGURATION FILE"

Each compilation is a fork, so that a crash costs one file: OUT/CONFIGURATION/NAME.log, its last line ``STATUS n``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path

LIMIT_S = 30.0


def compiled(configuration: str, path: str, out: Path) -> None:
    """Compile one file in a child of its own."""
    from ethosu.vela import vela

    folder = out / configuration
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{Path(path).stem}.log"
    child = os.fork()
    if child == 0:
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(words, 1)
        os.dup2(words, 2)
        status = 1
        try:
            vela.main(["--accelerator-config", configuration, "--output-dir", str(folder), path])
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)
    with log.open("a") as words_too:
        words_too.write(f"\nSTATUS {waited(child)}\n")


def waited(child: int) -> int:
    """The child's exit status, negative for a signal; ended when it is late."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        named, _, file = line.strip().partition(" ")
        compiled(named, file, Path(sys.argv[1]))
