"""A compiled file in words: what it was compiled for, what goes in and out, what stays on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from whichpu.graphs.compiled import CompiledRow, Described
from whichpu.reports.tables import safe

if TYPE_CHECKING:
    from rich.console import Console

NOT_IN = "Not in a HEF: where each layer lies, how full the chip is, power, and the bits of the weights."


def show(found: Described, screen: Console) -> None:
    """Print each file that could be read."""
    for row in found.models:
        if not row.refusal:
            screen.print(f"\n[bold]{safe(row.file)}[/bold]: {safe(_head(row))}")
            for line in _lines(row):
                screen.print(line, markup=False)


def refusals(found: Described) -> list[str]:
    """Why files could not be read, a sentence each."""
    return [f"{row.file}: {row.refusal}\n  Try: {row.remedy}" for row in found.models if row.refusal]


def _head(row: CompiledRow) -> str:
    compiler = f"by Hailo's Dataflow Compiler {row.compiler}" if row.compiler else "by an unknown compiler"
    when = f" on {row.created}" if row.created else ""
    return f"compiled for the {row.chip} {compiler}{when}; {row.bytes:,} bytes"


def _lines(row: CompiledRow) -> Iterator[str]:
    if row.runs_on:
        yield f"  runs on {' and '.join(row.runs_on)}"
    if row.features:
        yield f"  uses {', '.join(row.features)}"
    for group in row.groups:
        yield from _group(group)
    yield NOT_IN


def _group(group: dict[str, Any]) -> Iterator[str]:
    networks = f" (networks {', '.join(group['networks'])})" if len(group["networks"]) > 1 else ""
    yield f"  network group {group['name']}{networks}"
    contexts = group["contexts"]
    if contexts > 1:
        yield f"    {contexts} contexts: too large for the chip at once, it is loaded in {contexts} parts in each batch"
    else:
        yield "    1 context: the whole network is on the chip"
    for words in ("inputs", "outputs"):
        yield f"    {words}"
        yield from (f"      {_stream(stream)}" for stream in group[words])
    for one in group["host"]:
        detail = f" ({one['detail']})" if one["detail"] else ""
        yield f"    on the host's CPU after the chip: {one['kind']}{detail}"
    yield f"    {_estimates(group)}"


def _stream(stream: dict[str, Any]) -> str:
    shape = "x".join(str(size) for size in stream["shape"])
    words = f"{stream['name']}  {stream['order']} {shape} {stream['dtype']}"
    numeric = stream["quantisation"]
    if numeric is not None and numeric["scale"] is not None:
        words += f", scale {numeric['scale']:.6g}, zero point {numeric['zero_point'] or 0:g}"
        words += f" (one of {numeric['per_feature']}, each feature has its own)" if numeric["per_feature"] else ""
    return words + (f"; in the model: {', '.join(stream['originals'])}" if stream["originals"] else "")


def _estimates(group: dict[str, Any]) -> str:
    told = []
    if group["bottleneck_fps"] is not None:
        told.append(f"{group['bottleneck_fps']:.4g} frames a second")
    if group["simulated_latency"] is not None:
        told.append(f"latency {group['simulated_latency']:.4g} (the file names no unit)")
    return f"the compiler's own estimate, not measured: {', '.join(told)}" if told else "no estimate by the compiler"
