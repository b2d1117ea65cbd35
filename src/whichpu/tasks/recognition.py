"""Text in pictures: a number plate, a line of print; scored by exact matches and by characters wrong."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Mean, Ratio
from whichpu.tasks import description, images
from whichpu.tasks.datasets import Part, texts
from whichpu.tasks.kind import Better, Described, Kind, output_of, squeezed
from whichpu.tasks.preprocess import Preprocess
from whichpu.tasks.task import Array, BadSample, Samples, Shown


class Decode(msgspec.Struct, forbid_unknown_fields=True):
    """How an output becomes a text. ``alphabet`` has the sign of each class in order, the blank's too.

    ``slots``: one class a place, the blank ones left out. ``ctc``: one class a step; what repeats is one sign, then
    the blanks go (greedy decoding of Graves et al. 2006). ``blank`` is the blank's sign, or its class by number.
    ``alphabet_file`` has a sign a line instead (an empty line is a space).
    """

    how: Literal["slots", "ctc"]
    blank: str | int
    alphabet: str | None = None
    alphabet_file: str | None = None
    output: int = 0
    ignore: str = ""
    ignore_case: bool = False


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file of a recognition task."""

    kind: Literal["recognition"]
    preprocess: Preprocess
    decode: Decode
    metric: str = "exact"


class Recognition(Kind):
    """Pictures and their texts. An answer is a text."""

    metrics: Mapping[str, Better] = {"exact": "higher", "cer": "lower"}
    stands_for = texts.SOURCES

    def __init__(self, described: Description, path: Path) -> None:
        self.decode, self.preprocess = described.decode, described.preprocess
        self.signs = _signs(described.decode, path)
        self.blank = _blank(described.decode, self.signs, path)
        described.decode.alphabet, described.decode.alphabet_file = "".join(self.signs), None  # as the protocol tells
        described.unit = "share"
        super().__init__(described, path, texts.load)

    def prepare(self, index: int) -> Samples:
        """The picture as the network takes it, once its text is known to be one that the alphabet can write."""
        unknown = set(self._counted(self.part.truth(index))) - set(self._counted("".join(self.signs)))
        if unknown:
            signs = "".join(sorted(unknown))
            raise BadSample(f"{self.name(index)}: its text {self.part.truth(index)!r} has {signs!r}, the alphabet none")
        return self.prepared(self.part, index)

    def prepared(self, part: Part, index: int) -> Samples:
        """The picture as the network takes it."""
        return [self.preprocess.applied_to(part.raw(index))[0]]

    def finish(self, index: int, outputs: Samples) -> str:
        """The text."""
        classes = best(output_of(outputs, self.decode.output), len(self.signs))
        if self.decode.how == "ctc":
            classes = classes[np.diff(classes, prepend=-1) != 0]
        return "".join(self.signs[one] for one in classes if one != self.blank)

    def evidence(self, answers: Mapping[int, str]) -> dict[str, Evidence]:
        """``exact``: the share of texts without an error; ``cer``: errors over the true texts' characters."""
        pairs = [(self._counted(answer), self._counted(self.part.truth(index))) for index, answer in answers.items()]
        errors = [edits(ours, truth) for ours, truth in pairs]
        both: dict[str, Evidence] = {
            "exact": Mean([float(not wrong) for wrong in errors]),
            "cer": Ratio(errors, [len(truth) for _, truth in pairs]),
        }
        return {name: both[name] for name in (self.info.metric, *self.info.others)}

    def same(self, ours: str, theirs: str) -> bool:
        """The same text, but for what doesn't count."""
        return self._counted(ours) == self._counted(theirs)

    def show(self, index: int, answers: Mapping[str, str]) -> Shown:
        """The picture and the texts."""
        picture = images.data_uri(self.part.raw(index))
        return Shown(sample=self.name(index), truth=self.part.truth(index), answers=dict(answers), picture=picture)

    def _counted(self, text: str) -> str:
        """The text in Unicode's composed form, without what is ignored."""
        text = "".join(sign for sign in unicodedata.normalize("NFC", text) if sign not in self.decode.ignore)
        return text.casefold() if self.decode.ignore_case else text


def load(path: Path, body: dict[str, Any], model: str) -> Recognition:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Recognition(description.convert(path, body, Description), path)


def best(output: Array, signs: int) -> npt.NDArray[np.int64]:
    """The class of each place: of the highest score along the axis of ``signs`` classes, or those the output holds.

    Axes of one are dropped; of two axes of that length the last is the classes'. Raises :class:`UserError`.
    """
    if np.issubdtype(output.dtype, np.integer) and squeezed(output, 1).ndim == 1:
        classes = squeezed(output, 1).astype(np.int64)
        if classes.size and not 0 <= classes.min() <= classes.max() < signs:
            raise UserError(
                f"the output names classes {classes.min()} to {classes.max()}; the alphabet has {signs}, from 0",
                "see decode.alphabet: it has a sign for every class, the blank's too",
            )
        return classes
    scores = squeezed(output, 2)
    if scores.ndim == 1 and scores.size == signs:
        scores = scores[np.newaxis]
    if scores.ndim != 2 or signs not in scores.shape:
        raise UserError(
            f"an output {list(output.shape)} has no axis of {signs} classes, which the alphabet has",
            "see decode.alphabet: it has a sign for every class, the blank's too",
        )
    return np.asarray(np.argmax(scores if scores.shape[1] == signs else scores.T, axis=1))


def edits(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The fewest insertions, deletions and replacements that make one text the other (Levenshtein 1966)."""
    row = list(range(len(theirs) + 1))
    for place, sign in enumerate(ours, 1):
        above, row = row, [place]
        for column, other in enumerate(theirs, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (sign != other)))
    return row[-1]


def _signs(decode: Decode, path: Path) -> list[str]:
    if (decode.alphabet is None) == (decode.alphabet_file is None):
        raise UserError(f"{path}: [decode] takes alphabet or alphabet_file: one of the two")
    if decode.alphabet is not None:
        signs = list(decode.alphabet)
    else:
        file = path.parent / str(decode.alphabet_file)
        try:
            signs = [line or " " for line in file.read_text(encoding="utf-8").split("\n")]
        except (OSError, UnicodeDecodeError) as problem:
            raise UserError(f"can't read the alphabet {file}: {problem}") from problem
        signs = signs[:-1] if signs[-1] == " " else signs  # after the last newline
    if len(set(signs)) < len(signs):
        twice = next(sign for place, sign in enumerate(signs) if sign in signs[:place])
        raise UserError(f"{path}: the alphabet has {twice!r} twice")
    return signs


def _blank(decode: Decode, signs: list[str], path: Path) -> int:
    if isinstance(decode.blank, str) and decode.blank in signs:
        return signs.index(decode.blank)
    if isinstance(decode.blank, int) and -len(signs) <= decode.blank < len(signs):
        return decode.blank % len(signs)
    raise UserError(f"{path}: decode.blank = {decode.blank!r} is no sign or class of the alphabet's {len(signs)}")
