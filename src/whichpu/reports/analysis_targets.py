"""The targets that can be analysed: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from whichpu.graphs.capability import Capability
from whichpu.reports.tables import Column, print_item, print_tables

if TYPE_CHECKING:
    from rich.console import Console


MOST = 4
"""Values of an option that a line shows; `--json` has all."""

ASKED = "python=PATH, the interpreter that has the vendor's compiler:"


def rows(tables: Mapping[str, Capability]) -> list[dict[str, Any]]:
    """What ``--list --json`` prints: name, title, vendor, tool, version, options, aliases, operators, compiler."""
    return [
        {
            "npu": name,
            "title": table.title,
            "vendor": table.vendor,
            "tool": table.tool,
            "version": table.version,
            "unit": table.unit,
            "options": {
                key: {"default": option.default, "values": list(option.values), "says": option.says}
                for key, option in table.options.items()
            },
            "aliases": [alias.partition(":")[0] for alias in table.aliases],
            "operators": len(table.operators),
            "compiler": table.compiler,
        }
        for name, table in sorted(tables.items())
    ]


def show(tables: Mapping[str, Capability], screen: Console) -> None:
    """Print a line for each target."""
    shown = [table for _, table in sorted(tables.items())]
    columns = [
        Column("what it is", [table.title for table in shown], folds=True),
        Column("by", [f"{table.tool} {table.version}".strip() for table in shown], folds=True),
        Column("operators", [str(len(table.operators)) for table in shown], right=True),
        Column(
            "options", [", ".join(map(_option, table.options, table.options.values())) for table in shown], folds=True
        ),
    ]
    print_tables(screen, Column("target", [table.name for table in shown]), {"targets of `--npu`": columns})
    asked = ", ".join(table.name for table in shown if table.compiler)
    print_item(
        screen,
        f"Every target: measured=CSV, host_measured=CSV, your measurements for the estimate. {ASKED} {asked}.",
        0,
    )
    print_item(screen, "Example: whichpu analyze model.onnx --npu rk3588:precision=fp16", 0)


def _option(name: str, option: Any) -> str:
    shown = option.values if len(option.values) <= MOST else (*option.values[: MOST - 1], "...")
    return f"{name}={'|'.join(shown) or option.default or '...'}"
