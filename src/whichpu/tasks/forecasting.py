"""Forecast the next value of a series from the past ones, scored by RMSE and MAE in the data's own unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Mean, RootMean
from whichpu.tasks import description, drawing
from whichpu.tasks.datasets import Part, csv_windows
from whichpu.tasks.kind import Better, Described, Kind
from whichpu.tasks.task import BadSample, Samples, Shown

SAME = 1e-3
"""Two forecasts are the same to an application when they differ by no more than this share."""


class Preprocess(msgspec.Struct, forbid_unknown_fields=True):
    """``relative-to-last``: each value over its column's last one, minus 1, times ``gain``; ``linear``: (value - mean)
    / std. Forecasts are turned back the same way.
    """

    scale: Literal["relative-to-last", "linear"]
    gain: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        wanted = {"gain"} if self.scale == "relative-to-last" else {"mean", "std"}
        given = {name for name in ("gain", "mean", "std") if getattr(self, name) is not None}
        if given != wanted:
            raise ValueError(f'scale = "{self.scale}" takes {" and ".join(sorted(wanted))}, and nothing else')
        if 0 in (self.gain, self.std):
            raise ValueError("gain and std can't be 0")

    def applied(self, window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """A window ``[window, columns]`` on the network's scale."""
        if self.gain is not None:
            return np.asarray((window / window[-1] - 1.0) * self.gain)
        assert self.mean is not None and self.std is not None
        return np.asarray((window - self.mean) / self.std)

    def undone(self, value: float, last: float) -> float:
        """A forecast in the series' unit; ``last`` is the window's newest value."""
        if self.gain is not None:
            return last * (1.0 + value / self.gain)
        assert self.mean is not None and self.std is not None
        return value * self.std + self.mean


class Reference(msgspec.Struct, forbid_unknown_fields=True):
    """Whose predictions are stored, and where for each model (by its file's stem)."""

    by: str
    outputs: dict[str, str]


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file of a forecasting task."""

    kind: Literal["forecasting"]
    unit: str
    preprocess: Preprocess
    metric: str = "rmse"
    reference: Reference | None = None


class Forecasting(Kind):
    """Windows of a series; the network's input is ``[1, window, columns]``, float32, scaled. An answer is a number."""

    metrics: Mapping[str, Better] = {"rmse": "lower", "mae": "lower"}
    stands_for = csv_windows.SOURCES

    def __init__(self, described: Description, path: Path, model: str) -> None:
        self.scaling, stored = described.preprocess, described.reference
        described.reference = None  # what a network once gave is no part of the protocol
        super().__init__(described, path, csv_windows.Windows)
        self.reference, self.reference_by = _reference(stored, path, model, len(self.part))
        self.info = msgspec.structs.replace(self.info, naive=self._naive(), naive_says="same as yesterday")

    def prepared(self, part: Part, index: int) -> Samples:
        """One window, scaled as the network takes it: ``[1, window, columns]``."""
        return [self.scaling.applied(part.raw(index)).astype(np.float32)[np.newaxis]]

    def finish(self, index: int, outputs: Samples) -> float:
        """The forecast in the series' unit."""
        if not outputs or outputs[0].size != 1:
            raise UserError(f"a forecast is one number a sample; the model gave {outputs[0].shape if outputs else ()}")
        return self.scaling.undone(float(outputs[0].reshape(-1)[0]), self._last(index))

    def evidence(self, answers: Mapping[int, float]) -> dict[str, Evidence]:
        """RMSE and MAE, the main one first."""
        errors = np.array([answer - self.part.truth(index) for index, answer in answers.items()], np.float64)
        found: dict[str, Evidence] = {"rmse": RootMean(errors**2), "mae": Mean(np.abs(errors))}
        return {metric: found[metric] for metric in (self.info.metric, *self.info.others)}

    def same(self, ours: float, theirs: float) -> bool:
        """To a thousandth."""
        return math.isclose(ours, theirs, rel_tol=SAME)

    def show(self, index: int, answers: Mapping[str, float]) -> Shown:
        """The window plotted, with the truth and the forecasts after it."""
        truth = self.part.truth(index)
        return Shown(
            sample=self.name(index),
            truth=f"{truth:.6g} {self.info.unit}",
            answers={who: f"{answer:.6g} {self.info.unit}" for who, answer in answers.items()},
            picture=drawing.series(self.part.raw(index)[:, 0], {"truth": truth, **answers}),
        )

    def _last(self, index: int) -> float:
        return float(self.part.raw(index)[-1, 0])

    def _naive(self) -> float:
        answers = {}
        for index in range(len(self.part)):
            try:
                self.part.truth(index)
                answers[index] = self._last(index)
            except BadSample as problem:
                said = str(problem)
        if not answers:
            raise UserError(f"{self.path}: no day can be forecast, such as {said}", "see its column")
        return self.evidence(answers)[self.info.metric].value()


def load(path: Path, body: dict[str, Any], model: str) -> Forecasting:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Forecasting(description.convert(path, body, Description), path, model)


def _reference(reference: Reference | None, path: Path, model: str, samples: int) -> tuple[Samples | None, str | None]:
    if reference is None or model not in reference.outputs:
        return None, None
    stored = path.parent / reference.outputs[model]
    try:
        with np.load(stored, allow_pickle=False) as file:
            outputs = file["forecast"]
    except (OSError, ValueError, KeyError) as problem:
        raise UserError(f"can't read the reference outputs {stored}: {problem}") from problem
    if len(outputs) != samples:
        raise UserError(f"{stored} holds {len(outputs)} forecasts; the task has {samples} days")
    return [outputs], reference.by
