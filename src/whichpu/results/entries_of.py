"""Our own files as entries: a campaign's contenders, a scenario's rows."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.results import energy
from whichpu.results.accuracy import SHARES, SMALLER_IS_BETTER, smaller_is_better, unit_of
from whichpu.results.boundary import SIMULATED
from whichpu.results.comparison import measured_results
from whichpu.results.energy import EnergyFigures
from whichpu.results.entries import METRICS, Better, Entry, Value
from whichpu.results.memory import MemoryFigures
from whichpu.results.scenarios import Probe, Row, ScenarioRun, verdict
from whichpu.results.schema import Campaign, ModelInfo, Result, TaskInfo
from whichpu.results.summary import Figures, figures
from whichpu.worker.wire import Machine

TOOL = "whichpu"
LOADGEN_PERCENTILE = "nearest rank (LoadGen)"
NO_METER = "no sensor of power was within reach"
NO_MEMORY = "no round told of its memory"
NOT_IN_A_SCENARIO = "a scenario run doesn't measure it"
NO_LARGER = "not computed: p99 is the largest percentile of a campaign"


def entries_of(campaign: Campaign, file: str, sha256: str = "") -> list[Entry]:
    """A campaign's contenders as entries, yardsticks left out; ``file`` and ``sha256`` are those of its file."""
    ranked = {result.name for result in measured_results(campaign)}
    return [
        _entry(campaign, result, file, sha256, ranked=result.name in ranked)
        for result in campaign.results
        if not result.yardstick
    ]


def entries_of_scenario(run: ScenarioRun, file: str, sha256: str = "") -> list[Entry]:
    """A scenario's rows as entries: of each the test that answers."""
    return [_of_row(run, row, file, sha256) for row in run.rows]


def campaign_id(campaign: Campaign) -> str:
    """Tells campaigns apart: when it began, and the model's bytes."""
    return f"{campaign.created} {campaign.model.sha256[:12]}"


# ---------------------------------------------------------------- a campaign


def _entry(campaign: Campaign, result: Result, file: str, sha256: str, *, ranked: bool) -> Entry:
    row = figures(result, campaign)
    values, absent = {}, {}
    if ranked:
        values = dict(_values(campaign, result, row))
        absent = {key: reason for key, reason in _reasons(campaign, row).items() if key not in values}
    else:
        reason = row.why or f"{row.name}: {row.status}"
        if result.boundary == SIMULATED and row.why is None:
            reason = "its times are a simulator's"
        absent = dict.fromkeys((*METRICS, *_scores(campaign.task)), reason)
    return Entry(
        model=campaign.model.name,
        contender=result.name,
        file=file,
        sha256=sha256,
        tool=TOOL,
        tool_version=campaign.whichpu,
        device=result.device,
        precision=row.ran_precision,
        model_sha256=result.model_sha256 or campaign.model.sha256,
        machine=_machine(campaign.machine),
        campaign=campaign_id(campaign),
        values=values,
        absent=absent,
        doubts=[doubt.says for doubt in row.doubts],
    )


def _values(campaign: Campaign, result: Result, row: Figures) -> Iterator[tuple[str, Value]]:
    for key, value in (*_latencies(campaign, row), *_energy(campaign, result), *_gauges(row), *_memory(row)):
        if value is not None:
            yield key, value
    size = next((form.bytes for form in campaign.model.forms if form.sha256 == result.form_sha256), None)
    if size is not None:
        yield "size", _known("size", float(size), None, {})
    yield from _accuracy(campaign, result)


