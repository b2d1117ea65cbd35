"""A dated Markdown page: tables, and the machine they were made on, without host names or paths."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scipy.stats import binomtest

from whichpu import __version__
from whichpu.worker import machine

PACKAGES = ("onnxruntime", "openvino", "numpy", "scipy")


class Facts:
    """The machine's state at the beginning of a run; :meth:`lines` adds the end's."""

    def __init__(self) -> None:
        self.found = machine.look()
        self.began = datetime.datetime.now(datetime.UTC)
        self.load = os.getloadavg()

    def lines(self) -> list[str]:
        """Markdown list: CPU, system, versions, load average before and after, duration."""
        found, load = self.found, os.getloadavg()
        now = datetime.datetime.now(datetime.UTC)
        virtual = {True: ", virtual machine", False: "", None: ""}[found.virtualised]
        versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
        return [
            f"- Date: {self.began:%Y-%m-%d %H:%M} UTC, {(now - self.began).total_seconds():.0f} s",
            f"- CPU: {found.cpu_model or 'unknown'}, {found.cpus_usable} usable of {found.cpus_online} cores{virtual};"
            f" governor {found.governor or 'not readable'}",
            f"- System: {found.system}, {found.architecture}",
            f"- Versions: WhichPU {__version__}, Python {found.python}, {versions}",
            f"- Clock: resolution {found.clock_resolution_ns} ns, one read {found.clock_cost_ns} ns",
            f"- Load average over 1, 5, 15 min: {_load(self.load)} at the beginning, {_load(load)} at the end"
            " (the run itself adds about 1)",
        ]


def parser(description: str) -> argparse.ArgumentParser:
    """A command line that takes ``--output``."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, help="write the page here too")
    return made


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C ends the tries, not the page."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; what ended until here counts", flush=True)


def rate(hits: int, count: int, digits: int = 1) -> str:
    """A share with its exact (Clopper-Pearson) 95 % interval."""
    if not count:
        return "-"
    bounds = binomtest(hits, count).proportion_ci()
    share, low, high = (f"{100 * value:.{digits}f}" for value in (hits / count, bounds.low, bounds.high))
    return f"{share} % ({low}..{high})"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def show(lines: Sequence[str], output: Path | None) -> None:
    """Print a page, and write it to ``output``."""
    text = "\n".join(lines) + "\n"
    print("\n" + text, end="", flush=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _load(load: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in load)
