"""What an NPU will take, told: the answer first, then reasons, figures, findings, remedies and estimates."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from whichpu.graphs.analysis import Analysis, TargetAnalysis
from whichpu.graphs.findings.words import counted, plural
from whichpu.graphs.hardware import Range
from whichpu.graphs.placement import Fate, Figures, Placed, Placement
from whichpu.graphs.remedies import Proposal
from whichpu.reports import units
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables, safe, table

if TYPE_CHECKING:
    from rich.console import Console

DETAILS_MOST = 8
"""Pairs of model and target that are told in full; with more, the matrix and a sentence each."""
LINES_MOST = 8
"""Lines of a section that the terminal shows."""
LIMIT_MOST = 90
"""Characters of a limit that the terminal shows; its sentence says it in words."""
NAME_MOST = 60
"""Characters of an operator's name that the terminal shows: TFLite strings several together."""
WIDE = 120
SHOWN = ("accelerator", "folded")
ORDER: tuple[Fate, ...] = ("refused", "host", "unknown")
EFFECTS = {
    "exact": "exact: the answer stays",
    "approximate": "changes the answer a little: measure it",
    "needs-fine-tuning": "changes the answer: needs fine-tuning",
}


class Reason(NamedTuple):
    """Operators that one sentence keeps off the accelerator."""

    where: str
    amount: int
    type: str
    says: str
    limit: str
    source: str
    said_by: str
    names: tuple[str, ...]


# ---------------------------------------------------------------- words


def share(value: float | None) -> str:
    """A share as percent; never rounded up to all or down to nothing."""
    if value is None:
        return "unknown"
    if 0.9995 <= value < 1:
        return "over 99.9 %"
    return "under 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %".replace(".0 %", " %")


def headline(one: TargetAnalysis) -> str:
    """The answer in one or two sentences."""
    if one.placement is None:
        return f"It could not be analysed: {one.refusal}"
    figures, capability = one.placement.figures, one.target.capability
    unit = capability.unit.upper()
    if one.answer is not None and one.answer.refused:
        return f"{one.answer.tool} refuses the model: {one.answer.refused.rstrip('.')}."
    if figures.refused:
        refused = _types(one.placement, "refused")
        stops = f"{capability.tool} stops at {plural(figures.refused, 'operator')}: {refused}. Nothing compiles so."
        return f"{stops} {_takes(figures, unit, 'would take')}."
    rest = [
        f"{plural(count, 'operator')} {words}: {_types(one.placement, fate)}"
        for fate, count, words in (
            ("host", figures.host_operators, f"run{'s' if figures.host_operators == 1 else ''} on the"
             f" {capability.host.upper()}"),
            ("unknown", figures.unknown, f"{'is' if figures.unknown == 1 else 'are'} unknown"),
        )
        if count
    ]  # fmt: skip
    return f"{'; '.join([_takes(figures, unit, 'takes'), *rest])}."


def _takes(figures: Figures, unit: str, verb: str) -> str:
    if not figures.accelerated:
        return f"The {unit} {verb} none of {plural(figures.operators, 'operator')}"
    whole = figures.accelerated == figures.operators
    amount = f"all {figures.operators}" if whole else f"{figures.accelerated:,} of {figures.operators:,}"
    macs = (
        ""
        if whole or not figures.macs
        else f", {_least(figures.mac_share, figures)}{share(figures.mac_share)} of the MACs"
    )
    return f"The {unit} {verb} {amount} operators{macs}, in {plural(figures.regions, 'region')}"


def _least(value: float | None, found: Figures) -> str:
    """Operators that nothing is known of may be taken too."""
    return "at least " if found.unknown and value is not None and value < 1 else ""


def _types(placement: Placement, fate: str) -> str:
    return counted((one.operator.type for one in placement.placed if one.fate == fate), 4)


def reasons(placement: Placement) -> list[Reason]:
    """Why operators are not taken: one row for each kind, place and limit; the most operators first."""
    groups: dict[tuple[str, ...], list[Placed]] = {}
    for one in placement.placed:
        if one.fate not in SHOWN:
            key = (one.fate, one.where, one.operator.type, one.limit or one.reason, one.source, one.said_by)
            groups.setdefault(key, []).append(one)
    ranked = sorted(groups.values(), key=lambda found: (ORDER.index(found[0].fate), -len(found)))
    return [_reason(found, placement) for found in ranked]


def _reason(found: list[Placed], placement: Placement) -> Reason:
    first = found[0]
    source = placement.target.source(first.source) if first.source else ""
    says = first.reason or "no reason was given"
    names = tuple(one.operator.name for one in found)
    return Reason(first.where, len(found), first.operator.type, says, first.limit, source, first.said_by, names)


