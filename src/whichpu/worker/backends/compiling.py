"""What backends share that compile an ONNX model before they load it: its shapes, its inputs and outputs, the child.

The inputs and outputs go into a file beside the compiled program, since few compiled forms tell them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
from typing import Any, Dict, List, Optional, Sequence

from .. import wire
from . import Refused, Session

FACTS = "compiled.json"
LONGEST = 400  # characters of a compiler's words; some quote the whole graph
BOOLEANS = {"on": True, "off": False}


class Facts:
    """What a build knew: names, types and shapes of inputs and outputs, and the compiler's settings."""

    def __init__(
        self, inputs: List[wire.TensorSpec], outputs: List[wire.TensorSpec], told: Optional[Dict[str, str]] = None
    ) -> None:
        self.inputs, self.outputs, self.told = inputs, outputs, dict(told or {})

    def save(self, folder: str) -> None:
        held = {"inputs": _plain(self.inputs), "outputs": _plain(self.outputs), "told": self.told}
        with open(os.path.join(folder, FACTS), "w", encoding="utf-8") as file:
            json.dump(held, file)


class Unbuilt(Session):
    """A model that is still to be built: it tells its inputs, for which the host then makes data, and runs nothing."""

    def __init__(self, inputs: List[wire.TensorSpec]) -> None:
        self.inputs, self.outputs, self.effective = inputs, [], {}
        self.precision = wire.Precision("not told", "it is not built yet")


def facts_of(folder: str) -> Facts:
    """Raises :class:`Refused` for a folder without them."""
    try:
        with open(os.path.join(folder, FACTS), encoding="utf-8") as file:
            held = json.load(file)
        inputs, outputs = ([wire.TensorSpec(**one) for one in held[name]] for name in ("inputs", "outputs"))
        return Facts(inputs, outputs, held["told"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Refused("what was built in %s is not whole: %s" % (folder, problem), "remove the folder") from problem


def onnx_model(job: wire.Open, packages: str) -> Any:
    """The ONNX model with the job's shapes in place of sizes left open. Raises :class:`Refused`."""
    if importlib.util.find_spec("onnx") is None:
        raise Refused(
            "%s reads ONNX by the package 'onnx', which is not here" % job.backend, "pip install %s" % packages
        )
    import onnx

    model = onnx.load(job.model)
    values = _fed(model)
    if job.inputs is not None and len(job.inputs) != len(values):
        raise Refused("the model takes %d inputs, the job names %d" % (len(values), len(job.inputs)))
    for value, spec in zip(_in_order(values, job.inputs or []), job.inputs or []):
        for size, wanted in zip(value.type.tensor_type.shape.dim, spec.shape):
            size.dim_value = wanted
    if job.inputs:
        del model.graph.value_info[:]  # what an exporter inferred from open sizes
    return model


def specs_of(model: Any) -> Facts:
    """Inputs and outputs as the ONNX graph tells them; an open size is -1."""
    return Facts([_spec(value) for value in _fed(model)], [_spec(value) for value in model.graph.output])


def ordered(specs: List[wire.TensorSpec], job: wire.Open) -> List[int]:
    """For each of the job's inputs the program's: by name where every name is known, else by position."""
    names = [spec.name for spec in specs]
    wanted = [spec.name for spec in job.inputs or []]
    if len(wanted) == len(names) and set(wanted) == set(names):
        return [names.index(name) for name in wanted]
    return list(range(len(names)))


def switch(job: wire.Open, name: str, default: str = "off") -> bool:
    """An option that is on or off. Raises :class:`Refused` for anything else."""
    text = job.options.get(name, default)
    if text not in BOOLEANS:
        raise Refused("%s=%s is neither on nor off" % (name, text), "write %s=on, or leave it out" % name)
    return BOOLEANS[text]


def chosen(job: wire.Open, name: str, values: Sequence[str], default: str) -> str:
    """An option's value. Raises :class:`Refused` for one that is not among ``values``."""
    text = job.options.get(name, default)
    if text not in values:
        raise Refused("%s=%s is not one of: %s" % (name, text, ", ".join(values)), "leave it out, or write one of them")
    return text


def version(package: str) -> Optional[str]:
    """An installed package's version, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(words: Sequence[str], what: str, remedy: Optional[str] = None) -> None:
    """Run a compiler's program. Raises :class:`Refused` with its first error, or with how it died."""
    ended = subprocess.run(list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if ended.returncode == 0:
        return
    text = ended.stdout.decode("utf-8", "replace")
    how = "was killed by signal %d" % -ended.returncode if ended.returncode < 0 else "ended with %d" % ended.returncode
    raise Refused("%s %s: %s" % (what, how, first_error(text)), remedy)


def first_error(text: str) -> str:
    """What names the error in a compiler's output: the last line of a traceback, or what follows ``error:``."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(line.startswith("Traceback ") for line in lines):
        return lines[-1][:LONGEST]
    named = [line.split("error: ", 1)[1] for line in lines if "error: " in line]
    found = (named or lines[-1:] or ["it said nothing"])[0]
    return shortened(found)


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def one_line(problem: BaseException) -> str:
    """A vendor's exception in one line: its last one, since a C++ stack comes first where there is one."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in str(problem).splitlines()]
    return shortened(next((line for line in reversed(lines) if line), type(problem).__name__))


def _fed(model: Any) -> List[Any]:
    """Inputs that are no weights: before IR version 4 weights are listed among the inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _in_order(values: List[Any], specs: List[wire.TensorSpec]) -> List[Any]:
    by_name = {value.name: value for value in values}
    named = [by_name[spec.name] for spec in specs if spec.name in by_name]
    return named if len(named) == len(values) else values


def _spec(value: Any) -> wire.TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim]
    return wire.TensorSpec(value.name, dtype, shape)


def _plain(specs: List[wire.TensorSpec]) -> List[Dict[str, Any]]:
    return [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in specs]
