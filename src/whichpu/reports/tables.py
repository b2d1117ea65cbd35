"""Tables that fit the terminal: all columns in one where there is room, else several; numbers are never folded."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BETWEEN, EDGES = 3, 2
"""Characters between two columns of a table, and at its two ends together."""
NAME_LEAST = 20
"""A contender's name is folded to no less: `openvino:cpu,precision=default` takes two lines, not four."""
CLAUSE = re.compile(r"(?<=,)(?! )|(?<=, )|(?<= )(?=\()")
PIECE = re.compile(r"[^\s,:=/]+[\s,:=/]*|[\s,:=/]+")


class Column(NamedTuple):
    """A heading and its cells. Only a column that ``folds`` may go on in the next line; numbers never do."""

    heading: str
    cells: Sequence[str]
    right: bool = False
    folds: bool = False
    least_of_names: int = 0

    def most(self) -> int:
        """Its width when nothing more is folded."""
        return max(len(line) for text in (self.heading, *self.cells) for line in text.split("\n"))

    def least(self, split: Callable[[str], list[str]]) -> int:
        """Its width when all is folded that may be; what ``split`` makes of a cell stays whole."""
        cells = [part.rstrip() for cell in self.cells for part in split(cell)] if self.folds else self.cells
        longest = max(len(text) for text in (*self.heading.split(), *cells))
        return min(self.most(), self.least_of_names or longest)

    def folded(self, width: int) -> Column:
        """The column with its heading, and its cells if they may, on lines of ``width`` at most."""
        cells = [_folded(cell, width) for cell in self.cells] if self.folds else self.cells
        return self._replace(heading=_folded(self.heading, width), cells=cells)


def print_tables(screen: Console, names: Column, groups: Mapping[str, list[Column]], whole: str | None = None) -> None:
    """All groups of columns in one table if it fits, else a table each, or more of them in a very narrow terminal."""
    every = [names, *(column for columns in groups.values() for column in columns)]
    if fits(screen, every):
        screen.print(table(next(iter(groups)) if whole is None else whole, every))
        return
    for title, columns in groups.items():
        for part in _parts(names, columns, screen.width):
            screen.print(table(title, _squeezed([names, *part], screen.width)))


def fits(screen: Console, columns: Sequence[Column]) -> bool:
    return _width([column.most() for column in columns]) <= screen.width


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + BETWEEN * (len(widths) - 1) + EDGES


def _parts(names: Column, columns: list[Column], room: int) -> Iterator[list[Column]]:
    """As many columns beside the names as fit when they are folded, then the next ones."""
    part: list[Column] = []
    for column in columns:
        if part and _width([one.least(PIECE.findall) for one in (names, *part, column)]) > room:
            yield part
            part = []
        part.append(column)
    yield part


def _squeezed(columns: list[Column], room: int) -> list[Column]:
    """Fold what gains most by it, first where it reads well; when the table fits, give back what room is left."""
    now = list(columns)
    for split in (CLAUSE.split, PIECE.findall):
        leasts = [column.least(split) for column in columns]
        while _width([column.most() for column in now]) > room:
            loose = [at for at, column in enumerate(now) if column.most() > leasts[at]]
            if not loose:
                break
            tries = {at: columns[at].folded(now[at].most() - 1) for at in loose}
            best = max(loose, key=lambda at: now[at].most() - tries[at].most())
            now[best] = tries[best]
    for at in reversed(range(len(columns))):
        spare = max(0, room - _width([column.most() for column in now]))
        now[at] = columns[at].folded(now[at].most() + spare)
    return now


def table(title: str, columns: Sequence[Column]) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD, title=safe(title) or None, title_justify="left", title_style="dim", pad_edge=False
    )
    for column in columns:
        made.add_column(safe(column.heading), justify="right" if column.right else "left", no_wrap=column.right)
    for cells in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*map(safe, cells))
    return made


def _folded(text: str, width: int) -> str:
    """Lines of ``width`` at most: broken after an option or before a bracket, else at spaces and within a name."""
    lines = [""]
    for clause in CLAUSE.split(text):
        for piece in [clause] if len(clause.rstrip()) <= width else PIECE.findall(clause):
            if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    cut = [line[at : at + width] for line in map(str.rstrip, lines) for at in range(0, max(1, len(line)), width)]
    return "\n".join(cut)


def print_item(screen: Console, text: str, indent: int) -> None:
    """A sentence as long as it likes; its further lines stand two deeper than its first."""
    from rich.cells import cell_len

    if cell_len(text) != len(text):  # Hangul is two columns wide
        from rich.padding import Padding
        from rich.text import Text

        screen.print(Padding.indent(Text(text), indent))
        return
    first, further = " " * indent, " " * (indent + 2)
    wrapped = textwrap.fill(
        text,
        max(NAME_LEAST, screen.width),
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    screen.print(wrapped, markup=False)


def safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def plain(show: Callable[[Console], None]) -> str:
    """What ``show`` prints, as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(Console(file=stream, width=200, highlight=False, emoji=False))
    return stream.getvalue()
