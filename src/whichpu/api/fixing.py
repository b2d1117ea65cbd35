"""What would let the NPU take more, and the model rewritten: ``whichpu.api.fix`` is ``whichpu fix``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichpu.api.measuring import Pathlike
from whichpu.errors import UserError

if TYPE_CHECKING:
    from whichpu.campaign.proof import Bench, Delta, Proof
    from whichpu.graphs.placement import Figures, Placement
    from whichpu.graphs.remedies import Proposal, Remedy, Site

ALL_OPERATORS = 10**9
"""`whichpu fix` is the asking: graphs of any size are rewritten and analysed again."""
INLINE_MOST = 1_800_000_000
"""Bytes of a model that fits one file (2 GiB) with some room."""


@dataclass(frozen=True)
class Applied:
    """One remedy that was applied. ``proof`` is of the step that it is."""

    name: str
    effect: str
    answer: str
    sites: tuple[Site, ...]
    before: Figures
    after: Figures
    proof: Proof
    notes: tuple[str, ...] = ()


@dataclass
class Fixed:
    """What was found, and what was done about it."""

    model: Path
    npu: str
    before: Figures
    proposals: list[Proposal] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    proof: Proof | None = None
    """The rewritten model against the one that was given."""
    delta: Delta | None = None
    """The task's metric, where a task was given."""
    written: Path | None = None
    refused: str = ""
    """Why nothing is written: an exact rewrite did not prove exact."""
    notes: list[str] = field(default_factory=list)

    @property
    def after(self) -> Figures | None:
        """The figures of the rewritten model."""
        return self.applied[-1].after if self.applied else None


def fix(
    model: Pathlike,
    npu: str,
    *,
    apply: Sequence[str] = (),
    exact: bool = False,
    output: Pathlike | None = None,
    data: Pathlike | None = None,
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    seed: int = 0,
    timeout_s: float = 120.0,
    overwrite: bool = False,
) -> Fixed:
    """Remedies for a model on a target, each with its predicted gain; with ``apply`` the model is rewritten.

    ``apply`` names remedies, applied in their order, each where the target makes it worth while, else wherever it fits.
    ``exact`` refuses those that change the answer. An exact one is proven: both models run in ONNX Runtime on random
    inputs, and on ``data`` (samples ``.npz`` or a task ``.toml``) where given; beyond the bound nothing is written
    (``refused``). ``output`` is the rewritten model; one that is there is replaced only with ``overwrite``, and what is
    read never. Raises :class:`whichpu.UserError`.
    """
    from whichpu.graphs import capability, remedies
    from whichpu.graphs.placement import place
    from whichpu.graphs.readers import read

    path, target = Path(model), capability.check_files(capability.find(npu))
    wanted = _wanted(apply, exact)
    out = _output(output, path, data, bool(wanted), overwrite)
    graph = read(path, shapes)
    if graph.dialect != "onnx" and wanted:
        raise UserError(f"{path} is {graph.dialect}; only ONNX models are rewritten", "fix the ONNX model it came from")
    placement = place(graph, target)
    if not wanted:
        found = remedies.propose(placement, path, ALL_OPERATORS)
        return Fixed(path, target.text, placement.figures, found)
    assert out is not None
    return _fixed(path, out, placement, wanted, Path(data) if data is not None else None, seed, timeout_s)


def _wanted(names: Sequence[str], exact: bool) -> list[Remedy]:
    """The remedies of these names, each once. Raises :class:`UserError`."""
    from whichpu.graphs.remedies import ROUTE, TRAIN, table

    known, found = table(), []
    for name in dict.fromkeys(names):
        if name in (ROUTE, TRAIN):
            raise UserError(f"{name} can't be written into the model: it is advice", "apply another remedy")
        if name not in known:
            close = difflib.get_close_matches(name, known, 3)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            lists = "`whichpu fix MODEL --npu TARGET` lists those that gain, docs/fix.md all"
            raise UserError(f"no remedy is called {name!r}", f"{hint}{lists}")
        if exact and known[name].effect != "exact":
            raise UserError(
                f"{name} is not exact: it changes the answer ({known[name].effect})",
                "leave it out, or leave out --exact and measure the accuracy with --data task.toml",
            )
        found.append(known[name])
    return found


def _output(
    output: Pathlike | None, model: Path, data: Pathlike | None, applying: bool, overwrite: bool
) -> Path | None:
    """Where the rewritten model goes. Raises :class:`UserError` for a place that it must not or can't go to."""
    from whichpu.models import onnx_file
    from whichpu.results.writable import spare

    if output is None:
        if applying:
            raise UserError("there is no place for the rewritten model", f"-o {model.stem}-fixed.onnx")
        return None
    path = Path(output)
    if not applying:
        raise UserError("no remedy is named, so nothing would be written", "name one or more: --apply NAME")
    if path.suffix.lower() != ".onnx":
        raise UserError(f"{path} is no name for an ONNX model", f"-o {path.with_suffix('.onnx')}")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}", f"mkdir -p {path.parent}")
    beside = onnx_file.external_files(onnx_file.read(model)) if model.is_file() and model.suffix == ".onnx" else []
    reads = [model, data, *(model.parent / name for name in beside)]
    for one in (path, _weights_of(path)):
        spare(one, reads)
        if one.is_dir() or (one.exists() and not overwrite):
            raise UserError(f"{one} exists", "name another file, or replace it with --overwrite")
    return path


