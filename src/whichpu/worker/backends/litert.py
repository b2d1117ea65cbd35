"""LiteRT (TensorFlow Lite) on the CPU, with its default XNNPACK delegate or without; other units: ``litert_delegates``.

Lowest-overhead call: ``set_tensor`` once (it copies into the interpreter's arena, which keeps inputs), then the C++
``Invoke`` beneath ``Interpreter.invoke`` (https://ai.google.dev/edge/litert). Quantised models keep their
types: the caller gives and gets what the input and output specs say.
"""

from __future__ import annotations

import collections
import importlib
import importlib.util
import re
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Set, Tuple

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed

FORMATS = ("tflite",)
OPTIONS: Dict[str, str] = {
    "xnnpack": "on or off: operators on the CPU by XNNPACK, where it has them (default: on)",
    "delegate": "a delegate's library, for units other than the CPU: litert:npu,delegate=/usr/lib/libvx_delegate.so",
    "delegate-options": "what the delegate is told, as key:value+key:value",
}
PACKAGES = ("ai_edge_litert", "tflite_runtime")  # the second has no release since 2023, but armv7l wheels
TYPES = {"float32": "fp32", "float16": "fp16", "uint8": "int8"}
# Operators that multiply and accumulate: what they compute in is the model's precision.
WEIGHTED = re.compile(r"(CONV|FULLY_CONNECTED|BATCH_MATMUL|LSTM|RNN|SVDF)")
DELEGATE = "DELEGATE"
MOVES = ("QUANTIZE", "DEQUANTIZE", "CAST", "SHAPE", DELEGATE)
COMPILED = {
    "edgetpu-custom-op": ("Edge TPU", "edgetpu", "(without _edgetpu in its name)"),
    "ethos-u": ("Ethos-U NPU", "ethosu", "(Vela's input, without _vela in its name)"),
}
"""Operators that stand for what a unit's compiler took: the unit, its device here, how to know the file before it."""


def why_not() -> Optional[WhyNot]:
    return None if _package() else not_installed(PACKAGES[0], "ai-edge-litert")


def versions() -> Dict[str, str]:
    package = _package()
    _interpreter_class()  # the import that costs: not part of the load time
    return {package.replace("_", "-"): str(importlib.import_module(package).__version__)}


def offers() -> List[wire.Offer]:
    from . import litert_delegates

    _interpreter_class()
    return [wire.Offer("cpu")] + litert_delegates.offers()


def open(job: wire.Open) -> Session:
    from . import litert_delegates

    if job.device != "cpu":
        return litert_delegates.open(job)
    given = sorted(set(job.options) & {"delegate", "delegate-options"})
    if given:
        raise Refused(
            "%s is for another unit than the CPU" % given[0], "write the target as litert:npu,%s=..." % given[0]
        )
    return LiteRt(interpreter(job), job)


