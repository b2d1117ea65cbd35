"""An analysis as JSON: the shapes that ``whichpu analyze --json`` prints, under a version.

Shares are of 1, sizes in bytes, times in seconds, energies in joules; null is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from whichpu import __version__
from whichpu.graphs import remedies
from whichpu.graphs.analysis import Analysis, TargetAnalysis
from whichpu.graphs.compilers import Answer
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.hardware import Range
from whichpu.graphs.placement import Figures, Placed, Placement

VERSION = "whichpu.analysis/1"


class OperatorRow(msgspec.Struct, frozen=True):
    """One operator of the model. ``placed``: npu (dla), cpu (gpu), refused, unknown or folded."""

    name: str
    type: str
    placed: str
    reason: str
    said_by: str
    limit: str = ""
    """The condition that did not hold."""
    source: str = ""
    region: int | None = None
    """Counted from 1."""
    lowered: tuple[str, ...] = ()
    """What the compiler sees in its place."""
    within: str = ""
    macs: int | None = None
    parameters: int = 0
    estimated_seconds: Range | None = None


class SiteRow(msgspec.Struct, frozen=True):
    """One place where a remedy applies: names of the operators it would replace."""

    operators: tuple[str, ...]
    says: str


class RemedyRow(msgspec.Struct, frozen=True):
    """A rewrite that would help, and what it is predicted to gain."""

    name: str
    says: str
    effect: str
    """exact, approximate or needs-fine-tuning: what it does to the answer."""
    answer: str
    """The same in a sentence."""
    writes: bool
    """Can ``whichpu fix`` write it? False for advice."""
    sites: list[SiteRow]
    before: Figures
    after: Figures | None
    """Predicted; null where it was not tried, and ``why_not`` says why."""
    why_not: str


class EstimateRow(msgspec.Struct, frozen=True):
    """An estimate, never a measurement. Ranges are (low, high)."""

    basis: str
    said_by: str
    latency_seconds: Range | None
    host_only_seconds: Range | None
    speedup: Range | None
    transfer_seconds: Range | None
    bandwidth_bytes: Range | None
    energy_joules: Range | None
    missing: tuple[str, ...]


class DisagreementRow(msgspec.Struct, frozen=True):
    """An operator on which our table and the vendor's compiler differ."""

    name: str
    type: str
    table: str
    compiler: str
    table_says: str
    compiler_says: str


class CompilerRow(msgspec.Struct, frozen=True):
    """What the vendor's own compiler said. ``tool`` is empty where it was not asked; ``why_not`` says why."""

    tool: str = ""
    why_not: str = ""
    regions: int | None = None
    refused: str = ""
    figures: dict[str, Any] = {}
    disagreements: list[DisagreementRow] = []


class TargetRow(msgspec.Struct, frozen=True):
    """One model on one target. ``refusal`` says why it could not be analysed; figures are then null."""

    npu: str
    table: str
    title: str
    tool: str
    version: str
    options: dict[str, str]
    unit: str
    host: str
    refusal: str = ""
    regions: int | None = None
    operators_seen: int | None = None
    """Operators that the compiler sees; folded ones are not among them."""
    accelerated: int | None = None
    host_operators: int | None = None
    refused_operators: int | None = None
    unknown_operators: int | None = None
    operator_share: float | None = None
    macs: int | None = None
    mac_share: float | None = None
    crossings: int | None = None
    boundary_bytes: int | None = None
    io_bytes: int | None = None
    function_ratio: float | None = None
    operators: list[OperatorRow] = []
    findings: list[Finding] = []
    remedies: list[RemedyRow] = []
    estimate: EstimateRow | None = None
    compiler: CompilerRow = CompilerRow()
    notes: list[str] = []
    sources: list[str] = []


class ModelRow(msgspec.Struct, frozen=True):
    """One model. ``refusal`` says why its file could not be read, ``remedy`` what to try."""

    schema: str
    whichpu: str
    model: str
    targets: list[TargetRow]
    dialect: str = ""
    opset: int | None = None
    refusal: str = ""
    remedy: str = ""