def basis(reason: Reason) -> str:
    """Where a reason comes from: its limit, its source, who said it."""
    return "; ".join(filter(None, (reason.limit, reason.source, reason.said_by)))


def title(analysis: Analysis, one: TargetAnalysis) -> str:
    capability = one.target.capability
    given = ", ".join(f"{key}={value}" for key, value in one.target.options.items() if value and key != "python")
    tool = f"{capability.tool} {capability.version}".strip()
    return f"{analysis.name} on {capability.title} ({tool}{'; ' + given if given else ''})"


def figures(one: TargetAnalysis) -> list[tuple[str, str]]:
    """The figures that stand side by side, as label and text."""
    assert one.placement is not None
    found, capability = one.placement.figures, one.target.capability
    rows = [
        (f"regions on the {capability.unit.upper()}", f"{found.regions:,}"),
        (f"operators on the {capability.host.upper()}", f"{found.host_operators:,}"),
        ("refused", f"{found.refused:,}"),
        ("unknown", f"{found.unknown:,}"),
        ("share of operators", f"{_least(found.operator_share, found)}{share(found.operator_share)}"),
        ("share of MACs", macs_share(found)),
        ("boundary", _bytes(found.boundary_bytes)),
        ("inputs and outputs", _bytes(found.io_bytes)),
        ("function ratio", f"{100 * found.function_ratio:.1f} %"),
    ]
    return [row for row in rows if row[0] not in ("refused", "unknown") or row[1] != "0"]


def macs_share(found: Figures) -> str:
    """The share of MACs; that a network has none is known."""
    return "no MACs" if found.macs == 0 else f"{_least(found.mac_share, found)}{share(found.mac_share)}"


def _bytes(value: int | None) -> str:
    return "unknown" if value is None else units.size(value)


def estimates(one: TargetAnalysis) -> list[str]:
    """The estimate in sentences, each labelled as one."""
    found = one.estimate
    if found is None or not any((found.latency_seconds, found.speedup, found.transfer_seconds, found.energy_joules)):
        return []
    rows = [
        ("latency", _seconds(found.latency_seconds)),
        ("on the host alone", _seconds(found.host_only_seconds)),
        ("speed-up", _range(found.speedup, lambda value: f"{units.digits(value, 2)} x")),
        ("transfers", _seconds(found.transfer_seconds) if any(found.transfer_seconds or ()) else ""),
        ("memory traffic", _range(found.bandwidth_bytes, units.size)),
        ("energy per inference", _range(found.energy_joules, lambda value: units.energy(value, 2))),
    ]
    said = [f"{'; '.join(f'{name} {value}' for name, value in rows if value)} ({found.said_by}, not measured)"]
    said.append(f"it rests on: {found.basis}")
    if found.missing:
        said.append(f"not in it: {'; '.join(found.missing)}")
    if one.answer is not None and one.answer.figures:
        shown = {name: value for name, value in one.answer.figures.items() if not isinstance(value, list | dict)}
        told = ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in shown.items())
        said.append(f"{one.answer.tool}'s own estimate: {told}")
    return said


def _seconds(value: Range | None) -> str:
    return _range(value, lambda seconds: units.time(1e9 * seconds, 2))


def _range(value: Range | None, told: object) -> str:
    if value is None or not callable(told):
        return ""
    low, high = (str(told(end)) for end in value)
    return low if low == high else f"{low} to {high}"


