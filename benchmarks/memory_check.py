"""Memory figures against the kernel's own account, read from outside, for every runtime that is here.

    python benchmarks/memory_check.py [--megabytes 100] [--on onnxruntime torch] [--output results/memory-YYYY-MM-DD.md]

Two networks of known weights on each runtime: one large matrix, and 25 of a 25th each. A worker loads, warms up, runs
blocks and tells what it took; then it is frozen, and ``smaps_rollup`` and ``VmHWM`` are read from its /proc. The peak
while loading is held against readings of ``statm`` from outside, each millisecond: it must be no lower than any.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import page
from onnx import TensorProto, helper, numpy_helper

from whichpu.models import convert
from whichpu.targets import local
from whichpu.worker import wire
from whichpu.worker.backends import BACKENDS

LIMIT = 0.01
EXPORT = """
import sys
import onnx, torch
from onnx import numpy_helper


class Products(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        weights = [torch.from_numpy(numpy_helper.to_array(one).copy()) for one in onnx.load(path).graph.initializer]
        self.weights = torch.nn.ParameterList(weights)

    def forward(self, x):
        for weight in self.weights:
            x = x @ weight
        return x


model = Products(sys.argv[1])
torch.export.save(torch.export.export(model, (torch.ones(1, model.weights[0].shape[0]),)), sys.argv[2])
"""


@dataclass
class Row:
    """One runtime on one network: the worker's account, and the same from outside in bytes."""

    backend: str
    network: str
    weights: int
    told: wire.Memory
    resident: int
    pss: int
    own: int
    peak: int
    seen: int | None

    def worst(self) -> float:
        """The largest relative difference between the worker's figures and those from outside."""
        pairs = (
            (self.told.measured, self.resident),
            (self.told.measured_pss, self.pss),
            (self.told.measured_private, self.own),
            (self.told.peak_measuring, self.peak),
        )
        return max(float("inf") if mine is None else abs(mine / outside - 1) for mine, outside in pairs)

    def passes(self) -> bool:
        """Within 1 %, and no reading from outside above the peak."""
        return self.worst() <= LIMIT and (self.told.peak_loading or 0) * (1 + LIMIT) >= (self.seen or 0)


def main() -> int:
    wishes = _wishes()
    facts, rows, refused = page.Facts(), list[Row](), list[str]()
    with tempfile.TemporaryDirectory() as name, page.stoppable():
        for count in (1, 25):
            path = network(Path(name) / f"matrices{count}.onnx", count, wishes.megabytes)
            for backend in wishes.on:
                try:
                    rows.append(row(backend, path, count))
                    print(backend, path.stem, f"{100 * rows[-1].worst():.2f} %", flush=True)
                except Exception as problem:
                    refused.append(f"- {backend}, {path.stem}: {str(problem).splitlines()[0]}")
    page.show([*heading(facts, wishes.megabytes), *table(rows), *([""] if refused else []), *refused], wishes.output)
    return 0 if rows and all(each.passes() for each in rows) else 2


def network(path: Path, count: int, megabytes: float) -> Path:
    """``count`` matrix products one after the other, of ``megabytes`` of seeded fp32 weights together."""
    side = round((megabytes * 1e6 / 4 / count) ** 0.5)
    generator = np.random.default_rng(1)
    nodes, weights = [], []
    for index in range(count):
        matrix = generator.standard_normal((side, side), dtype=np.float32) / np.float32(side**0.5)
        weights.append(numpy_helper.from_array(matrix, f"w{index}"))
        ends = ("x" if index == 0 else f"a{index}", "y" if index == count - 1 else f"a{index + 1}")
        nodes.append(helper.make_node("MatMul", [ends[0], f"w{index}"], [ends[1]]))
    inputs, outputs = ([helper.make_tensor_value_info(one, TensorProto.FLOAT, [1, side])] for one in "xy")
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    np.savez(path.with_suffix(".npz"), input_0=np.ones((1, 1, side), np.float32))
    return path


def form_of(path: Path, backend: str) -> tuple[Path, str]:
    """The network in the form that a runtime takes."""
    if backend == "torch":
        return exported(path), "pt2"
    if backend in convert.CONVERTERS:
        specs = [wire.TensorSpec("x", "float32", list(np.load(path.with_suffix(".npz"))["input_0"].shape[1:]))]
        cache = path.parent / backend
        made = convert.convert(path, path.stem, backend, precision="fp32", inputs=specs, cache=cache)
        return made.path, made.format
    return path, "onnx"


def exported(path: Path) -> Path:
    """The same matrices as a PyTorch program; in a process of its own, which leaves nothing behind."""
    made = path.with_suffix(".pt2")
    subprocess.run([sys.executable, "-W", "ignore", "-c", EXPORT, str(path), str(made)], check=True)
    return made


def row(backend: str, path: Path, count: int) -> Row:
    """Load, warm up, run blocks, and read the worker's /proc meanwhile and afterwards."""
    form, kind = form_of(path, backend)
    data, outputs = path.with_suffix(".npz"), path.with_name("outputs.npz")
    side = np.load(data)["input_0"].shape[-1]
    job = wire.Open(backend, "cpu", str(form), kind, inputs=[wire.TensorSpec("x", "float32", [1, side])])
    with local.start(where=backend) as link:
        with watched(link.pid) as seen:
            link.ask(job, wire.Opened)
            link.ask(wire.Bind(str(data), str(outputs)), wire.Bound)
        link.ask(wire.Warm(limit_ns=0), wire.Warmed)
        for _ in range(3):
            link.ask(wire.Measure(), wire.Block)
        told = link.ask(wire.TellMemory(), wire.Memory)
        link.freeze()
        rollup, status = (Path(f"/proc/{link.pid}/{name}").read_text() for name in ("smaps_rollup", "status"))
    phases = [span for name, span in told.phases_ns.items() if name != "warm"]
    inside = [size for at_ns, size in seen if any(begin <= at_ns <= end for begin, end in phases)]
    own = sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE)))
    return Row(
        backend=backend,
        network="one matrix" if count == 1 else f"{count} matrices",
        weights=4 * count * side * side,
        told=told,
        resident=_kib(rollup, "Rss"),
        pss=_kib(rollup, "Pss"),
        own=1024 * own,
        peak=_kib(status, "VmHWM"),
        seen=max(inside, default=None),
    )


