"""A whole dataset through one worker: the next samples are prepared while it runs these and the last are finished."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from whichpu.campaign.outputs import Differences, outputs_of, refuse_nan
from whichpu.errors import UserError
from whichpu.models.inputs import Samples
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.tasks import BadSample, Task
from whichpu.worker import wire

CHUNK_BYTES, CHUNK_SAMPLES = 32 << 20, 256
CHUNKS_LEAST = 16
"""A small dataset is cut finely: nothing overlaps while the first chunk is prepared and the last one is finished."""

THREADS_MOST = 8
KEPT_BYTES = 256 << 20
"""Prepared samples that stay on disk for the next contenders, and as much of the reference's outputs."""

TOLD_EVERY_S = 0.5

Tell = Callable[[int, int], None]
"""Hears how many samples of how many are done."""


@dataclass(frozen=True)
class Chunk:
    """Samples that are run together: their indices, the folder of their inputs, and why others were left out."""

    indices: list[int]
    path: Path
    bytes: int
    inferences: int
    left_out: dict[int, str]


class Prepared(NamedTuple):
    """The inputs of some samples, each ``[samples, *shape]`` (of a sequence: ``[steps, *shape]``), and why others are
    left out."""

    indices: list[int]
    columns: Samples
    left_out: dict[int, str]


@dataclass
class Scored:
    """What one contender answered, by sample; why samples were left out; differences from the reference's outputs."""

    answers: dict[int, Any] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    differences: Differences = field(default_factory=Differences)
    wall_s: float = 0.0


