"""What TVM made of whole networks, recorded compactly: ``python benchmarks/npu/tvm_truth.py NPU/tvm_truth``.

Reads the recordings of a TVM with Arm's support library (one JSON a model: calls after import, operators on both sides
of the partition, sizes of regions) and writes ``tests/data/npu/tvm.json``, to which the tests hold the Ethos-N78 table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TOOL = "TVM 0.14.0, Arm Ethos-N support library 23.02, n78, 4 TOPS, PLE ratio 4"
ABOUT = (
    "Facts of our own making about synthetic networks with random weights: calls after import, operators left in main "
    "and in regions, sizes of regions; 'yes' with light regions pulled back, 'no' without. sha256 is of the model."
)
MODES = {"yes": "inline", "no": "no_inline"}


def recorded(folder: Path) -> dict[str, Any]:
    """All recordings of the TFLite route in a folder."""
    models = {}
    for file in sorted(folder.glob("*@tflite.json")):
        told = json.loads(file.read_text())
        models[told["model"]] = {
            "sha256": told["sha256"],
            "imported": told["imported_ops"],
            "macs": told["mac_total"],
            **{name: _partition(told[key]) for name, key in MODES.items() if key in told},
        }
    return {"tool": TOOL, "about": ABOUT, "models": models}


def _partition(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "main": told["main_ops"],
        "regions": told["region_ops"],
        "sizes": told["region_sizes"],
        "region_macs": told["region_mac"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("tests/data/npu/tvm.json"))
    options = parser.parse_args()
    text = json.dumps(recorded(options.folder), separators=(",", ":"))
    options.output.write_text(text.replace('{"sha256"', '\n{"sha256"') + "\n")


if __name__ == "__main__":
    main()
