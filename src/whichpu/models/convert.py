"""From ONNX to the forms other runtimes need, by the vendors' own converters, kept on a lead.

A converter runs in a process of its own, on a copy of the model in a temporary folder, with telemetry off and pip
guarded (runtimes.md, section 6). Results are cached by the model's bytes, the wishes and the tool's version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from whichpu.errors import ConversionError, UserError
from whichpu.models import lead, onnx_file
from whichpu.worker.wire import TensorSpec

PRECISIONS = ("fp32", "default")
LOG = "conversion.log"
RECORD = "conversion.json"
LAST_LINES = 5
SIMPLIFY = "measure this model on runtimes that take ONNX as it is, or simplify it first: onnxslim in.onnx out.onnx"
COLOUR = re.compile("\x1b\\[[0-9;]*m")
STACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)*", re.MULTILINE)
"""A Python traceback without the exception that ends it."""
PNNX_TYPES = {
    "float32": "f32",
    "float16": "f16",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "int16": "i16",
    "int8": "i8",
    "uint8": "u8",
}
PNNX_LOSES = ("ignore ", "reshape: target exceeds")
"""How lines of pnnx begin that tell of a part of the model it left out, while it goes on to 'succeed'."""
MNN_CHILD = """\
import sys
import onnx, onnxslim
try:
    onnx.save(onnxslim.slim(sys.argv[1]), "slim.onnx")
except Exception as problem:
    print("onnxslim failed, converted without it:", type(problem).__name__, problem)
    onnx.save(onnx.load(sys.argv[1]), "slim.onnx")
import _tools  # MNN's converter itself; its script mnnconvert would run pip and report to a log service
_tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", "slim.onnx", "--MNNModel", sys.argv[2],
                   "--bizCode", "whichpu", "--useOriginRNNImpl"])
"""
"""onnxslim first and --useOriginRNNImpl, else some models come out wrong without a word (runtimes.md, section 4)."""

ONNX2TF = "WHICHPU_ONNX2TF"
"""The environment variable that names onnx2tf's Python: it pins versions of packages that ours has others of."""
ONNX2TF_CHILD = Path(__file__).with_name("onnx2tf_child.py")
ONNX2TF_REMEDY = (
    f"give a .tflite file with --form, or name a Python that has onnx2tf in {ONNX2TF}: docs/install.md tells how"
)


@dataclass(frozen=True)
class Converted:
    """A converted model. ``sha256`` and ``bytes`` are over all files of the form.

    ``warnings`` are the tool's own lines about parts of the model that it dropped.
    """

    path: Path
    format: str
    tool: str
    tool_version: str
    log: Path
    sha256: str
    bytes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Converter:
    """How one form is made.

    ``packages`` are ``(import name, distribution)``, looked for in this Python, or in the one that the environment
    variable ``interpreter`` names; ``makes`` the form's files, the model's path first, in a folder;
    ``command`` turns the copy's name, the precision and the inputs into a command line run in that folder.
    """

    tool: str
    packages: tuple[tuple[str, str], ...]
    remedy: str
    makes: tuple[str, ...]
    command: Callable[[str, str, Sequence[TensorSpec]], list[str]]
    loses: tuple[str, ...] = ()
    does: str = "convert"
    otherwise: str = SIMPLIFY
    interpreter: str | None = None


def _pnnx(model: str, precision: str, inputs: Sequence[TensorSpec]) -> list[str]:
    shapes = ",".join(_pnnx_shape(spec) for spec in inputs)
    return [str(_pnnx_binary()), model, f"inputshape={shapes}", f"fp16={0 if precision == 'fp32' else 1}"]


def _mnn(model: str, precision: str, inputs: Sequence[TensorSpec]) -> list[str]:
    return [sys.executable, "-c", MNN_CHILD, model, "model.mnn"]


def _onnx2tf(model: str, precision: str, inputs: Sequence[TensorSpec]) -> list[str]:
    shapes = {spec.name: spec.shape for spec in inputs}
    return [os.environ[ONNX2TF], str(ONNX2TF_CHILD), json.dumps(shapes)]


CONVERTERS: dict[str, Converter] = {
    "ncnn": Converter(
        tool="pnnx",
        packages=(("pnnx", "pnnx"),),
        remedy="pip install --no-deps pnnx",  # its dependency torch is not used, and would replace a CPU torch
        makes=("model.ncnn.param", "model.ncnn.bin", "model_ncnn.py"),
        command=_pnnx,
        loses=PNNX_LOSES,
    ),
    "mnn": Converter(
        tool="mnnconvert",
        packages=(("_tools", "MNN"), ("onnxslim", "onnxslim"), ("onnx", "onnx")),
        remedy="pip install MNN onnxslim onnx",
        makes=("model.mnn",),
        command=_mnn,
        loses=("onnxslim failed",),
    ),
    "tflite": Converter(
        tool="onnx2tf",
        packages=(("onnx2tf", "onnx2tf"), ("tensorflow", "tensorflow"), ("onnxsim", "onnxsim")),
        remedy=ONNX2TF_REMEDY,
        makes=("model.tflite",),
        command=_onnx2tf,
        otherwise="give a .tflite file with --form, or measure this model on runtimes that take ONNX",
        interpreter=ONNX2TF,
    ),
}


