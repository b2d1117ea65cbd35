"""The program of the process that looks where OpenCV's layers run; see ``opencv_placement``.

It reads its wish as JSON, runs two inferences on zeros, and writes ``{"layers": [[name, type, ran], ...]}``. What
OpenCV logs and traces meanwhile is what it is run for.
"""

from __future__ import annotations

import json
import sys
from typing import Any, List

import numpy

from .. import wire
from . import opencv, opencv_targets


def main() -> None:
    wish = json.load(sys.stdin)
    cv2 = opencv._cv2()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_INFO)
    cv2.setNumThreads(wish["threads"])
    net = opencv._read_net(wish["model"], wish["engine"])
    opencv_targets.set_up(cv2, net, wish["device"])
    for spec in (wire.TensorSpec(*given) for given in wish["inputs"]):
        net.setInput(opencv._blob(numpy.zeros(spec.shape, spec.dtype)), spec.name)
    outputs = net.getUnconnectedOutLayersNames()
    net.forward(outputs)  # prepares weights, on the CPU; what it traces does not count
    net.forward(outputs)
    print("\n" + json.dumps({"layers": layers_of(net)}), flush=True)


def layers_of(net: Any) -> List[Any]:
    """Name, type, and whether it ran: OpenCV gives layers that it fused into others a time of zero."""
    names = list(net.getLayerNames())
    times = [float(time) for time in numpy.ravel(net.getPerfProfile()[1])]
    ran = [time > 0 for time in times] if len(times) == len(names) and any(times) else [True] * len(names)
    return [[name, net.getLayer(name).type, here] for name, here in zip(names, ran)]
