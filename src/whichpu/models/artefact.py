"""A model as files: which forms there are, what they take, and what is wrong with them."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.models import onnx_file
from whichpu.results.schema import Form
from whichpu.worker.wire import TensorSpec

SUFFIXES = {
    ".onnx": "onnx",
    ".pt2": "pt2",
    ".tflite": "tflite",
    ".param": "ncnn",
    ".mnn": "mnn",
    ".xml": "openvino",
    ".hef": "hef",
    ".engine": "engine",
    ".plan": "engine",
    ".trt": "engine",
    ".rknn": "rknn",
    ".pte": "pte",
    ".vmfb": "vmfb",
    ".mlmodel": "mlmodel",
    ".mlpackage": "mlpackage",
    ".json": "mxnet",
}
KINDS = (
    "ONNX (.onnx), exported PyTorch program (.pt2), TFLite (.tflite), OpenVINO IR (.xml), ncnn (.param), MNN (.mnn),"
    " Hailo (.hef), TensorRT (.engine), RKNN (.rknn), ExecuTorch (.pte), IREE (.vmfb), Core ML (.mlmodel, .mlpackage),"
    " MXNet (-symbol.json)"
)
FOLDERS = (".mlpackage",)
"""A form of these suffixes is a folder."""
BEGINNINGS = {b"\x01HEF": "hef", b"RKNN": "rknn", b"ftrt": "engine"}
"""What a form's first bytes are, where they tell it."""
SIBLINGS = (".onnx", ".pt2", ".tflite")
Shapes = Mapping[str | None, Sequence[int]]


class Model(msgspec.Struct, kw_only=True):
    """One network in one or more file forms. ``inputs`` is ``None`` until a runtime has told (no ONNX form given)."""

    name: str
    path: Path
    forms: dict[str, Form]
    paths: dict[str, Path]
    inputs: list[TensorSpec] | None = None
    shapes: dict[str | None, list[int]] = {}


def load(path: Path, extra: Sequence[Path] = (), shapes: Shapes | None = None, siblings: bool = True) -> Model:
    """Look at a model's files without running it.

    ``extra`` are other forms of the same network; with ``siblings``, files of the same stem beside ``path``
    count too. ``shapes`` gives sizes to dynamic inputs (key ``None``: the only input). Raises :class:`UserError`.
    """
    model = Model(name=path.stem.removesuffix(".ncnn"), path=path, forms={}, paths={})
    model.shapes = {name: list(sizes) for name, sizes in (shapes or {}).items()}
    for candidate in (path, *extra):
        _add(model, candidate, "given")
    if siblings:
        for suffix in SIBLINGS:
            beside = path.with_suffix(suffix)
            if SUFFIXES[suffix] not in model.forms and beside.is_file():
                try:
                    _add(model, beside, "beside")
                except UserError as problem:
                    raise UserError(f"beside {path.name}: {problem}", "leave it out with --no-siblings") from problem
    if "onnx" in model.forms:
        model.inputs = _some(path, concrete(onnx_file.inputs(onnx_file.read(model.paths["onnx"])), shapes or {}, path))
    return model


def _some(path: Path, specs: list[TensorSpec]) -> list[TensorSpec]:
    if not specs:
        raise UserError(f"{path.name} takes no input: it always gives the same answer, and there is nothing to feed")
    return specs


def format_of(path: Path) -> str:
    """The form's format, by content where the format can be told by it. Raises :class:`UserError`."""
    if path.is_dir():
        if path.suffix.lower() in FOLDERS:
            return SUFFIXES[path.suffix.lower()]
        raise UserError(f"{path} is a folder, not a model file", f"give a file: {KINDS}")
    if not path.exists():
        raise UserError(f"there is no file {path}", _similar(path))
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise UserError(f"{path} is empty", "export or download it again")
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[:7] == b"7767517":
        return "ncnn"
    if head[4:8] == b"ET12":
        return "pte"
    if head[:4] in BEGINNINGS:
        return BEGINNINGS[head[:4]]
    named = SUFFIXES.get(path.suffix.lower())
    if head[:4] == b"PK\x03\x04" and named != "vmfb":  # IREE's modules are archives
        return _zip_format(path)
    if named in ("tflite", "ncnn", "pt2", "hef", "rknn", "pte") or named is None:
        what = f"is no {named} file" if named else "is not a model that WhichPU knows"
        raise UserError(f"{path} {what} (it begins with {head[:8]!r})", f"give one of: {KINDS}")
    return named


def files_of(path: Path, form: str) -> list[Path]:
    """All files of a form: the named one, and weights that live beside it."""
    if form == "ncnn":
        return [path, path.with_suffix(".bin")]
    if form == "openvino":
        return [path, path.with_suffix(".bin")]
    if form == "mxnet":
        return [path, path.with_name(path.name.replace("-symbol.json", "-0000.params"))]
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if form == "onnx":
        return [path, *(path.parent / name for name in onnx_file.external_files(onnx_file.read(path)))]
    return [path]


@functools.cache
def beside(path: Path, form: str) -> list[str]:
    """A form's further files, by their paths from the folder that holds it."""
    return [file.relative_to(path.parent).as_posix() for file in files_of(path, form) if file != path]


