"""What a decision report holds, whatever it is written as: advice, sentences, figures, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from whichpu.errors import UserError
from whichpu.graphs.document import ModelRow, ModelRows
from whichpu.recommend import Advice, recommend
from whichpu.reports import advice as reports_advice
from whichpu.reports.prose import Translator
from whichpu.reports.prose.statements import rows_of, told
from whichpu.results import anything, nway
from whichpu.results.anything import File
from whichpu.results.comparison import Comparison
from whichpu.results.entries import Entry
from whichpu.results.nway import Contender
from whichpu.results.reported import Reported
from whichpu.results.schema import Campaign

MODELS_MOST = 12
"""Models that a report shows one by one; JSON of ``whichpu compare`` has all."""
CONTENDERS_MOST = 60
"""Contenders of a model that a report shows."""


class Told(NamedTuple):
    """A heading and the sentences below it, in words."""

    heading: str
    sentences: list[str]


@dataclass(frozen=True)
class Part:
    """One model: its contenders, the best first, the verdicts against ``baseline``, and the advice on it."""

    model: str
    contenders: list[Contender]
    rows: list[Comparison]
    baseline: str
    advice: Advice
    left_out: int = 0

    @property
    def pick(self) -> str | None:
        return self.advice.pick

    def row(self, name: str, key: str) -> Comparison | None:
        """The verdict on a contender's figure."""
        return self._by_pair.get((name, key))

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], Comparison]:
        return {(row.contender, row.metric): row for row in self.rows}

    @property
    def entries(self) -> list[Entry]:
        return [each.entry for each in self.contenders]

    @property
    def main(self) -> str:
        """The figure that the contenders are ranked by."""
        return self.advice.objectives[0]


@dataclass
class Decision:
    """Results of any files, judged. Raises :class:`~whichpu.errors.UserError` for a baseline that is not there."""

    files: Sequence[File]
    baseline: str | None = None
    language: str = "en"
    analyses: Sequence[tuple[str, ModelRow]] = ()
    words: Translator = field(init=False)

    def __post_init__(self) -> None:
        self.words = Translator(self.language)

    @cached_property
    def entries(self) -> list[Entry]:
        """All contenders of the models that are shown."""
        found = [entry for file in self.files for entry in file.entries]
        models = list(dict.fromkeys(entry.model for entry in found))[:MODELS_MOST]
        return [entry for entry in found if entry.model in models]

    @cached_property
    def models_left_out(self) -> int:
        models = {entry.model for file in self.files for entry in file.entries}
        return max(0, len(models) - MODELS_MOST)

    @cached_property
    def campaigns(self) -> dict[str, Campaign]:
        return anything.campaigns(self.files)

    @cached_property
    def advice(self) -> Advice:
        """What to ship on, in words."""
        return reports_advice.told(recommend(self.entries, campaigns=self.campaigns), self.language)

    @cached_property
    def parts(self) -> list[Part]:
        """The models, one by one."""
        if not self.entries:
            return []
        rows: dict[str, list[Comparison]] = {}
        for row in nway.held(self.entries, self.baseline, None, self.campaigns):
            rows.setdefault(row.model, []).append(row)
        known = {each.model: each for each in self.advice.models or [self.advice]}
        groups = nway.grouped(self.entries)
        return [_part(model, group, rows.get(model, []), known[model]) for model, group in groups.items()]

    @cached_property
    def sentences(self) -> list[Told]:
        """What the figures say and what they don't."""
        words = self.words
        return [
            Told(words.label(section.heading), [words.text(each.id, **each.params) for each in section.sentences])
            for section in told(self.entries, rows_of(self.entries, self.campaigns))
        ]

    @property
    def headline(self) -> str:
        """The first sentence of the advice."""
        reasons = self.advice.reasons if self.entries else []
        return reasons[0].text if reasons else self.words.text("nothing")


def _part(model: str, group: Sequence[Contender], rows: list[Comparison], advice: Advice) -> Part:
    place = {each.contender: at for at, each in enumerate(advice.contenders)}
    ranked = sorted(group, key=lambda each: place.get(each.name, len(place)))
    base = rows[0].baseline if rows else advice.pick or ranked[0].name
    kept = ranked[:CONTENDERS_MOST]
    return Part(model, kept, rows, base, advice, len(ranked) - len(kept))


# ---------------------------------------------------------------- where figures come from


class Origin(NamedTuple):
    """One file: what made it, when and where, and what tells it apart."""

    file: str
    by: str
    sha256: str
    facts: list[tuple[str, str]]


def origins(decision: Decision) -> list[Origin]:
    """Where the figures of a report come from, a file each."""
    return [_origin(file) for file in decision.files]


def _origin(file: File) -> Origin:
    content = file.content
    if isinstance(content, Reported):
        version = f" {content.tool_version}" if content.tool_version else ""
        facts = [("format", content.format), *(("note", note) for note in content.notes)]
        devices = dict.fromkeys(entry.device for entry in content.entries if entry.device)
        machines = dict.fromkeys(entry.machine for entry in content.entries if entry.machine)
        facts += [("device", name) for name in devices] + [("machine", name) for name in machines]
        return Origin(file.name, f"{content.tool}{version}", content.source.sha256, facts)
    machine = content.machine
    facts = [
        ("machine", f"{machine.hostname}, {machine.cpu_model or machine.architecture}"),
        ("system", f"{machine.system}, {machine.architecture}"),
        ("begun", content.created),
        ("finished", content.finished or "not finished"),
        ("model", f"{content.model.name}, SHA-256 {content.model.sha256}"),
    ]
    if isinstance(content, Campaign):
        facts.append(("seed", str(content.settings.seed)))
        facts += [("versions", each) for each in _versions(content)]
    return Origin(file.name, f"WhichPU {content.whichpu}", file.sha256, facts)


def _versions(campaign: Campaign) -> Iterator[str]:
    found = {f"{name} {version}": None for each in campaign.results for name, version in each.versions.items()}
    if found:
        yield ", ".join(found)


# ---------------------------------------------------------------- files


def split(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files of results, and analyses of models (``whichpu analyze --json``)."""
    analyses = [path for path in paths if _is_analysis(path)]
    return [path for path in paths if path not in analyses], analyses


def analyses_of(paths: Sequence[Path]) -> list[tuple[str, ModelRow]]:
    """The models of analyses, with the names of their files. Raises :class:`~whichpu.errors.UserError`."""
    return [(path.name, model) for path in paths for model in _models(path)]


def _models(path: Path) -> list[ModelRow]:
    try:
        data = path.read_bytes()
        several = b'"models"' in data[:200]
        return msgspec.json.decode(data, type=ModelRows).models if several else [_decoded(data)]
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is damaged: {problem}", "write it again: whichpu analyze MODEL --json") from problem


def _decoded(data: bytes) -> ModelRow:
    return msgspec.json.decode(data, type=ModelRow)


def _is_analysis(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError:
        return False  # who reads it says so
    return head.lstrip().replace(b" ", b"").replace(b"\n", b"").startswith(b'{"schema":"whichpu.analysis/')
