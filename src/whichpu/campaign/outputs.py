"""Outputs of a runtime: read from files, held against the reference's, refused where they are no answer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.models.inputs import Samples
from whichpu.results.schema import Difference
from whichpu.targets.link import WorkerTrouble

Numbers = npt.NDArray[np.float64]


def outputs_of(path: Path) -> Samples:
    """The outputs in the model's order, each ``[samples, *shape]``, or a list of arrays where shapes vary."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    outputs: list[Any] = []
    while len(outputs) <= len(arrays):
        index = len(outputs)
        if f"output_{index}" in arrays:
            outputs.append(arrays[f"output_{index}"])
        elif f"output_{index}_0" in arrays:
            count = sum(name.startswith(f"output_{index}_") for name in arrays)
            outputs.append([arrays[f"output_{index}_{sample}"] for sample in range(count)])
        else:
            break
    return outputs


class _Output:
    """What has been seen of one output: sums over all its values, ours and the reference's."""

    def __init__(self) -> None:
        self.values = self.samples = 0
        self.apart = self.largest = self.gaps = self.squares = 0.0
        self.product = self.ours = self.theirs = 0.0
        self.sizes: tuple[int, int] | None = None

    def add(self, ours: Numbers, theirs: Numbers, gaps: Numbers) -> None:
        finite = np.isfinite(ours) & np.isfinite(theirs)
        ours, theirs = np.where(finite, ours, 0.0), np.where(finite, theirs, 0.0)
        self.values += gaps.size
        self.apart = max(self.apart, float(gaps.max(initial=0.0)))
        self.largest = max(self.largest, float(np.abs(theirs).max(initial=0.0)))
        self.gaps += float(gaps.sum())
        self.squares += float(gaps @ gaps)
        self.product += float(ours @ theirs)
        self.ours += float(ours @ ours)
        self.theirs += float(theirs @ theirs)

    @property
    def relative(self) -> float:
        return self.apart / self.largest if self.largest else 0.0

    @property
    def psnr_db(self) -> float | None:
        """``None`` where nothing differs (it is infinite), or the reference is all zero."""
        if not self.squares or not self.largest:
            return None
        return 10 * math.log10(self.largest**2 * self.values / self.squares)

    @property
    def cosine(self) -> float | None:
        """``None`` where one of both is all zero."""
        length = math.sqrt(self.ours) * math.sqrt(self.theirs)
        return min(1.0, self.product / length) if length else None


class Differences:
    """Differences over all outputs, gathered as samples come in."""

    def __init__(self) -> None:
        self.outputs: list[_Output] = []
        self.samples = 0
        self.other: set[int] = set()

    def add(self, ours: Samples, theirs: Samples) -> None:
        """Outputs of some samples and the reference's. Raises :class:`WorkerTrouble` for what is no answer."""
        if len(ours) != len(theirs):
            raise WorkerTrouble("bad-output", f"gives {len(ours)} outputs; the reference gives {len(theirs)}")
        self.outputs = self.outputs or [_Output() for _ in ours]
        for index, (of, mine, others) in enumerate(zip(self.outputs, ours, theirs, strict=True)):
            pairs = [(flat(a), flat(b)) for a, b in zip(mine, others, strict=True)]
            same = [(a, b) for a, b in pairs if a.size == b.size]
            self.other |= {self.samples + sample for sample, (a, b) in enumerate(pairs) if a.size != b.size}
            if len(same) < len(pairs) and of.sizes is None:
                of.sizes = next((a.size, b.size) for a, b in pairs if a.size != b.size)
            of.samples += len(same)
            if same:
                a, b = (np.concatenate([pair[side] for pair in same]) for side in (0, 1))
                of.add(a, b, _gaps(a, b, index))
        self.samples += len(theirs[0]) if theirs else 0

    def told(self) -> Difference:
        """The differences so far. Raises :class:`WorkerTrouble` where an output has another size in every sample."""
        for index, of in enumerate(self.outputs):
            if of.sizes is not None and not of.samples:
                shapes = f"{of.sizes[0]} values a sample; the reference gives {of.sizes[1]}"
                raise WorkerTrouble("bad-output", f"output {index} has {shapes}")
        relative = [of.relative for of in self.outputs]
        worst = int(np.argmax(relative)) if any(relative) else None
        values = sum(of.values for of in self.outputs)
        shown = self.outputs[worst or 0] if self.outputs else _Output()
        return Difference(
            max_abs=max((of.apart for of in self.outputs), default=0.0),
            mean_abs=sum(of.gaps for of in self.outputs) / values if values else 0.0,
            relative=relative[worst]
            if worst is not None
            else (0.0 if not any(o.apart for o in self.outputs) else None),
            samples=self.samples,
            output=worst,
            other_shapes=len(self.other),
            psnr_db=shown.psnr_db,
            cosine=shown.cosine,
        )


def difference(outputs: Samples, reference: Samples) -> Difference:
    """Differences over all outputs and samples. Raises :class:`WorkerTrouble` for outputs that are no answer."""
    found = Differences()
    found.add(outputs, reference)
    return found.told()


def flat(array: npt.NDArray[Any]) -> Numbers:
    """All values of an output in a row: shapes may differ between runtimes by axes of one."""
    return np.asarray(array).reshape(-1).astype(np.float64)


def refuse_nan(outputs: Samples) -> None:
    """Raises :class:`WorkerTrouble` when a value is NaN."""
    for index, output in enumerate(outputs):
        arrays = output if isinstance(output, list) else [output]
        bad = sum(int(np.isnan(array).sum()) for array in arrays if array.dtype.kind in "fc")
        if bad:
            raise WorkerTrouble(
                "bad-output",
                f"{bad} of {sum(array.size for array in arrays)} values of output {index} are NaN",
                "see whether the reference gives them too: then it is the model, or the data",
            )


def _gaps(a: Numbers, b: Numbers, index: int) -> Numbers:
    """Absolute differences; equal infinities differ by nothing. Raises :class:`WorkerTrouble` for unequal ones."""
    finite = np.isfinite(a) & np.isfinite(b)
    unequal = int((~finite & (a != b)).sum())
    if unequal:
        raise WorkerTrouble(
            "bad-output",
            f"{unequal} of {a.size} values of output {index} are infinite in the reference or here, but not in both",
        )
    gaps: Numbers = np.abs(np.where(finite, a, 0.0) - np.where(finite, b, 0.0))
    return gaps