def _latencies(campaign: Campaign, row: Figures) -> Iterator[tuple[str, Value | None]]:
    terms = {"boundary": row.boundary, "threads": str(row.threads), "scenario": "SingleStream"} | _batch(campaign.model)
    ranks = terms | {"percentile": row.percentiles or ""}

    def told(key: str, value: float | None, low: float | None = None, high: float | None = None) -> Value | None:
        return _value(key, value, low, high, row.count, ranks if key.startswith("latency_p") else terms)

    yield "latency_median", told("latency_median", row.median_ns, row.median_low_ns, row.median_high_ns)
    yield "latency_mean", told("latency_mean", row.mean_ns)
    yield "latency_min", told("latency_min", row.min_ns)
    yield "latency_max", told("latency_max", row.max_ns)
    yield "latency_std", told("latency_std", row.std_ns)
    yield "latency_p95", told("latency_p95", row.p95_ns, row.p95_low_ns, row.p95_high_ns)
    yield "latency_p99", told("latency_p99", row.p99_ns, row.p99_low_ns, row.p99_high_ns)
    yield "throughput", told("throughput", row.throughput_per_s)
    yield "load", _value("load", row.load_ns, count=row.rounds, terms={"load": "from a file"})
    yield (
        "first",
        _value("first", row.first_ns, count=row.rounds, terms={"boundary": row.boundary} | _batch(campaign.model)),
    )


def _energy(campaign: Campaign, result: Result) -> Iterator[tuple[str, Value | None]]:
    found = energy.primary_figures(campaign, result)
    if found is not None:
        terms = {"scope": found.scope, "statistic": "mean"}
        power = (found.power_w, found.power_low_w, found.power_high_w)
        yield "power", _value("power", *power, found.windows, terms)
        joules = (found.gross_j, found.gross_low_j, found.gross_high_j)
        yield "energy", _value("energy", *joules, found.windows, {"scope": found.scope, "statistic": "gross"})


GAUGES = {"utilisation": "utilisation", "temperature": "temperature", "memory": "device_memory"}


def _gauges(row: Figures) -> Iterator[tuple[str, Value | None]]:
    """Of each quantity the first sensor that told it; a process's share of a device is not the device's."""
    found = {
        key: gauge
        for gauge in reversed(row.gauges)
        if (key := GAUGES.get(gauge.quantity)) and gauge.mean is not None and gauge.scope != "process"
    }
    for key, gauge in found.items():
        yield key, _value(key, gauge.mean, terms={"scope": gauge.scope, "statistic": "mean"})


def _memory(row: Figures) -> Iterator[tuple[str, Value | None]]:
    memory = row.memory
    if memory is not None and memory.peak_loading is not None and memory.peak_measuring is not None:
        most = max(memory.peak_loading.bytes, memory.peak_measuring.bytes)
        terms = {"scope": "process", "statistic": "peak"}
        yield "memory", _value("memory", most, count=memory.peak_measuring.rounds, terms=terms)


def _accuracy(campaign: Campaign, result: Result) -> Iterator[tuple[str, Value]]:
    task, accuracy = campaign.task, result.accuracy
    if task is None:
        return
    scores = accuracy.values if accuracy is not None else {task.metric: result.score}
    terms = {"protocol": task.protocol_sha256}
    if accuracy is not None and accuracy.answered_sha256 is not None:
        terms["samples"] = accuracy.answered_sha256
    for name, value in scores.items():
        if value is not None:
            count = accuracy.samples if accuracy is not None else task.samples
            yield (
                f"score:{name}",
                Value(value=value, unit=_unit(task, name), better=_better(task, name), count=count, terms=terms),
            )


def _unit(task: TaskInfo, name: str) -> str:
    if name == task.metric:
        return unit_of(task)
    return "share" if name in SHARES else ""


def _better(task: TaskInfo, name: str) -> Better:
    smaller = smaller_is_better(task) if name == task.metric else SMALLER_IS_BETTER.get(name.lower())
    if smaller is None and name in SHARES:
        smaller = False
    return "neither" if smaller is None else "lower" if smaller else "higher"


def _scores(task: TaskInfo | None) -> list[str]:
    return [f"score:{task.metric}"] if task is not None else []


# ---------------------------------------------------------------- what is absent


