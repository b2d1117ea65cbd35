"""Build networks of the speed studies as ONNX files, with random weights.

python build.py resnet18 googlenet -o /tmp/zoo
python build.py all -o /tmp/zoo                 # 1.3 GB
python build.py all --scale 0.25 -o /tmp/zoo    # the same layers, a quarter as wide
python build.py --list                          # parameters and multiply-adds beside those published
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx
from networks import NETWORKS

WIDTH = max(map(len, NETWORKS))


def main(arguments: list[str] | None = None) -> int:
    """Build what is asked for, and tell its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NETWORKS)}, or all")
    parser.add_argument("-o", "--out", type=Path, default=Path(), help="folder for the .onnx files (default: here)")
    parser.add_argument("--scale", type=float, default=1.0, help="width of all layers (default: 1, the paper's)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the weights (default: 1)")
    parser.add_argument("--list", action="store_true", help="tell sizes; build nothing")
    given = parser.parse_args(arguments)
    names = list(NETWORKS) if given.list or "all" in given.names else given.names
    unknown = [name for name in names if name not in NETWORKS]
    if unknown or not names:
        said = f"unknown: {', '.join(unknown)}" if unknown else "no network is named"
        parser.error(f"{said}; there are: {', '.join(NETWORKS)}")
    if not 0 < given.scale <= 4:
        parser.error("--scale is above 0, and 4 at most")
    for name in names:
        print(told(name, given.scale), flush=True)
        if not given.list:
            print(f"{'':{WIDTH}}  {write(name, given.out, given.scale, given.seed)}", flush=True)
    return 0


def told(name: str, scale: float = 1.0) -> str:
    """Parameters and multiply-adds, and what is published where the width is the paper's."""
    built, published = NETWORKS[name].build(scale), NETWORKS[name].published
    size = f"{built.parameters / 1e6:6.2f} M parameters, {built.macs / 1e9:6.3f} G multiply-adds"
    return f"{name:{WIDTH}}  {size}{f'; published: {published.says}' if scale == 1 else ''}"


def write(name: str, folder: Path, scale: float = 1.0, seed: int = 1) -> Path:
    """Write ``NAME.onnx``, and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    model = NETWORKS[name].build(scale).model(seed)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