def _weights_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")


def _fixed(
    path: Path,
    out: Path,
    placement: Placement,
    wanted: Sequence[Remedy],
    data: Path | None,
    seed: int,
    timeout_s: float,
) -> Fixed:
    """Apply, prove, write."""
    from whichpu.campaign import proof

    given = _loaded(path)
    specs = proof.specs((one.name, one.dtype, one.shape) for one in placement.graph.inputs)
    found = Fixed(path, placement.target.text, placement.figures)
    real = proof.data_of(data, specs, path.stem) if data is not None else None
    with proof.Bench(specs, seed, timeout_s, real) as bench:
        result = _apply_all(found, given, placement, wanted, path, bench)
        if found.refused:
            return found
        found.notes += _pinned(result, placement)
        external = _is_external(path) or result.ByteSize() > INLINE_MOST
        _save(result, out, external)
        found.written = out
        if _types(given) == _types(result):
            found.delta = bench.delta(path, out)
        elif real is not None and real.task is not None:
            found.notes.append(f"{real.task.info.name} feeds the old types: its metric is not measured")
    return found


def _apply_all(
    found: Fixed, given: Any, placement: Placement, wanted: Sequence[Remedy], path: Path, bench: Bench
) -> Any:
    """The model with all remedies; ``found`` is told of each. Stops at an exact one that does not prove exact."""
    from whichpu.graphs.remedies import rewritten

    model = given
    for remedy in wanted:
        step, notes = None, []
        try:
            step, before = rewritten(model, placement, remedy, path.parent)
        except UserError:
            step, before = rewritten(model, placement, remedy, path.parent, everywhere=True)
            notes = [f"{found.npu} gains nothing by it: it is applied wherever it fits"]
        proof = bench.prove(model, step.model)
        found.applied.append(
            Applied(remedy.name, remedy.effect, remedy.answer, step.sites, before.figures, step.figures, proof,
                    (*step.notes, *notes))
        )  # fmt: skip
        model, placement = step.model, step.placement
        _check(model, remedy.name)
        if remedy.effect == "exact" and not proof.holds:
            found.refused = f"{remedy.name} did not prove exact on this model, so nothing is written"
            return model
    found.proof = bench.prove(given, model) if len(wanted) > 1 else found.applied[0].proof
    if all(remedy.effect == "exact" for remedy in wanted) and not found.proof.holds:
        found.refused = "the remedies together did not prove exact on this model, so nothing is written"
    return model


def _check(model: Any, name: str) -> None:
    """Raises :class:`UserError` for a model that ONNX's own checker refuses."""
    import onnx

    if model.ByteSize() > INLINE_MOST:
        return  # the checker takes one message
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as problem:
        first = str(problem).strip().splitlines()[0]
        raise UserError(f"{name} makes an invalid model of this one: {first}", "apply the other remedies") from problem


def _loaded(path: Path) -> Any:
    """The model with all its weights. Raises :class:`UserError`."""
    from whichpu.models import taps

    return taps.read(path).model


def _types(model: Any) -> list[int]:
    """Element types of inputs and outputs."""
    return [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)]


def _is_external(path: Path) -> bool:
    from whichpu.models import onnx_file

    return bool(onnx_file.external_files(onnx_file.read(path)))


def _pinned(model: Any, placement: Placement) -> list[str]:
    """Set open sizes of inputs to those that were analysed: rewrites rest on them. What was set, told."""
    told = []
    sizes = {tensor.name: tensor.shape for tensor in (*placement.graph.inputs, *placement.graph.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        dims, shape = value.type.tensor_type.shape.dim, sizes.get(value.name)
        if shape is None or None in shape or len(dims) != len(shape) or all(d.HasField("dim_value") for d in dims):
            continue
        for dim, size in zip(dims, shape, strict=True):
            dim.dim_value = size
        told.append(f"{value.name} has fixed sizes now: {'x'.join(map(str, shape))}")
    return told


def _save(model: Any, out: Path, external: bool) -> None:
    """Write the model, its weights beside it where they were; whole or not at all. Raises :class:`UserError`."""
    import tempfile

    import onnx

    from whichpu.results import store

    if not external:
        store.write(out, model.SerializeToString())
        return
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            kept = Path(folder) / out.name
            onnx.save_model(model, str(kept), save_as_external_data=True, location=_weights_of(out).name)
            for file in (_weights_of(kept), kept):
                if file.exists():
                    file.chmod(store.MODE)
                    file.replace(out.with_name(file.name))
    except OSError as problem:
        raise UserError(f"can't write {out}: {problem.strerror}", "name another place with -o") from problem
