"""Multiply-accumulates of Relay calls. Source: apache/tvm v0.18.0, relay operator documentation."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from whichpu.graphs.cost import Count, sizes
from whichpu.graphs.graph import Operator, known


def _convolution(operator: Operator) -> int:
    """Every output element is a sum over the weights of one filter; the layout says which size is the filters'."""
    layout = str(operator.attributes.get("kernel_layout", "OIHW"))
    weights = sizes(operator, 1)
    filters = weights[layout.index("O")]
    if layout == "HWOI" and operator.attributes.get("groups", 1) not in (1, None):  # depthwise: O is channels in
        filters *= weights[layout.index("I")]
    return prod(known(operator.outputs[0], operator)) * prod(weights) // filters


def _transposed(operator: Operator) -> int:
    """Every input element is spread over the weights of its channel."""
    layout = str(operator.attributes.get("kernel_layout", "IOHW"))
    weights = sizes(operator, 1)
    return prod(sizes(operator, 0)) * prod(weights) // weights[layout.index("I")]


def _matmul(operator: Operator) -> int:
    left = sizes(operator, 0)
    return prod(known(operator.outputs[0], operator)) * left[-2 if operator.attributes.get("transpose_a") else -1]


MACS: Mapping[str, Count] = {
    f"{prefix}{kind}": count
    for prefix in ("nn.", "qnn.")
    for kind, count in (
        ("conv2d", _convolution),
        ("conv2d_transpose", _transposed),
        ("dense", _matmul),
        ("batch_matmul", _matmul),
    )
}
