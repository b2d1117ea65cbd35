"""The same network in a lower precision: fp16 and int8 files, made from the fp32 ONNX model by the field's own tools.

Each tool runs in a process of its own on a copy, as converters do. What is made is cached by the model's bytes, the
options, the tool's version and the calibration inputs; the tool's log is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.errors import ConversionError, UserError
from whichpu.models import convert, onnx_file
from whichpu.models.artefact import Model
from whichpu.models.convert import Converter
from whichpu.models.inputs import fitted
from whichpu.results.schema import Form
from whichpu.worker.wire import TensorSpec

OWN = "fp32"
"""The model as it is given: not made, but asked for beside the others."""

CHILD = Path(__file__).with_name("quantise_child.py")
TOLD = "whichpu: "
"""How lines of the child begin that tell what it did; the rest of its log is the tools' own."""

CALIBRATION_SAMPLES, CALIBRATION_SEED = 100, 0
TIMEOUT_S = 1800
OTHERWISE = "leave it out of --variants, or simplify the model first: onnxslim in.onnx out.onnx"
ONNXRUNTIME = (("onnxruntime", "onnxruntime"), ("onnx", "onnx"))
NNCF = (("nncf", "nncf"), ("openvino", "openvino"))


@dataclass(frozen=True)
class Variant:
    """How one precision is made: the child's wishes, and whether it takes calibration inputs.

    ``backends`` are those it is for; none named: all that take its format.
    """

    says: str
    tool: str
    wishes: dict[str, Any]
    calibrated: bool = True
    packages: tuple[tuple[str, str], ...] = ONNXRUNTIME
    remedy: str = "pip install onnxruntime onnx"
    makes: tuple[str, ...] = ("variant.onnx",)
    format: str = "onnx"
    backends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Inputs in a folder, one file ``N.npz`` a sample, with an array ``input_I`` for each input of the model."""

    folder: Path
    count: int
    sha256: str


def _static(method: str, per_channel: bool) -> Variant:
    """Static quantisation by ONNX Runtime: QDQ nodes, U8 activations, S8 weights."""
    weights = "per channel" if per_channel else "per tensor"
    return Variant(
        says=f"QDQ, activations U8, weights S8 {weights}, ranges by {method}",
        tool="onnxruntime.quantization",
        wishes={"make": "int8", "per_channel": per_channel, "method": method},
    )


VARIANTS: dict[str, Variant] = {
    "fp16": Variant(
        says="inputs and outputs stay fp32",
        tool="onnxruntime.transformers.float16",
        wishes={"make": "fp16"},
        calibrated=False,
    ),
    "int8": _static("MinMax", per_channel=True),
    "int8-per-tensor": _static("MinMax", per_channel=False),
    "int8-percentile": _static("Percentile", per_channel=True),
    "int8-symmetric": Variant(
        says="QDQ as TensorRT takes it: activations S8 symmetric, weights S8 per channel behind a pair of their own",
        tool="onnxruntime.quantization",
        wishes={"make": "int8", "per_channel": True, "method": "MinMax", "symmetric": True},
    ),
    "int8-nncf": Variant(
        says="OpenVINO IR, NNCF's defaults",
        tool="nncf",
        wishes={"make": "int8-nncf"},
        packages=NNCF,
        remedy="pip install nncf openvino",
        makes=("variant.xml", "variant.bin"),
        format="openvino",
        backends=("openvino",),
    ),
}


def asked(names: Iterable[str]) -> list[str]:
    """The variants that are named, each once, in their order. Raises :class:`UserError` for one that there isn't."""
    found = list(dict.fromkeys(names))
    for name in found:
        if name != OWN and name not in VARIANTS:
            raise UserError(f"no variant is called {name!r}", f"there are: {', '.join((OWN, *VARIANTS))}")
    return found


def refuse_unfit(model: Model) -> None:
    """Raises :class:`UserError` for a model that variants can't be made of: no ONNX form, or one that isn't fp32."""
    if "onnx" not in model.paths:
        has = ", ".join(sorted(model.paths))
        raise UserError(
            f"variants are made of the ONNX model; {model.name} is given as {has}", "add it with --form FILE.onnx"
        )
    precision = model.forms["onnx"].precision
    if precision != OWN:
        raise UserError(
            f"variants are made of an fp32 model; {model.forms['onnx'].file} is {precision}",
            "give the fp32 model, or leave out --variants",
        )


def calibration(
    samples: Iterable[Sequence[npt.NDArray[Any]]], specs: Sequence[TensorSpec], folder: Path
) -> Calibration:
    """Write calibration inputs, one sample at a time. Raises :class:`UserError` for those that don't fit the model."""
    digest, count = hashlib.sha256(), 0
    for sample in samples:
        if len(sample) != len(specs):
            raise UserError(f"a calibration sample has {len(sample)} inputs; the model takes {len(specs)}")
        whole = fitted([array[np.newaxis] for array in sample], specs, f"calibration sample {count}")
        arrays = {f"input_{place}": array[0] for place, array in enumerate(whole)}
        for array in arrays.values():
            digest.update(array.tobytes())
        with (folder / f"{count}.npz").open("wb") as file:
            np.savez(file, **arrays)
        count += 1
    return Calibration(folder, count, digest.hexdigest())


def make(model: Model, name: str, specs: list[TensorSpec], inputs: Calibration | None, cache: Path) -> Model:
    """A variant as a model of its own, from the cache when it was made before. ``model`` is never touched.

    ``inputs`` are needed by a variant that is calibrated. Raises :class:`ConversionError` with the tool's last words.
    """
    variant = VARIANTS[name]
    used = inputs if variant.calibrated else None
    converter = _converter(name, variant)
    missing = convert.absent(converter)
    if missing is not None:
        raise ConversionError(*missing)
    wishes = {**variant.wishes, "inputs": [spec.name for spec in specs]}
    made = convert.make(
        converter,
        lambda: _command({**wishes, "calibration": str(used.folder.absolute()) if used else None}),
        model.paths["onnx"],
        model.forms["onnx"].sha256,
        name,
        wishes=[wishes, used.sha256 if used else None, hashlib.sha256(CHILD.read_bytes()).hexdigest()],
        cache=cache,
        timeout_s=TIMEOUT_S,
    )
    calibrated = f", {used.count} calibration samples" if used else ""
    told = [line.removeprefix(TOLD) for line in convert.lines(made.log) if line.startswith(TOLD)]
    form = Form(
        format=variant.format,
        file=made.path.name,
        sha256=made.sha256,
        bytes=made.bytes,
        origin="made",
        tool=f"{made.tool} ({made.tool_version}): {variant.says}{calibrated}",
        precision=onnx_file.precision(onnx_file.read(made.path)) if variant.format == "onnx" else None,
        notes=list(dict.fromkeys(told)),
    )
    twin = Model(name=model.name, path=made.path, forms={form.format: form}, paths={form.format: made.path})
    twin.inputs = specs
    return twin


def _converter(name: str, variant: Variant) -> Converter:
    return Converter(
        tool=variant.tool,
        packages=variant.packages,
        remedy=variant.remedy,
        makes=variant.makes,
        command=lambda *_: [],
        does=f"make {name} of",
        otherwise=OTHERWISE,
    )


def _command(wishes: dict[str, Any]) -> list[str]:
    return [sys.executable, str(CHILD), json.dumps(wishes)]
