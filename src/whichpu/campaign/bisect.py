"""Why did it change? Two models, or two runtimes on one, held against each other layer by layer, on real inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt

from whichpu.campaign.reach import describe_all
from whichpu.campaign.sides import Runner, Side
from whichpu.campaign.study import Study
from whichpu.campaign.watch import Watch
from whichpu.errors import UserError
from whichpu.models import artefact, inputs, taps
from whichpu.models.taps import Graph
from whichpu.results.bisection import Bisection
from whichpu.targets.target import Target, parse
from whichpu.tasks import Task, prepared
from whichpu.tasks import load as load_task
from whichpu.worker import wire

Array = npt.NDArray[Any]
REFERENCE = Target(backend="onnxruntime")


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """What the user asked for. Of ``on``, the last is the target looked at, the one before it that held against."""

    model: Path
    on: tuple[str, ...] = ()
    against: Path | None = None
    data: Path | None = None
    shapes: Mapping[str | None, Sequence[int]] = {}
    samples: int = 4
    bound: float = 1e-3
    seed: int = 0
    timeout_s: float = 120.0


def bisect(asked: Asked, watch: Watch) -> Bisection:
    """Where, and by what layer, do the two sides begin to differ? Raises :class:`UserError`."""
    target, reference = _targets(asked)
    ours, specs = _graph(asked.model, asked)
    theirs, their_specs = (ours, specs) if asked.against is None else _graph(asked.against, asked)
    if [spec.shape for spec in specs] != [spec.shape for spec in their_specs]:
        raise UserError(
            f"{ours.name} takes {_told(specs)}, but {theirs.name} takes {_told(their_specs)}: they can't be fed alike",
            "give two forms of one network (--shape gives sizes to dynamic inputs)",
        )
    if len(ours.outputs) != len(theirs.outputs):
        raise UserError(f"{ours.name} gives {len(ours.outputs)} outputs, {theirs.name} gives {len(theirs.outputs)}")
    task = load_task(asked.data, asked.model.stem) if asked.data is not None and asked.data.suffix == ".toml" else None
    if task is not None and task.carry:
        raise UserError(
            f"{task.info.name} feeds outputs back as inputs, step by step; bisect runs single inferences",
            "give the inputs of some steps as --data FILE.npz",
        )
    indices, samples = _samples(asked, task, specs)
    found = Bisection(
        model=ours.name,
        against=theirs.name,
        target=str(target),
        against_target=str(reference),
        data=asked.data.name if asked.data is not None else f"random (seed {asked.seed})",
        samples=len(samples[0]),
        bound=asked.bound,
    )
    with tempfile.TemporaryDirectory(prefix="whichpu-") as name:
        folder = Path(name)
        runner = Runner(target, _made(folder / "run"), asked.timeout_s)
        other = Runner(reference, _made(folder / "run-reference"), asked.timeout_s)
        side = Side(ours, runner, specs, samples, folder / "values")
        their_side = Side(theirs, other, their_specs, samples, folder / "values-reference")
        try:
            return Study(side, their_side, watch, asked.bound, task, indices).fill(found)
        finally:
            runner.close()
            other.close()


def _targets(asked: Asked) -> tuple[Target, Target]:
    """The target looked at and the one that it is held against. Raises :class:`UserError`."""
    parsed = [parse(text)[1] for text in asked.on]
    if not parsed and asked.against is None:
        raise UserError(
            "there is nothing to hold the model against",
            "give --on TARGET (held against ONNX Runtime) or --against OTHER.onnx",
        )
    if len(parsed) > 2:
        raise UserError(f"{len(parsed)} targets are given; two can be held against each other", "give --on twice")
    if asked.against is not None:  # one runtime, unless two are named
        target = parsed[-1] if parsed else REFERENCE
        reference = parsed[0] if parsed else REFERENCE
    else:
        target, reference = parsed[-1], parsed[0] if len(parsed) == 2 else REFERENCE
    pairs = list(dict.fromkeys((one.backend, one.python) for one in (target, reference)))
    for (backend, _), said in describe_all(pairs, asked.timeout_s).items():
        if not said.usable:
            raise UserError(f"{backend} can't run here: {said.why_not}", said.remedy)
        if "onnx" not in said.formats:
            raise UserError(
                f"{backend} does not read ONNX, so nobody can look inside: it takes {', '.join(said.formats)}",
                "bisect on a runtime that reads ONNX (onnxruntime, openvino, opencv)",
            )
    return target, reference


def _graph(path: Path, asked: Asked) -> tuple[Graph, list[wire.TensorSpec]]:
    """A model and its inputs. Raises :class:`UserError`."""
    form = artefact.format_of(path)
    if form != "onnx":
        raise UserError(f"{path} is {form}; bisect looks inside ONNX files", "give the ONNX file that it was made from")
    model = artefact.load(path, shapes=asked.shapes, siblings=False)
    return taps.read(path), model.inputs or []


def _samples(asked: Asked, task: Task | None, specs: list[wire.TensorSpec]) -> tuple[list[int], list[Array]]:
    """Indices and inputs of the samples. Raises :class:`UserError`."""
    if task is not None:
        return inputs.of_task(prepared(task), specs, asked.samples, task.info.name)
    if asked.data is not None:
        arrays = [array[: asked.samples] for array in inputs.from_npz(asked.data, specs)]
    else:
        arrays = inputs.random(specs, asked.seed, asked.samples)
    return list(range(len(arrays[0]))), arrays


def _told(specs: Sequence[wire.TensorSpec]) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'})" for spec in specs)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
