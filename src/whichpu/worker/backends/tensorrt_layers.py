"""What TensorRT tells in texts: an engine's layers, its header, the builder's log. Nothing here needs TensorRT.

Sources: NVIDIA, "Engine Inspector" in TensorRT's developer guide; the header as ``trtexec --getPlanVersionOnly`` reads
it (NVIDIA/TensorRT samples/common/sampleEngines.cpp, 10.x); lines of public build logs of Xavier and Orin.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .. import wire

TAG = b"ftrt"
"""First bytes of a plan (a serialised engine)."""
HEADER_BYTES = 28
LABELS = ("int4", "int8", "fp4", "fp8", "bf16", "fp16", "fp32")
TYPES = (
    ("int8", re.compile(r"int8", re.I)),
    ("int4", re.compile(r"int4", re.I)),
    ("bf16", re.compile(r"bf16|bfloat", re.I)),
    ("fp16", re.compile(r"fp16|half|float16", re.I)),
    ("fp8", re.compile(r"fp8|float8", re.I)),
    ("fp4", re.compile(r"fp4|float4", re.I)),
    ("fp32", re.compile(r"fp32|float", re.I)),
)
"""Precisions by the words for them, which differ between versions: the first that fits."""
MOVES = (
    "reformat",
    "noop",
    "constant",
    "shuffle",
    "identity",
    "signal",
    "wait",
    "shapehosttodevice",
    "devicetoshapehost",
)
"""Types of layers that compute nothing."""
ON_GPU = re.compile(r"\[GpuLayer\] (?:[A-Z0-9_]+: )?(.+?)\s*$")
MOVED = (
    re.compile(r"(?P<why>.*?)\s*Switching to GPU for layer (?P<name>.+?)\.?\s*$"),
    re.compile(r"(?P<name>.+?): (?P<why>.+?)\.? Switching this layer's device type to GPU"),
    re.compile(r"Default DLA is enabled but layer (?P<name>.+) is (?P<why>not supported on DLA), falling back to GPU"),
)
"""How versions of the builder say that a layer goes to the GPU after all."""
NAMES_KEPT = 5
BY_INSPECTOR = "the engine inspector; a part on the DLA counts as one layer"
BY_ASKING = (
    "can_run_on_DLA, asked of each layer of the parsed network, and the builder's log; constants are not counted"
)


class Asked(NamedTuple):
    """One layer of a parsed network: its type, and what TensorRT says of the DLA."""

    name: str
    kind: str
    takes: bool
    said: str


def version_of(head: bytes) -> Optional[str]:
    """TensorRT's version in a plan's header, ``None`` where the header is not of a known form."""
    if len(head) < HEADER_BYTES or head[:4] != TAG or any(head[4:8]):
        return None
    return ".".join(str(part) for part in head[24:28])


def plan_in(data: bytes) -> bytes:
    """The plan in a file that may begin with a length and that much JSON, as Ultralytics writes engines."""
    begin = 4 + int.from_bytes(data[:4], "little")
    return data[begin:] if data[begin : begin + 4] == TAG else data


def layers_of(text: str) -> List[Dict[str, Any]]:
    """The inspector's layers; empty where the engine was built without details, whose layers are mere names."""
    try:
        layers = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return []
    return [layer for layer in layers if isinstance(layer, dict)]


def on_dla(layer: Dict[str, Any]) -> bool:
    """A part that runs on a DLA. ``ForeignNode`` is also what Myelin's parts are called, which run on the GPU."""
    kind = str(layer.get("LayerType", "")).lower()
    return kind == "dla" or ("{ForeignNode" in str(layer.get("Name")) and "myelin" not in kind)