def _plain(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def remedy(proposal: Proposal) -> str:
    """A remedy, what it is predicted to gain, and what it does to the answer."""
    gain = f"could not be tried: {proposal.why_not}" if proposal.after is None else _gain(proposal)
    where = plural(len(proposal.sites), "place")
    answer = proposal.answer or EFFECTS[proposal.effect]
    advice = "" if proposal.writes else " Advice: `whichpu fix` can't write it."
    does = proposal.says.rstrip(".") if proposal.writes else _advised(proposal)
    says = f"{proposal.name} ({where}): {does}. Predicted: {gain}."
    return f"{says} {answer[0].upper()}{answer[1:].rstrip('.')}.{advice}"


def _advised(proposal: Proposal) -> str:
    """Advice with what it comes to here."""
    return ": ".join((proposal.says.rstrip("."), *(site.says for site in proposal.sites[:1])))


def _gain(proposal: Proposal) -> str:
    before, after = proposal.before, proposal.after
    assert after is not None
    rows = [
        ("MACs", share(before.mac_share), share(after.mac_share)),
        ("regions", str(before.regions), str(after.regions)),
        ("host operators", str(before.host_operators), str(after.host_operators)),
        ("refused", str(before.refused), str(after.refused)),
        ("boundary", _bytes(before.boundary_bytes), _bytes(after.boundary_bytes)),
    ]
    moved = [f"{name} {old} to {new}" for name, old, new in rows if old != new]
    return ", ".join(moved) or "the figures stay the same"


def disagreements(one: TargetAnalysis) -> list[str]:
    """Where our table and the vendor's compiler differ."""
    words = one.answer.refused if one.answer is not None else ""
    expected = one.placement is not None and one.placement.figures.refused
    whole = [f"the compiler refuses the model, the table expects no refusal: {words}"] if words and not expected else []
    return whole + [
        f"{each.operator.type} {each.operator.name}: the table says {each.table}"
        f"{' (' + each.table_says + ')' if each.table_says else ''}, the compiler {each.compiler}"
        f"{' (' + each.compiler_says + ')' if each.compiler_says else ''}"
        for each in one.disagreements
    ]


def asked(one: TargetAnalysis) -> str:
    """Who gave the verdicts."""
    if one.answer is None:
        return f"Verdicts by {one.target.said_by}. The vendor's compiler was not heard: {one.not_asked or 'not asked'}."
    if one.answer.refused and not one.answer.verdicts:
        return f"{one.answer.tool} refuses the model; verdicts on single operators are by {one.target.said_by}."
    if not one.answer.verdicts:
        return f"{one.answer.tool} tells counts, no operators; verdicts are by {one.target.said_by}."
    count = len(one.disagreements)
    agree = "agrees with it everywhere" if not count else f"differs from it on {plural(count, 'operator')}"
    return f"Verdicts by {one.answer.tool}, where it names an operator, else by {one.target.said_by}, which {agree}."


def refusals(analysis: Analysis) -> list[str]:
    """Why a model could not be read, or be analysed on any of its targets; empty where something was analysed."""
    if analysis.graph is None:
        named = analysis.model.name in analysis.refusal
        says = analysis.refusal if named else f"{analysis.model}: {analysis.refusal}"
        return [says + (f" (try: {analysis.remedy})" if analysis.remedy else "")]
    if any(one.placement is not None for one in analysis.targets):
        return []
    return [f"{analysis.model} on {one.target.text}: {one.refusal}" for one in analysis.targets]


def notes(analysis: Analysis, one: TargetAnalysis) -> list[str]:
    """Sentences of the table and of the reader."""
    read = one.placement.notes if one.placement is not None else analysis.graph.notes if analysis.graph else []
    return [*filter(None, [one.failed]), *one.target.capability.notes, *read]


# ---------------------------------------------------------------- matrix


def matrix_cell(one: TargetAnalysis) -> str:
    """One pair of model and target in a few characters."""
    if one.placement is None:
        return "not analysed"
    found = one.placement.figures
    if one.answer is not None and one.answer.refused:
        return "refused"
    if found.refused:
        return f"stops at {found.refused}"
    unknown = f", {found.unknown} ?" if found.unknown else ""
    part = found.mac_share if found.macs else found.operator_share
    taken = f"{'>= ' if _least(part, found) else ''}{share(part)}"
    return f"{taken}, {found.regions} in, {found.host_operators} out{unknown}"


TARGETS_SAY = (
    "MACs and operators: the share taken; boundary: bytes that cross between regions and host in each inference"
)
MATRIX_SAYS = (
    "share of MACs taken, regions on the accelerator (in), operators on the host (out), operators not known (?);"
    " stops at: operators that the compiler refuses"
)


def matrix(analyses: Sequence[Analysis]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a row a model, a column a target."""
    names = list(dict.fromkeys(one.target.text for analysis in analyses for one in analysis.targets))
    rows = []
    for analysis in analyses:
        cells = {one.target.text: matrix_cell(one) for one in analysis.targets}
        rows.append([analysis.name, *(cells.get(name, "not read") for name in names)])
    return ["model", *names], rows


def turned(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    """One model: a row a target, a column a figure."""
    heads = ["target", "MACs", "operators", "regions", "host", "refused", "unknown", "boundary"]
    rows = []
    for one in analysis.targets:
        if one.placement is None:
            rows.append([one.target.text, "not analysed", *[units.UNKNOWN] * (len(heads) - 2)])
            continue
        found = one.placement.figures
        counts = (found.regions, found.host_operators, found.refused, found.unknown)
        shares = [macs_share(found), share(found.operator_share)]
        rows.append([one.target.text, *shares, *map(str, counts), _bytes(found.boundary_bytes)])
    return heads, rows


def overview(analyses: Sequence[Analysis]) -> tuple[str, list[str], list[list[str]]] | None:
    """Title, heads and rows of what comes first when there is more than one pair; None for a single pair."""
    read = [analysis for analysis in analyses if analysis.graph is not None]
    if len(analyses) == 1 and len(analyses[0].targets) > 1:
        return (analyses[0].name, *turned(analyses[0]))
    return ("models by targets", *matrix(read)) if len(read) > 1 else None


# ---------------------------------------------------------------- terminal


def show(analyses: Sequence[Analysis], screen: Console, *, operators: bool = False) -> None:
    """Print everything but models of which nothing can be told (:func:`refusals`); with ``operators`` each fate too."""
    first = overview(analyses)
    if first is not None:
        name, heads, rows = first
        columns = [Column(head, [row[at] for row in rows], folds=True) for at, head in enumerate(heads)]
        print_tables(screen, columns[0]._replace(least_of_names=NAME_LEAST), {name: columns[1:]})
        print_item(screen, MATRIX_SAYS if len(analyses) > 1 else TARGETS_SAY, 0)
    pairs = [(analysis, one) for analysis in analyses if not refusals(analysis) for one in analysis.targets]
    full = len(pairs) <= DETAILS_MOST
    for analysis, one in pairs:
        if full:
            _show_one(analysis, one, screen, operators)
        elif one.placement is not None:
            print_item(screen, f"{analysis.name} on {one.target.text}: {headline(one)}", 0)
    if not full:
        for analysis in analyses:
            _show_lost(analysis, screen)
        screen.print("\nDetails: name fewer targets, or write a page with -o FILE.html.", markup=False)


def _show_one(analysis: Analysis, one: TargetAnalysis, screen: Console, operators: bool) -> None:
    screen.print(f"\n[bold]{safe(title(analysis, one))}[/bold]")
    print_item(screen, headline(one), 0)
    if one.placement is None:
        return
    print_item(screen, f"Next: {next_step(analysis, one)}", 0)
    for heading, lines in _short(sections(analysis, one), operators):
        if lines:
            screen.print(f"\n[dim]{safe(heading)}[/dim]")
        for line in lines:
            print_item(screen, line, 2)
    if operators:
        _show_operators(one.placement, screen)


def _show_lost(analysis: Analysis, screen: Console) -> None:
    """Targets on which a model could not be analysed, with the first one's reason: most have the same."""
    lost = [one for one in analysis.targets if one.placement is None]
    if lost and not refusals(analysis):
        names = ", ".join(one.target.text for one in lost)
        print_item(screen, f"{analysis.name} could not be analysed on {names}. The first: {lost[0].refusal}", 0)


def _short(parts: Iterable[tuple[str, list[str]]], whole: bool) -> Iterator[tuple[str, list[str]]]:
    """Sections with their first lines: the rest would push the answer out of sight."""
    for heading, lines in parts:
        left = 0 if whole else max(0, len(lines) - LINES_MOST)
        yield (
            heading,
            lines if left < 2 else [*lines[:-left], f"and {left} more: --operators, or -o FILE.html, has all"],
        )


def next_step(analysis: Analysis, one: TargetAnalysis) -> str:
    """What to do with the answer, in a sentence."""
    assert one.placement is not None
    found = one.placement.figures
    best = next((each for each in one.proposals if each.after is not None), None)
    if best is not None:
        way = f"`whichpu fix {analysis.model} --npu {one.target.text} --apply {best.name} -o OUT.onnx`"
        costs = "" if best.effect == "exact" else f" ({EFFECTS[best.effect]})"
        return f"{way if best.writes else _advised(best)}: {_gain(best)}{costs}."
    if one.answer is None and one.target.capability.compiler and (found.unknown or "python" in one.target.options):
        return f"ask the vendor's compiler: {one.not_asked.rstrip('.')}."
    if found.accelerated == found.operators:
        return "measure it on the device; nothing keeps it off the " + one.target.capability.unit.upper() + "."
    if found.unknown == found.operators - found.accelerated:
        return f"compile it with {one.target.capability.tool} to know: the sources of the table do not tell."
    if one.proposals:
        return f"{_advised(one.proposals[0])}."
    return "the reasons name the limits that the network would have to keep."


def sections(analysis: Analysis, one: TargetAnalysis) -> Iterator[tuple[str, list[str]]]:
    """What there is to say of a pair that was analysed: heading and sentences, the same in every view."""
    assert one.placement is not None
    yield "why not", [_told(reason) for reason in reasons(one.placement)]
    yield "figures", ["; ".join(f"{name} {value}" for name, value in figures(one))]
    yield "remedies", [remedy(proposal) for proposal in one.proposals]
    yield "findings", [found.says for found in one.findings]
    yield "estimate", estimates(one)
    yield "table and compiler differ", disagreements(one)
    yield "notes", [*notes(analysis, one), asked(one)]


def _told(reason: Reason) -> str:
    more = f" and {reason.amount - 1} more" if reason.amount > 1 else ""
    if len(reason.limit) > LIMIT_MOST:
        reason = reason._replace(limit=f"{reason.limit[:LIMIT_MOST].rsplit(' ', 1)[0]} ...")
    name = reason.names[0] if len(reason.names[0]) <= NAME_MOST else f"{reason.names[0][:NAME_MOST]}..."
    return f"{reason.where}: {reason.amount} x {reason.type}: {reason.says} [{basis(reason)}] at {name}{more}"


def _show_operators(placement: Placement, screen: Console) -> None:
    shown = placement.placed
    columns = [
        Column("operator", [one.operator.name for one in shown], folds=True),
        Column("type", [one.operator.type for one in shown]),
        Column("placed", [one.where for one in shown]),
        Column("region", [units.UNKNOWN if one.region is None else str(one.region + 1) for one in shown], right=True),
        Column("MACs", [units.digits(placement.costs[one.operator.index].macs) for one in shown], right=True),
        Column("reason", [one.reason for one in shown], folds=True),
        Column("said by", [one.said_by for one in shown]),
    ]
    screen.print(table("operators", columns))


def plain(analyses: Sequence[Analysis]) -> str:
    """What the terminal shows, as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(analyses, Console(file=stream, width=WIDE, highlight=False, emoji=False))
    return stream.getvalue()


# ---------------------------------------------------------------- Markdown


def markdown(analyses: Sequence[Analysis]) -> str:
    """All of it as one Markdown page."""
    lines = ["# What the NPU takes", ""]
    first = overview(analyses)
    if first is not None:
        name, heads, rows = first
        lines += [name, "", *_grid(heads, rows), "", MATRIX_SAYS if len(analyses) > 1 else TARGETS_SAY, ""]
    for analysis in analyses:
        for says in refusals(analysis) if analysis.graph is None else []:
            lines += [f"**Not read**: {_cell(says)}", ""]
        for one in analysis.targets:
            lines += _page(analysis, one)
    return "\n".join(lines).rstrip() + "\n"


def _page(analysis: Analysis, one: TargetAnalysis) -> list[str]:
    lines = [f"## {_cell(title(analysis, one))}", "", f"**{_cell(headline(one))}**", ""]
    if one.placement is None:
        return lines
    lines += [f"Next: {_cell(next_step(analysis, one))}", ""]
    heads = ["placed", "count", "type", "reason", "limit, source, said by", "first at"]
    rows = [
        [each.where, str(each.amount), each.type, each.says, basis(each), each.names[0]]
        for each in reasons(one.placement)
    ]
    lines += [*_grid(heads, rows), ""] if rows else []
    lines += [*_grid(["figure", "value"], [list(row) for row in figures(one)]), ""]
    for heading, said in list(sections(analysis, one))[2:]:
        if said:
            lines += [f"### {heading.capitalize()}", "", *(f"- {_cell(line)}" for line in said), ""]
    histogram = next((found for found in one.findings if found.kind == "operators"), None)
    if histogram is not None:
        lines += ["### Operators by type", "", *histogram_rows(histogram.figures["rows"], one), ""]
    return lines


def histogram_rows(rows: Sequence[dict[str, object]], one: TargetAnalysis) -> list[str]:
    """The study's table in Markdown."""
    return _grid(*histogram_table(rows, one))


def histogram_table(rows: Sequence[dict[str, object]], one: TargetAnalysis) -> tuple[list[str], list[list[str]]]:
    """Operators by type: heads and rows."""
    capability = one.target.capability
    heads = ["type", "count", "share", capability.unit, capability.host, "refused", "unknown", "folded"]
    keys = ("accelerator", "host", "refused", "unknown", "folded")
    cells = []
    for row in rows:
        part = row["share"]
        assert isinstance(part, float)
        cells.append([str(row["type"]), str(row["count"]), f"{100 * part:.1f} %", *(str(row[key]) for key in keys)])
    return heads, cells


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(map(_cell, heads))} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(map(_cell, row))} |" for row in rows]


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ").replace("*", "\\*")
