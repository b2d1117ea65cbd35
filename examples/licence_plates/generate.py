"""Write drawn pictures of licence plates: streets with boxes of plates, plates with boxes of characters, states.

    python generate.py data/test --streets 40 --plates 114 --seed 1 --quality 35 70

makes `streets/*.jpg` with `streets.json` (COCO), `plates/*.jpg` with `characters.json` (COCO) and `states.csv`.
The same seed and library versions write the same pictures.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from designs import CHARACTERS, DESIGNS, NAMES, Box, Picture
from scenes import CLOSE_UP, SCENE, close_up, street

QUALITY = (45, 85)
"""Least JPEG quality, and what the greatest stays below: compression is a part of what cameras do."""

Drawn = tuple[str, Sequence[tuple[int, Box]]]
"""A picture's file name, and class and box of each object in it."""


def write(folder: Path, streets: int, plates: int, seed: int, quality: tuple[int, int] = QUALITY) -> None:
    """One part of the dataset. Plates go through the jurisdictions in order, so that each has its share."""
    for name in ("streets", "plates"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    roads, closer, states = [], [], []
    for index in range(streets):
        rng = np.random.default_rng([seed, 0, index])
        picture, found = street(rng)
        name = _save(folder / "streets" / f"{index:05d}.jpg", picture, int(rng.integers(*quality)))
        roads.append((name, [(0, plate.box) for plate in found]))
    for index in range(plates):
        rng = np.random.default_rng([seed, 1, index])
        picture, plate = close_up(rng, index % len(DESIGNS))
        name = _save(folder / "plates" / f"{index:05d}.jpg", picture, int(rng.integers(*quality)))
        closer.append((name, [(CHARACTERS.index(sign), box) for sign, box in plate.characters]))
        states.append((name, NAMES[plate.state]))
    _coco(folder / "streets.json", roads, ["plate"], SCENE)
    _coco(folder / "characters.json", closer, list(CHARACTERS), CLOSE_UP)
    with (folder / "states.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("file", "label"), *states])


def _save(path: Path, picture: Picture, quality: int) -> str:
    path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
    return path.name


def _coco(path: Path, drawn: Sequence[Drawn], classes: Sequence[str], size: tuple[int, int]) -> None:
    """Boxes as COCO's JSON: https://cocodataset.org/#format-data. Category ids begin at 1."""
    images = [
        {"id": index, "file_name": name, "height": size[0], "width": size[1]}
        for index, (name, _) in enumerate(drawn, start=1)
    ]
    boxes = [(index, kind, box) for index, (_, found) in enumerate(drawn, start=1) for kind, box in found]
    annotations = [
        {
            "id": number,
            "image_id": index,
            "category_id": kind + 1,
            "bbox": list(box),
            "area": round(box[2] * box[3], 2),
            "iscrowd": 0,
        }
        for number, (index, kind, box) in enumerate(boxes, start=1)
    ]
    body = {
        "info": {"description": "drawn licence plates, Apache-2.0"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
    }
    path.write_text(json.dumps(body, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--streets", type=int, default=200, help="pictures with plates to find (default: 200)")
    parser.add_argument("--plates", type=int, default=570, help="pictures of a plate to read (default: 570)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quality", type=int, nargs=2, default=QUALITY, help="JPEG's, from and below (default: 45 85)")
    wanted = parser.parse_args()
    write(wanted.folder, wanted.streets, wanted.plates, wanted.seed, tuple(wanted.quality))


if __name__ == "__main__":
    main()