class Scorer:
    """Streams one task. Its folder holds what is prepared; :meth:`close` removes it."""

    def __init__(self, task: Task, specs: Sequence[wire.TensorSpec], threads: int = 1) -> None:
        self.task = task
        self.takes = [(spec.name, tuple(spec.shape), np.dtype(spec.dtype)) for spec in specs]
        self.threads = max(1, min(THREADS_MOST, threads))
        self.size = 1 if task.carry else _chunk_size(specs, task.info.samples)
        self.ready: dict[int, Chunk] = {}
        self.ready_bytes = 0
        # A worker whose contender was given up may still write.
        self.folder = tempfile.TemporaryDirectory(prefix="whichpu-", ignore_cleanup_errors=True)

    def close(self) -> None:
        """Remove all that was prepared and kept."""
        self.folder.cleanup()

    def run(
        self,
        link: Link,
        timeout_s: Callable[[int], float],
        reference: Kept | None = None,
        keep: Kept | None = None,
        tell: Tell | None = None,
    ) -> Scored:
        """Answers to all samples that can be used. ``timeout_s`` is the time allowed for so many inferences.

        Outputs are held against the ``reference``'s, and go into ``keep``. Raises :class:`WorkerTrouble`, and
        :class:`UserError` when no sample can be used.
        """
        scored, began, told = Scored(), time.monotonic(), 0.0
        waiting: tuple[Chunk, Path] | None = None
        with closing(self.chunks()) as chunks:
            for chunk in chunks:
                scored.left_out |= chunk.left_out
                if not chunk.indices:
                    continue
                path = chunk.path.with_suffix(".npz")
                link.send(wire.Infer(str(chunk.path), str(path), carry=dict(self.task.carry)))
                if waiting is not None:
                    self._finish(*waiting, scored, reference, keep)
                link.receive(wire.Inferred, timeout_s(chunk.inferences))
                waiting = chunk, path
                if tell is not None and time.monotonic() - told > TOLD_EVERY_S:
                    told = time.monotonic()
                    tell(chunk.indices[-1] + 1, self.task.info.samples)
        if waiting is not None:
            self._finish(*waiting, scored, reference, keep)
        self.refuse_nothing(scored)
        scored.wall_s = time.monotonic() - began
        return scored

    def brought(self, outputs: Samples) -> Scored:
        """Answers from outputs ``[samples, *shape]`` that are there already. Raises :class:`UserError`."""
        scored = Scored()
        with closing(self.chunks()) as chunks:
            for chunk in chunks:
                scored.left_out |= chunk.left_out
                self._answer(chunk.indices, [array[chunk.indices] for array in outputs], scored)
        self.refuse_nothing(scored)
        return scored

    def chunks(self) -> Generator[Chunk]:
        """All chunks in order, prepared by threads a little ahead of the reader, and written by another one."""
        count = self.task.info.samples
        with ThreadPoolExecutor(self.threads, "prepare") as preparing, ThreadPoolExecutor(1, "write") as writing:
            ahead: deque[Future[Chunk]] = deque()
            try:
                for first in range(0, count, self.size):
                    prepared = preparing.submit(self._prepared, range(first, min(first + self.size, count)))
                    ahead.append(writing.submit(self._written, first, prepared))
                    if len(ahead) > self.threads + 2:
                        yield from self._handed(ahead.popleft())
                while ahead:
                    yield from self._handed(ahead.popleft())
            finally:
                preparing.shutdown(wait=False, cancel_futures=True)
                writing.shutdown(wait=False, cancel_futures=True)

    def refuse_nothing(self, scored: Scored) -> None:
        """Raises :class:`UserError` when no sample could be used."""
        if not scored.answers:
            first = next(iter(scored.left_out.values()), "it is empty")
            raise UserError(f"no sample of {self.task.info.name} can be used, such as: {first}")

    def _handed(self, future: Future[Chunk]) -> Iterator[Chunk]:
        """A chunk, and its file's end once the reader has done with it."""
        chunk = future.result()
        yield chunk
        first = min([*chunk.indices, *chunk.left_out])
        if first in self.ready:
            return
        if self.ready_bytes + chunk.bytes <= KEPT_BYTES:
            self.ready[first], self.ready_bytes = chunk, self.ready_bytes + chunk.bytes
        else:
            shutil.rmtree(chunk.path, ignore_errors=True)

    def _prepared(self, indices: range) -> Prepared:
        """The samples' inputs, and why some are left out; nothing where a chunk is there already.

        Each sample goes at once to its place: its own memory is then used again for the next, while caches hold it.
        """
        found: list[int] = []
        columns: Samples = []
        left_out: dict[int, str] = {}
        for index in indices if indices[0] not in self.ready else ():
            try:
                sample = self._fitted(index, self.task.prepare(index))
            except BadSample as problem:
                left_out[index] = str(problem)
                continue
            if self.task.carry:
                return Prepared([index], sample, left_out)
            columns = columns or [np.empty((len(indices), *array.shape), array.dtype) for array in sample]
            for column, array in zip(columns, sample, strict=True):
                column[len(found)] = array
            found.append(index)
        return Prepared(found, [column[: len(found)] for column in columns], left_out)

    def _written(self, first: int, preparing: Future[Prepared]) -> Chunk:
        """The chunk that begins with sample ``first``, as workers read it."""
        indices, columns, left_out = preparing.result()
        if first in self.ready:
            return self.ready[first]
        path = Path(self.folder.name) / f"samples-{first}"
        if not indices:
            return Chunk([], path, 0, 0, left_out)
        path.mkdir(exist_ok=True)
        for place, column in enumerate(columns):
            np.save(path / f"input_{place}.npy", column)
        steps = max((len(column) for column in columns), default=len(indices))
        return Chunk(indices, path, sum(column.nbytes for column in columns), steps, left_out)

    def _fitted(self, index: int, sample: Samples) -> Samples:
        """A sample in the model's types. Raises :class:`BadSample` for one that the model doesn't take."""
        if len(sample) != len(self.takes):
            raise BadSample(f"{self.task.name(index)} gives {len(sample)} inputs; the model takes {len(self.takes)}")
        found = []
        for array, (name, shape, dtype) in zip(sample, self.takes, strict=True):
            given = array.shape[1:] if self.task.carry else array.shape
            if given != shape:
                raise BadSample(
                    f"{self.task.name(index)} becomes {_told(given)} for {name!r}; the model takes {_told(shape)}"
                )
            if array.dtype != dtype:
                if not np.can_cast(array.dtype, dtype, "same_kind"):
                    raise BadSample(f"{self.task.name(index)} becomes {array.dtype}; the model takes {dtype}")
                array = array.astype(dtype)
            found.append(array)
        return found

    def _finish(self, chunk: Chunk, path: Path, scored: Scored, reference: Kept | None, keep: Kept | None) -> None:
        """Outputs of a chunk become answers. Raises :class:`WorkerTrouble`."""
        outputs = outputs_of(path)
        refuse_nan(outputs)
        outputs = by_sample(outputs, self.task)
        theirs = reference.outputs(chunk) if reference is not None else None
        if theirs is not None:
            scored.differences.add(outputs, theirs)
        try:
            self._answer(chunk.indices, outputs, scored)
        except UserError as problem:
            raise WorkerTrouble("bad-output", str(problem), problem.remedy) from problem
        if keep is None or not keep.take(chunk, path):
            path.unlink(missing_ok=True)

    def _answer(self, indices: Sequence[int], outputs: Sequence[Any], scored: Scored) -> None:
        for place, index in enumerate(indices):
            try:
                scored.answers[index] = self.task.finish(index, [output[place] for output in outputs])
            except BadSample as problem:
                scored.left_out[index] = str(problem)