@contextmanager
def watched(pid: int) -> Iterator[list[tuple[int, int]]]:
    """Times and resident bytes of a process, read each millisecond meanwhile."""
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.001):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            seen.append((time.perf_counter_ns(), pages * os.sysconf("SC_PAGE_SIZE")))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def heading(facts: page.Facts, megabytes: float) -> list[str]:
    """What was done, and on what."""
    return [
        f"# Memory of a model of {megabytes:g} MB, against the kernel's own account",
        "",
        *facts.lines(),
        "- One worker each, Python loop, one thread. MB are 10^6 bytes. Difference: the largest of resident, PSS, own"
        " pages and the peak while measuring, between the worker's figures and `smaps_rollup` and `VmHWM` read from"
        " outside.",
        "- Seen: the most that readings of `statm` from outside, each millisecond, found while it loaded; the peak by"
        " the kernel's own count must not be lower. None where loading is quicker than that.",
        "",
    ]


def table(rows: Sequence[Row]) -> list[str]:
    """One line for each runtime and network."""
    heads = ["network", "runtime", "base", "imported", "loaded", "runtime and model", "peak while loading", "seen"]
    heads += ["own pages", "peak while measuring", "difference", ""]
    return page.table(heads, [_cells(each) for each in rows])


def _cells(each: Row) -> list[str]:
    told = each.told
    model = None if told.loaded is None or told.base is None else told.loaded - told.base
    sizes = [told.base, told.imported, told.loaded, model, told.peak_loading, each.seen, told.measured_private]
    sizes.append(told.peak_measuring)
    texts = ["-" if size is None else f"{size / 1e6:.1f}" for size in sizes]
    passed = "pass" if each.passes() else "fail"
    return [each.network, each.backend, *texts, f"{100 * each.worst():.2f} %", passed]


def _kib(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None, name
    return 1024 * int(found[1])


def _wishes() -> argparse.Namespace:
    parser = page.parser(__doc__ or "")
    parser.add_argument("--megabytes", type=float, default=100.0, help="weights of each network")
    here = [name for name in BACKENDS if name != "litert"]  # nothing here makes its form
    parser.add_argument("--on", nargs="+", default=here, help="runtimes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
