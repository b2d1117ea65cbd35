"""Point clouds in and out: completion, upsampling, autoencoders, scored by the Chamfer distance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Mean
from whichpu.tasks import description
from whichpu.tasks.datasets import Part
from whichpu.tasks.datasets import points as files
from whichpu.tasks.datasets.points import Cloud
from whichpu.tasks.kind import Better, Described, Kind, output_of, squeezed
from whichpu.tasks.task import Array, Samples, Shown

KEPT = 256
"""Points of an answer that are kept, evenly spread over the output: for :meth:`Points.same`."""

SAME_WITHIN = 0.01
"""Two answers are the same where no kept point moved by more than this part of the true cloud's diagonal."""


class Preprocess(msgspec.Struct, forbid_unknown_fields=True):
    """How a cloud becomes an input: ``points`` of it, drawn by ``seed`` (repeated where it has fewer), in a new frame.

    ``centre``: its centroid becomes the origin; ``scale = "unit-sphere"``: its farthest point is then 1 away.
    ``layout`` is ``n3`` (``[points, 3]``) or ``3n``, with a first axis of one where ``batch`` is set.
    """

    points: Annotated[int, msgspec.Meta(ge=1)]
    seed: int = 0
    centre: bool = True
    scale: Literal["none", "unit-sphere"] = "unit-sphere"
    layout: Literal["n3", "3n"] = "n3"
    batch: bool = True


class Decode(msgspec.Struct, forbid_unknown_fields=True):
    """Which output is the cloud, and its layout; it is moved and scaled back to the data's own unit."""

    output: int = 0
    layout: Literal["n3", "3n"] = "n3"


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file of a task on point clouds."""

    kind: Literal["points"]
    preprocess: Preprocess
    decode: Decode = msgspec.field(default_factory=Decode)
    metric: str = "chamfer"


class Answer(msgspec.Struct):
    """Both distances to the true cloud, and some of the points in the data's unit."""

    squared: float
    plain: float
    kept: npt.NDArray[np.float32]


class Points(Kind):
    """Clouds of one folder; one input ``[1, points, 3]`` (or ``[1, 3, points]``), float32."""

    metrics: Mapping[str, Better] = {"chamfer": "lower", "chamfer-l1": "lower"}
    stands_for = files.SOURCES

    def __init__(self, described: Description, path: Path) -> None:
        self.preprocess, self.decode = described.preprocess, described.decode
        super().__init__(described, path, files.load)

    def prepared(self, part: Part, index: int) -> Samples:
        """The cloud as the network takes it."""
        cloud = part.raw(index)
        middle, scale = self._frame(cloud)
        cloud = ((cloud - middle) / scale)[chosen(len(cloud), self.preprocess.points, self.preprocess.seed)]
        array = (cloud if self.preprocess.layout == "n3" else cloud.T).astype(np.float32)
        return [array[np.newaxis] if self.preprocess.batch else array]

    def finish(self, index: int, outputs: Samples) -> Answer:
        """The distances of the output's cloud to the true one, in the data's unit (squared: its square)."""
        found = cloud_of(output_of(outputs, self.decode.output), self.decode.layout)
        middle, scale = self._frame(self.part.raw(index))
        found = found * scale + middle
        squared, plain = chamfer(found, self.part.truth(index))
        step = max(1, len(found) // KEPT)
        return Answer(squared, plain, found[::step].astype(np.float32))

    def evidence(self, answers: Mapping[int, Answer]) -> dict[str, Evidence]:
        """Means over the clouds."""
        both: dict[str, Evidence] = {
            "chamfer": Mean([answer.squared for answer in answers.values()]),
            "chamfer-l1": Mean([answer.plain for answer in answers.values()]),
        }
        return {name: both[name] for name in (self.info.metric, *self.info.others)}

    def same(self, ours: Answer, theirs: Answer) -> bool:
        """No kept point moved by more than 1 % of the cloud's diagonal."""
        if ours.kept.shape != theirs.kept.shape:
            return False
        diagonal = float(np.linalg.norm(np.ptp(theirs.kept, axis=0)))
        return float(np.linalg.norm(ours.kept - theirs.kept, axis=1).max()) <= SAME_WITHIN * diagonal

    def show(self, index: int, answers: Mapping[str, Answer]) -> Shown:
        """The distances in words."""
        told = {name: f"chamfer {one.squared:.4g}, chamfer-l1 {one.plain:.4g}" for name, one in answers.items()}
        return Shown(sample=self.name(index), truth=f"{len(self.part.truth(index))} points", answers=told)

    def _frame(self, cloud: Cloud) -> tuple[Cloud, float]:
        """What is subtracted from the points, and what they are then divided by."""
        preprocess = self.preprocess
        middle = cloud.mean(axis=0) if preprocess.centre else np.zeros(3)
        far = float(np.linalg.norm(cloud - middle, axis=1).max())
        return middle, far if preprocess.scale == "unit-sphere" and far > 0 else 1.0


def load(path: Path, body: dict[str, Any], model: str) -> Points:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Points(description.convert(path, body, Description), path)


def chamfer(ours: Cloud, theirs: Cloud) -> tuple[float, float]:
    """The Chamfer distance between two clouds, ``[points, 3]``, squared and not; no points on one side: infinite.

    Squared: mean over our points of the squared distance to the nearest of theirs, plus the same the other way round
    (Fan, Su, Guibas 2017, with means in place of sums). Not squared: half the sum of the two mean distances (as in
    Yuan et al. 2018, "PCN", section 4.2, halved).
    """
    from scipy.spatial import cKDTree

    if not len(ours) or not len(theirs):
        return float("inf"), float("inf")
    there, back = cKDTree(theirs).query(ours)[0], cKDTree(ours).query(theirs)[0]
    return float((there**2).mean() + (back**2).mean()), float((there.mean() + back.mean()) / 2)


def chosen(count: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """Which points become the input: drawn without repetition; all of them and some again where there are fewer."""
    random = np.random.default_rng(seed)
    whole, rest = divmod(wanted, count)
    return np.concatenate([np.tile(np.arange(count), whole), random.permutation(count)[:rest]])


def cloud_of(output: Array, layout: str) -> Cloud:
    """The output as ``[points, 3]``; axes of one are dropped. Raises :class:`UserError` for another shape or NaN."""
    array = squeezed(output.astype(np.float64), 2)
    array = array.T if layout == "3n" else array
    if array.ndim != 2 or array.shape[1] != 3:
        raise UserError(f"an output {list(output.shape)} is no cloud of the layout {layout}", "see decode.layout")
    if not np.isfinite(array).all():
        raise UserError("the output's cloud has coordinates that are no numbers (NaN or infinite)")
    return array
