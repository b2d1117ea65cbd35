"""The small language of the capability tables: a Python expression over facts, nothing else.

``kernel_h <= 32 and stride_h in (1, 2)`` is a condition. Names are facts of the operator; a fact that is not known
raises :class:`UnknownFactError`, so that a verdict is never built on a guess. Only comparisons, arithmetic, and the
functions of :data:`FUNCTIONS` are allowed.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any


class UnknownFactError(LookupError):
    """A fact the condition needs is not known for this operator; the message names it."""


@cache
def version(text: str) -> tuple[int, ...]:
    """``10.7`` as (10, 7), so that versions compare as numbers."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "all": all, "any": any, "len": len, "max": max, "min": min, "prod": math.prod, "round": round,
    "sum": sum, "set": set, "sorted": sorted, "zip": zip, "range": range, "version": version, "ceil": math.ceil,
    "log2": math.log2, "str": str, "int": int,
}  # fmt: skip
ALLOWED = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.IfExp, ast.Constant, ast.Name,
    ast.Tuple, ast.List, ast.Set, ast.Subscript, ast.Slice, ast.GeneratorExp, ast.ListComp, ast.comprehension,
    ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


class Condition:
    """A compiled condition. Raises :class:`ValueError` for anything but the small language."""

    def __init__(self, text: str) -> None:
        self.text = text
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if not isinstance(node, ALLOWED):
                raise ValueError(f"condition {text!r}: {type(node).__name__} is not allowed in it")
        bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        self.names = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in {*bound, *FUNCTIONS}
        }
        body = ast.fix_missing_locations(_Facts(bound).visit(tree)).body
        arguments = ast.arguments([], [ast.arg("facts")], None, [], [], None, [])
        wrapped = ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, body)))
        code = compile(wrapped, f"<{text}>", "eval")
        self._call: Callable[[Any], Any] = eval(code, {"__builtins__": {}, **FUNCTIONS})

    def __call__(self, facts: Any) -> Any:
        try:
            return self._call(facts)
        except (IndexError, ZeroDivisionError) as problem:  # fewer axes than the condition looks at, an empty tensor
            raise UnknownFactError(f"it has fewer axes or elements than is asked for ({problem})") from problem
        except (OverflowError, ValueError) as problem:  # infinite, or not a number
            raise UnknownFactError(f"a figure of it is out of range ({problem})") from problem


class _Facts(ast.NodeTransformer):
    """``kernel_h`` becomes ``facts["kernel_h"]``, so that only facts that are needed are worked out."""

    def __init__(self, bound: set[str]) -> None:
        self.kept = {*bound, *FUNCTIONS}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.kept:
            return node
        return ast.Subscript(ast.Name("facts", ast.Load()), ast.Constant(node.id), ast.Load())
