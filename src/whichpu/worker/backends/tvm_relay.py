"""TVM up to 0.18, by Relay and its graph executor: ``tvm:cpu``, and ``tvm:ethos-n`` where it was built with Ethos-N.

For the Ethos-N the graph is partitioned: functions for the NPU, the rest compiled for the CPU. Which operators went
where is counted in the partitioned module. Lowest-overhead call: the graph executor's ``run`` on inputs that were set
once. Read after Apache TVM 0.18: python/tvm/relay/op/contrib/ethosn.py, relay/frontend, contrib/graph_executor.py,
src/relay/backend/contrib/ethosn/codegen.cc (options). No such TVM is on PyPI: not run on hardware yet.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
import re
from typing import Any, Callable, Counter, Dict, List, Tuple

import numpy

from .. import wire
from . import Arrays, FellBack, Refused, Session, compiling

DEVICES = ("cpu", "ethos-n")
LIBRARY = "model.so"
PLACED = "placement.json"
SIZE = re.compile(r"([1248])tops-([24])ple")
FUNCTION = re.compile(r"^def @", re.MULTILINE)
CALL = re.compile(r"(?:= |^\s*)([a-z][\w.]*)\(", re.MULTILINE)
NO_OPERATORS = ("fn", "let", "if", "free_var")
BUILD_ONE = "build TVM 0.18 with USE_ETHOSN and USE_ETHOSN_HW against Arm's driver stack 23.02"


def offers() -> List[wire.Offer]:
    found = [wire.Offer("cpu", note="compiled by Relay: not tuned")]
    return found + ([wire.Offer("ethos-n")] if _ethosn() == "SW_AND_HW" else [])


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    """Import, for Ethos-N partition, compile, link. Raises :class:`Refused`, :class:`FellBack` for an unused NPU."""
    _refuse_others(job)
    import tvm
    from tvm import relay

    options = ethosn_options(job)
    config = {"relay.ext.ethos-n.options": options} if job.device == "ethos-n" else {}
    level = int(compiling.chosen(job, "opt", ("0", "1", "2", "3"), "3"))
    try:
        module, params = _imported(job)
        facts = compiling.Facts(_inputs(module, params), [])
        with tvm.transform.PassContext(opt_level=level, config=config):
            if job.device == "ethos-n":
                module = _partitioned(module, params, options, folder)
            library = relay.build(module, target="llvm", params=params)
        library.export_library(os.path.join(folder, LIBRARY))
    except Refused:
        raise
    except Exception as problem:
        raise Refused("TVM can't compile it: %s" % compiling.one_line(problem)) from problem
    facts.told = dict({"executor": "graph", "opt": str(level)}, **(options if job.device == "ethos-n" else {}))
    facts.save(folder)
    return dict(facts.told, compiler="tvm %s" % tvm.__version__)


def open(job: wire.Open) -> Session:
    _refuse_others(job)
    if job.built is None:
        return compiling.Unbuilt(_inputs(*_imported(job)))
    return Relay(job)


class Relay(Session):
    def __init__(self, job: wire.Open) -> None:
        from . import tvm as current

        current.set_threads(job.threads)
        import tvm
        from tvm.contrib import graph_executor

        folder = str(job.built)
        facts = compiling.facts_of(folder)
        library = tvm.runtime.load_module(os.path.join(folder, LIBRARY))
        self.graph = graph_executor.GraphModule(library["default"](tvm.cpu(0)))
        self.order = compiling.ordered(facts.inputs, job)
        self.inputs = [facts.inputs[index] for index in self.order]
        count = self.graph.get_num_outputs()
        self.outputs = [_spec_of("output_%d" % index, self.graph.get_output(index)) for index in range(count)]
        self.effective = dict(facts.told)
        self.precision = wire.Precision(wire.AS_IN_THE_GRAPH, "TVM keeps the graph's types")
        if job.device == "ethos-n":
            self.placement = _kept(folder)

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        for spec, array in zip(self.inputs, arrays):
            self.graph.set_input(spec.name, numpy.array(array, order="C"))
        call: Callable[[], Any] = self.graph["run"]
        return call

    def read(self) -> Arrays:
        return [numpy.array(self.graph.get_output(index).numpy()) for index in range(len(self.outputs))]

    def close(self) -> None:
        self.graph = None


def ethosn_options(job: wire.Open) -> Dict[str, str]:
    """As ``relay.ext.ethos-n.options`` takes them. Raises :class:`Refused` for an unknown size."""
    if job.device != "ethos-n":
        if "variant" in job.options:
            raise Refused("variant= is an option of tvm:ethos-n, not of tvm:%s" % job.device, "leave it out")
        return {}
    text = job.options.get("variant", "1tops-2ple")
    size = SIZE.fullmatch(text)
    if size is None:
        raise Refused("variant=%s is not an Ethos-N78" % text, "write TOPS and PLE ratio, as variant=4tops-2ple")
    return {"variant": "n78", "tops": size.group(1), "ple_ratio": size.group(2)}


def placement_of(text: str) -> wire.Placement:
    """Operators in functions for the NPU against those of the others, from a partitioned module's text."""
    on_npu, on_host = operators(text)
    units = {"ethos-n": sum(on_npu.values()), "cpu": sum(on_host.values())}
    by = "the module that partition_for_ethosn made"
    if not on_host:
        return wire.Placement("ethos-n", {"ethos-n": units["ethos-n"]}, by)
    reason = "partition_for_ethosn left them to the CPU"
    elsewhere = wire.Elsewhere("cpu", units["cpu"], dict(on_host.most_common()), reason)
    return wire.Placement("ethos-n", units, by, [elsewhere])


