"""Operators on the edge of a limit: taken, but a little more of a figure and they would not be."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from whichpu.graphs.capability import Limit, condition
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.facts import Facts
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import FEW, plural, unit
from whichpu.graphs.graph import Operator
from whichpu.graphs.placement import Placement

LEAST = 8
"""Smaller bounds (rank 4 of 4, batch 1 of 1) are met exactly by almost every network and say nothing."""
NEAR = 0.9
"""From this share of the bound on."""


class Bound(NamedTuple):
    """``fact <= most``."""

    fact: str
    most: float


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    found: dict[Bound, list[tuple[Operator, float]]] = defaultdict(list)
    for operator, verdict in zip(placement.lowered.operators, placement.verdicts, strict=True):
        if verdict.status == "npu":
            for bound, value in _near(placement, operator):
                found[bound].append((operator, value))
    for bound, rows in sorted(found.items(), key=lambda item: -len(item[1])):
        operator, value = max(rows, key=lambda row: row[1])
        says = (
            f"{plural(len(rows), 'operator is', 'operators are')} near a limit of the {unit(placement)}:"
            f" {bound.fact} is {value:,.6g} of at most {bound.most:,.6g} at {operator.type} {operator.name}"
        )
        figures = {"fact": bound.fact, "limit": bound.most, "most": value, "count": len(rows)}
        yield Finding("near-limit", says, tuple(row[0].name for row in rows[:FEW]), figures)


def _near(placement: Placement, operator: Operator) -> Iterator[tuple[Bound, float]]:
    target = placement.target
    limits = [limit for limit in (*target.capability.every, *target.rule(operator).limits) if bounds(limit.need)]
    facts = Facts(placement.lowered, operator, target.options) if limits else None
    for limit in limits:
        for bound in bounds(limit.need):
            value = _value(facts, bound, limit) if facts is not None else None
            if value is not None and NEAR * bound.most <= value <= bound.most:
                yield bound, value


def _value(facts: Facts, bound: Bound, limit: Limit) -> float | None:
    try:
        if limit.when and not condition(limit.when)(facts):
            return None
        value = facts[bound.fact]
    except UnknownFactError:
        return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


@cache
def bounds(need: str) -> tuple[Bound, ...]:
    """Upper bounds on facts that must all hold: ``1 <= kernel_h <= 32 and ...`` gives kernel_h <= 32."""
    body = ast.parse(need.strip(), mode="eval").body
    parts = body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]
    return tuple(bound for part in parts if isinstance(part, ast.Compare) for bound in _uppers(part))


def _uppers(compare: ast.Compare) -> Iterator[Bound]:
    terms = [compare.left, *compare.comparators]
    for low, sign, high in zip(terms, compare.ops, terms[1:], strict=False):
        if isinstance(low, ast.Name) and isinstance(sign, (ast.LtE, ast.Lt)):
            most = _number(high)
            if most is not None and most >= LEAST:
                yield Bound(low.id, most)


def _number(node: ast.expr) -> float | None:
    """``65536`` or ``2 ** 16`` as a number; None for anything with a name in it."""
    if any(not isinstance(part, (ast.Constant, ast.BinOp, ast.operator)) for part in ast.walk(node)):
        return None
    value = condition(ast.unparse(node))({})
    return value if isinstance(value, (int, float)) else None
