"""`whichpu check` in a scratch repository's workflow script: a model slowed by 5 % must fail it, the same model never.

    python benchmarks/check_ci.py [--same 20] [--slow 5] [--model gru] [--budget 15s] [--output FILE]

The slow model is the same network with real extra work: one more branch whose width is calibrated by measuring.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networks
import numpy as np
import onnx
import page
from onnx import helper, numpy_helper
from scipy.stats import binomtest

import whichpu
from whichpu.results.limits import Config
from whichpu.results.regression import Verdict, side_by_side

WORKFLOW = """\
name: speed
on: pull_request
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: ./check.sh
"""
SCRIPT = """\
#!/bin/sh
exec whichpu check new.onnx --against old.onnx --on onnxruntime:cpu --budget {budget} --junit junit.xml
"""
TRIES = 5
"""Measurements that a calibration takes at most."""


# ---------------------------------------------------------------- models


def slowed(path: Path, source: Path, width: int) -> Path:
    """``source`` with a branch of two matrix products of ``width`` more, whose sum is too small to change outputs."""
    model = onnx.load(source)
    graph = model.graph
    values = int(np.prod([size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]))
    random = np.random.default_rng(1)
    last = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before_extra" if name == last else name for name in node.output]
        node.input[:] = ["before_extra" if name == last else name for name in node.input]
    arrays: dict[str, Any] = {
        "extra_shape": np.array([1, values]),
        "extra_first": random.normal(0, values**-0.5, (values, width)).astype(np.float32),
        "extra_second": random.normal(0, 1e-12, (width, 1)).astype(np.float32),
        "extra_scalar": np.array([1]),
    }
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    graph.node.extend(
        [
            helper.make_node("Reshape", [graph.input[0].name, "extra_shape"], ["extra_flat"]),
            helper.make_node("MatMul", ["extra_flat", "extra_first"], ["extra_wide"]),
            helper.make_node("Relu", ["extra_wide"], ["extra_positive"]),
            helper.make_node("MatMul", ["extra_positive", "extra_second"], ["extra_sum"]),
            helper.make_node("Reshape", ["extra_sum", "extra_scalar"], ["extra"]),
            helper.make_node("Add", ["before_extra", "extra"], [last]),
        ]
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def calibrated(path: Path, source: Path, share: float, budget_s: float) -> Verdict:
    """Write the model that is slower by about ``share``; the verdict holds by how much it really is."""
    tried: dict[int, float] = {}
    width = 256
    for _ in range(TRIES):
        found = measured(slowed(path, source, width), source, budget_s)
        assert found.ratio is not None
        tried[width] = found.ratio - 1
        print(f"a branch of width {width} slows by {100 * tried[width]:.2f} %", flush=True)
        if abs(tried[width] - share) < 0.1 * share:
            return found
        width = next_width(tried, share)
    raise SystemExit(f"no branch slows {source.name} by {100 * share:g} %: {tried}")


def next_width(tried: dict[int, float], share: float) -> int:
    """By the line through what was tried; its slope at least that of the widest alone."""
    widths, slows = np.array(list(tried)), np.array(list(tried.values()))
    if len(tried) == 1:
        return max(1, int(widths[0] * share / max(slows[0], 0.1 * share)))
    slope, base = np.polyfit(widths, slows, 1)
    slope = max(slope, 1e-7)
    return int(np.clip((share - base) / slope, 1, 4 * widths.max()))


def measured(new: Path, old: Path, budget_s: float) -> Verdict:
    """One campaign of both, to half the usual width."""
    found = whichpu.measure(new, "onnxruntime:cpu", against=old, siblings=False, budget_s=budget_s, half_width=0.01)
    return side_by_side(found.campaign, Config())[0]


# ---------------------------------------------------------------- the workflow's script


def repository(folder: Path, budget: str) -> Path:
    """A scratch repository with a workflow, the script that it runs, and no limits of its own."""
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "speed.yml").write_text(WORKFLOW)
    script = folder / "check.sh"
    script.write_text(SCRIPT.format(budget=budget))
    script.chmod(0o755)
    (folder / "whichpu.toml").write_text("[check]\n")
    return script


def run(script: Path, seconds: list[float]) -> tuple[int, str]:
    """Run the step once, as a workflow would; its exit code and what it said of the model."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began = time.monotonic()
    ran = subprocess.run([f"./{script.name}"], cwd=script.parent, env={**os.environ, "PATH": path}, capture_output=True)
    seconds.append(time.monotonic() - began)
    if ran.returncode not in (0, 2):
        raise SystemExit(ran.stderr.decode())
    case = ElementTree.parse(script.parent / "junit.xml").getroot()[0][0]
    return ran.returncode, case[-1].text or ""


