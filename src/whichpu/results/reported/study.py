"""The JSON of a study: a platform, its models, and of each what was measured, under keys that say what they are.

Such files are written by scripts of their own, each a little different, so keys are read word by word:
``latency_ms.p95``, ``p95_latency_ms`` and ``inferenceTime.p95_us`` are the same figure. A time, power or memory whose
key names no unit is left out, with a note; so is a number whose key holds a word that is not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from whichpu.errors import UserError
from whichpu.results.entries import METRICS, Better, Entry, Value
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of, not_negative, scaled

TOOL = "study"
PLATFORM = ("platform", "target", "device", "hardware", "accelerator", "runtime", "backend", "framework", "processor")
"""Keys under which the contender stands, the more telling first."""
MODEL = ("model", "model_name", "network", "name")
MACHINE = ("machine", "host", "board")
PRECISION = ("precision", "dtype", "quantization", "quantisation")
ABOUT = (
    *PLATFORM,
    *MODEL,
    *MACHINE,
    *PRECISION,
    "batch",
    "batch_size",
    "version",
    "runtime_version",
    "framework_version",
)
DEEP = 40
"""Levels of nesting, more than any study has."""
NOTED_MOST = 20

QUANTITIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("device_memory", ("gpu memory", "vram", "device memory", "gpu mem")),
    ("memory", ("memory", "ram", "mem", "rss")),
    ("model_utilisation", ("model utilization", "model utilisation")),
    ("utilisation", ("utilization", "utilisation", "util")),
    ("load", ("load time", "loading time", "model load", "load")),
    ("first", ("first inference", "first latency", "cold start")),
    ("latency", ("latency", "latencies", "inference time", "infer time", "inference latency", "response time")),
    ("throughput", ("throughput", "fps", "ips", "qps", "frames per second", "inferences per second")),
    ("energy", ("energy",)),
    ("power", ("power",)),
    ("temperature", ("temperature", "temp")),
    ("size", ("model size", "file size")),
    ("utilisation", ("usage",)),
)
"""Words of a key that name a quantity, the more particular first."""

SCORES: dict[str, tuple[str, Better]] = {
    "rmse": ("", "lower"),
    "mae": ("", "lower"),
    "mse": ("", "lower"),
    "mape": ("%", "lower"),
    "cer": ("share", "lower"),
    "wer": ("share", "lower"),
    "accuracy": ("share", "higher"),
    "top1": ("share", "higher"),
    "top5": ("share", "higher"),
    "map": ("share", "higher"),
    "map50": ("share", "higher"),
    "f1": ("share", "higher"),
    "miou": ("share", "higher"),
    "r2": ("", "higher"),
    "psnr": ("dB", "higher"),
}
"""Scores, their units and which way is better."""
ERROR_RATES = ("cer", "wer")
"""Shares that may be above 1: more errors than characters or words."""
PERCENT = {"percent", "pct", "%"}

STATISTICS = {
    "mean": "mean", "avg": "mean", "average": "mean", "median": "median", "med": "median", "p50": "median",
    "min": "min", "minimum": "min", "max": "max", "maximum": "max", "peak": "max",
    "std": "std", "stdev": "std", "stddev": "std", "p90": "p90", "p95": "p95", "p99": "p99", "p99.9": "p99.9",
    "p999": "p99.9",
}  # fmt: skip

UNITS: dict[str, tuple[str, float]] = {
    "ns": ("ns", 1.0), "us": ("ns", 1e3), "µs": ("ns", 1e3), "ms": ("ns", 1e6), "s": ("ns", 1e9), "sec": ("ns", 1e9),
    "seconds": ("ns", 1e9), "milliseconds": ("ns", 1e6), "microseconds": ("ns", 1e3), "nanoseconds": ("ns", 1.0),
    "w": ("W", 1.0), "watt": ("W", 1.0), "watts": ("W", 1.0), "mw": ("W", 1e-3), "milliwatts": ("W", 1e-3),
    "j": ("J", 1.0), "joule": ("J", 1.0), "joules": ("J", 1.0), "mj": ("J", 1e-3), "millijoules": ("J", 1e-3),
    "b": ("B", 1.0), "bytes": ("B", 1.0), "kb": ("B", 1e3), "mb": ("B", 1e6), "gb": ("B", 1e9),
    "kib": ("B", 2.0**10), "mib": ("B", 2.0**20), "gib": ("B", 2.0**30),
    "percent": ("share", 0.01), "pct": ("share", 0.01), "%": ("share", 0.01), "share": ("share", 1.0),
    "ratio": ("share", 1.0), "c": ("degC", 1.0), "celsius": ("degC", 1.0), "degc": ("degC", 1.0),
    "fps": ("1/s", 1.0), "ips": ("1/s", 1.0), "qps": ("1/s", 1.0), "hz": ("1/s", 1.0),
}  # fmt: skip
"""Units as keys name them: the unit of the figure, and the factor."""

BY_ITSELF: dict[str, tuple[str, float]] = {
    "throughput": ("1/s", 1.0),
    "utilisation": ("share", 0.01),
    "model_utilisation": ("share", 0.01),
    "temperature": ("degC", 1.0),
}
"""Quantities whose unit goes without saying: inferences per second, percent, degrees Celsius."""

SCOPES = {"gpu": "gpu", "cpu": "cpu", "npu": "npu", "board": "board", "system": "board", "device": "device",
          "host": "host", "package": "package", "module": "module", "process": "process"}  # fmt: skip
FILLERS = ("per", "inference", "inferences", "inf", "second", "sample", "value", "results", "metrics", "performance",
           "model", "test", "score", "usage", "used", "time", "consumption", "rate")  # fmt: skip
"""Words that change nothing."""
PLACES = re.compile(
    r"tensor-?rt|onnx|hailo|openvino|torch|tflite|litert|opencv|core ?ml|qnn|rknn|ncnn|mnn|jetson|rtx|gtx|raspberry"
    r"|tpu|tvm|cuda|\b[cgnd]pu\b|\bdla\b",
    re.IGNORECASE,
)
"""Names of platforms, by which a key that is one is told from a model's."""


