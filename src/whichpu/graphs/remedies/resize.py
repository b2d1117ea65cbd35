"""Resize in the forms that targets take. Source: ONNX operator specification, Resize (coordinate transformation)."""

from __future__ import annotations

import math

import numpy as np

from whichpu.graphs.graph import Operator
from whichpu.graphs.remedies.edit import Edit, Place, set_attribute
from whichpu.graphs.remedies.net import Net, fed, floating, kind, out, settled, sizes, values
from whichpu.graphs.remedies.pooling import requantised
from whichpu.graphs.remedies.remedy import Match, Remedy, match

OPSET = 11
"""From here on Resize names its coordinates."""
CENTRED = ("half_pixel", "pytorch_half_pixel")
ROUNDED = ("round_prefer_floor", "round_prefer_ceil")


def factors(operator: Operator) -> tuple[float, ...] | None:
    """Out size over in size of each axis."""
    before, after = sizes(operator.input(0)), sizes(operator.outputs[0])
    if before is None or after is None or len(before) != len(after) or 0 in before or not settled(operator):
        return None
    found = tuple(b / a for a, b in zip(before, after, strict=True))
    return found if _told(operator, found) else None


def _told(operator: Operator, found: tuple[float, ...]) -> bool:
    """Are the factors those that the operator is given? 2.1 of three pixels make six too, but of other places."""
    if operator.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return False
    given = operator.input(3) or operator.input(2) or operator.input(1)
    if operator.input(3) is not None or given is None:
        return True
    scales = values(given)
    axes = operator.attributes.get("axes") or range(len(found))
    return scales is not None and len(axes) == scales.size and np.allclose(scales, [found[a] for a in axes], rtol=1e-6)


def _upscales(operator: Operator) -> tuple[int, ...] | None:
    """Whole factors of height and width of a four-axis image; None for any other Resize."""
    found = factors(operator)
    if found is None or len(found) != 4 or found[:2] != (1, 1) or any(f != round(f) or f < 1 for f in found):
        return None
    return tuple(round(f) for f in found[2:])


def _coordinates(operator: Operator) -> str:
    return str(operator.attributes.get("coordinate_transformation_mode", "half_pixel"))


def _form(operator: Operator) -> str:
    """``centred`` or ``asymmetric`` where nearest neighbours at whole factors are the same in both; else nothing."""
    if operator.attributes.get("mode", "nearest") != "nearest":
        return ""
    rounding = operator.attributes.get("nearest_mode", "round_prefer_floor")
    if _coordinates(operator) in CENTRED and rounding in ROUNDED:
        return "centred"
    return "asymmetric" if _coordinates(operator) == "asymmetric" and rounding == "floor" else ""


def sizes_to_scales(net: Net, operator: Operator) -> Match | None:
    """Scales say the same as sizes where in size times scale is the out size in single precision."""
    given, before, after = operator.input(3), sizes(operator.input(0)), sizes(operator.outputs[0])
    found = factors(operator)
    if given is None or not given.constant or found is None or before is None or after is None:
        return None
    if operator.attributes.get("axes") or operator.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    scaled = np.floor(np.array(before, np.float32) * np.array(found, np.float32))
    if scaled.tolist() != list(after):
        return None

    def rewrite(edit: Edit) -> None:
        place, node = edit.at(operator), edit.node_of(operator)
        roi = node.input[1] or ("" if edit.opset >= 13 else place.constant(np.zeros(0), np.float32))
        del node.input[1:]
        node.input.extend([roi, place.constant(found, np.float32)])

    return match("Resize is given scales instead of sizes", rewrite, operator)


def nearest_form(net: Net, operator: Operator) -> Match | None:
    form = _form(operator)
    if (net.graph.opset or 0) < OPSET or not form or _upscales(operator) is None:
        return None
    now = ("asymmetric", "floor") if form == "centred" else ("half_pixel", "round_prefer_floor")

    def rewrite(edit: Edit) -> None:
        node = edit.node_of(operator)
        set_attribute(node, "coordinate_transformation_mode", now[0])
        set_attribute(node, "nearest_mode", now[1])

    return match(
        f"Resize nearest {_coordinates(operator)} becomes {now[0]}: the same at whole factors", rewrite, operator
    )