def why_not(to: str) -> tuple[str, str] | None:
    """Reason and remedy when the converter to ``to`` can't run here; looks, but imports nothing."""
    if to not in CONVERTERS:
        return f"there is no conversion from ONNX to {to!r}", f"use one of: {', '.join(sorted(CONVERTERS))}"
    return absent(CONVERTERS[to])


def absent(converter: Converter) -> tuple[str, str] | None:
    """Reason and remedy when a package that a converter needs, or its own Python, is not there."""
    if converter.interpreter is not None:
        named = os.environ.get(converter.interpreter)
        if not named:
            return (
                f"{converter.tool} needs a Python of its own, and {converter.interpreter} names none",
                converter.remedy,
            )
        if shutil.which(named) is None:
            return f"{converter.interpreter} names {named}, which is no program", converter.remedy
        return None
    for module, distribution in converter.packages:
        if importlib.util.find_spec(module) is None:
            return f"the Python package {distribution!r} is not installed", converter.remedy
    return None


def convert(
    source: Path,
    source_sha256: str,
    to: str,
    *,
    precision: str,
    inputs: Sequence[TensorSpec],
    cache: Path,
    timeout_s: float = 300,
) -> Converted:
    """The ONNX model ``source`` in the form ``to``, from the cache when it was made before.

    ``source_sha256`` is over all of the model, external data included. ``precision`` is ``fp32`` or ``default``
    (what the tool does unasked). Raises :class:`ConversionError` with the tool's last words when it fails, crashes
    or takes longer than ``timeout_s`` seconds. ``source`` is never touched.
    """
    problem = why_not(to)
    if problem:
        raise ConversionError(problem[0], problem[1])
    if precision not in PRECISIONS:
        raise ConversionError(f"{precision!r} is not a precision; there are: {', '.join(PRECISIONS)}")
    converter = CONVERTERS[to]
    wishes: list[object] = [precision, [[spec.name, spec.dtype, spec.shape] for spec in inputs]]
    if converter.interpreter is not None:
        wishes.append(hashlib.sha256(ONNX2TF_CHILD.read_bytes()).hexdigest())
    return make(
        converter,
        lambda: converter.command("model.onnx", precision, inputs),
        source,
        source_sha256,
        to,
        wishes=wishes,
        cache=cache,
        timeout_s=timeout_s,
    )


def make(
    converter: Converter,
    command: Callable[[], list[str]],
    source: Path,
    source_sha256: str,
    to: str,
    *,
    wishes: object,
    cache: Path,
    timeout_s: float,
) -> Converted:
    """What a converter makes of the ONNX model, by ``command`` on a copy named ``model.onnx``; or what it made before.

    ``wishes`` (plain data) tells this result from others of the same model and tool. Raises :class:`ConversionError`.
    """
    version = _version(converter)
    kept = cache / _key(source_sha256, to, wishes, version)
    found = _cached(kept)
    if found is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="converting-", dir=cache) as folder:
        work = Path(folder) / "work"
        form = Path(folder) / "form"
        work.mkdir()
        form.mkdir()
        _copy_model(source, work)
        ended = lead.run(command(), work, form / LOG, timeout_s)
        _check(ended, converter, source, work, form / LOG, kept.with_name(kept.name + ".failed.log"))
        for name in converter.makes:
            shutil.move(work / name, form / name)
        _record(form, converter, to, version)
        _publish(form, kept)
    made = _cached(kept)
    if made is None:
        raise ConversionError(f"{kept} was changed while {source} was converted", f"remove it and try again: {kept}")
    return made