class Number(float):
    """A number, and the smallest difference that its text shows."""

    step: float

    def __new__(cls, text: str) -> Number:
        made = super().__new__(cls, text)
        exponent = Decimal(text).as_tuple().exponent
        made.step = 10.0**exponent if isinstance(exponent, int) and abs(exponent) < 300 else math.nan
        return made


class Found(NamedTuple):
    """A figure of the file: its key, its value in the key's unit, what it covers and where it stands."""

    key: str
    value: float
    unit: str
    better: Better
    scope: str | None
    step: float | None
    where: str
    statistic: str | None = None
    bare: bool = False
    """A latency of which the file doesn't tell which one it is."""


# ---------------------------------------------------------------- the contract


def recognises(head: str, name: str) -> bool:
    """JSON with a latency, a throughput or a score under one of the words known: the last format to be asked."""
    if not head.lstrip().startswith(("{", "[")):
        return False
    keys = {words_of(key) for key in re.findall(r'"([^"\\]{1,80})"\s*:', head)}
    told = {found[0] for key in keys if (found := _quantity(key)) is not None}
    return bool(told & {"latency", "throughput"}) or any(score_named(key) is not None for key in keys)


def read(text: str, source: Source) -> Reported:
    """The figures of all models on all platforms."""
    body = json_of(text, Number)
    notes: list[str] = []
    entries = [_entry(node, source, notes) for node in _nodes(body, "$", {}, 0)]
    entries = _with_steps([entry for entry in entries if entry.values])
    if not entries:
        raise UserError("no model with a figure was found", "look at the units and keys of docs/import.md")
    more = len(notes) - NOTED_MOST
    notes = notes[:NOTED_MOST] + ([f"and {more} more numbers were left out"] if more > 0 else [])
    return Reported(format="study", tool=TOOL, source=source, entries=entries, notes=notes)


# ---------------------------------------------------------------- where the models are


class Node(NamedTuple):
    """A model's part of the file, and the names that stand above it."""

    body: Mapping[str, Any]
    where: str
    names: dict[str, str]


def _nodes(body: Any, where: str, names: dict[str, str], depth: int) -> list[Node]:
    """Parts that hold figures; where a part of such a part does too, the inner ones."""
    if depth > DEEP:
        raise UserError(f"{where[:80]} is nested deeper than {DEEP} levels", "give the study's own file")
    if isinstance(body, list):
        return [node for at, each in enumerate(body) for node in _nodes(each, f"{where}[{at}]", names, depth + 1)]
    if not isinstance(body, dict):
        return []
    names = names | _said(body)
    inner = [
        node
        for key, each in body.items()
        if _quantity(words_of(key)) is None and score_named(words_of(key)) is None
        for node in _nodes(each, f"{where}.{key}", names | _named_by(key, each), depth + 1)
    ]
    return inner or ([Node(body, where, names)] if _holds_figures(body) else [])


def _said(body: Mapping[str, Any]) -> dict[str, str]:
    """Names that stand beside figures or models: platform, model, precision."""
    plain = {"_".join(words_of(key)): value for key, value in body.items()}
    return {
        key: str(plain[key]).strip()
        for key in ABOUT
        if isinstance(plain.get(key), (str, int)) and not isinstance(plain[key], bool) and str(plain[key]).strip()
    }


