"""What an NPU's compiler accepts, as data: one TOML file per target in ``capabilities/``.

A file names its sources, the options a user may give (``ethos-n78:driver=23.02``), the form the compiler sees the
network in (``lowering``), how it forms regions (``partition``), and for each operator whether it is taken and within
which limits. A limit is a condition over the operator's facts (:mod:`whichpu.graphs.facts`) with the sentence that is
shown when it does not hold. The first limit that fails decides.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from whichpu.errors import UserError
from whichpu.graphs.conditions import Condition, UnknownFactError
from whichpu.graphs.facts import Facts
from whichpu.graphs.graph import Graph, Operator

Status = Literal["npu", "host", "refused", "unknown"]
"""Taken by the accelerator; left to the host; the compiler stops with an error; the sources do not tell."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fact comes from."""

    title: str
    url: str = ""
    version: str = ""


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A choice of the user's, written ``target:name=value``."""

    default: str
    says: str
    values: tuple[str, ...] = ()
    """Allowed values; empty for any."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``need`` must hold, where ``when`` holds; else the operator gets ``otherwise`` and the sentence ``says``."""

    need: str
    says: str
    when: str = ""
    source: str = ""
    otherwise: Status = "host"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of one kind of operator."""

    status: Status = "npu"
    says: str = ""
    source: str = ""
    limits: tuple[Limit, ...] = ()
    heavy: bool = False
    """Counts as compute intensive where the partitioner pulls light regions back."""


class Capability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target's table."""

    name: str
    title: str
    vendor: str
    tool: str
    """The compiler that the table stands for, and its version in ``version``."""
    version: str
    sources: dict[str, Source]
    dialect: str
    """``onnx``, ``tflite`` or ``relay``: the names under which ``operators`` lists them."""
    lowering: str = "none"
    partition: str = "maximal"
    unit: str = "npu"
    """The word for ``placed`` where the accelerator takes an operator: npu, dla."""
    host: str = "cpu"
    """Where the rest runs: cpu, gpu."""
    hosted: bool = True
    """False where nothing falls back: what is not taken stops the compiler."""
    aliases: tuple[str, ...] = ()
    extends: str = ""
    options: dict[str, Option] = {}
    notes: tuple[str, ...] = ()
    """Sentences shown with every analysis of this target."""
    partition_options: dict[str, Any] = {}
    compiler: str = ""
    """The module in ``compilers/`` that asks the vendor's own tool where it is installed; empty for none."""
    every: tuple[Limit, ...] = ()
    """Limits that hold for every operator, looked at before its own; what is left to the host anyway, only by those
    that refuse."""
    whole: tuple[Limit, ...] = ()
    """Limits over the target or a region; their facts are :data:`whichpu.graphs.whole.WHOLE`."""
    default: Rule = Rule(status="host", says="{type} is not in the list of operators that {tool} {version} takes")
    operators: dict[str, Rule] = {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a table or a compiler says of one operator. ``limit`` is the condition that failed."""

    status: Status
    reason: str = ""
    limit: str = ""
    source: str = ""
    said_by: str = ""


@dataclass(frozen=True)
class Target:
    """A capability with the user's options: what ``--npu ethos-n78:driver=23.02`` means."""

    text: str
    capability: Capability
    options: Mapping[str, str]
    _compiled: dict[int, tuple[tuple[Limit, Condition | None, Condition], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def said_by(self) -> str:
        return f"table {self.capability.name}"

    @property
    def hosted(self) -> bool:
        """Whether what is not taken runs on the host; ``fallback=none`` says that it does not."""
        return self.capability.hosted and self.options.get("fallback") != "none"

    @property
    def python(self) -> str | None:
        """The interpreter that holds the vendor's compiler, where the user names one: ``rk3588:python=PATH``."""
        return self.options.get("python")

    def source(self, key: str) -> str:
        """The title of a source, with its version."""
        source = self.capability.sources.get(key)
        return " ".join(filter(None, (source.title, source.version))) if source else key

    def judge(self, graph: Graph, operator: Operator) -> Verdict:
        """The table's verdict on one operator of the lowered graph; where the file itself tells, what it tells."""
        told: Verdict | None = operator.attributes.get("told")
        if told is not None:
            return told
        facts = Facts(graph, operator, self.options)
        rule = self.rule(operator)
        taken = rule.status == "npu"
        for limit, when, need in self._limits(rule):
            try:
                if (when is not None and not when(facts)) or need(facts):
                    continue
            except UnknownFactError as unknown:
                reason = f"{unknown}, which the limit ({limit.need}) needs"
                return Verdict("unknown", reason, limit.need, limit.source or rule.source, self.said_by)
            return self._verdict(limit.otherwise, limit.says, limit.need, limit.source or rule.source, facts)
        if not taken:
            return self._verdict(rule.status, rule.says, "", rule.source, facts)
        return Verdict("npu", "", "", rule.source, self.said_by)

    def _limits(self, rule: Rule) -> tuple[tuple[Limit, Condition | None, Condition], ...]:
        """The limits that decide under a rule, in their order, compiled once: networks have many operators."""
        found = self._compiled.get(id(rule))
        if found is None:
            taken = rule.status == "npu"
            every = [limit for limit in self.capability.every if taken or limit.otherwise == "refused"]
            limits = (*every, *(rule.limits if taken else ()))
            found = tuple((one, condition(one.when) if one.when else None, condition(one.need)) for one in limits)
            self._compiled[id(rule)] = found
        return found

    def _verdict(self, status: Status, says: str, limit: str, source: str, facts: Facts) -> Verdict:
        if status == "host" and not self.hosted:
            status = "refused"
        return Verdict(status, fill(says, facts, self.capability), limit, source, self.said_by)

    def rule(self, operator: Operator) -> Rule:
        """The table's rule for an operator: its own, that of its domain and type, or the default."""
        if not operator.domain:
            return self.capability.operators.get(operator.type) or self.capability.default
        return self.capability.operators.get(f"{operator.domain}:{operator.type}") or CUSTOM


condition = cache(Condition)
CUSTOM = Rule(status="host", says="{type} is a custom operator of {domain}, which {tool} {version} does not know")
"""An operator outside of the dialect, which no table lists."""


def fill(says: str, facts: Facts, capability: Capability) -> str:
    """A sentence with the operator's own figures in its braces; a fact that is not known shows as ``?``."""
    words = {"tool": capability.tool, "version": capability.version, "title": capability.title}
    for _, name, _, _ in string.Formatter().parse(says):
        if name and name not in words:
            try:
                words[name] = _plain(facts[name])
            except UnknownFactError:
                words[name] = "?"
    return says.format(**words)


def fill_words(says: str, facts: Mapping[str, Any]) -> str:
    """A sentence over a target or a region, with the facts' values in its braces."""
    return says.format(**{name: _plain(facts[name]) for _, name, _, _ in string.Formatter().parse(says) if name})


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):  # sizes as 1x3x224x224; several of them, and words, one after another
        listed = any(isinstance(item, (tuple, list, str)) for item in value)
        return (", " if listed else "x").join(_plain(item) for item in value)
    return str(value)


@cache
def tables() -> Mapping[str, Capability]:
    """All capability tables by name. Raises :class:`ValueError` for a table that does not hold together: our bug."""
    raw = {}
    for file in resources.files("whichpu.graphs.capabilities").iterdir():
        if file.name.endswith(".toml"):
            content = tomllib.loads(file.read_text(encoding="utf-8"))
            raw[content["name"]] = content
    return {name: msgspec.convert(_extended(content, raw), Capability, strict=False) for name, content in raw.items()}


def _extended(content: dict[str, Any], raw: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A table with what it leaves out taken from the one it extends; tables within are joined, the rest replaced."""
    if "extends" not in content:
        return content
    base = dict(_extended(raw[content["extends"]], raw))
    base.pop("aliases", None)
    for key, value in content.items():
        joins = isinstance(value, dict) and key in (
            "sources",
            "options",
            "operators",
            "partition_options",
        )
        base[key] = {**base.get(key, {}), **value} if joins else value
    return base


MEASURED = ("measured", "host_measured")
"""Options of every table: a CSV file of measurements on the accelerator, or on the host, that estimates go by."""


def find(text: str) -> Target:
    """The target that ``NAME[:option=value,...]`` names. Raises :class:`UserError` naming what there is."""
    name, _, tail = text.partition(":")
    capability = _named(name)
    given = dict(_pair(part, text) for part in filter(None, tail.split(",")))
    alias = _alias_options(capability, name)
    options = {key: option.default for key, option in capability.options.items()} | alias
    for key, value in given.items():
        if (key == "python" and capability.compiler) or key in MEASURED:
            options[key] = value
            continue
        option = capability.options.get(key)
        if option is None:
            known = ", ".join([*capability.options, *(["python"] if capability.compiler else []), *MEASURED])
            raise UserError(f"{capability.name} has no option {key!r}", f"its options: {known}")
        if option.values and value not in option.values:
            raise UserError(f"{capability.name}: {key} can't be {value!r}", f"one of {', '.join(option.values)}")
        options[key] = value
    return Target(text, capability, options)


def check_files(target: Target) -> Target:
    """The target, if the files that its options name are there. Raises :class:`UserError`."""
    for key in ("python", *MEASURED):
        path = target.options.get(key)
        if path is not None and not Path(path).is_file():
            what = "the Python interpreter that has the compiler" if key == "python" else "a CSV file of measurements"
            raise UserError(f"{target.text}: there is no file {path!r}", f"name {what}: {key}=PATH")
    return target


def _pair(part: str, text: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals:
        raise UserError(f"{text!r}: {part!r} is no option", "write NAME:option=value,option=value")
    return key.strip(), value.strip()


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _named(name: str) -> Capability:
    wanted = _normal(name)
    for capability in tables().values():
        if wanted == capability.name or wanted in (_normal(alias.partition(":")[0]) for alias in capability.aliases):
            return capability
    import difflib

    names = sorted(tables())
    close = difflib.get_close_matches(wanted, names, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UserError(f"no NPU is called {name!r}", f"{hint}there are: {', '.join(names)}")


def _alias_options(capability: Capability, name: str) -> dict[str, str]:
    """An alias may carry options: ``rk3588-fp16:precision=fp16``."""
    for alias in capability.aliases:
        head, _, tail = alias.partition(":")
        if _normal(head) == _normal(name) and tail:
            return dict(_pair(part, alias) for part in tail.split(","))
    return {}


def targets(texts: Iterable[str]) -> list[Target]:
    """Targets for all texts, each once; ``all`` stands for every table with its default options."""
    found: dict[str, Target] = {}
    for text in texts:
        for name in sorted(tables()) if text == "all" else [text]:
            found.setdefault(name, find(name))
    return list(found.values())