def operators(text: str) -> "Tuple[Counter[str], Counter[str]]":
    """Relay operators by name, in functions for the Ethos-N and in the others."""
    on_npu: Counter[str] = collections.Counter()
    on_host: Counter[str] = collections.Counter()
    for function in FUNCTION.split(re.sub(r"/\*.*?\*/", "", text))[1:]:
        head, _, body = function.partition("\n")
        counts = on_npu if 'Compiler="ethos-n"' in head else on_host
        counts.update(name for name in CALL.findall(body) if name not in NO_OPERATORS)
    return on_npu, on_host


def _partitioned(module: Any, params: Any, options: Dict[str, str], folder: str) -> Any:
    """The partitioned module; where its operators are is kept in ``folder``."""
    from tvm.relay.op.contrib import ethosn

    found = ethosn.partition_for_ethosn(module, params, **options)
    placement = placement_of(found.astext(show_meta_data=False))
    if not placement.units["ethos-n"]:
        kinds = ", ".join(placement.elsewhere[0].kinds)
        raise FellBack(
            "the Ethos-N took none of the %d operators (%s): all would run on the CPU"
            % (placement.units["cpu"], compiling.shortened(kinds)),
            "quantise the model to INT8: the Ethos-N computes in 8 bits alone",
        )
    pathlib.Path(folder, PLACED).write_text(json.dumps(dataclasses.asdict(placement)), encoding="utf-8")
    return found


def _kept(folder: str) -> wire.Placement:
    held = json.loads(pathlib.Path(folder, PLACED).read_text(encoding="utf-8"))
    elsewhere = [wire.Elsewhere(**one) for one in held.pop("elsewhere")]
    return wire.Placement(elsewhere=elsewhere, **held)


def _imported(job: wire.Open) -> "Tuple[Any, Any]":
    from tvm.relay import frontend

    if job.format == "tflite":
        from tflite import Model

        root = getattr(Model, "Model", Model)  # older packages: a module that holds the class
        module, params = frontend.from_tflite(root.GetRootAsModel(pathlib.Path(job.model).read_bytes(), 0))
    else:
        module, params = frontend.from_onnx(compiling.onnx_model(job, "onnx"))
    return module, params


def _inputs(module: Any, params: Any) -> List[wire.TensorSpec]:
    found = [value for value in module["main"].params if value.name_hint not in params]
    types = [value.type_annotation for value in found]
    return [
        wire.TensorSpec(value.name_hint, str(told.dtype), [int(size) for size in told.shape])
        for value, told in zip(found, types)
    ]


def _spec_of(name: str, array: Any) -> wire.TensorSpec:
    return wire.TensorSpec(name, str(array.dtype), [int(size) for size in array.shape])


def _refuse_others(job: wire.Open) -> None:
    import tvm

    if job.device not in DEVICES:
        raise Refused("this TVM (%s) is run on cpu and ethos-n, not on %r" % (tvm.__version__, job.device))
    if job.device == "cpu":
        return
    has = _ethosn()
    if has == "UNAVAILABLE":
        raise Refused("TVM %s was built without Ethos-N" % tvm.__version__, BUILD_ONE)
    if has == "SW_ONLY":
        words = "TVM %s has Ethos-N's compiler, but not its driver: it would compute nothing" % tvm.__version__
        raise Refused(words, BUILD_ONE)


def _ethosn() -> str:
    """``UNAVAILABLE``, ``SW_ONLY`` or ``SW_AND_HW``."""
    from tvm.relay.op.contrib import ethosn

    return str(ethosn.ethosn_available().name)