def _named_by(key: str, each: Any) -> dict[str, str]:
    """A key above a part with figures is a name: of the model, or of a platform where models lie further below."""
    if not isinstance(each, dict) or "_".join(words_of(key)) in CONTAINERS:
        return {}
    return {"key:model" if _holds_figures(each) else "key:platform": key}


CONTAINERS = ("models", "results", "benchmarks", "platforms", "devices", "runtimes", "data", "performance", "metrics",
              "targets", "backends")  # fmt: skip


def _holds_figures(body: Mapping[str, Any]) -> bool:
    """Does one of its own keys name a figure (or hold statistics of one)?"""
    for key, value in body.items():
        words = words_of(key)
        known = _quantity(words) is not None or score_named(words) is not None
        if known and (_is_number(value) or (isinstance(value, dict) and any(map(_is_number, value.values())))):
            return True
    return False


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# ---------------------------------------------------------------- one model


def _entry(node: Node, source: Source, notes: list[str]) -> Entry:
    values: dict[str, Value] = {}
    batch = node.names.get("batch_size") or node.names.get("batch")
    for found in _figures(node.body, node.where, (), notes, 0):
        terms = {"scope": found.scope} if found.scope else {}
        if found.statistic:
            terms["statistic"] = found.statistic
        if batch and (found.key.startswith("latency") or found.key == "throughput"):
            terms["batch"] = batch
        if found.key in values:
            notes.append(f"{found.where}: a second figure of {found.key}, left out")
            continue
        if found.bare:
            notes.append(f"{found.where}: which latency isn't told; taken as the mean")
        values[found.key] = Value(
            value=found.value, unit=found.unit, better=found.better, step=found.step, terms=terms, where=found.where
        )
    names = node.names
    model, contender = _first(names, (*MODEL, "key:model")), _first(names, (*PLATFORM, "key:platform"))
    if not names.keys() & {*MODEL, *PLATFORM} and PLACES.search(model or "") and not PLACES.search(contender or ""):
        model, contender = contender, model
    return Entry(
        model=model or source.model or source.name.partition(".")[0],
        contender=contender or source.contender or source.name.partition(".")[0],
        file=source.name,
        sha256=source.sha256,
        tool=TOOL,
        tool_version=_first(names, ("version", "runtime_version", "framework_version")),
        device=contender,
        precision=_first(names, PRECISION),
        machine=_first(names, MACHINE),
        values=values,
        absent=_absent(values),
    )


def _first(names: Mapping[str, str], keys: Sequence[str]) -> str | None:
    return next((names[key] for key in keys if names.get(key)), None)


HOLDS_NO = {key: f"the file holds no {metric.says}" for key, metric in METRICS.items()} | {
    "power": "the file holds no power"
}


def _absent(values: Mapping[str, Value]) -> dict[str, str]:
    reasons = {key: reason for key, reason in HOLDS_NO.items() if key not in values}
    if "energy" not in values:
        known = "mean power, not energy per inference" if "power" in values else "no power"
        reasons["energy"] = f"the file holds {known}"
    return reasons


def _with_steps(entries: list[Entry]) -> list[Entry]:
    """Figures of one kind are printed alike: trailing zeros, which JSON leaves out, are those of the finest of them."""
    finest: dict[str, float] = {}
    for entry in entries:
        for key, value in entry.values.items():
            if value.step is not None:
                kind = _kind(key)
                finest[kind] = min(value.step, finest.get(kind, value.step))
    return [
        msgspec.structs.replace(
            entry,
            values={
                key: msgspec.structs.replace(value, step=finest.get(_kind(key))) for key, value in entry.values.items()
            },
        )
        for entry in entries
    ]


def _kind(key: str) -> str:
    return "latency" if key.startswith("latency_") else key


# ---------------------------------------------------------------- figures


def _figures(body: Any, where: str, above: tuple[str, ...], notes: list[str], depth: int) -> Iterator[Found]:
    if depth > DEEP:
        return
    for key, value in body.items():
        words, place = (*above, *words_of(key)), f"{where}.{key}"
        if isinstance(value, dict):
            yield from _figures(value, place, words, notes, depth + 1)
        elif _is_number(value) and "_".join(words_of(key)) not in ABOUT:
            found = _figure(words, value, place)
            if isinstance(found, Found):
                yield found
            elif found:
                notes.append(f"{place}: {found}")


