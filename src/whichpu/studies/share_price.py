"""GRU and LSTM that forecast a share price, on a GPU by TensorRT and by ONNX Runtime, and on a Hailo-8L."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whichpu.reports.figures import alone, named, together
from whichpu.results import anything
from whichpu.results.entries import Entry
from whichpu.results.nway import held, keys_of
from whichpu.studies.study import Asked, Statement, Study, Table, judged, needs, open_

TITLE = "GRU and LSTM on TensorRT, ONNX Runtime (GPU) and a Hailo-8L: latency, throughput, RMSE, utilisation, power"
DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("*_performance_*.json"))
PLATFORMS = {"hailo": "Hailo-8L", "tensorrt": "TensorRT (GPU)", "onnxruntime": "ONNX Runtime (GPU)"}
HAILO, TENSORRT, ORT = PLATFORMS.values()
RATIOS = {"ratios_mean_latency": "latency_mean", "ratios_throughput": "throughput"}
LATENCIES = tuple(f"latency_{name}" for name in ("mean", "median", "min", "max", "p95", "p99"))
STUDIED = (*LATENCIES, "latency_std", "throughput", "power", "energy", "device_memory", "utilisation", "score:rmse")
HARDWARE = "a GPU of NVIDIA with TensorRT and ONNX Runtime's CUDA provider, and a Hailo-8L with both networks as HEF"
MODELS = ("GRU_Apple", "LSTM_Apple")
Figures = dict[tuple[str, str], Entry]


def reproduce(asked: Asked) -> Study:
    """Ratios and statements from the three files; the tables of our own run beside them, where there is one."""
    entries = anything.entries(FILES)
    expected = msgspec.json.decode((DATA / "expected_comparison.json").read_bytes())
    own = anything.entries([Path(path) for path in asked.own])
    return Study(
        name="share-price",
        title=TITLE,
        tables=[*tables(entries), *own_tables(own)],
        statements=[*ratios(entries, expected), *statements(entries, expected["statements"]), again()],
        notes=[*_own_words(own)],
        ways=["whichpu reproduce share-price --run", "whichpu compare src/whichpu/studies/data/*_performance_*.json"],
    )


def figures(entries: Sequence[Entry]) -> Figures:
    """Entries by model and contender."""
    return {(entry.model, entry.contender): entry for entry in entries}


def tables(entries: Sequence[Entry]) -> Iterator[Table]:
    """Of each model: figures by platforms."""
    for model, known in _by_model(entries):
        columns = [(named(key), *together([entry.values.get(key) for entry in known])) for key in keys_of(known)]
        rows = [[_with(name, unit), *texts] for name, unit, texts in columns]
        yield Table(title=model, heads=["", *(entry.contender for entry in known)], rows=rows)


def own_tables(entries: Sequence[Entry]) -> Iterator[Table]:
    """Of each model of our own run: the study's figures, a row for each of many platforms."""
    for model, known in _by_model(entries):
        keys = [key for key in keys_of(known) if key in STUDIED]
        columns = [(named(key), *together([entry.values.get(key) for entry in known])) for key in keys]
        rows = [[entry.contender, *(texts[at] for _, _, texts in columns)] for at, entry in enumerate(known)]
        heads = ["", *(_with(name, unit) for name, unit, _ in columns)]
        yield Table(title=f"{model}, our own run ({known[0].file})", heads=heads, rows=rows)


