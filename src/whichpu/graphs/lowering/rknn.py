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

ATTENTION = "exAttention"
SMALL = 16
"""Elements of a constant that a pattern looks into."""


def lower(graph: Graph, target: Target) -> Graph:
    """Q/DQ groups folded, then the groups joined that the toolkit joins. Linear in the number of operators."""
    work = fold_qdq(graph)
    if work.dialect != "onnx":
        return work
    joined: dict[int, Operator] = {}
    inside: set[int] = set()
    for operator in work.operators:
        for kind, pattern in PATTERNS.get(operator.type, ()):
            group = pattern(operator) if kind != ATTENTION or _takes(target, "Softmax") else None
            if group and not inside & {id(member) for member in group} and _closed(group, work):
                inside |= {id(member) for member in group}
                joined[id(_last(group))] = _one(kind, group)
                break
    if not joined:
        return work
    operators = [joined.get(id(each), each) for each in work.operators if id(each) in joined or id(each) not in inside]
    return _rewired(work, operators)


def _takes(target: Target, kind: str) -> bool:
    """Whether the NPU has an operator at all: what it has not is not joined with others."""
    rule = target.capability.operators.get(kind)
    return rule is not None and rule.status == "npu"


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
    """x / sqrt(2) -> Erf -> + 1, times x, times 0.5. The toolkit's rule ``replace_torch_gelu``.

    It knows Div only, with 1 on the right; x stands left of what it is multiplied with, 0.5 on either side of the sum.
    """
    divide, add = _made_by(erf, 0, "Div"), _only(erf, "Add")
    if divide is None or add is None or not _is(divide.input(1), 2**0.5) or not _is(add.input(1), 1):
        return None
    x, first = divide.input(0), _only(add, "Mul")
    if first is None:
        return None
    if first.input(0) is x:  # x * (erf + 1), then 0.5
        half = _only(first, "Mul")
        return [divide, erf, add, first, half] if half and _has(half, 0.5) else None
    if _has(first, 0.5):  # 0.5 * (erf + 1), then x
        outer = _only(first, "Mul")
        return [divide, erf, add, first, outer] if outer and x in outer.inputs else None
    half = _made_by(first, 0, "Mul")  # (x * 0.5) * (erf + 1)
    if half is not None and half.input(0) is x and _is(half.input(1), 0.5):
        return [divide, erf, add, half, first]
    return None


def _has(product: Operator, value: float) -> bool:
    """Whether one factor is the number."""
    return _is(product.input(0), value) or _is(product.input(1), value)


def softplus(log: Operator) -> list[Operator] | None:
    """Log(Exp(x) + 1). The toolkit's rule ``replace_exp_add_log_by_softplus``."""
    add = _made_by(log, 0, "Add")
    exp = _made_by(add, 0, "Exp")
    return [exp, add, log] if exp and add and _is(add.input(1), 1) else None


def normalisation(last: Operator) -> list[Operator] | None:
    """Layer norm and RMS norm in parts: ``replace_torch_layernorm``, ``replace_rms_norm_graph``.

    They end in x / Sqrt(mean), or with Pow, which wants an epsilon: x / mean ^ 0.5, x * mean ^ -0.5, in either order.
    """
    for position in (1, 0) if last.type == "Mul" else (1,):
        root = _root(last, position)
        add = _made_by(root, 0, "Add")
        mean = _made_by(add or root, 0, "ReduceMean")
        square = _square(mean)
        if root is None or mean is None or square is None or square.input(0) is not last.input(1 - position):
            continue
        if _number(add.input(1)) is None if add is not None else root.type == "Pow":
            return None
        return _centred(last, 1 - position, [square, mean, *([add] if add else []), root, last])
    return None


def _root(last: Operator, position: int) -> Operator | None:
    """What takes the root that x is divided by, or its inverse where x is multiplied with it."""
    power = _made_by(last, position, "Pow")
    if power is not None:
        return power if _is(power.input(1), -0.5 if last.type == "Mul" else 0.5) else None
    return _made_by(last, position, "Sqrt") if last.type == "Div" else None