def _figure(words: tuple[str, ...], value: float, where: str) -> Found | str:
    """The figure that a key names, or why it is none."""
    number = not_negative(value)
    if number is None:
        return "no figure: negative or not finite"
    step = getattr(value, "step", 1.0)
    score = score_named(words)
    if score is not None:
        return _scored(score, words, number, step, where)
    meaning = _meaning(words)
    if isinstance(meaning, str):
        return meaning
    if number == 0 and meaning.unit in ("ns", "1/s", "J", "W") and meaning.key != "latency_std":
        return "zero is no measurement of it, so it was left out"
    better = METRICS[meaning.key].better
    sizes = scaled(number, meaning.factor), scaled(step, meaning.factor)
    if not math.isfinite(sizes[0]):
        return "too large for a figure"
    return Found(
        meaning.key, sizes[0], meaning.unit, better, meaning.scope, sizes[1], where, meaning.statistic, meaning.bare
    )


class Meaning(NamedTuple):
    """What a key says of its number."""

    key: str
    unit: str
    factor: float
    scope: str | None
    statistic: str | None
    bare: bool


@lru_cache(maxsize=10_000)
def _meaning(words: tuple[str, ...]) -> Meaning | str:
    quantity = _quantity(words)
    if quantity is None:
        return "its key is not known, so it was left out"
    name, used = quantity
    rest = [word for word in words if word not in used]
    statistic = next((STATISTICS[word] for word in reversed(rest) if word in STATISTICS), None)
    stranger = next((word for word in rest if not _is_known(word)), None)
    if stranger is not None:
        return f"what {stranger!r} means here is not known, so it was left out"
    units = [
        UNITS[word] for before, word in zip(("", *words), words, strict=False) if word in UNITS and before != "per"
    ]
    unit = units[-1] if units else BY_ITSELF.get(name)
    key = _key(name, statistic)
    if key is None:
        return f"the {statistic} of it is none of the figures that are compared, so it was left out"
    if unit is None or unit[0] != METRICS[key].unit:
        return "its key names no unit that fits, so it was left out"
    scope = next((SCOPES[word] for word in words if word in SCOPES), None)
    timed = name in ("latency", "throughput")
    return Meaning(key, *unit, scope, None if timed else statistic, name == "latency" and statistic is None)


def _key(name: str, statistic: str | None) -> str | None:
    """The metric of a quantity and a statistic; ``None`` for a statistic that has no metric."""
    if name == "latency":
        key = f"latency_{statistic or 'mean'}"
        return key if key in METRICS else None
    if statistic in (None, "mean") or (statistic == "max" and name in ("memory", "device_memory")):
        return name
    return None


def _scored(name: str, words: tuple[str, ...], number: float, step: float, where: str) -> Found | str:
    strangers = [word for word in words if word != name and word not in (*FILLERS, *UNITS, "mean", "avg", "average")]
    if strangers:
        return f"what {strangers[0]!r} means here is not known, so it was left out"
    unit, better = SCORES[name]
    if name in ERROR_RATES and number > 1 and not PERCENT & set(words):
        return f"{number:g} may be percent or a share above 1, so it was left out: name the unit in its key"
    factor = 0.01 if unit == "share" and (number > 1 or PERCENT & set(words)) else 1.0
    if unit == "share" and number * factor > 1 and name not in ERROR_RATES:
        return f"{number:g} is no {name}"
    return Found(f"score:{name}", scaled(number, factor), unit, better, None, scaled(step, factor), where)


@lru_cache(maxsize=10_000)
def _quantity(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """The quantity that words name, and the words that do."""
    text = f" {' '.join(words)} "
    for name, spellings in QUANTITIES:
        for spelling in spellings:
            if f" {spelling} " in text:
                return name, tuple(spelling.split())
    return None


@lru_cache(maxsize=10_000)
def score_named(words: tuple[str, ...]) -> str | None:
    return next((word for word in words if word in SCORES), None)


def _is_known(word: str) -> bool:
    return any(word in known for known in (STATISTICS, UNITS, SCOPES, FILLERS))


@lru_cache(maxsize=10_000)
def words_of(key: str) -> tuple[str, ...]:
    """A key's words: ``avgGpuPowerWatts``, ``avg_gpu_power_watts`` and ``Avg GPU power (watts)`` are the same."""
    plain = key.replace("mAP", "map")
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    plain = re.sub(r"map[@_ ]*0?\.?50?[:_-]+0?\.?95", "map", plain)
    plain = re.sub(r"map[@_ ]*(?:0?\.50?|50)(?!\d)", "map50", plain)
    plain = re.sub(r"(\d+)(?:th|st|nd|rd)[ _]percentile|percentile[ _]?(\d+)", r"p\1\2", plain)
    return tuple(word for word in re.split(r"[^a-z0-9.%µ]+", plain) if word)