def beside_each_other(path: Path, form: str, folder: Path) -> Path:
    """The form's path when its files really lie together; else that of hard links (or copies) in ``folder``.

    Some caches keep models as links into a heap of blobs, and runtimes refuse weights that lead out of the folder.
    """
    files = files_of(path, form)
    if len(files) < 2 or not any(file.is_symlink() for file in files):
        return path
    staged = folder / sha256_of(files)[:24]
    for file in files:
        target = staged / file.relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            continue
        try:
            os.link(file.resolve(), target)
        except OSError:  # another file system
            shutil.copyfile(file, target)
    return staged / path.name


def sha256_of(paths: Sequence[Path]) -> str:
    """One hash over the bytes of all files, in order. Raises :class:`UserError` when one can't be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
        except OSError as problem:
            raise UserError(f"can't read {path}: {problem.strerror}", "see whether it is there") from problem
    return digest.hexdigest()


def bytes_of(paths: Sequence[Path]) -> int:
    """Bytes of all files together."""
    return sum(path.stat().st_size for path in paths)


def concrete(specs: Sequence[Any], shapes: Shapes, path: Path) -> list[TensorSpec]:
    """Specs with every dynamic size filled from ``shapes``. Raises :class:`UserError` naming what is missing.

    ``specs`` are ``(name, dtype, sizes)``, a dynamic size being a string or a negative number.
    """
    names = [name for name, _, _ in specs]
    for given in shapes:
        if given is not None and given not in names:
            raise UserError(f"{path.name} has no input {given!r}", f"its inputs are: {', '.join(names)}")
        if given is None and len(names) != 1:
            raise UserError(f"{path.name} has {len(names)} inputs", f"name one: --shape {names[0]}=1x3x224x224")
    found = []
    for name, dtype, sizes in specs:
        asked = shapes.get(name, shapes.get(None))
        found.append(TensorSpec(name, dtype, _sizes(name, sizes, asked, path)))
    return found


def shape_option(text: str) -> tuple[str | None, list[int]]:
    """``NAME=1x3x224x224`` (or only the sizes). Raises :class:`UserError`."""
    name, equals, sizes = text.rpartition("=")
    if not re.fullmatch(r"0*[1-9]\d*([x,]0*[1-9]\d*)*", sizes) or (equals and not name):
        raise UserError(f"--shape {text} is not a shape", "write it as --shape NAME=1x3x224x224")
    return name or None, [int(size) for size in re.split("[x,]", sizes)]


def _add(model: Model, path: Path, origin: Any) -> None:
    form = format_of(path)
    if form in model.forms:
        raise UserError(
            f"two {form} forms are given: {model.forms[form].file} and {path.name}", "give one of each format"
        )
    _fits_memory(path, bytes_of([path]))  # before it is read
    files = files_of(path, form)
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UserError(
            f"{path.name} needs {missing[0].name} beside it, which is not there", f"copy it to {missing[0].parent}"
        )
    _fits_memory(path, bytes_of(files))
    model.forms[form] = Form(
        format=form,
        file=path.name,
        sha256=sha256_of(files),
        bytes=bytes_of(files),
        origin=origin,
        precision=onnx_file.precision(onnx_file.read(path)) if form == "onnx" else None,
    )
    model.paths[form] = path


def _fits_memory(path: Path, size: int) -> None:
    import psutil

    available = psutil.virtual_memory().available
    if size > available:
        raise UserError(
            f"{path} holds {size / 1e9:.1f} GB of weights; this machine has {available / 1e9:.1f} GB of memory free",
            "use a machine with more memory, or a smaller form of the model",
        )


def _sizes(name: str, sizes: Sequence[Any], asked: Sequence[int] | None, path: Path) -> list[int]:
    if list(sizes) == [-1] and asked is not None:  # a runtime that can't tell the number of dimensions
        return [int(size) for size in asked]
    dynamic = [size for size in sizes if not isinstance(size, int) or size < 0]
    if asked is None:
        if not dynamic:
            return [int(size) for size in sizes]
        shown = "x".join(str(size) if isinstance(size, int) and size >= 0 else f"[{size}]" for size in sizes)
        example = "x".join(str(size) if isinstance(size, int) and size >= 0 else "1" for size in sizes)
        raise UserError(
            f"input {name!r} of {path.name} has a dynamic shape: {shown}",
            f"give its sizes, for example --shape {name}={example}",
        )
    fits = len(asked) == len(sizes) and all(
        not isinstance(size, int) or size < 0 or size == given for size, given in zip(sizes, asked, strict=True)
    )
    if not fits:
        shown = "x".join(map(str, sizes))
        raise UserError(
            f"--shape {name}={'x'.join(map(str, asked))} does not fit input {name!r} of {path.name}: {shown}",
            "give as many sizes, and keep those that are fixed",
        )
    return [int(size) for size in asked]


def _zip_format(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as bundle:
            names = bundle.namelist()
    except zipfile.BadZipFile as problem:
        raise UserError(
            f"{path} is a damaged or truncated archive: {problem}", "export or download it again"
        ) from problem
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "pt2"
    if any(name.endswith("data.pkl") for name in names):
        raise UserError(
            f"{path} holds pickled PyTorch weights or TorchScript, not an exported program",
            "export it: torch.export.save(torch.export.export(model.eval(), example_inputs), 'model.pt2')",
        )
    raise UserError(f"{path} is an archive, but not a model that WhichPU knows", f"give one of: {KINDS}")


def _similar(path: Path) -> str | None:
    import difflib

    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else None
