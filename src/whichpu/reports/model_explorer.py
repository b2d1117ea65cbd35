"""Placements for Google's Model Explorer: node data that colours the operators of a model that is open there.

Format: ``{"results": {key: {"value", "bgColor", "textColor"}}}`` for the graph that is shown; a key is the name of one
of a node's output tensors, a value may be a word. Source: Model Explorer's ``node_data_builder`` (``GraphNodeData``)
and what its page makes of a file without graph names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from whichpu.graphs.analysis import Analysis
from whichpu.graphs.placement import Placement

COLOURS = {
    "accelerator": "#2f81f7",
    "host": "#f0a25c",
    "refused": "#d1242f",
    "unknown": "#8250df",
    "folded": "#d0d7de",
}
TEXTS = {"accelerator": "#ffffff", "refused": "#ffffff", "unknown": "#ffffff"}


def node_data(placement: Placement) -> dict[str, object]:
    """Node data of one placement: each output tensor's operator with the word for where it is placed."""
    results = {}
    for one in placement.placed:
        colours = {"bgColor": COLOURS[one.fate], "textColor": TEXTS.get(one.fate, "#1f2328")}
        for tensor in one.operator.outputs:
            if tensor.name:
                results[tensor.name] = {"value": one.where, **colours}
    return {"results": results, "showExpandedSummaryOnGroupNode": True}


def files(analyses: Sequence[Analysis]) -> dict[str, bytes]:
    """A file name and its bytes for each model and target."""
    found: dict[str, bytes] = {}
    for analysis in analyses:
        for one in analysis.targets:
            if one.placement is not None:
                name = _free(f"{analysis.model.stem}.{re.sub(r'[^A-Za-z0-9.=-]+', '_', one.target.text)}", found)
                found[name] = json.dumps(node_data(one.placement), indent=1).encode()
    return found


def _free(stem: str, taken: dict[str, bytes]) -> str:
    names = (f"{stem}{'' if number == 1 else f'-{number}'}.json" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def opening(path: Path) -> str:
    """How to open them."""
    return f"Model Explorer: open the model, then `Load node data` with a file of {path}."
