"""Small .rknn files in the layout of RKNN-Toolkit2 2.5.0, read from files that it made (see backends/rknn_file.py)."""

import json
import struct


def rknn_bytes(platform="rk3588", inputs=(("x", (1, 3, 2, 2)),), kind="", version="2.5.0", literal=True):
    """For each input one output of as many values, flat. ``literal``: with the tensors' types and layouts inside."""
    sizes = [(name, [int(size) for size in shape], "input") for name, shape in inputs]
    flat = [1]
    for _, shape, _ in sizes:
        for size in shape:
            flat[-1] *= size
        flat.append(1)
    sizes += [(f"y{number}", [1, flat[number]], "output") for number in range(len(sizes))]
    tensors, connections, attributes = [], [], {}
    for number, (name, shape, side) in enumerate(sizes):
        dtype = {"qnt_method": "", "qnt_type": kind, "vx_type": kind}
        tensors.append({"dim_num": len(shape), "dtype": dtype, "size": shape, "tensor_id": number, "url": name})
        right = {"tensor_id": number, "type": "norm_tensor"}
        connections.append({"left": side, "left_tensor_id": number, "node_id": 0, "right_tensor": right})
        attributes[name] = {"idx": number, "shape": shape, "layout": "nchw", "dtype": "float32"}
        if side == "input":
            attributes[name]["layout_ori"] = "nchw"
    told = {"connection": connections, "norm_tensor": tensors, "target_platform": [platform], "version": version}
    words = repr({"attrs": attributes}).encode()
    network = struct.pack("<I", len(words)) + words + b"\0" if literal else b"network"
    text = json.dumps(told).encode()
    head = b"RKNN" + bytes(4) + struct.pack("<QQ", 6, len(network))
    return head.ljust(64, b"\0") + network + struct.pack("<Q", len(text)) + text
