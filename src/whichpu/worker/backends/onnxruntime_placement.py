"""On which unit ONNX Runtime put each operator, and whether a provider silently took none.

Since 1.24 a session tells (``session.record_ep_graph_assignment_info``, ``get_provider_graph_assignment_info``: one
entry for each operator before a provider fuses them); for older ones, a profile of one inference does, in a session of
its own, where what a provider fused counts once. A provider that can't start is either missing in
``get_providers()``, or (plug-ins) listed and given nothing.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import re
import tempfile
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy

from .. import wire
from . import FellBack, Refused
from . import onnxruntime_providers as providers
from .onnxruntime_plugins import device_of, words_of

RECORD = "session.record_ep_graph_assignment_info"
BY = "ONNX Runtime's own record of which provider got each operator"
BY_PROFILE = "ONNX Runtime's profile of one inference; what a provider fused counts once"
COPIES = "Memcpy"
"""Nodes that ONNX Runtime adds between providers."""
NAMED = 5
TAKES = "whichpu analyze tells what a unit takes; set= gives the provider's own options"
MENDS = {"soc_model is not specified": "name the chip: arch=73,soc=43 is a Snapdragon 8 Gen 2"}
"""What to try, by words of a provider (QNN 2.7.0)."""
LIBRARY_MISSING = ("Failed to load library", "Please install")
ERROR = re.compile(r"\[[EF]:onnxruntime:")
NEEDS = re.compile(r"Require (.+?)\. Please install")
LARGEST_BYTES = 256 << 20


class Node(NamedTuple):
    """One operator: its provider, kind and name."""

    provider: str
    kind: str
    name: str


def of(session: Any, asked: str, log: List[str], profiled: Callable[[str], Any], model: str) -> wire.Placement:
    """Where the operators of a loaded model run. Raises :class:`FellBack` where none runs on the unit asked for.

    ``log`` is what was printed while loading; ``profiled`` opens the model once more, profiling into files whose path
    begins so, runs one inference, and returns the session.
    """
    try:
        nodes, by = recorded(session), BY
        if nodes is None:
            nodes, by = _profile(profiled, model), BY_PROFILE
    except Refused as problem:
        return wire.Placement(asked, unknown=str(problem))
    nodes = [node for node in nodes if not node.kind.startswith(COPIES)]
    if not nodes:
        return wire.Placement(asked, unknown="no operators are left in the graph")
    found = placement(nodes, asked, by)
    if asked not in found.units:
        refuse(asked, "takes none of the model's %d operators, all would run on" % len(nodes), sorted(found.units), log)
    return found


def recorded(session: Any) -> Optional[List[Node]]:
    """The session's own record; ``None`` before ONNX Runtime 1.24."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    parts = session.get_provider_graph_assignment_info()
    return [Node(part.ep_name, node.op_type, node.name) for part in parts for node in part.get_nodes()]


def placement(nodes: List[Node], asked: str, by: str) -> wire.Placement:
    """Operators by unit; those that are not on the unit asked for, with their kinds."""
    units: Dict[str, List[Node]] = {}
    for node in nodes:
        units.setdefault(device_of(node.provider), []).append(node)
    elsewhere = [
        wire.Elsewhere(
            unit,
            len(found),
            dict(collections.Counter(node.kind for node in found)),
            names=[node.name for node in found if node.name][:NAMED],
        )
        for unit, found in units.items()
        if unit != asked
    ]
    return wire.Placement(asked, {unit: len(found) for unit, found in units.items()}, by, elsewhere)


def check_started(in_use: List[str], choice: providers.Chosen, log: List[str]) -> None:
    """Raises :class:`FellBack` where the session does without the provider."""
    if choice.name not in in_use:
        refuse(choice.name, "does not start, all would run on", in_use, log, choice.provider.install)


def refuse(who: str, how: str, units: List[str], log: List[str], install: str = "") -> None:
    """Raises :class:`FellBack` with the first error that ONNX Runtime printed, and with what it says it needs."""
    said = next((words_of(line) for line in log if ERROR.search(line)), "")
    needs = next((found.group(1) for found in map(NEEDS.search, log) if found), "")
    words = "%s %s %s%s" % (who, how, "+".join(units), ": %s" % said if said else "")
    remedy = "choose another unit or other options, or mend what it says" if said else TAKES
    if needs:
        remedy = "it requires %s%s" % (needs, "; %s" % install if install else "")
    raise FellBack(words, remedy)


def refusal(choice: providers.Chosen, problem: Exception, log: List[str]) -> Refused:
    """Why a session could not be made: the error's words, and the first of the log where it says more."""
    said = [words_of(line) for line in log if ERROR.search(line)][:1]
    words = "; ".join(dict.fromkeys([words_of(str(problem))] + said))
    missing = any(sign in str(problem) + "".join(log) for sign in LIBRARY_MISSING)
    mend = next((remedy for sign, remedy in MENDS.items() if sign in str(problem)), None)
    return Refused("%s: %s" % (choice.name, words), choice.provider.install if missing else mend)


def nodes_of_profile(events: List[Dict[str, Any]]) -> List[Node]:
    """The operators of the first inference of a profile, each once."""
    found: Dict[str, Node] = {}
    for event in events:
        told = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and told.get("provider"):
            found.setdefault(event["name"], Node(told["provider"], told.get("op_name", ""), event["name"][:-12]))
    return list(found.values())


def zeros(specs: List[wire.TensorSpec]) -> "List[numpy.ndarray[Any, Any]]":
    """Inputs of zeros. Raises :class:`Refused` for a shape that is not known."""
    if any(size < 0 for spec in specs for size in spec.shape):
        raise Refused("before ONNX Runtime 1.24 it takes an inference to tell, and the shape of an input is not known")
    return [numpy.zeros(spec.shape, spec.dtype) for spec in specs]


def _profile(profiled: Callable[[str], Any], model: str) -> List[Node]:
    if os.path.getsize(model) > LARGEST_BYTES:
        raise Refused("before ONNX Runtime 1.24 the model has to be loaded once more to tell, and it is too large")
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
        session = profiled(os.path.join(folder, "profile"))
        events = json.loads(pathlib.Path(session.end_profiling()).read_text(encoding="utf-8"))
    return nodes_of_profile(events)
