"""What tasks have in common: a dataset's parts, the protocol in words, and what nobody needs to write twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from whichpu.errors import UserError
from whichpu.results.schema import TaskInfo
from whichpu.tasks import datasets, description
from whichpu.tasks.datasets import Dataset, Part
from whichpu.tasks.task import Answer, Array, BadSample, Samples, Shown

Better = Literal["higher", "lower"]


class Described(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields that TOML files of all these kinds have."""

    kind: str
    data: dict[str, Any]
    metric: str
    unit: str = ""
    calibration: dict[str, Any] | None = None


class Kind:
    """A :class:`Task` but for ``finish`` and ``evidence``; a subclass sets ``prepared`` too.

    ``metrics`` are all that there are, with what is better of each; ``stands_for`` are the fields of ``[data]`` that
    the data's hash stands for: folders may be moved.
    """

    metrics: Mapping[str, Better]
    stands_for: Sequence[str] = ()
    carry: Mapping[int, int] = {}
    reference: Samples | None = None
    reference_by: str | None = None

    def __init__(
        self, described: Described, path: Path, load: Callable[[Path, Mapping[str, Any]], Dataset[Any, Any]]
    ) -> None:
        if described.metric not in self.metrics:
            known = ", ".join(self.metrics)
            raise UserError(f'{path}: metric = "{described.metric}" is none of this kind', f"there are: {known}")
        self.path = path
        self.part, self.calibrating = datasets.divided(path, described.data, described.calibration, load)
        told = self._protocol(described)
        self.info = TaskInfo(
            name=path.resolve().parent.name,
            kind=described.kind,
            metric=described.metric,
            unit=described.unit,
            samples=len(self.part),
            protocol=told,
            protocol_sha256=description.sha256(told),
            better=self.metrics[described.metric],
            others=[metric for metric in self.metrics if metric != described.metric],
        )

    def name(self, index: int) -> str:
        """The sample's file."""
        return self.part.name(index)

    def prepare(self, index: int) -> Samples:
        """The inputs of one sample, whose truth is read too: what is wrong with it is known before anything runs."""
        self.part.truth(index)
        return self.prepared(self.part, index)

    def prepared(self, part: Part, index: int) -> Samples:
        """The inputs of one sample of a part. Raises :class:`BadSample`."""
        raise NotImplementedError

    def same(self, ours: Answer, theirs: Answer) -> bool:
        """Equal answers."""
        return bool(ours == theirs)

    def show(self, index: int, answers: Mapping[str, Answer]) -> Shown:
        """Truth and answers as Python writes them."""
        told = {who: str(answer) for who, answer in answers.items()}
        return Shown(sample=self.name(index), truth=str(self.part.truth(index)), answers=told)

    def calibration(self, count: int, seed: int) -> Iterator[Samples]:
        """Inputs of samples of the calibration part."""
        return datasets.drawn(self.calibrating, self.part, self.prepared, count, seed, self.path)

    def _protocol(self, described: Described) -> dict[str, str]:
        fields = msgspec.structs.asdict(described)
        data = {name: value for name, value in described.data.items() if name not in self.stands_for}
        fields["data"] = {**data, "sha256": datasets.sha256(self.part)}
        if described.calibration is not None and "fraction" not in described.calibration:
            del fields["calibration"]
        return description.protocol(fields)


def output_of(outputs: Samples, number: int, field: str = "decode.output") -> Array:
    """One of a sample's outputs. Raises :class:`UserError` where the model gives fewer."""
    if not 0 <= number < len(outputs):
        raise UserError(f"{field} is {number}; the model gives {len(outputs)} outputs, from 0")
    return outputs[number]


def refuse_nan(arrays: Samples, name: str) -> None:
    """Raises :class:`BadSample` for values that are no numbers: the network's answer would be none."""
    bad = sum(int(np.isnan(array).sum()) for array in arrays if array.dtype.kind == "f")
    if bad:
        raise BadSample(f"{name} holds {bad} values that are no numbers (NaN)")


def squeezed(array: Array, axes: int) -> Array:
    """The array without its axes of one, from the first on, until it has ``axes``: runtimes add and drop such axes."""
    while array.ndim > axes and 1 in array.shape:
        array = np.squeeze(array, array.shape.index(1))
    return array
