"""The grammar of Relay's text format (``#[version = "0.0.5"]``), as far as dumps use it.

Source: TVM's documentation, "Relay text format"; dumps of TVM 0.14. Parsing is one pass over tokens; nesting is limited
so that no text, however broken, can exhaust the stack.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from whichpu.errors import UserError

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)
    |(?P<space>[ \t\r]+)|(?P<newline>\n)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<number>-?(?:inf|nan|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?:f16|f32|f64|[fhiu]\d*)?(?![\w]))
    |(?P<meta>meta\[[\w.]+\]\[\d+\])
    |(?P<variable>%(?:\d+|[A-Za-z_][\w.:/\-]*))
    |(?P<global>@[\w.\-]+)
    |(?P<name>[A-Za-z_][\w.]*)
    |(?P<mark>->|[()\[\]{}<>,;:=.?*|!\#+\-/&])""",
    re.VERBOSE | re.DOTALL,
)
TYPE = re.compile(r"ty=(.*?)(?:\s+span=|\s*$)", re.DOTALL)
SPAN = re.compile(r"span=(.*?)(?::\d+:\d+)?\s*$", re.DOTALL)
DEEPEST = 60
SUFFIXES = {"f": "float32", "h": "float16", "f16": "float16", "f32": "float32", "f64": "float64"}


@dataclass(slots=True)
class Node:
    line: int


@dataclass(slots=True)
class Reference(Node):
    """``%name`` without the sign, ``@name`` with it."""

    name: str


@dataclass(slots=True)
class Constant(Node):
    text: str
    value: Any
    dtype: str
    type_text: str = ""


@dataclass(slots=True)
class Tuple(Node):
    items: list[Node]


@dataclass(slots=True)
class Get(Node):
    of: Node
    position: int


@dataclass(slots=True)
class Call(Node):
    callee: Any
    """The operator's name, or a :class:`Reference` or :class:`Function`."""
    arguments: list[Node]
    attributes: dict[str, Any]
    type_text: str = ""
    span: str = ""


@dataclass(slots=True)
class Function(Node):
    name: str
    parameters: list[tuple[str, str]] = field(default_factory=list)
    """Name and type, as written."""
    attributes: dict[str, Any] = field(default_factory=dict)
    statements: list[tuple[str, Node]] = field(default_factory=list)
    result: Node | None = None

    @property
    def device(self) -> bool:
        """Partitioned for a device."""
        return "Compiler" in self.attributes


def parse(text: str, name: str) -> dict[str, Function]:
    """Functions by name; constants that the text keeps at its end (``#[metadata]``) are left out.

    Raises :class:`UserError` naming the line that can't be read.
    """
    return _Parser(text.partition("\n#[metadata]")[0], name).module()