def nearest_to_doublings(net: Net, operator: Operator) -> Match | None:
    scale = _upscales(operator)
    if (net.graph.opset or 0) < OPSET or not _form(operator) or scale is None or scale[0] != scale[1]:
        return None
    steps = round(math.log2(scale[0]))
    if steps < 2 or 2**steps != scale[0]:
        return None

    def rewrite(edit: Edit) -> None:
        place, tensor, node = edit.instead(operator), fed(operator), edit.node_of(operator)
        kept = [a for a in node.attribute if a.name in ("coordinate_transformation_mode", "mode", "nearest_mode")]
        for step in range(steps):
            last = step == steps - 1
            tensor = place.add("Resize", _scaled(place, tensor, (1, 1, 2, 2)), out(operator) if last else "")
            place.last.attribute.extend(kept)
            if not last:
                tensor = requantised(place, operator, tensor)

    return match(f"Resize nearest by {scale[0]} becomes {steps} by 2", rewrite, operator)


def _scaled(place: Place, tensor: str, scales: tuple[int, ...]) -> list[str]:
    roi = "" if place.edit.opset >= 13 else place.constant(np.zeros(0), np.float32)
    return [tensor, roi, place.constant(scales, np.float32)]


def nearest_to_transposed(net: Net, operator: Operator) -> Match | None:
    """Nearest neighbours at whole factors are a transposed convolution of each channel with ones."""
    scale, shape = _upscales(operator), sizes(operator.input(0))
    if not _form(operator) or scale is None or shape is None or net.quantised(operator) or max(scale) < 2:
        return None
    if not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        ones = place.constant(np.ones((shape[1], 1, *scale)), kind(operator))
        place.add("ConvTranspose", [fed(operator), ones], out(operator), group=shape[1], strides=scale)

    return match(
        f"Resize nearest by {scale[0]}x{scale[1]} becomes a transposed convolution with ones", rewrite, operator
    )


def align_corners_to_half_pixel(net: Net, operator: Operator) -> Match | None:
    if _coordinates(operator) != "align_corners":
        return None

    def rewrite(edit: Edit) -> None:
        set_attribute(edit.node_of(operator), "coordinate_transformation_mode", "half_pixel")

    return match("Resize align_corners becomes half_pixel", rewrite, operator)


def cubic_to_linear(net: Net, operator: Operator) -> Match | None:
    if operator.attributes.get("mode") != "cubic":
        return None

    def rewrite(edit: Edit) -> None:
        node = edit.node_of(operator)
        set_attribute(node, "mode", "linear")
        set_attribute(node, "cubic_coeff_a", None)

    return match("Resize cubic becomes linear", rewrite, operator)


OTHER = "Every pixel is taken from a slightly other place: fine-tune, or measure the loss of accuracy."
REMEDIES = (
    Remedy("resize-sizes-to-scales", "Resize by scales instead of sizes", "exact", "The same function.", ("Resize",),
           sizes_to_scales, opset=OPSET),
    Remedy("resize-nearest-form", "Resize nearest with other names for the same coordinates", "exact",
           "The same function at whole factors.", ("Resize",), nearest_form, opset=OPSET),
    Remedy("resize-to-doublings", "Resize nearest by 4 or 8 as several by 2", "exact", "The same function.",
           ("Resize",), nearest_to_doublings, opset=OPSET),
    Remedy("resize-to-conv-transpose", "Resize nearest as a transposed convolution with ones", "exact",
           "The same function.", ("Resize",), nearest_to_transposed),
    Remedy("resize-align-corners-to-half-pixel", "Resize half_pixel in place of align_corners", "needs-fine-tuning",
           OTHER, ("Resize",), align_corners_to_half_pixel, opset=OPSET),
    Remedy("resize-cubic-to-linear", "Resize linear in place of cubic", "approximate",
           "Edges come out softer: measure the accuracy.", ("Resize",), cubic_to_linear, opset=OPSET),
)  # fmt: skip