def repeat(script: Path, new: Path, times: int, what: str) -> tuple[Counter[int], list[float]]:
    """Run the step so many times with ``new`` as the new model; Ctrl-C ends it early."""
    codes: Counter[int] = Counter()
    seconds: list[float] = []
    (script.parent / "new.onnx").write_bytes(new.read_bytes())
    for number in range(times):
        try:
            code, said = run(script, seconds)
        except KeyboardInterrupt:
            print("stopped early", flush=True)
            break
        codes[code] += 1
        print(f"{what} {number + 1}/{times}: exit {code}, {seconds[-1]:.0f} s: {said.splitlines()[0]}", flush=True)
    return codes, seconds


# ---------------------------------------------------------------- the page


def lines(
    options: argparse.Namespace, facts: page.Facts, slow: Verdict, runs: dict[str, tuple[Counter[int], list[float]]]
) -> list[str]:
    """The Markdown page."""
    rows = []
    for what, wanted in (("slowed", 2), ("the same", 0)):
        codes, seconds = runs[what]
        right, total = codes[wanted], codes.total()
        interval = binomtest(right, total).proportion_ci() if total else None
        held = f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %" if interval else "–"
        rows.append(
            [
                what,
                str(total),
                str(codes[0]),
                str(codes[2]),
                f"{right} of {total} ({held})",
                f"{np.mean(seconds):.0f} s" if seconds else "–",
            ]
        )
    assert slow.ratio is not None and slow.low is not None and slow.high is not None
    step = SCRIPT.format(budget=options.budget).splitlines()[1].removeprefix("exec ")
    change, low, high = (100 * (value - 1) for value in (slow.ratio, slow.low, slow.high))
    return [
        "# whichpu check in a workflow's script",
        "",
        f"The step `{step}` of a scratch repository, with {options.model} as the old model. The slowed one has a branch"
        f" more, calibrated to {change:+.1f} % ({low:+.1f} to {high:+.1f} %). What looks worse is measured a second"
        " time by the command itself.",
        "",
        *facts.lines(),
        "",
        *page.table(["new model", "runs", "exit 0", "exit 2", "right (exact 95 % interval)", "mean time"], rows),
        "",
        "Made by `benchmarks/check_ci.py`.",
    ]


def main() -> int:
    """Exit code 2 when a slowed model passed or the same model failed."""
    parser = page.parser(__doc__)
    parser.add_argument("--same", type=int, default=20, help="runs with the same model")
    parser.add_argument("--slow", type=int, default=5, help="runs with the slowed model")
    parser.add_argument("--model", default="gru", help="mlp, gru, lstm or an ONNX file")
    parser.add_argument("--percent", type=float, default=5.0, help="by how much the slow model is slower")
    parser.add_argument("--budget", default="15s", help="of whichpu check")
    options = parser.parse_args()
    facts = page.Facts()
    with tempfile.TemporaryDirectory(prefix="whichpu-check-") as name:
        folder = Path(name)
        old = networks.find(options.model, folder)
        script = repository(folder / "repository", options.budget)
        (script.parent / "old.onnx").write_bytes(old.read_bytes())
        slow = folder / "slow.onnx"
        verdict = calibrated(slow, old, options.percent / 100, 20.0)
        runs = {
            "slowed": repeat(script, slow, options.slow, "slowed"),
            "the same": repeat(script, old, options.same, "the same"),
        }
    page.show(lines(options, facts, verdict, runs), options.output)
    wrong = runs["slowed"][0][0] + runs["the same"][0][2]
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
