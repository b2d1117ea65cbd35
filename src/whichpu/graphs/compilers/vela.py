"""Vela, Arm's compiler for Ethos-U: what it left of a TFLite file, why, and its own estimate.

What stays a TFLite operator in the file that Vela writes runs on the CPU; all else is in its ``ethos-u`` operators.
Vela's "NPU operators = n" is not read: it counts operators that Vela made against source operators.
Source: ethos-u-vela 5.2.0.
"""

from __future__ import annotations

import csv
import glob
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import Graph, Operator
from whichpu.graphs.readers import tflite

PACKAGE = "ethosu.vela"
TIMEOUT_S = 600.0
NPU = "ethos-u"
REASON = re.compile(
    r"^Warning \(supported operators\) operator: \w+, ofm: '(?P<name>.*?)'\n"
    r"Reason: (?P<reason>.*?)(?=\n\n|\nWarning|\Z)",
    re.MULTILINE | re.DOTALL,
)
ERROR = re.compile(r"^(?:\w+Error): (?P<words>.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
FIGURES = {
    "inference_time": ("npu_seconds_estimated", 1.0),
    "cycles_total": ("npu_cycles_estimated", 1.0),
    "sram_total_bytes": ("sram_bytes_moved_estimated", 1.0),
    "dram_total_bytes": ("dram_bytes_moved_estimated", 1.0),
    "on_chip_flash_total_bytes": ("on_chip_flash_bytes_moved_estimated", 1.0),
    "off_chip_flash_total_bytes": ("off_chip_flash_bytes_moved_estimated", 1.0),
    "sram_memory_used": ("sram_bytes_used", 1024.0),
    "dram_memory_used": ("dram_bytes_used", 1024.0),
    "off_chip_flash_memory_used": ("off_chip_flash_bytes_used", 1024.0),
    "nn_macs": ("macs", 1.0),
    "core_clock": ("clock_hertz_assumed", 1.0),
}
"""Columns of Vela's summary, under names with units, and what they are multiplied with. Memory used is in KiB there."""


def why_not(target: Target) -> str | None:
    """Why Vela can't be asked; None when it can."""
    if _command(target) is not None:
        return None
    where = f"{target.python} holds no ethos-u-vela" if target.python else "Vela is not installed here"
    return f"{where}: pip install ethos-u-vela, here or in an environment of its own, then {target.text}:python=PATH"


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Compile a copy of the model. Raises :class:`UserError` for a model that is no TFLite file."""
    if path.suffix.lower() != ".tflite":
        raise UserError(f"Vela is asked with TFLite models only, not with {path.name}", "convert it to INT8 TFLite")
    command = _command(target) or []
    with tempfile.TemporaryDirectory(prefix="whichpu-vela-") as temporary:
        folder = Path(temporary)
        shutil.copyfile(path, folder / "model.tflite")
        version = process.run([*command, "--version"], folder, TIMEOUT_S).log.strip() or "of unknown version"
        ended = process.run([*command, *words(target), "model.tflite"], folder, TIMEOUT_S)
        return answer(folder / "made" / "model_vela.tflite", ended, graph, f"vela {version}")


def words(target: Target) -> list[str]:
    """Options of Vela's command line for a target."""
    configuration = f"{target.capability.name}-{target.options['macs']}"
    return ["--accelerator-config", configuration, "--output-dir", "made", "--verbose-performance"]


def _command(target: Target) -> list[str] | None:
    """How to start Vela: the interpreter that the user names, this one, or PATH."""
    python = target.python or sys.executable
    if process.interpreter_holds(python, PACKAGE):
        return [python, "-m", PACKAGE]
    found = None if target.python else shutil.which("vela")
    return [found] if found else None


def answer(written: Path, ended: process.Ended, graph: Graph, tool: str) -> Answer:
    """What Vela made, or its words where it made nothing. A crash after the file was written leaves its answer."""
    if not written.is_file():
        return Answer(tool, {}, refused=refusal(ended), log=ended.log)
    made = tflite.parsed(written).operators
    left = {_key(operator) for operator in made if operator.type != NPU}
    found = verdicts(graph, left, reasons(ended.log), tool)
    figures: dict[str, Any] = summary(written)
    hosts = sum(verdict.status == "host" for verdict in found.values())
    if hosts:
        figures["not_in_the_estimate"] = f"{hosts} operators on the CPU: Vela counts 0 cycles for them"
    if ended.how:
        figures["after_writing_the_model"] = ended.how
    return Answer(tool, found, sum(operator.type == NPU for operator in made), figures=figures, log=ended.log)


def verdicts(graph: Graph, left: set[tuple[str, str]], why: Mapping[str, str], tool: str) -> dict[int, Verdict]:
    """A verdict for each source operator: the CPU's where Vela left it or said why not."""
    found = {}
    for operator in graph.operators:
        name = operator.outputs[0].name if operator.outputs else operator.name
        if name in why or _key(operator) in left:
            reason = why.get(name, "Vela leaves it as it is, and says not why")
            found[operator.index] = Verdict("host", reason, source=tool, said_by=tool)
        else:
            found[operator.index] = Verdict("npu", source=tool, said_by=tool)
    return found


def _key(operator: Operator) -> tuple[str, str]:
    return operator.type, operator.outputs[0].name if operator.outputs else operator.name


def reasons(log: str) -> dict[str, str]:
    """Why operators stay on the CPU, by the name of their output: Vela's own words, its list of rules left out."""
    return {match["name"]: match["reason"].split("\n")[0].strip() for match in REASON.finditer(log)}


def refusal(ended: process.Ended) -> str:
    """Vela's last error in its own words, else how it ended."""
    found = [match["words"] for match in ERROR.finditer(ended.log)]
    lines = [line.strip(" -\t") for line in found[-1].split("\n")] if found else []
    said = "; ".join(line for line in lines if line and "Failed to" not in line)
    return said or f"Vela made nothing: {ended.how or 'it gave no reason'}"


def summary(written: Path) -> dict[str, Any]:
    """Vela's own estimate, from the summary beside the file that it wrote; empty where it wrote none."""
    file = next(written.parent.glob(f"{glob.escape(written.stem.removesuffix('_vela'))}_summary_*.csv"), None)
    rows = list(csv.DictReader(file.read_text().splitlines())) if file else []
    if not rows:
        return {}
    row = rows[-1]
    found: dict[str, Any] = {"estimate_by": f"Vela, for {row['system_config']}, {row['memory_mode']}; not measured"}
    for column, (name, factor) in FIGURES.items():
        if row.get(column):
            found[name] = float(row[column]) * factor
    return found
