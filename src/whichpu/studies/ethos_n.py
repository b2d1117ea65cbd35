"""Arm Ethos-N78: what TVM gives it of an encoder-decoder with ReLU and with LeakyReLU, pruned at three levels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.studies.study import Asked, Statement, Study, Table, judged, needs, open_

TITLE = "Arm Ethos-N78 (4 TOPS, 4 PLE) by TVM: functions, operators, ReLU against LeakyReLU"
DATA = Path(__file__).parent / "data"
SCRIPT = Path("ethos_n_study") / "study.py"
LIMIT_S = 300
HARDWARE = "a board with an Ethos-N78, Arm's driver stack, and the study's networks"
NOT_THEIRS = "Our networks are built by a script, not the study's: counts are not expected to be equal."
ACTIVATIONS = ("relu", "leaky_relu")
NATIVE, AS_IT_STANDS = "TFLite INT8", "ONNX QDQ as it stands"


def reproduce(asked: Asked) -> Study:
    """Its shares computed anew; its statements on LeakyReLU against our analysis of networks in its spirit."""
    told = msgspec.json.decode((DATA / "ethos_n78_partitioning.json").read_bytes())
    rows = analysed(asked.examples)
    statements = (
        *_functions(told["partitioning"]),
        *_operators(told["operators"]),
        *_leaky(told, rows),
        *_effects(told["expected_effect"]),
    )
    return Study(
        name="ethos-n78",
        title=TITLE,
        tables=[*_tables(told), *_ours(rows)],
        statements=list(statements),
        notes=[*_shares(rows), told["note_on_names"], NOT_THEIRS],
        ways=[f"python examples/{SCRIPT.as_posix()}", "whichpu analyze MODEL --npu ethos-n78"],
    )


def analysed(examples: str | None) -> list[dict[str, Any]]:
    """The example's rows: every network on every route, placed without a device; none where the example isn't here.

    Raises :class:`UserError` when it fails.
    """
    if examples is None or not (Path(examples) / SCRIPT).is_file():
        return []
    command = [sys.executable, str(Path(examples) / SCRIPT), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:] or ["no word"]
        raise UserError(f"examples/{SCRIPT.as_posix()} failed: {last[0]}", "run it by itself")
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


# ---------------------------------------------------------------- tables


def _tables(told: dict[str, Any]) -> Iterator[Table]:
    rows = [
        [row["model"], *(str(row[key]) for key in ("functions", "npu", "cpu", "npu_share_percent"))]
        if "functions" in row
        else [row["model"], row["status"], "–", "–", "–"]
        for row in told["partitioning"]
    ]
    yield Table(title="the study's functions", heads=["model", "functions", "NPU", "CPU", "NPU, %"], rows=rows)


def _ours(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Pruning changes no figure of these: the least pruned networks stand for all."""
    shown = [_row(rows, route, activation) for activation in ACTIVATIONS for route in _routes(rows)]
    if shown:
        cells = [
            [row["network"], row["route"], *map(str, (row["regions"] + 1, row["regions"])), *_shares_of(row)]
            for row in shown
        ]
        heads = ["network", "route", "functions", "NPU", "of the functions", "of the MACs"]
        yield Table(title="our static analysis, in form", heads=heads, rows=cells)


def _shares_of(row: dict[str, Any]) -> list[str]:
    return [_percent(row[key]) for key in ("function_ratio", "mac_share")]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


# ---------------------------------------------------------------- its arithmetic


def _functions(rows: Sequence[dict[str, Any]]) -> Iterator[Statement]:
    for row in rows:
        if "functions" not in row:
            yield open_(f"{row['model']}: {row['status']}", "the network, TVM with its Ethos-N backend and the driver")
            continue
        share = 100 * row["npu"] / row["functions"]
        says = f"{row['model']}: {row['npu']} of {row['functions']} functions on the NPU, {row['npu_share_percent']} %"
        whole = row["npu"] + row["cpu"] == row["functions"]
        yield judged(says, whole and round(share, 1) == row["npu_share_percent"], f"{share:.2f} %")


def _operators(tables: dict[str, Any]) -> Iterator[Statement]:
    for model, table in tables.items():
        total, rows = table["total"], table["rows"]
        wrong = [
            f"{name}: {100 * count / total:.2f} %, printed {printed} %"
            for name, count, printed in rows
            if round(100 * count / total, 1) != printed
        ]
        counted = sum(count for _, count, _ in rows)
        says = f"{model}: shares of {len(rows)} names of {total}"
        because = "; ".join(wrong) or f"each follows from its count; the rows are {counted} of {total}"
        yield judged(says, not wrong and counted <= total, because)
        yield open_(f"{model}: {total} operators", "the dump: names in spans were counted beside calls")


