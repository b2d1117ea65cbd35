"""Which class a sample is of, scored by top-1 and top-5 accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Mean
from whichpu.tasks import description, examples
from whichpu.tasks.datasets import folder
from whichpu.tasks.kind import Better, Described, output_of
from whichpu.tasks.task import BadSample, Samples, Shown

TOLD = 20
"""As many names of classes are told in the protocol; of more their number and hash."""

Ranked = list[int]
"""An answer: at most five classes, the likeliest first."""


class Decode(msgspec.Struct, forbid_unknown_fields=True):
    """Which output has the scores, and how many of its first ones are no class of the data (a background)."""

    output: Annotated[int, msgspec.Meta(ge=0)] = 0
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file. ``classes``: how many there are, their names, or a text file with a name a line."""

    kind: Literal["classification"]
    metric: str = "top1"
    unit: Literal["share"] = "share"
    preprocess: Any = None
    decode: Decode = msgspec.field(default_factory=Decode)
    classes: Annotated[int, msgspec.Meta(ge=1)] | str | list[str] | None = None


class Classification(examples.Examples):
    """Pictures or arrays, and the class or the classes that count as right."""

    metrics: Mapping[str, Better] = {"top1": "higher", "top5": "higher"}

    def __init__(self, described: Description, path: Path) -> None:
        self.decode = described.decode
        self.names, self.known = _classes(path, described.classes)
        described.classes = None  # the protocol tells what they are, not where they are written
        super().__init__(described, path)
        self._refuse_unknown()

    def prepare(self, index: int) -> Samples:
        """The inputs of one sample; one whose class is not known is left out."""
        self.right(index)
        return self.prepared(self.part, index)

    def finish(self, index: int, outputs: Samples) -> Ranked:
        """The five classes of the highest scores; of equal scores, the lower number first.

        Raises :class:`BadSample` where the model has no score for the true class.
        """
        output = output_of(outputs, self.decode.output)
        scores = output.reshape(-1)[self.decode.skip :]
        if max(output.shape, default=0) != output.size or not scores.size:
            raise UserError(
                f"an output {list(output.shape)} is not one score for each class",
                "decode.output says which output has them, from 0",
            )
        if self.known is not None and scores.size != self.known:
            raise UserError(
                f"the model scores {scores.size} classes; the task has {self.known}",
                "see classes in the task's file; decode.skip = 1 leaves out a background class before the others",
            )
        right = self.right(index)
        if min(right) >= scores.size:
            raise BadSample(f"{self.name(index)} is of class {min(right)}; the model has {scores.size} classes, from 0")
        return [int(place) for place in np.argsort(-scores.astype(np.float64), kind="stable")[:5]]

    def right(self, index: int) -> frozenset[int]:
        """The classes that count as right. Raises :class:`BadSample`."""
        labels = str(self.part.truth(index)).split("|")
        return frozenset(self._number(label.strip(), self.name(index)) for label in labels)

    def evidence(self, answers: Mapping[int, Ranked]) -> dict[str, Evidence]:
        """The share of samples with a right class first, and among the first five."""
        right = {index: self.right(index) for index in answers}
        hits: dict[str, Evidence] = {
            f"top{most}": Mean([float(bool(right[index] & set(ranked[:most]))) for index, ranked in answers.items()])
            for most in (1, 5)
        }
        return {metric: hits[metric] for metric in (self.info.metric, *self.info.others)}

    def same(self, ours: Ranked, theirs: Ranked) -> bool:
        """The same class first."""
        return ours[0] == theirs[0]

    def show(self, index: int, answers: Mapping[str, Ranked]) -> Shown:
        """The picture where there is one, and the names of the classes."""
        return Shown(
            sample=self.name(index),
            truth=" or ".join(map(self._called, sorted(self.right(index)))),
            answers={who: self._called(ranked[0]) for who, ranked in answers.items()},
            picture=self.picture(index),
        )

    def _number(self, label: str, sample: str) -> int:
        number = int(label) if _is_number(label) else -1
        if self.names is not None:
            number = self.names.get(label, number)
        if number < 0 or (self.known is not None and number >= self.known):
            known = "a number from 0 (the task's file names no classes)" if self.known is None else "a known class"
            raise BadSample(f"{sample}: its label {label!r} is not {known}")
        return number

    def _called(self, number: int) -> str:
        if self.names is None:
            return str(number)
        return next((f"{name} ({number})" for name, own in self.names.items() if own == number), str(number))

    def _protocol(self, described: Described) -> dict[str, str]:
        """Folders named by numbers are those classes; others are numbered from 0 in the order of their names."""
        whole = self.part.whole
        if self.names is None and isinstance(whole, folder.Folders) and not all(map(_is_number, whole.classes)):
            self.names = {name: number for number, name in enumerate(whole.classes)}
        told = super()._protocol(described)
        classes = _told(self.names, self.known)
        return told if classes is None else {**told, "classes": classes}

    def _refuse_unknown(self) -> None:
        """Raises :class:`UserError` when no sample's label is known."""
        said = None
        for index in range(len(self.part)):
            try:
                self.right(index)
                return
            except BadSample as problem:
                said = said or problem
        raise UserError(f"{self.path}: no sample can be used, such as {said}", "see classes in the task's file")


def load(path: Path, body: dict[str, Any], model: str) -> Classification:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Classification(description.convert(path, body, Description), path)


def _classes(path: Path, classes: int | str | list[str] | None) -> tuple[dict[str, int] | None, int | None]:
    """Numbers by names, and how many classes there are, as far as the file tells."""
    if classes is None or isinstance(classes, int):
        return None, classes
    names = classes if isinstance(classes, list) else _lines(path.parent / classes)
    if not names:
        raise UserError(f"{path}: classes names none")
    numbers: dict[str, int] = {}
    for number, name in enumerate(names):
        numbers.setdefault(name, number)  # ImageNet has two classes called crane: by name, the first is meant
    return numbers, len(names)


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit()


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"can't read the classes' names in {path}: {problem}") from problem


def _told(names: Mapping[str, int] | None, known: int | None) -> str | None:
    if names is None:
        return None if known is None else str(known)
    if len(names) <= TOLD:
        return ", ".join(names)
    return f"{known or len(names)} names, sha256 {hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:16]}"
