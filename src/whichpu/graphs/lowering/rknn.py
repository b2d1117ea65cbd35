"""ONNX as RKNN-Toolkit2 rewrites it before it compiles: groups whose parts would fall back, but which it knows whole.

Each pattern was learnt by compiling variants with RKNN-Toolkit2 2.5.0 and reading the rule's name in its log: a group
that is spelt in another way (``x * 0.7071`` for ``x / sqrt(2)`` before Erf) is not recognised, and falls apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.lowering.qdq import fold_qdq

SMALL = 16
"""Elements of a constant that a pattern looks into."""


def lower(graph: Graph, target: Target) -> Graph:
    """Q/DQ groups folded, then the groups joined that the toolkit joins. Linear in the number of operators."""
    del target
    work = fold_qdq(graph)
    if work.dialect != "onnx":
        return work
    joined: dict[int, Operator] = {}
    inside: set[int] = set()
    for operator in work.operators:
        for kind, pattern in PATTERNS.get(operator.type, ()):
            group = pattern(operator)
            if group and not inside & {id(member) for member in group} and _closed(group, work):
                inside |= {id(member) for member in group}
                joined[id(_last(group))] = _one(kind, group)
                break
    if not joined:
        return work
    operators = [joined.get(id(each), each) for each in work.operators if id(each) in joined or id(each) not in inside]
    return _rewired(work, operators)


def _last(group: list[Operator]) -> Operator:
    return max(group, key=lambda member: member.index)


def _closed(group: list[Operator], graph: Graph) -> bool:
    """Whether nothing outside takes a value from within, but what the last operator makes."""
    members = {id(member) for member in group}
    last = _last(group)
    return all(
        id(taker) in members
        for member in group
        if member is not last
        for tensor in member.outputs
        for taker in tensor.consumers
    ) and not any(tensor in graph.outputs for member in group if member is not last for tensor in member.outputs)


def _one(kind: str, group: list[Operator]) -> Operator:
    """The group as one operator in its last one's place: its inputs from outside, its last output."""
    made = {id(tensor) for member in group for tensor in member.outputs}
    ordered = sorted(group, key=lambda member: member.index)
    taken = [tensor for member in ordered for tensor in member.inputs if tensor is not None and id(tensor) not in made]
    inputs: list[Tensor | None] = list({id(tensor): tensor for tensor in taken}.values())
    last = ordered[-1]
    origins = tuple(sorted({origin for member in ordered for origin in member.origins}))
    axes = _axes(ordered)
    return Operator(last.index, last.name, kind, inputs, last.outputs, axes, last.domain, last.within, origins)


def _axes(group: list[Operator]) -> dict[str, tuple[int, ...]]:
    """The axes that a group reduces over, where it does."""
    for member in group:
        if member.type.startswith("Reduce"):
            given = member.input(1)
            named = member.attributes.get("axes") or (given.read().tolist() if given and given.read else ())
            return {"axes": tuple(named)}
    return {}


def _rewired(graph: Graph, operators: list[Operator]) -> Graph:
    for operator in (*graph.operators, *operators):
        for tensor in (*operator.inputs, *operator.outputs):
            if tensor is not None:
                tensor.producer, tensor.consumers = None, []
    return Graph(
        graph.name, graph.dialect, operators, graph.inputs, graph.outputs, graph.opset, list(graph.notes)
    ).connect()


# Steps from one operator to the next.


def _made_by(operator: Operator | None, position: int, kind: str) -> Operator | None:
    """The operator of a kind that makes an input."""
    tensor = operator.input(position) if operator else None
    maker = tensor.producer if tensor else None
    return maker if maker is not None and maker.type == kind else None


def _only(operator: Operator | None, kind: str) -> Operator | None:
    """The only operator that takes the output, if it is of a kind."""
    takers = operator.outputs[0].consumers if operator else []
    return takers[0] if len(takers) == 1 and takers[0].type == kind else None


def _number(tensor: Tensor | None) -> float | None:
    """The value of a constant of one element."""
    if tensor is None or tensor.read is None or tensor.elements != 1:
        return None
    return float(np.ravel(tensor.read())[0])


def _is(tensor: Tensor | None, value: float) -> bool:
    number = _number(tensor)
    return number is not None and abs(number - value) <= 1e-3 * abs(value)


# The patterns; each is looked for at one operator, and gives the group it stands in.