class Kept:
    """The reference's outputs: of the first samples, in the worker's files; or all, as the task brings them."""

    def __init__(self, task: Task) -> None:
        self.task, self.brought = task, task.reference
        self.files: dict[int, tuple[list[int], Path]] = {}
        self.bytes = 0

    def take(self, chunk: Chunk, path: Path) -> bool:
        """Keep a chunk's file of outputs, while there is room."""
        size = path.stat().st_size
        if self.bytes + size > KEPT_BYTES:
            self.bytes = KEPT_BYTES + 1  # the first samples are kept, without gaps
            return False
        kept = path.with_name(f"reference-{path.name}")
        path.rename(kept)
        self.bytes += size
        self.files[chunk.indices[0]] = chunk.indices, kept
        return True

    def forget(self) -> None:
        """Keep nothing of a run that failed."""
        for _, path in self.files.values():
            path.unlink(missing_ok=True)
        self.files, self.bytes = {}, 0

    def outputs(self, chunk: Chunk) -> Samples | None:
        """The outputs of a chunk's samples; ``None`` where they were not kept."""
        if self.brought is not None:
            return [array[chunk.indices] for array in self.brought]
        indices, path = self.files.get(chunk.indices[0], ([], None))
        if path is None or indices != chunk.indices:
            return None
        return by_sample(outputs_of(path), self.task)

    def first(self, most: int) -> dict[int, Samples]:
        """Outputs by sample, of ``most`` samples or some more."""
        if self.brought is not None:
            return {index: [array[index] for array in self.brought] for index in range(self.task.info.samples)}
        found: dict[int, Samples] = {}
        for indices, path in self.files.values():
            outputs = by_sample(outputs_of(path), self.task)
            found |= {index: [output[place] for output in outputs] for place, index in enumerate(indices)}
            if len(found) >= most:
                break
        return found


def by_sample(outputs: Samples, task: Task) -> Samples:
    """A file's outputs with a leading axis of samples: that of a sequence's steps is within one sample."""
    return [array[np.newaxis] for array in outputs] if task.carry else outputs


def spare_threads(busy: int) -> int:
    """CPUs that the host may prepare samples on beside ``busy`` threads of the worker; one at least."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - busy)


def _chunk_size(specs: Sequence[wire.TensorSpec], samples: int) -> int:
    of_one = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs)
    return max(1, min(CHUNK_SAMPLES, CHUNK_BYTES // max(1, of_one), math.ceil(samples / CHUNKS_LEAST)))


def _told(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"
