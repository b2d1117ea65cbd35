"""A worker on this machine, in this interpreter or in the one that the target names."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from whichpu.targets import bundle
from whichpu.targets.link import Link, WorkerTrouble

QUIET = {
    # Telemetry and installs off before the process starts; see docs/safety.md.
    "ORT_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_INDEX": "1",
    # NumPy's own BLAS threads busy-wait into the first timings.
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def start(
    python: str | None = None,
    *,
    threads: int = 1,
    cpus: Sequence[int] = (),
    timeout_s: float = 120.0,
    where: str = "the worker",
) -> Link:
    """Start a worker and wait for its greeting. Raises :class:`WorkerTrouble`."""
    pin = ["--cpus", ",".join(map(str, cpus))] if cpus else []
    stderr = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the link
    try:
        process = subprocess.Popen(
            [python or sys.executable, str(bundle.archive()), *pin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **QUIET, "OMP_NUM_THREADS": str(threads), "WHICHPU_WORKER": where},
            start_new_session=True,  # Ctrl-C reaches the host alone, which then ends its workers
        )
    except OSError as problem:
        stderr.close()
        raise WorkerTrouble("refused", f"{python or sys.executable} does not start: {problem}") from problem
    return Link(process, stderr, where, timeout_s)


class Here:
    """This machine (:class:`whichpu.targets.place.Place`)."""

    name: str | None = None
    start = staticmethod(start)

    def folder(self, *parts: str) -> str:
        """Below the cache folder. Raises :class:`UserError` where there is none to be had."""
        return str(bundle.writable_cache().joinpath(*parts))

    def own(self) -> list[int]:
        """The host itself."""
        return [os.getpid()]


HERE = Here()


def others(measured: Sequence[int]) -> list[int]:
    """CPUs that are not measured; none when the measured ones are not pinned, or are all there are."""
    if not measured or not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0) - set(measured))