def interpreter(job: wire.Open, delegates: Optional[List[Any]] = None) -> Any:
    """The model in an interpreter; ``delegates`` have taken what they take, XNNPACK takes the rest later."""
    module, asked = importlib.import_module(_package() + ".interpreter"), job.options.get("xnnpack", "on")
    if asked not in ("on", "off"):
        raise Refused("xnnpack=%s is neither on nor off" % asked, "write xnnpack=off, or leave it out")
    more: Dict[str, Any] = {"experimental_delegates": delegates} if delegates else {}
    if asked == "off":
        more["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return module.Interpreter(model_path=job.model, num_threads=job.threads, **more)


class LiteRt(Session):
    def __init__(self, interpreter: Any, job: wire.Open, earlier: FrozenSet[int] = frozenset()) -> None:
        self.interpreter = interpreter
        self.precision = precision_of(interpreter)  # before XNNPACK takes operators over
        signature = _signature(interpreter)
        feeds = _ordered(interpreter.get_input_details(), signature.get("inputs", {}))
        if job.inputs:
            feeds = _as_job(feeds, job.inputs)
            _resize(interpreter, feeds, job.inputs)
        _allocate(interpreter)
        self.feeds = [detail["index"] for _, detail in feeds]
        self.inputs = _specs(feeds, interpreter.get_input_details())
        reads = _ordered(interpreter.get_output_details(), signature.get("outputs", {}))
        self.reads = [detail["index"] for _, detail in reads]
        self.outputs = _specs(reads, interpreter.get_output_details())
        self.effective = {
            "num_threads": str(job.threads),  # as given: the interpreter has no way to read it back
            "xnnpack": _by_xnnpack(interpreter, earlier),
        }

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        for index, array in zip(self.feeds, arrays):
            self.interpreter.set_tensor(index, numpy.array(array, order="C"))
        self.interpreter.reset_all_variables()  # a stateful model starts each sample afresh
        beneath = getattr(self.interpreter, "_interpreter", None)
        call: Callable[[], Any] = getattr(beneath, "Invoke", self.interpreter.invoke)
        return call

    def read(self) -> Arrays:
        return [numpy.array(self.interpreter.get_tensor(index)) for index in self.reads]

    def close(self) -> None:
        self.interpreter = None


def precision_of(interpreter: Any) -> wire.Precision:
    """From the types of the operators' tensors; TFLite kernels, XNNPACK's too, compute in the types of the graph."""
    types = {detail["index"]: numpy.dtype(detail["dtype"]).name for detail in interpreter.get_tensor_details()}
    operators = [(str(row["op_name"]), row) for row in interpreter._get_ops_details()]
    weighted = [_computes(row, types) for name, row in operators if WEIGHTED.search(name)]
    if weighted:
        return _precision(weighted, "operators with weights")
    plain = [_type(types, row["outputs"]) for name, row in operators if name not in MOVES]
    return _precision([kind for kind in plain if kind], "operators' results (none has weights)")


def _precision(kinds: List[str], what: str) -> wire.Precision:
    counts = collections.Counter(kinds)
    shown = ", ".join("%d %s" % (count, kind) for kind, count in counts.most_common())
    return wire.Precision("+".join(sorted(counts)) or "none", "the model's %s: %s" % (what, shown or "none"))


def _computes(operator: Dict[str, Any], types: Dict[int, str]) -> str:
    """``int8``, or ``int8 weights, fp32 activations`` where the two differ."""
    name, operands = str(operator["op_name"]), [int(index) for index in operator["inputs"] if index >= 0]
    if name == "TRANSPOSE_CONV":  # its first operand is the output's shape
        operands = operands[2:3] + operands[1:2]
    activations, weights = _type(types, operands[:1]), _type(types, operands[1:2])
    if not weights or activations == weights:
        return activations
    return "%s weights, %s activations" % (weights, activations)


def _type(types: Dict[int, str], indices: Any) -> str:
    known = [types[int(index)] for index in indices if int(index) in types]
    return TYPES.get(known[0], known[0]) if known else ""


def _package() -> str:
    """The runtime that is installed, the maintained one first; empty for none."""
    return next((name for name in PACKAGES if importlib.util.find_spec(name) is not None), "")


def _interpreter_class() -> Any:
    return importlib.import_module(_package() + ".interpreter").Interpreter


def _allocate(interpreter: Any) -> None:
    try:
        interpreter.allocate_tensors()
    except RuntimeError as problem:
        custom = next((name for name in COMPILED if name in str(problem)), "")
        if not custom:
            raise
        unit, device, how = COMPILED[custom]
        raise Refused(
            "the model is compiled for the %s: it has an operator (%s) that no CPU can run" % (unit, custom),
            "run it on litert:%s, or give the .tflite file it was compiled from %s" % (device, how),
        ) from problem


Named = List[Tuple[str, Dict[str, Any]]]


def _signature(interpreter: Any) -> Dict[str, Dict[str, int]]:
    """The only signature's names and tensor indices; empty where there is none or a choice of several."""
    found: Dict[str, Any] = getattr(interpreter, "_get_full_signature_list", dict)()
    return dict(next(iter(found.values()))) if len(found) == 1 else {}


def _ordered(details: List[Dict[str, Any]], signature: Dict[str, int]) -> Named:
    """Tensors with the signature's names; in its order where it numbers them (``args_0``, ``args_1``).

    Converters list a graph's tensors in any order; the numbers are the order of the model that was converted.
    """
    names = {index: name for name, index in signature.items()}
    named = [(names.get(detail["index"], str(detail["name"])), detail) for detail in details]
    parts = [re.match(r"(.*?)_?(\d*)$", name) for name, detail in named if detail["index"] in names]
    stems = {part.group(1) for part in parts if part}
    if len(parts) == len(named) and len(stems) == 1:
        named.sort(key=lambda pair: _number(pair[0]))
    return named


def _number(name: str) -> int:
    digits = re.search(r"(\d*)$", name)
    return int(digits.group(1) or 0) if digits else 0


def _as_job(named: Named, specs: List[wire.TensorSpec]) -> Named:
    """In the job's order, where every one of its names is the model's; else by position."""
    if len(specs) != len(named):
        raise Refused("the model takes %d inputs, the job names %d" % (len(named), len(specs)))
    known = {name: (name, detail) for name, detail in named}
    known.update({str(detail["name"]): (name, detail) for name, detail in named})
    order = [known[spec.name] for spec in specs if spec.name in known]
    return order if len({detail["index"] for _, detail in order}) == len(named) else named


def _resize(interpreter: Any, feeds: Named, specs: List[wire.TensorSpec]) -> None:
    """Give the model the job's shapes; ``strict``: only sizes that the model leaves open may change."""
    for (_, detail), spec in zip(feeds, specs):
        if [int(size) for size in detail["shape"]] != spec.shape:
            interpreter.resize_tensor_input(detail["index"], spec.shape, strict=True)


def _specs(named: Named, details: List[Dict[str, Any]]) -> List[wire.TensorSpec]:
    """Types and shapes as they are now (after resizing)."""
    now = {detail["index"]: detail for detail in details}
    found = []
    for name, detail in named:
        current = now[detail["index"]]
        shape = [int(size) for size in current["shape"]]
        found.append(wire.TensorSpec(name, numpy.dtype(current["dtype"]).name, shape))
    return found


def taken(rows: List[Dict[str, Any]]) -> Set[int]:
    """Numbers of the operators that delegates run, of the rows of ``_get_ops_details``.

    The list keeps every operator of the model, and has one row more (``DELEGATE``) for each group that a delegate took:
    what lies between that row's outputs and its inputs.
    """
    makers = {int(made): int(row["index"]) for row in rows if row["op_name"] != DELEGATE for made in row["outputs"]}
    operators = {int(row["index"]): row for row in rows}
    found: Set[int] = set()
    for group in [row for row in rows if row["op_name"] == DELEGATE]:
        given, wanted = {int(index) for index in group["inputs"]}, [int(index) for index in group["outputs"]]
        while wanted:
            tensor = wanted.pop()
            maker = makers.get(tensor)
            if tensor not in given and maker is not None and maker not in found:
                found.add(maker)
                wanted += [int(index) for index in operators[maker]["inputs"]]
    return found


def _by_xnnpack(interpreter: Any, earlier: FrozenSet[int]) -> str:
    """How many operators XNNPACK took; ``earlier`` are those that another delegate had taken."""
    rows = interpreter._get_ops_details()
    count = len([row for row in rows if row["op_name"] != DELEGATE])
    mine = len(taken(rows) - earlier)
    return "%d of %d operators" % (mine, count) if mine else "not used"