def placement_of(layers: Sequence[Dict[str, Any]], asked: str) -> wire.Placement:
    """Where an engine's layers run, by the inspector; ``asked`` is ``gpu`` or a DLA."""
    if not layers:
        return wire.Placement(asked, unknown="the engine was built without details (ProfilingVerbosity.DETAILED)")
    dla = asked if asked.startswith("dla") else "dla"
    parts = {dla: [one for one in layers if on_dla(one)], "gpu": [one for one in layers if not on_dla(one)]}
    units = {unit: len(found) for unit, found in parts.items() if found}
    elsewhere = [
        _elsewhere(unit, [(str(one.get("Name")), str(one.get("LayerType"))) for one in found], "")
        for unit, found in parts.items()
        if found and unit != asked
    ]
    return wire.Placement(asked, units, BY_INSPECTOR, elsewhere)


def placement_asked(layers: Sequence[Asked], log: Sequence[str], dla: str) -> wire.Placement:
    """Where the layers of a network for a DLA run: as asked of each, less what the builder then moved to the GPU."""
    moved = moved_to_gpu(layers, log)
    off = [(one, one.said or moved.get(one.name, "")) for one in layers if not one.takes or one.name in moved]
    reasons: Dict[str, List[Asked]] = {}
    for one, reason in off:
        reasons.setdefault(reason, []).append(one)
    units = {dla: len(layers) - len(off), "gpu": len(off)}
    elsewhere = [
        _elsewhere("gpu", [(one.name, one.kind) for one in found], reason) for reason, found in reasons.items()
    ]
    return wire.Placement(dla, {unit: count for unit, count in units.items() if count}, BY_ASKING, elsewhere)


def moved_to_gpu(layers: Sequence[Asked], log: Sequence[str]) -> Dict[str, str]:
    """Layers that a DLA could take and that the builder's log shows on the GPU, with its reason."""
    able = {one.name for one in layers if one.takes}
    moved: Dict[str, str] = {}
    for line in log:
        said = next(filter(None, (pattern.match(line) for pattern in MOVED)), None)
        shown = ON_GPU.search(line)
        if said and said.group("name") in able:
            moved[said.group("name")] = said.group("why").rstrip(".")
        elif shown:
            for name in able.intersection([shown.group(1)] + shown.group(1).split(" + ")):
                moved.setdefault(name, "the builder put it on the GPU")
    return moved


def precision_of(layers: Sequence[Dict[str, Any]], tf32: bool, asked: str) -> wire.Precision:
    """What the layers that compute run in: by their weights where they are told, else by what they read."""
    counted: Dict[str, int] = {}
    for layer in layers:
        kind = _kind(layer)
        if kind and not _moves(layer):
            counted[kind] = counted.get(kind, 0) + 1
    if not counted:
        return wire.Precision("%s; not confirmed" % asked, "the engine inspector tells no types; this was asked for")
    label = "+".join(name for name in LABELS if name in counted)
    told = ", ".join("%d %s" % (counted[name], name.upper()) for name in LABELS if name in counted)
    words = "engine inspector: layers that compute: %s" % told
    if "fp32" in counted:
        words += "; TF32 %s" % ("allowed, where the GPU has it" if tf32 else "off")
    return wire.Precision(label + (" (TF32 allowed)" if tf32 and "fp32" in counted else ""), words)


def _elsewhere(unit: str, layers: List[Tuple[str, str]], reason: str) -> wire.Elsewhere:
    kinds: Dict[str, int] = {}
    for _, kind in layers:
        kinds[kind] = kinds.get(kind, 0) + 1
    return wire.Elsewhere(unit, len(layers), kinds, reason, [name for name, _ in layers[:NAMES_KEPT]])


def _moves(layer: Dict[str, Any]) -> bool:
    return str(layer.get("LayerType", "")).lower() in MOVES


def _kind(layer: Dict[str, Any]) -> str:
    weights = layer.get("Weights")
    if isinstance(weights, dict) and weights.get("Count"):
        return _named(str(weights.get("Type")))
    tensors = list(layer.get("Inputs") or [])[:1] + list(layer.get("Outputs") or [])[:1]
    told = (
        _named(str(one.get("Format/Datatype") or one.get("Datatype") or "")) for one in tensors if isinstance(one, dict)
    )
    return next((kind for kind in told if kind), "")


def _named(words: str) -> str:
    return next((kind for kind, pattern in TYPES if pattern.search(words)), "")