def _centred(last: Operator, position: int, group: list[Operator]) -> list[Operator] | None:
    """The group with the mean that is taken off before, where one is."""
    centre = _made_by(last, position, "Sub")
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
    """x / ||x||, with both Clip and Expand or without. The toolkit's rule ``fuse_reducel2_div_to_lpnormalization``."""
    group = [divide]
    for kind in ("Expand", "Clip", "ReduceL2"):
        tensor = group[-1].input(1 if len(group) == 1 else 0)
        maker = tensor.producer if tensor else None
        if maker is not None and maker.type == kind:
            group.append(maker)
    whole = group[-1].type == "ReduceL2" and len(group) in (2, 4)
    return group if whole and group[-1].input(0) is divide.input(0) else None


def focus(concat: Operator) -> list[Operator] | None:
    """Four slices of step 2 over height and width, joined over channels. The toolkit's rule ``fuse_focus_slice``.

    Each slice cuts both axes, or two after another cut one each; a Concat in front of a Conv is joined with that
    before the second form is looked for. The parts come as (0, 0), (1, 0), (0, 1), (1, 1), channels first or last.
    """
    axis = concat.attributes.get("axis")
    parts = [_part(tensor) for tensor in concat.inputs]
    if len(parts) != 4 or axis not in (1, 3, -1):
        return None
    found = [part for part in parts if part is not None]
    sources = {id(group[0].input(0)) for group, _ in found}
    height = 2 if axis == 1 else 1
    wanted = [{height: row, height + 1: column} for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
    if len(sources) != 1 or [starts for _, starts in found] != wanted:
        return None
    if len(found[0][0]) == 2 and axis == 1 and _only(concat, "Conv") is not None:
        return None
    return [*(cut for group, _ in found for cut in group), concat]


def _part(tensor: Tensor | None) -> tuple[list[Operator], dict[int, int]] | None:
    """The slices that make a tensor, the first one first, and where they start on each axis."""
    last = tensor.producer if tensor else None
    starts = _halved(last)
    if last is None or starts is None:
        return None
    first = _made_by(last, 0, "Slice") if len(starts) == 1 else None
    before = _halved(first)
    if first is not None and before is not None:
        return [first, last], dict(sorted({**before, **starts}.items()))
    return ([last], starts) if list(starts) == sorted(starts) else None


def _halved(cut: Operator | None) -> dict[int, int] | None:
    """Where a slice starts on each axis, if it takes every second element from 0 or 1 on to the end."""
    shape = cut.inputs[0].shape if cut is not None and cut.inputs[0] is not None else None
    if cut is None or cut.type != "Slice" or shape is None:
        return None
    given = [_integers(cut.input(position)) for position in range(1, 5)]
    starts, ends, axes, steps = given
    if not starts or not ends or not axes or not steps or set(steps) != {2} or not set(starts) <= {0, 1}:
        return None
    whole = all((shape[axis] or 0) <= end for axis, end in zip(axes, ends, strict=True))
    return dict(zip(axes, starts, strict=True)) if whole else None


def _integers(tensor: Tensor | None) -> list[int]:
    """The values of a small constant list."""
    small = tensor is not None and tensor.read is not None and (tensor.elements or 0) <= SMALL
    return np.ravel(tensor.read()).tolist() if small and tensor is not None and tensor.read is not None else []


def constant_attention(softmax: Operator) -> list[Operator] | None:
    """MatMul -> [Mul, Add] -> Softmax -> MatMul over heads, with keys or values that are constants.

    The toolkit's rule ``fuse_matmul_softmax_matmul_to_sdpa`` finds it and fails.
    """
    values, scores = _only(softmax, "MatMul"), softmax
    while scores.type != "MatMul":
        maker = next((tensor.producer for tensor in scores.inputs if tensor and tensor.producer), None)
        if maker is None or maker.type not in ("Mul", "Div", "Add", "MatMul"):
            return None
        scores = maker
    if values is None or len(softmax.outputs[0].shape or ()) != 4:
        return None
    constant = [tensor is not None and tensor.constant for tensor in (scores.input(1), values.input(1))]
    return [softmax, values] if any(constant) else None


Pattern = Callable[[Operator], "list[Operator] | None"]
PATTERNS: dict[str, tuple[tuple[str, Pattern], ...]] = {
    "Erf": (("exGelu", gelu),),
    "Log": (("exSoftplus", softplus),),
    "Div": (("exNorm", normalisation), ("exNorm", unit_length)),
    "Mul": (("exNorm", normalisation),),
    "Concat": (("exFocus", focus),),
    "Softmax": ((ATTENTION, constant_attention),),
}
"""By the type at which a pattern is looked for; ``ex...`` as the toolkit calls what it makes."""