class _Parser:
    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self.lines: list[int] = []
        self.comments: dict[int, str] = {}
        """Comment that follows the token before the key."""
        self._tokens(text)
        self.at = 0
        self.depth = 0

    def _tokens(self, text: str) -> None:
        line, place, end = 1, 0, len(text)
        kinds, texts, lines, comments, match = self.kinds, self.texts, self.lines, self.comments, TOKEN.match
        while place < end:
            found = match(text, place)
            if found is None:
                raise UserError(
                    f"{self.name}, line {line}: {text[place : place + 20]!r} is no Relay text",
                    "print the module with mod.astext()",
                )
            kind, piece, place = str(found.lastgroup), found.group(), found.end()
            if kind == "newline":
                line += 1
            elif kind == "comment":
                comments[len(texts)] = piece
                line += piece.count("\n")
            elif kind != "space":
                kinds.append(kind)
                texts.append(piece)
                lines.append(line)
        kinds.append("end")
        texts.append("")
        lines.append(line)

    # Steps.

    def _wrong(self, says: str) -> NoReturn:
        seen = self.texts[self.at] or "the end"
        raise UserError(
            f"{self.name}, line {self.lines[self.at]}: {says}, but there is {seen!r}",
            "print the module again, whole: print(mod) or mod.astext()",
        )

    def _next(self) -> str:
        self.at += self.kinds[self.at] != "end"
        return self.texts[self.at - 1]

    def _is(self, text: str) -> bool:
        return self.texts[self.at] == text and self.kinds[self.at] in ("mark", "name")

    def _take(self, text: str) -> bool:
        if self._is(text):
            self.at += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            self._wrong(f"{text!r} is expected")

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            self._wrong("it nests too deep")

    # The module.

    def module(self) -> dict[str, Function]:
        functions: dict[str, Function] = {}
        while self.kinds[self.at] != "end":
            if self._take("#"):
                self._skip("[", "]")
            elif self._take("def"):
                name = self._next()[1:]
                functions[name] = self._function(name)
            elif self._is("fn"):
                self.at += 1
                functions.setdefault("main", self._function("main"))
            elif self._is("type") or self._is("extern"):
                self._skip("{", "}")
            else:
                self._wrong("a function (def @name) is expected")
        return functions

    def _skip(self, opening: str, closing: str) -> None:
        """Past a bracketed piece that is of no interest."""
        while not self._is(opening):
            if self.kinds[self.at] == "end":
                self._wrong(f"{opening!r} is expected")
            self.at += 1
        level = 0
        while self.kinds[self.at] != "end":
            level += self._is(opening) - self._is(closing)
            self.at += 1
            if level == 0:
                return
        self._wrong(f"{closing!r} is expected")

    def _function(self, name: str) -> Function:
        self._deeper()
        made = Function(self.lines[self.at], name)
        if self._is("<"):
            self._skip("<", ">")
        self._need("(")
        while not self._take(")"):
            self._parameter(made)
            if not self._is(")"):
                self._need(",")
        if self._take("->"):
            self._type()
        self._need("{")
        self._block(made)
        self.depth -= 1
        return made

    def _parameter(self, made: Function) -> None:
        if self.kinds[self.at] == "variable":
            name = self._next()[1:]
            typed = name.endswith(":") or self._take(":")
            made.parameters.append((name.rstrip(":"), self._type() if typed else ""))
            return
        if self.kinds[self.at] not in ("name", "string"):
            self._wrong("a parameter is expected")
        key = self._next().strip('"')
        self._need("=")
        made.attributes[key] = self._attribute()

    def _type(self) -> str:
        """A type as written: up to the comma or bracket that ends it."""
        start, level = self.at, 0
        while self.kinds[self.at] != "end":
            text = self.texts[self.at] if self.kinds[self.at] == "mark" else ""
            if level == 0 and text in (",", ")", "{", "=", ";", "}"):
                break
            level += (text in ("(", "[", "<")) - (text in (")", "]", ">"))
            self.at += 1
        return "".join(self.texts[start : self.at])

    # Bodies.

    def _block(self, made: Function) -> None:
        while True:
            let = self._take("let")
            if self.kinds[self.at] == "variable" and self.texts[self.at + 1] in ("=", ":"):
                self._statement(made)
                continue
            if let:
                self._wrong("a variable is expected")
            made.result = self._expression()
            self._take(";")
            self._need("}")
            return

    def _statement(self, made: Function) -> None:
        variable = self._next()[1:]
        if self._take(":"):
            self._type()
        self._need("=")
        made.statements.append((variable, self._expression()))
        self._need(";")

    def _expression(self) -> Node:
        self._deeper()
        line, kind = self.lines[self.at], self.kinds[self.at]
        node: Node
        if self._is("fn"):
            self.at += 1
            node = self._function("")
        elif kind == "mark" and self._is("("):
            node = self._tuple()
        elif kind in ("number", "meta", "string") or self.texts[self.at] in ("True", "False"):
            node = self._constant()
        elif kind in ("variable", "global"):
            text = self._next()
            node = Reference(line, text if kind == "global" else text[1:])
        elif kind == "name":
            node = self._named(line)
        else:
            self._wrong("an expression is expected")
        node = self._after(node)
        self.depth -= 1
        return node

    def _named(self, line: int) -> Node:
        name = self._next()
        if name in ("if", "match", "ref"):
            raise UserError(
                f"{self.name}, line {line}: {name!r} is control flow, which can't be placed",
                "analyse the network without it, or the model it was imported from",
            )
        return self._called(line, name) if self._is("(") else Reference(line, name)

    def _after(self, node: Node) -> Node:
        """Calls and elements that follow an expression: ``%f(%x)``, ``%t.0``."""
        while True:
            if self._is("(") and not isinstance(node, (Constant, Tuple)):
                node = self._called(node.line, node)
            elif self._is(".") and self.texts[self.at + 1].isdigit():
                self.at += 2
                node = Get(node.line, node, int(self.texts[self.at - 1]))
            else:
                return node

    def _called(self, line: int, callee: Any) -> Call:
        made = Call(line, callee, [], {})
        self._need("(")
        while not self._take(")"):
            if self.kinds[self.at] == "name" and self.texts[self.at + 1] == "=":
                key = self._next()
                self.at += 1
                made.attributes[key] = self._attribute()
            else:
                made.arguments.append(self._expression())
            if not self._is(")"):
                self._need(",")
        made.type_text, made.span = self._said()
        return made

    def _said(self) -> tuple[str, str]:
        """Type and span in the comment that follows."""
        comment = self.comments.get(self.at, "")[2:-2]
        kind = TYPE.search(comment) if comment else None
        span = SPAN.search(comment) if "span=" in comment else None
        return (kind.group(1) if kind else ""), (span.group(1) if span else "")

    def _tuple(self) -> Node:
        line = self.lines[self.at]
        self._need("(")
        items: list[Node] = []
        comma = False
        while not self._take(")"):
            items.append(self._expression())
            if not self._is(")"):
                self._need(",")
                comma = True
        return items[0] if len(items) == 1 and not comma else Tuple(line, items)

    def _constant(self) -> Constant:
        line, kind, text = self.lines[self.at], self.kinds[self.at], self._next()
        value, dtype = _number(text) if kind == "number" else (None, "")
        if text in ("True", "False"):
            value, dtype = text == "True", "bool"
        return Constant(line, text, value, dtype, self._said()[0])

    # Attributes.

    def _attribute(self) -> Any:
        self._deeper()
        kind = self.kinds[self.at]
        value: Any
        if self._take("["):
            value = self._items("]")
        elif self._take("("):
            value = self._items(")")
        elif kind == "number":
            value = _number(self._next())[0]
        elif kind == "string":
            value = self._next()[1:-1]
        elif kind in ("name", "meta", "variable", "global"):
            value = {"True": True, "False": False, "None": None}.get(self.texts[self.at], self.texts[self.at])
            self.at += 1
            if self._is("("):  # an expression in place of a value: only its name is of use
                self._skip("(", ")")
        elif self._take("{"):
            self.at -= 1
            self._skip("{", "}")
            value = {}
        else:
            self._wrong("an attribute's value is expected")
        self.depth -= 1
        return value

    def _items(self, closing: str) -> tuple[Any, ...]:
        items = []
        while not self._take(closing):
            items.append(self._attribute())
            if not self._is(closing):
                self._need(",")
        return tuple(items)


def _number(text: str) -> tuple[int | float, str]:
    """Value and type of a number as Relay writes it: ``0.5f``, ``-128``, ``3i64``."""
    found = re.match(r"(-?(?:inf|nan|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))(.*)$", text)
    assert found is not None
    digits, suffix = found.groups()
    if suffix in SUFFIXES:
        return float(digits), SUFFIXES[suffix]
    width = {"i": "int", "u": "uint"}.get(suffix[:1])
    if width and suffix[1:].isdigit():
        value = float(digits)
        return (int(value) if math.isfinite(value) else value), width + suffix[1:]
    whole = digits.lstrip("-").isdigit() and len(digits) < 400
    return (int(digits), "int32") if whole else (float(digits), "float32")
