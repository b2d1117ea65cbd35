"""Sequences with carried state: a network that is fed step by step, its state's outputs becoming its next inputs.

A sample is a sequence: a sound cut into windows, or an array of steps. What is expected at each step is stored beside
it; the metric is the error of the outputs over all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Ratio, RootRatio
from whichpu.tasks import description
from whichpu.tasks.datasets import Part, stems, wav
from whichpu.tasks.kind import Better, Described, Kind, output_of, refuse_nan
from whichpu.tasks.task import Array, BadSample, Samples, Shown

SOURCES = ("wav", "arrays", "expected")
ARRAYS = (".npz", ".npy")

SAME_WITHIN = 0.01
"""Two answers are the same where no value of any step differs by more than this part of the largest expected value."""

TAPERS: Mapping[str, Callable[[int], Array]] = {"none": np.ones, "hann": np.hanning, "hamming": np.hamming}
"""Symmetric windows, as NumPy defines them."""


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """Sequences (``wav`` or ``arrays``, a folder), and what is expected of each, under the same stem.

    ``expected`` is a folder of ``.npz`` or ``.npy`` files, ``[steps, *shape]``; ``array`` and ``expected_array`` name
    the arrays where files hold several.
    """

    expected: str
    wav: str | None = None
    arrays: str | None = None
    array: str | None = None
    expected_array: str | None = None


class Sound(msgspec.Struct, forbid_unknown_fields=True):
    """How a sound becomes steps: windows of ``window`` samples, each ``hop`` after the one before; a rest is left.

    ``transform``: ``magnitude`` is \\|FFT\\| of the real signal, ``window // 2 + 1`` values; ``power`` its square;
    ``none`` the samples themselves. ``taper`` multiplies each window before.
    """

    rate_hz: int
    window: int
    hop: int
    channel: int | None = None
    taper: Literal["none", "hann", "hamming"] = "none"
    transform: Literal["none", "magnitude", "power"] = "none"

    def __post_init__(self) -> None:
        if min(self.rate_hz, self.window, self.hop) < 1:
            raise ValueError("rate_hz, window and hop are at least 1")


class Steps(msgspec.Struct, forbid_unknown_fields=True):
    """The input that takes a step: its index, and its shape where it isn't the step's own (-1: what is left)."""

    input: int = 0
    shape: list[int] | None = None
    dtype: Literal["float32", "float16"] = "float32"


class State(msgspec.Struct, forbid_unknown_fields=True):
    """An output that is fed back to an input; it starts as zeros of that shape."""

    output: int
    input: int
    shape: list[int]
    dtype: Literal["float32", "float16"] = "float32"


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file of a task on sequences."""

    kind: Literal["sequences"]
    state: list[State]
    sound: Sound | None = None
    steps: Steps = msgspec.field(default_factory=Steps)
    output: int = 0
    metric: str = "rmse"


class Answer(msgspec.Struct):
    """Sums of squared and of absolute errors over ``count`` values of a sequence; and the values, float32."""

    squared: float
    absolute: float
    count: int
    values: npt.NDArray[np.float32]