def gelu(erf: Operator) -> list[Operator] | None:
    """x/sqrt(2) -> Erf -> +1, times x, times 0.5, constants on the right. The toolkit's rule ``replace_torch_gelu``."""
    divide, add = _made_by(erf, 0, "Div"), _only(erf, "Add")
    if divide is None or add is None or not _is(divide.input(1), 2**0.5) or not _is(add.input(1), 1):
        return None
    x, first = divide.input(0), _only(add, "Mul")
    if first is None:
        return None
    if first.input(0) is x:  # x * (erf + 1), then * 0.5
        half = _only(first, "Mul")
        return [divide, erf, add, first, half] if half and _is(half.input(1), 0.5) else None
    if _is(first.input(1), 0.5):  # (erf + 1) * 0.5, then x * it
        outer = _only(first, "Mul")
        return [divide, erf, add, first, outer] if outer and outer.input(0) is x else None
    half = _made_by(first, 0, "Mul")  # (x * 0.5) * (erf + 1)
    if half is not None and half.input(0) is x and _is(half.input(1), 0.5):
        return [divide, erf, add, half, first]
    return None


def softplus(log: Operator) -> list[Operator] | None:
    """Log(Exp(x) + 1). The toolkit's rule ``replace_exp_add_log_by_softplus``."""
    add = _made_by(log, 0, "Add")
    exp = _made_by(add, 0, "Exp")
    return [exp, add, log] if exp and add and _is(add.input(1), 1) else None


def normalisation(divide: Operator) -> list[Operator] | None:
    """Layer norm and RMS norm in parts, ending in a Div: ``replace_torch_layernorm``, ``replace_rms_norm_graph``."""
    root = _made_by(divide, 1, "Sqrt")
    add = _made_by(root, 0, "Add")
    mean = _made_by(add or root, 0, "ReduceMean")
    square = _square(mean)
    if root is None or mean is None or square is None or square.input(0) is not divide.input(0):
        return None
    if add is not None and _number(add.input(1)) is None:
        return None
    group = [square, mean, *([add] if add else []), root, divide]
    centre = _made_by(divide, 0, "Sub")
    average = _made_by(centre, 1, "ReduceMean")
    if centre is not None and average is not None and average.input(0) is centre.input(0):
        return [average, centre, *group]
    return group if centre is None else None


def _square(mean: Operator | None) -> Operator | None:
    power = _made_by(mean, 0, "Pow")
    if power is not None:
        return power if _is(power.input(1), 2) else None
    product = _made_by(mean, 0, "Mul")
    return product if product is not None and product.input(0) is product.input(1) else None


def unit_length(divide: Operator) -> list[Operator] | None:
    """x / ||x||, with or without Clip and Expand. The toolkit's rule ``fuse_reducel2_div_to_lpnormalization``."""
    group = [divide]
    for kind in ("Expand", "Clip", "ReduceL2"):
        tensor = group[-1].input(1 if len(group) == 1 else 0)
        maker = tensor.producer if tensor else None
        if maker is not None and maker.type == kind:
            group.append(maker)
    return group if group[-1].type == "ReduceL2" and group[-1].input(0) is divide.input(0) else None


def focus(concat: Operator) -> list[Operator] | None:
    """Four slices of step 2 over height and width, joined over channels. The toolkit's rule ``fuse_focus_slice``."""
    slices = [tensor.producer for tensor in concat.inputs if tensor is not None]
    if len(slices) != 4 or any(each is None or each.type != "Slice" for each in slices):
        return None
    group = [each for each in slices if each is not None]
    sources = {id(each.input(0)) for each in group}
    return [*group, concat] if len(sources) == 1 and all(_halves(each) for each in group) else None


def _halves(cut: Operator) -> bool:
    axes, steps = cut.input(3), cut.input(4)
    if axes is None or steps is None or axes.read is None or steps.read is None or (steps.elements or 0) > SMALL:
        return False
    return sorted(axes.read().tolist()) == [2, 3] and set(steps.read().tolist()) == {2}


Pattern = Callable[[Operator], "list[Operator] | None"]
PATTERNS: dict[str, tuple[tuple[str, Pattern], ...]] = {
    "Erf": (("exGelu", gelu),),
    "Log": (("exSoftplus", softplus),),
    "Div": (("exNorm", normalisation), ("exNorm", unit_length)),
    "Concat": (("exFocus", focus),),
}
"""By the type at which a pattern is looked for; ``ex...`` as the toolkit calls what it makes."""