class ModelRows(msgspec.Struct, frozen=True):
    """Several models."""

    schema: str
    models: list[ModelRow]


def document(analyses: Sequence[Analysis]) -> ModelRow | ModelRows:
    """One model as itself, several under ``models``."""
    rows = [_model(analysis) for analysis in analyses]
    return rows[0] if len(rows) == 1 else ModelRows(VERSION, rows)


def json_schema() -> dict[str, object]:
    """The published JSON Schema: either shape of :func:`document`."""
    shapes, parts = msgspec.json.schema_components([ModelRow, ModelRows], ref_template="#/$defs/{name}")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION}
    return {**head, "anyOf": list(shapes), "$defs": parts}


def _model(analysis: Analysis) -> ModelRow:
    graph = analysis.graph
    return ModelRow(
        VERSION,
        __version__,
        analysis.name,
        [_target(one) for one in analysis.targets],
        graph.dialect if graph else "",
        graph.opset if graph else None,
        analysis.refusal,
        analysis.remedy,
    )


def _target(one: TargetAnalysis) -> TargetRow:
    capability = one.target.capability
    head: dict[str, Any] = {
        "npu": one.target.text,
        "table": capability.name,
        "title": capability.title,
        "tool": capability.tool,
        "version": capability.version,
        "options": dict(one.target.options),
        "unit": capability.unit,
        "host": capability.host,
        "sources": [one.target.source(key) for key in capability.sources],
    }
    if one.placement is None:
        return TargetRow(**head, refusal=one.refusal, notes=list(capability.notes))
    return TargetRow(
        **head,
        **_figures(one.placement.figures),
        operators=[_operator(placed, one.placement, one.estimate) for placed in one.placement.placed],
        findings=one.findings,
        remedies=[_remedy(proposal) for proposal in one.proposals],
        estimate=_estimate(one),
        compiler=_compiler(one),
        notes=[*capability.notes, *one.placement.notes],
    )


def _figures(figures: Figures) -> dict[str, Any]:
    fields = asdict(figures)
    names = {"operators": "operators_seen", "refused": "refused_operators", "unknown": "unknown_operators"}
    return {names.get(name, name): value for name, value in fields.items()}


def _operator(placed: Placed, placement: Placement, estimate: Estimate | None) -> OperatorRow:
    operator, cost = placed.operator, placement.costs[placed.operator.index]
    times = estimate.by_operator if estimate else ()
    return OperatorRow(
        operator.name,
        operator.type,
        placed.where,
        placed.reason,
        placed.said_by,
        placed.limit,
        placement.target.source(placed.source) if placed.source else "",
        None if placed.region is None else placed.region + 1,
        placed.lowered,
        operator.within,
        cost.macs,
        cost.parameters,
        times[operator.index] if operator.index < len(times) else None,
    )


def _remedy(proposal: remedies.Proposal) -> RemedyRow:
    return RemedyRow(
        proposal.name,
        proposal.says,
        proposal.effect,
        proposal.answer,
        proposal.writes,
        [SiteRow(site.operators, site.says) for site in proposal.sites],
        proposal.before,
        proposal.after,
        proposal.why_not,
    )


def _estimate(one: TargetAnalysis) -> EstimateRow | None:
    found = one.estimate
    if found is None:
        return None
    return EstimateRow(**{name: getattr(found, name) for name in EstimateRow.__struct_fields__})


def _compiler(one: TargetAnalysis) -> CompilerRow:
    if one.answer is None:
        return CompilerRow(why_not=one.not_asked)
    answer: Answer = one.answer
    rows = [
        DisagreementRow(
            each.operator.name, each.operator.type, each.table, each.compiler, each.table_says, each.compiler_says
        )
        for each in one.disagreements
    ]
    return CompilerRow(answer.tool, "", answer.regions, answer.refused, answer.figures, rows)