def _version(converter: Converter) -> str:
    names = [name for _, name in converter.packages]
    if converter.interpreter is None:
        return ", ".join(f"{name} {metadata.version(name)}" for name in names)
    python = os.environ[converter.interpreter]
    asked = (
        f"from importlib.metadata import version\nprint(*(f'{{name}} {{version(name)}}' for name in {names}), sep=', ')"
    )
    try:
        told = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ConversionError(f"{python} does not start: {problem}", converter.remedy) from problem
    if told.returncode != 0:
        why = (told.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConversionError(f"{python} can't run {converter.tool}: {why}", converter.remedy)
    return told.stdout.strip()


def _key(sha256: str, to: str, wishes: object, version: str) -> str:
    told = json.dumps([sha256, to, wishes, version])
    return f"{to}-{hashlib.sha256(told.encode()).hexdigest()[:24]}"


def _cached(kept: Path) -> Converted | None:
    """What is in the folder, or ``None`` when nothing is, or when its files are no longer what was made."""
    try:
        record = json.loads((kept / RECORD).read_text(encoding="utf-8"))
        makes = record.pop("files")
        if _digest(kept, makes) != (record["sha256"], record["bytes"]):
            return None
        warnings = tuple(record.pop("warnings"))
        return Converted(path=kept / makes[0], log=kept / LOG, warnings=warnings, **record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(folder: Path, names: Sequence[str]) -> tuple[str, int]:
    """SHA-256 over names and contents of the files, and their size in bytes."""
    whole, size = hashlib.sha256(), 0
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            whole.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
            size += file.tell()
    return whole.hexdigest(), size


def _copy_model(source: Path, folder: Path) -> None:
    """Copy the model and the files that hold its weights. Raises :class:`ConversionError` for what can't be copied."""
    try:
        shutil.copyfile(source, folder / "model.onnx")
        for name in _external_files(source):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.parent / name, target)
    except OSError as problem:
        raise ConversionError(f"{source} can't be copied for the converter: {problem}") from problem


def _external_files(source: Path) -> set[str]:
    """Names, relative to the model's folder, of its external data; empty when the file is no ONNX model.

    Raises :class:`ConversionError` for a name that leads out of the folder.
    """
    try:
        names = set(onnx_file.external_files(onnx_file.read(source)))
    except UserError:
        return set()  # the converter's own words about it are better
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConversionError(f"{source} keeps weights in {name}, outside its own folder")
    return names


def _check(ended: int | None, converter: Converter, source: Path, work: Path, log: Path, failed_log: Path) -> None:
    """Raises :class:`ConversionError`, with the log kept as ``failed_log``, unless the whole form is there."""
    missing = [name for name in converter.makes if not (work / name).is_file()]
    if ended == 0 and not missing:  # MNN's converter returns True and ends with 0 even when it wrote nothing
        return
    last = _said(log, STACK)[-LAST_LINES:]
    os.replace(log, failed_log)
    said = "\n".join(f"  {line}" for line in last) or "  (it said nothing)"
    message = f"{converter.tool} could not {converter.does} {source}: {_how(ended, missing)}. Its last words:\n{said}"
    raise ConversionError(f"{message}\nThe whole log: {failed_log}", converter.otherwise)


def _how(ended: int | None, missing: Sequence[str]) -> str:
    """How the tool ended, in words."""
    if ended is None:
        return "it was still running when its time was over, and was ended"
    if ended < 0:
        return f"it crashed with {signal.Signals(-ended).name}"
    if ended > 0:
        return f"it ended with exit code {ended}"
    return f"it ended without an error but did not write {', '.join(missing)}"


def lines(log: Path) -> list[str]:
    """A log's lines that say something, without their colours."""
    return _said(log)


def _said(log: Path, *without: re.Pattern[str]) -> list[str]:
    text = log.read_text(encoding="utf-8", errors="replace")
    for pattern in (COLOUR, *without):
        text = pattern.sub("", text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def _record(form: Path, converter: Converter, to: str, version: str) -> None:
    sha256, size = _digest(form, converter.makes)
    lost = [line for line in lines(form / LOG) if converter.loses and line.startswith(converter.loses)]
    record = {
        "files": converter.makes,
        "format": to,
        "tool": converter.tool,
        "tool_version": version,
        "sha256": sha256,
        "bytes": size,
        "warnings": list(dict.fromkeys(lost)),
    }
    (form / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _publish(form: Path, kept: Path) -> None:
    """Move the finished folder to its place in one step; another process's whole result there is as good as ours."""
    try:
        os.rename(form, kept)
    except OSError:
        if _cached(kept) is not None:
            return
        shutil.rmtree(kept, ignore_errors=True)  # damaged
        os.rename(form, kept)


def _pnnx_binary() -> Path:
    """The program inside the package; the package itself is not imported, for it may want torch."""
    spec = importlib.util.find_spec("pnnx")
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise ConversionError("the Python package 'pnnx' is not installed", CONVERTERS["ncnn"].remedy)
    return Path(folders[0]) / ("pnnx.exe" if os.name == "nt" else "pnnx")


def _pnnx_shape(spec: TensorSpec) -> str:
    """``[1,3,224,224]f32``. Raises :class:`ConversionError` for types and sizes that pnnx can't take."""
    if spec.dtype not in PNNX_TYPES:
        raise ConversionError(f"pnnx takes no input of type {spec.dtype} ({spec.name})")
    if any(size < 1 for size in spec.shape):
        raise ConversionError(f"the shape of input {spec.name} must be known to convert: it is {spec.shape}")
    return f"[{','.join(str(size) for size in spec.shape)}]{PNNX_TYPES[spec.dtype]}"