def _reasons(campaign: Campaign, row: Figures) -> dict[str, str]:
    """Why a figure may be absent, whether it is or not."""
    found = {f"latency_{name}": reason for name, reason in row.missing.items() if f"latency_{name}" in METRICS}
    found |= {"latency_p90": "not computed: a campaign gives p95 and p99", "latency_p99.9": NO_LARGER}
    power = _why_no_energy(row.energy)
    found |= {"power": power, "energy": power, "memory": _why_no_memory(row.memory)}
    gauges = {GAUGES.get(gauge.quantity): gauge.missing for gauge in row.gauges}
    for key in GAUGES.values():
        found[key] = gauges.get(key) or "no sensor told it"
    for key in _scores(campaign.task):
        found[key] = row.why or "it was not scored"
    for key in METRICS:
        found.setdefault(key, row.why or "not known")
    return found


def _why_no_energy(rows: list[EnergyFigures]) -> str:
    reasons = dict.fromkeys(row.missing["gross_j"] for row in rows if "gross_j" in row.missing)
    return "; ".join(reasons) or NO_METER


def _why_no_memory(memory: MemoryFigures | None) -> str:
    missing = memory.missing if memory is not None else {}
    return missing.get("peak_measuring") or missing.get("peak_loading") or NO_MEMORY


# ---------------------------------------------------------------- a scenario


def _of_row(run: ScenarioRun, row: Row, file: str, sha256: str) -> Entry:
    found = row.found
    values = _of_probe(run, row, found) if found is not None else {}
    why = row.why or "the scenario has no answer"
    reason = NOT_IN_A_SCENARIO if found is not None else why
    return Entry(
        model=run.model.name,
        contender=_label(run, row),
        file=file,
        sha256=sha256,
        tool=TOOL,
        tool_version=run.whichpu,
        device=row.device,
        precision=row.precision.ran if row.precision else None,
        model_sha256=run.model.sha256,
        machine=_machine(run.machine),
        values=values,
        absent={key: reason for key in METRICS if key not in values},
        doubts=[f"LoadGen calls it INVALID: {'; '.join(found.reasons)}"]
        if found is not None and verdict(found) == "INVALID"
        else [],
    )


def _of_probe(run: ScenarioRun, row: Row, probe: Probe) -> dict[str, Value]:
    terms = {
        "scenario": run.terms.scenario,
        "boundary": run.terms.boundary,
        "batch": str(row.batch),
        "threads": str(row.threads),
    }
    values = {}
    for name, value_ns in probe.latency_ns.items():
        key = {"p50": "latency_median"}.get(name, f"latency_{name}")
        if key in METRICS:
            ranked = terms | {"percentile": LOADGEN_PERCENTILE} if name.startswith("p") else terms
            values[key] = _known(key, value_ns, probe.queries, ranked)
    if probe.throughput_per_s is not None:
        values["throughput"] = _known("throughput", probe.throughput_per_s, probe.samples, terms)
    return values


def _label(run: ScenarioRun, row: Row) -> str:
    """The contender with what tells its rows apart."""
    apart = [name for name in ("batch", "threads", "streams") if len({getattr(each, name) for each in run.rows}) > 1]
    return ", ".join([row.contender, *(f"{name}={getattr(row, name)}" for name in apart)])


# ---------------------------------------------------------------- parts


def _value(
    key: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    count: int | None = None,
    terms: dict[str, str] | None = None,
) -> Value | None:
    if value is None:
        return None
    metric = METRICS[key]
    return Value(
        value=value,
        unit=metric.unit,
        better=metric.better,
        low=low,
        high=high,
        count=count,
        terms=terms or {},
        where=key,
    )


def _known(key: str, value: float, count: int | None, terms: dict[str, str]) -> Value:
    metric = METRICS[key]
    return Value(value=value, unit=metric.unit, better=metric.better, count=count, terms=terms, where=key)


def _batch(model: ModelInfo) -> dict[str, str]:
    """The first size of the inputs, where all have the same."""
    sizes = {spec.shape[0] if spec.shape else None for spec in model.inputs}
    size = sizes.pop() if len(sizes) == 1 else None
    return {"batch": str(size)} if size is not None else {}


def _machine(machine: Machine) -> str:
    return f"{machine.hostname}, {machine.cpu_model or machine.architecture}"