class Recurrent(Kind):
    """Sequences of one folder; inputs ``[steps, *shape]`` each, the carried ones zeros."""

    metrics: Mapping[str, Better] = {"rmse": "lower", "mae": "lower"}
    stands_for = SOURCES

    def __init__(self, described: Description, path: Path) -> None:
        _check(described, path)
        self.described = described
        self.carry = {state.output: state.input for state in described.state}
        super().__init__(described, path, self._load)

    def prepare(self, index: int) -> Samples:
        """The inputs of all steps of one sequence."""
        inputs, expected = self.prepared(self.part, index), self.part.truth(index)
        steps = len(inputs[self.described.steps.input])
        if len(expected) != steps:
            raise BadSample(f"{self.name(index)} has {steps} steps, what is expected of it {len(expected)}")
        return inputs

    def prepared(self, part: Part, index: int) -> Samples:
        """The inputs of all steps, whatever is expected of them."""
        described, steps = self.described, part.raw(index).astype(self.described.steps.dtype)
        if described.steps.shape is not None:
            try:
                steps = steps.reshape(len(steps), *described.steps.shape)
            except ValueError as problem:
                one = f"a step of {list(steps.shape[1:])}"
                says = f"{part.name(index)}: {one} can't take steps.shape = {described.steps.shape}"
                raise BadSample(says) from problem
        inputs = {described.steps.input: steps}
        for state in described.state:
            inputs[state.input] = np.broadcast_to(np.zeros(1, state.dtype), (len(steps), *state.shape))
        return [inputs[number] for number in sorted(inputs)]

    def finish(self, index: int, outputs: Samples) -> Answer:
        """The errors over all steps."""
        found, expected = output_of(outputs, self.described.output, "output"), self.part.truth(index)
        if found.size != expected.size or len(found) != len(expected):
            each = f"{list(expected.shape[1:])} at each of {len(expected)} steps"
            raise UserError(f"{self.name(index)}: expected is {each}; the model gave {list(found.shape)}")
        errors = found.reshape(expected.shape).astype(np.float64) - expected
        squared, absolute = float((errors**2).sum()), float(np.abs(errors).sum())
        return Answer(squared, absolute, errors.size, found.astype(np.float32))

    def evidence(self, answers: Mapping[int, Answer]) -> dict[str, Evidence]:
        """Errors over all values of all sequences."""
        count = [answer.count for answer in answers.values()]
        both: dict[str, Evidence] = {
            "rmse": RootRatio([answer.squared for answer in answers.values()], count),
            "mae": Ratio([answer.absolute for answer in answers.values()], count),
        }
        return {name: both[name] for name in (self.info.metric, *self.info.others)}

    def same(self, ours: Answer, theirs: Answer) -> bool:
        """No value differs by more than 1 % of the largest of theirs."""
        if ours.values.shape != theirs.values.shape:
            return False
        most = float(np.abs(theirs.values).max(initial=0.0))
        return bool(np.abs(ours.values - theirs.values).max(initial=0.0) <= SAME_WITHIN * most)

    def show(self, index: int, answers: Mapping[str, Answer]) -> Shown:
        """The errors in words."""
        unit, steps = f" {self.info.unit}".rstrip(), len(self.part.truth(index))
        told = {name: f"RMSE {np.sqrt(one.squared / one.count):.4g}{unit}" for name, one in answers.items()}
        return Shown(sample=self.name(index), truth=f"{steps} steps", answers=told)

    def calibration(self, count: int, seed: int) -> Iterator[Samples]:
        """Raises :class:`UserError`: states are unknown without running the network; zeros don't calibrate."""
        raise UserError(
            f"{self.path}: a network that carries its state can't be calibrated step by step: its states are not known",
            "give the quantised model itself, made by its training's own tools",
        )

    def _load(self, path: Path, table: Mapping[str, Any]) -> stems.Pairs:
        data = description.convert(path, table, Data)
        if (data.wav is None) == (data.arrays is None):
            raise UserError(f"{path}: [data] names a folder of sequences as wav or as arrays: one of the two")
        if (data.wav is None) != (self.described.sound is None):
            raise UserError(f"{path}: [sound] says how windows are made of data.wav; the one needs the other")
        if data.wav is not None:
            given = stems.files(path, "data.wav", data.wav, (".wav",))
        else:
            given = stems.files(path, "data.arrays", str(data.arrays), ARRAYS)
        return stems.Pairs(
            given,
            stems.files(path, "data.expected", data.expected, ARRAYS),
            self._sound if data.wav is not None else lambda file: array(file, data.array),
            lambda file: array(file, data.expected_array),
            ("sequence", "expected values"),
        )

    def _sound(self, path: Path) -> Array:
        sound = self.described.sound
        assert sound is not None
        signal = wav.read(path, sound.rate_hz, sound.channel)
        if len(signal) < sound.window:
            raise BadSample(f"{path.name} has {len(signal)} samples; a window takes {sound.window}")
        return windows(signal, sound)


def load(path: Path, body: dict[str, Any], model: str) -> Recurrent:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Recurrent(description.convert(path, body, Description), path)


def windows(signal: wav.Sound, sound: Sound) -> Array:
    """The steps of a sound, ``[steps, values]``, float32; the FFT is computed in float64."""
    cut = np.lib.stride_tricks.sliding_window_view(signal, sound.window)[:: sound.hop]
    tapered = cut * TAPERS[sound.taper](sound.window)
    if sound.transform == "none":
        return tapered.astype(np.float32)
    magnitude = np.abs(np.fft.rfft(tapered))
    values: Array = magnitude**2 if sound.transform == "power" else magnitude
    return values.astype(np.float32)


def array(path: Path, name: str | None) -> Array:
    """The array of a file, ``[steps, *shape]``. Raises :class:`BadSample`."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded as file:
                if name is None and len(file.files) != 1:
                    raise BadSample(f"{path.name} holds {', '.join(file.files) or 'no array'}; the task names none")
                loaded = file[file.files[0] if name is None else name]
    except (OSError, ValueError, KeyError, EOFError) as problem:
        raise BadSample(f"{path.name} can't be read: {problem}") from problem
    if loaded.ndim == 0 or not loaded.size or not np.issubdtype(loaded.dtype, np.number):
        raise BadSample(f"{path.name} holds {loaded.dtype}{list(loaded.shape)}: no numbers, [steps, *shape]")
    found: Array = loaded
    refuse_nan([found], path.name)
    return found


def _check(described: Description, path: Path) -> None:
    """Raises :class:`UserError` for inputs and outputs that don't go together."""
    taken = [described.steps.input, *(state.input for state in described.state)]
    if sorted(taken) != list(range(len(taken))):
        raise UserError(
            f"{path}: steps.input and state.input number the model's inputs 0 to {len(taken) - 1}, each once"
        )
    if len({state.output for state in described.state}) < len(described.state):
        raise UserError(f"{path}: one output is fed back to two inputs")