def _by_model(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    for model in dict.fromkeys(entry.model for entry in entries if entry.values):
        yield model, [entry for entry in entries if entry.model == model and entry.values]


def _with(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


# ---------------------------------------------------------------- the printed ratios


def ratios(entries: Sequence[Entry], expected: dict[str, Any]) -> Iterator[Statement]:
    """Each printed ratio against the one that follows from the files."""
    for group, metric in RATIOS.items():
        for model, printed in expected[group].items():
            for key, number in printed.items():
                yield _ratio(entries, metric, model, key, number)


def _ratio(entries: Sequence[Entry], metric: str, model: str, key: str, printed: float) -> Statement:
    one, other = (PLATFORMS[name] for name in key.split("/"))
    found = held([entry for entry in entries if entry.model == model], other, [metric])
    row = next(row for row in found if row.contender == one and row.metric == metric)
    assert row.ratio is not None
    says = f"{named(metric)} of {model}, {one} over {other}: {printed:g}"
    by = figures(entries)
    unit, texts = together([by[model, name].values[metric] for name in (one, other)])
    off = "" if round(row.ratio, 1) == printed else f", {row.ratio - printed:+.2f} from the printed one"
    return judged(says, not off, f"{texts[0]} / {texts[1]} {unit} = {row.ratio:.3f}{off}")


# ---------------------------------------------------------------- its statements


def statements(entries: Sequence[Entry], told: Sequence[str]) -> list[Statement]:
    """The study's statements, in its order; what two of them conclude stands by itself."""
    by = figures(entries)
    first, scores, busy, spreads, joules = told
    worse, _, sensitive = scores.partition(" (")
    idle, _, over = busy.partition(": ")
    return [
        judged(first, *fastest(by)),
        judged(worse, *rmse(by)),
        open_(f"the cause: {sensitive.rstrip(')')}", "the same networks in float and in INT8 on one runtime"),
        judged(idle, *utilisation(by)),
        open_(over, _busy(by)),
        judged(spreads, *spread(by)),
        judged(joules, *energy(entries)),
    ]


def fastest(by: Figures) -> tuple[bool, str]:
    """TensorRT has the smallest of every latency statistic."""
    lost = [
        f"{named(key)} of {model}: {best}"
        for model in MODELS
        for key in LATENCIES
        if (best := order(by, model, key)[0]) != TENSORRT
    ]
    apart = all(
        by[model, TENSORRT].values["latency_max"].value < by[model, other].values["latency_min"].value
        for model in MODELS
        for other in (HAILO, ORT)
    )
    words = "all of TensorRT's latencies lie below all others'" if apart else "the ranges of latencies overlap"
    return not lost, "; ".join(lost) or f"{len(LATENCIES)} statistics of {len(MODELS)} models; {words}"


def rmse(by: Figures) -> tuple[bool, str]:
    """Equal on both GPU runtimes, larger on the Hailo, most so for the LSTM."""
    score = {key: entry.values["score:rmse"].value for key, entry in by.items()}
    equal = all(score[model, ORT] == score[model, TENSORRT] for model in MODELS)
    more = [100 * (score[model, HAILO] / score[model, TENSORRT] - 1) for model in MODELS]
    words = "; ".join(
        f"{model} {score[model, ORT]:.3f}, {score[model, TENSORRT]:.3f} and {score[model, HAILO]:.3f} ({change:+.1f} %)"
        for model, change in zip(MODELS, more, strict=True)
    )
    return equal and 0 < more[0] < more[1], f"ONNX Runtime, TensorRT and Hailo: {words}"


def utilisation(by: Figures) -> tuple[bool, str]:
    """The GPU's utilisation is printed as 0."""
    printed = [by[model, name].values["utilisation"].value for model in MODELS for name in (TENSORRT, ORT)]
    return max(printed) < 0.005, f"the files print {', '.join(f'{100 * share:.1f} %' for share in printed)}"


def _busy(by: Figures) -> str:
    values = by["LSTM_Apple", TENSORRT].values
    rate, power = (alone(values[key]) for key in ("throughput", "power"))
    return f"utilisation read while it ran: {rate} and {power} beside 0.0 % say that it was not, or not often enough"


def spread(by: Figures) -> tuple[bool, str]:
    """The order of the standard deviations."""
    found = {model: order(by, model, "latency_std") for model in MODELS}
    holds = found == {"GRU_Apple": [TENSORRT, ORT, HAILO], "LSTM_Apple": [TENSORRT, HAILO, ORT]}
    words = (f"{model}: " + ", ".join(_spread(by[model, name]) for name in names) for model, names in found.items())
    return holds, "; ".join(words)


def _spread(entry: Entry) -> str:
    return f"{entry.contender} {alone(entry.values['latency_std'])}"


def energy(entries: Sequence[Entry]) -> tuple[bool, str]:
    """No energy can be compared, because the Hailo's file holds no power."""
    rows = [row for row in held(entries, TENSORRT, ["power", "energy"]) if row.contender == HAILO]
    holds = len(rows) == 2 * len(MODELS) and all(row.verdict == "not-comparable" for row in rows)
    return holds, rows[-1].reason


def order(by: Figures, model: str, key: str) -> list[str]:
    """Platforms, the smallest figure first."""
    return sorted(PLATFORMS.values(), key=lambda name: by[model, name].values[key].value)


def again() -> Statement:
    return needs("the figures themselves, measured again", HARDWARE)


# ---------------------------------------------------------------- our own run


def _own_words(own: Sequence[Entry]) -> Iterator[str]:
    """Of our own run: whose figures are the smallest."""
    for model, known in _by_model(own):
        least: dict[str, list[str]] = {}
        for key in LATENCIES:
            having = [entry for entry in known if key in entry.values]
            if having:
                best = min(having, key=lambda entry: entry.values[key].value)
                least.setdefault(best.contender, []).append(named(key))
        words = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in least.items())
        yield f"Our own run of {model}, smallest figures: {words}. `whichpu compare {known[0].file}` has the verdicts."