# ---------------------------------------------------------------- LeakyReLU


def _leaky(told: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Iterator[Statement]:
    pattern = f"LeakyReLU comes as {', '.join(told['patterns']['leaky_relu'][-3:])}"
    relu, leaky = (_most(told["partitioning"], name) for name in ("ReLU", "LeakyReLU"))
    fewer = f"LeakyReLU is cut into fewer functions than ReLU ({leaky} against {relu})"
    if not rows:
        for says in (pattern, fewer, *(f"remedy: {remedy}" for remedy in told["remedies_named"])):
            yield open_(says, f"the example: python examples/{SCRIPT.as_posix()}")
        return
    native, outside = (_row(rows, route, "leaky_relu") for route in (NATIVE, AS_IT_STANDS))
    yield judged(
        pattern,
        native["triples"] > 0,
        f"{native['triples']} such triples by {NATIVE}, {native['triples_taken']} of them one NPU layer each, no float"
        f" tensor; by {AS_IT_STANDS} {outside['triples_taken']} of {outside['triples']}: the way into TVM decides",
    )
    yield _fewer(fewer, rows)
    yield from _remedies(told["remedies_named"], rows)


def _most(rows: Sequence[dict[str, Any]], activation: str) -> int:
    return max(int(row["functions"]) for row in rows if row["model"].endswith(f" {activation}") and "functions" in row)


def _fewer(says: str, rows: Sequence[dict[str, Any]]) -> Statement:
    pairs = [(_row(rows, route, "relu"), _row(rows, route, "leaky_relu")) for route in _routes(rows)]
    fewer = sum(leaky["regions"] < relu["regions"] for relu, leaky in pairs)
    more = sum(leaky["regions"] > relu["regions"] for relu, leaky in pairs)
    return open_(
        says, f"the study's networks; of ours it is by {fewer} of {len(pairs)} routes, and by {more} into more"
    )


def _shares(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the share of functions hides."""
    if rows:
        whole, cut = (
            _row(rows, NATIVE, "relu"),
            max(rows, key=lambda row: row["function_ratio"] - (row["mac_share"] or 0)),
        )
        yield (
            f"The share of functions is n/(n+1) and rises with fragmentation: {whole['network']} by {NATIVE} has"
            f" {_percent(whole['mac_share'])} of its MACs on the NPU and {_percent(whole['function_ratio'])} of the"
            f" functions, {cut['network']} by {cut['route']} {_percent(cut['mac_share'])} and"
            f" {_percent(cut['function_ratio'])} in {cut['regions']} pieces."
        )


def _remedies(named: Sequence[str], rows: Sequence[dict[str, Any]]) -> Iterator[Statement]:
    for remedy in named:
        if "LeakyReLU" not in remedy:
            yield open_(
                f"remedy: {remedy}", "the trained network and its data; whichpu fix predicts what a rewrite gains"
            )
            continue
        routes = _routes(rows)
        gains = [route for route in routes if _gains(rows, route)]
        by = f"{len(gains)} of {len(routes)} routes{': ' if gains else ''}{', '.join(gains)}"
        yield open_(
            f"remedy: {remedy}",
            f"the study's networks and a board; of ours, that with ReLU has more MACs on the NPU by {by}",
        )


def _gains(rows: Sequence[dict[str, Any]], route: str) -> bool:
    relu, leaky = (_row(rows, route, activation) for activation in ("relu", "leaky_relu"))
    return (relu["mac_share"] or 0) > (leaky["mac_share"] or 0)


def _routes(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["route"] for row in rows))


def _row(rows: Sequence[dict[str, Any]], route: str, activation: str) -> dict[str, Any]:
    """The least pruned network with an activation by a route."""
    return next(row for row in rows if (row["route"], row["activation"]) == (route, activation))


# ---------------------------------------------------------------- what was expected


def _effects(effects: dict[str, Any]) -> Iterator[Statement]:
    for model, expected in effects.items():
        told = ", ".join(f"{key.replace('_', ' ')} {low} to {high}" for key, (low, high) in expected.items())
        yield needs(f"{model}: {told}", HARDWARE)
    implied = {model: _cpu_ms(expected) for model, expected in effects.items()}
    low, high = max(ends[0] for ends in implied.values()), min(ends[1] for ends in implied.values())
    words = ", ".join(f"{model} {ends[0]:g} to {ends[1]:g}" for model, ends in implied.items())
    yield judged("the expected speed-ups and latencies fit together", low <= high, f"on the CPU, in ms: {words}")


def _cpu_ms(expected: dict[str, Any]) -> tuple[float, float]:
    """The CPU's latency that speed-up and latency imply, from and to."""
    (slow, fast), (least, most) = expected["speedup_vs_cpu"], expected["latency_ms"]
    return slow * least, fast * most
