"""Numbers from a sample, scored by RMSE and MAE in the data's own unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Mean, RootMean
from whichpu.tasks import description, examples
from whichpu.tasks.kind import Better, Described, output_of
from whichpu.tasks.preprocess import Numeric
from whichpu.tasks.task import BadSample, Samples, Shown

Values = npt.NDArray[np.float64]
SAME = 1e-3
"""Two answers are the same to an application when no number differs by more than this share of the largest."""


class Decode(msgspec.Struct, forbid_unknown_fields=True):
    """value = output * std + mean, in float64: from the network's scale to the data's unit."""

    output: Annotated[int, msgspec.Meta(ge=0)] = 0
    std: Numeric = None
    mean: Numeric = None


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file."""

    kind: Literal["regression"]
    unit: str
    metric: str = "rmse"
    preprocess: Any = None
    decode: Decode = msgspec.field(default_factory=Decode)


class Regression(examples.Examples):
    """Arrays or pictures, and the true numbers. An answer is an array of as many."""

    metrics: Mapping[str, Better] = {"rmse": "lower", "mae": "lower"}

    def __init__(self, described: Description, path: Path) -> None:
        self.decode = described.decode
        super().__init__(described, path)

    def prepare(self, index: int) -> Samples:
        """The inputs of one sample; one without a truth is left out."""
        self.true(index)
        return self.prepared(self.part, index)

    def true(self, index: int) -> Values:
        """The true numbers in a row. Raises :class:`BadSample`."""
        truth = self.part.truth(index)
        try:
            values = np.asarray(truth, dtype=np.float64).reshape(-1)
        except ValueError:
            raise BadSample(f"{self.name(index)}: its label {truth!r} is no number") from None
        if not np.isfinite(values).all():
            raise BadSample(f"{self.name(index)}: its truth is not finite")
        return values

    def finish(self, index: int, outputs: Samples) -> Values:
        """The numbers in the data's unit."""
        values = output_of(outputs, self.decode.output).astype(np.float64)
        expected = self.true(index).size
        if values.size != expected:
            raise UserError(f"the model gives {values.size} numbers a sample; the truth has {expected}")
        if self.decode.std is not None:
            values = values * np.asarray(self.decode.std)
        if self.decode.mean is not None:
            values = values + np.asarray(self.decode.mean)
        return values.reshape(-1)

    def evidence(self, answers: Mapping[int, Values]) -> dict[str, Evidence]:
        """The root of the mean squared error, and the mean absolute error, over all samples and numbers."""
        errors = [answer - self.true(index) for index, answer in answers.items()]
        found: dict[str, Evidence] = {
            "rmse": RootMean([float(np.mean(error**2)) for error in errors]),
            "mae": Mean([float(np.mean(np.abs(error))) for error in errors]),
        }
        return {metric: found[metric] for metric in (self.info.metric, *self.info.others)}

    def same(self, ours: Values, theirs: Values) -> bool:
        """No number differs by more than a thousandth of the largest."""
        return bool(np.abs(ours - theirs).max(initial=0.0) <= SAME * np.abs(theirs).max(initial=0.0))

    def show(self, index: int, answers: Mapping[str, Values]) -> Shown:
        """The first numbers, and the picture where there is one."""
        return Shown(
            sample=self.name(index),
            truth=self._words(self.true(index)),
            answers={who: self._words(values) for who, values in answers.items()},
            picture=self.picture(index),
        )

    def _words(self, values: Values) -> str:
        told = ", ".join(f"{value:.5g}" for value in values[:4])
        more = f" and {values.size - 4} more" if values.size > 4 else ""
        return f"{told}{more} {self.info.unit}".rstrip()


def load(path: Path, body: dict[str, Any], model: str) -> Regression:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Regression(description.convert(path, body, Description), path)
