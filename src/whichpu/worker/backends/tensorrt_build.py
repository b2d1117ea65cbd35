"""Builds a TensorRT engine from ONNX, for a GPU or a DLA.

Weakly typed networks (TensorRT up to 10) get the flags of ``engine=``; without it a network is strongly typed where
TensorRT has that (10 and newer), so that it computes in the model's own types. From 11 on there is nothing else.
fp32 is real fp32: TF32 is off, unless ``precision=default`` leaves it to TensorRT, where it is on.
A DLA computes in fp16 and int8 only; up to TensorRT 10.7 its int8 scales come from a calibration cache, not from
quantise operators (NVIDIA, "Working with DLA").
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .. import wire
from . import FellBack, Refused, onnxbytes, tensorrt_engine, tensorrt_layers

NO_WORK = ("CONSTANT",)
"""Layers that only hold values: no unit runs them."""
AS_GPU = "measure it as tensorrt:gpu; whichpu analyze MODEL --npu dla-orin tells why"
QUANTISE = ("QuantizeLinear", "DequantizeLinear")


class Graph(NamedTuple):
    """What an ONNX file says of its types; ``kinds``: the operators' in order."""

    quantised: bool
    half: bool
    kinds: List[str]


class Wish(NamedTuple):
    """What the builder may use. ``asked`` names it; ``typed``: it takes the types from the graph."""

    flags: List[str]
    typed: bool
    tf32: bool
    asked: str


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    """Write the engine and notes on it. Raises :class:`Refused` in TensorRT's words, :class:`FellBack` for a DLA that
    would run nothing."""
    import tensorrt as trt

    said, unit = tensorrt_engine.Said(trt), tensorrt_engine.Unit(job.device)
    tensorrt_engine.plugins(trt, said)
    builder = trt.Builder(said.logger)
    if unit.dla is not None:
        tensorrt_engine.check_core(unit.dla, int(builder.num_DLA_cores))
    graph = look(job.model)
    wish = wish_for(trt, job, graph)
    network, held = parsed(trt, builder, job.model, said, wish.typed, graph.kinds)
    config = configured(trt, builder, network, job, wish)
    asked = on_dla(trt, config, network, job, unit.dla, said) if unit.dla is not None else []
    cache = timing_cache(config, job.options.get("timing_cache"))
    plan = builder.build_serialized_network(network, config)
    del held
    if plan is None:
        raise Refused("TensorRT can't build it: %s" % said.why(), _remedy(job))
    placement = tensorrt_layers.placement_asked(asked, said.lines, job.device) if asked else None
    if placement is not None and not placement.units.get(job.device):
        raise FellBack("the builder put all %d layers on the GPU, none on the DLA" % len(asked), AS_GPU)
    with open(os.path.join(folder, tensorrt_engine.ENGINE), "wb") as file:
        file.write(memoryview(plan))
    if cache is not None:
        _keep(config, job.options["timing_cache"])
    facts = dict(_facts(trt, config, network, wish), timing_cache=cache or "none")
    _write_notes(folder, job, wish, placement, facts)
    return facts


def look(path: str) -> Graph:
    """Raises :class:`Refused` for a file that can't be read as ONNX."""
    try:
        kinds = [node.kind for node in onnxbytes.nodes(path)]
        return Graph(any(kind in QUANTISE for kind in kinds), bool(onnxbytes.halves(path).kinds), kinds)
    except (ValueError, IndexError) as problem:
        raise Refused("%s can't be read as ONNX: %s" % (os.path.basename(path), problem)) from problem


def wish_for(trt: Any, job: wire.Open, graph: Graph) -> Wish:
    """Flags for this job. Raises :class:`Refused` for what this TensorRT or a DLA can't do."""
    dla, engine = job.device.startswith("dla"), job.options.get("engine")
    tf32 = job.precision == "default" and engine is None
    if not hasattr(trt.BuilderFlag, "FP16"):
        if engine is not None:
            raise Refused(
                "TensorRT %s takes the precision from the model's own types, not from engine=%s"
                % (trt.__version__, engine),
                "give the model in that precision, for example with --variants fp16",
            )
        return Wish([], True, tf32, wire.AS_IN_THE_GRAPH)
    if engine is None and dla:
        engine = _for_dla(job, graph)
    if engine == "int8":
        _scales(trt, job, graph, dla)
        return Wish(["INT8", "FP16"], False, False, "int8, fp16 where a layer has no scale")
    if engine is not None:
        return Wish(["FP16"] if engine == "fp16" else [], False, False, engine)
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        return Wish([], True, tf32, wire.AS_IN_THE_GRAPH)
    flags = (["INT8"] if graph.quantised else []) + (["FP16"] if graph.half else [])
    return Wish(flags, False, tf32, wire.AS_IN_THE_GRAPH)


def _for_dla(job: wire.Open, graph: Graph) -> str:
    """A DLA's precision where none was named. Raises :class:`Refused` for an fp32 model that is to run in fp32."""
    if graph.quantised:
        return "int8"
    if graph.half or job.precision == "default":
        return "fp16"
    raise Refused(
        "a DLA computes in fp16 and int8 only, and fp32 is asked for",
        "write tensorrt:%s,engine=fp16 (and tensorrt:gpu,engine=fp16 to compare on equal terms)" % job.device,
    )


def _scales(trt: Any, job: wire.Open, graph: Graph, dla: bool) -> None:
    if dla and graph.quantised:
        raise Refused(
            "the DLA of TensorRT %s takes int8 from a calibration cache, not from the model's quantise operators"
            % trt.__version__,
            "give the fp32 model with engine=int8,calibration=FILE",
        )
    if graph.quantised and "calibration" in job.options:
        raise Refused(
            "the model's quantise operators have its scales, and TensorRT would not read a calibration cache",
            "leave calibration= out, or give the fp32 model",
        )
    if not graph.quantised and "calibration" not in job.options:
        raise Refused(
            "engine=int8 needs the scales of its tensors, and the model has no quantise operators",
            "name a calibration cache with calibration=FILE%s"
            % ("" if dla else ", or quantise it with --variants int8-symmetric"),
        )


def parsed(
    trt: Any, builder: Any, path: str, said: "tensorrt_engine.Said", typed: bool, kinds: List[str]
) -> Tuple[Any, Any]:
    """The network, and the parser, which holds its weights. Raises :class:`Refused` with its errors, by operator."""
    network = builder.create_network(_creation(trt, typed))
    parser = trt.OnnxParser(network, said.logger)
    if parser.parse_from_file(model=path):
        return network, parser
    errors = [_parse_error(parser.get_error(index), kinds) for index in range(parser.num_errors)]
    raise Refused("TensorRT's parser does not take it: %s" % ("; ".join(errors) or said.why()))


def _creation(trt: Any, typed: bool) -> int:
    """Explicit batch, the only way from 10 on and no flag from 11 on; strongly typed where asked for."""
    names = ["EXPLICIT_BATCH"] + (["STRONGLY_TYPED"] if typed else [])
    flags = [getattr(trt.NetworkDefinitionCreationFlag, name, None) for name in names]
    return sum(1 << int(flag) for flag in flags if flag is not None)


def _parse_error(error: Any, kinds: List[str]) -> str:
    """``operator Erf (node 12, /a/Erf): ...``; the names are TensorRT's from 10 on, and the file's before."""
    index = int(error.node())
    known = kinds[index] if 0 <= index < len(kinds) else ""
    kind = error.node_operator() if hasattr(error, "node_operator") else known
    name = error.node_name() if hasattr(error, "node_name") else ""
    where = "node %d%s" % (index, ", %s" % name if name else "")
    words = " ".join(error.desc().split())
    return "operator %s (%s): %s" % (kind, where, words) if kind else words


def configured(trt: Any, builder: Any, network: Any, job: wire.Open, wish: Wish) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # what the inspector needs to tell types and units
    for name in wish.flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if not wish.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if "workspace" in job.options:
        config.set_memory_pool_limit(pool=trt.MemoryPoolType.WORKSPACE, pool_size=int(job.options["workspace"]) << 20)
    if "level" in job.options:
        if not hasattr(config, "builder_optimization_level"):
            raise Refused("level= needs TensorRT 8.6 or newer, and %s is here" % trt.__version__)
        config.builder_optimization_level = int(job.options["level"])
    if "calibration" in job.options:
        config.int8_calibrator = calibrator(trt, job.options["calibration"])
    _profile(builder, network, config, job)
    return config


def calibrator(trt: Any, path: str) -> Any:
    """Scales from a cache file, whose first line names the method. Raises :class:`Refused` without the file."""
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise Refused(
            "TensorRT %s knows no calibration caches" % trt.__version__, "quantise the model: --variants int8-symmetric"
        )
    cache = _read(path, "calibration")
    kind = trt.IInt8MinMaxCalibrator if b"MinMax" in cache.split(b"\n")[0] else trt.IInt8EntropyCalibrator2

    class Cached(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            kind.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: List[str]) -> None:
            return None  # no images: the scales are all in the cache

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: Any) -> None:
            pass

    return Cached()


def _profile(builder: Any, network: Any, config: Any, job: wire.Open) -> None:
    """Dynamic inputs get the job's shapes as the only ones."""
    shapes = {spec.name: tuple(spec.shape) for spec in job.inputs or []}
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    dynamic = [one for one in inputs if min(tuple(one.shape), default=0) < 0]
    if not dynamic:
        return
    profile = builder.create_optimization_profile()
    for one in dynamic:
        if one.name not in shapes:
            raise Refused("input %r has a dynamic shape" % one.name, "give its sizes with --shape")
        only = shapes[one.name]
        profile.set_shape(input=one.name, min=only, opt=only, max=only)
    if config.add_optimization_profile(profile) < 0:
        raise Refused("TensorRT does not take the inputs' sizes", "give others with --shape")
    if "calibration" in job.options:  # scales of a network with dynamic sizes need a profile of their own
        config.set_calibration_profile(profile)


def on_dla(
    trt: Any, config: Any, network: Any, job: wire.Open, core: int, said: "tensorrt_engine.Said"
) -> List[tensorrt_layers.Asked]:
    """Put all on a DLA, and ask of each layer whether it can run there.

    Raises :class:`FellBack` where none can, :class:`Refused` where one can't and the GPU may not take it.
    """
    config.default_device_type, config.DLA_core = trt.DeviceType.DLA, core
    fallback = job.options.get("fallback", "on") == "on"
    if fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    asked = [_asked(config, layer, said) for layer in layers if layer.type.name not in NO_WORK]
    off = [one for one in asked if not one.takes]
    if len(off) == len(asked):
        raise FellBack(
            "the DLA takes none of the network's %d layers: all would run on the GPU" % len(asked),
            AS_GPU,
        )
    if off and not fallback:
        first = "%s (%s)%s" % (off[0].name, off[0].kind, ": %s" % off[0].said if off[0].said else "")
        raise Refused(
            "the DLA does not take %d of %d layers, first %s" % (len(off), len(asked), first), "use fallback=on"
        )
    return asked


def _asked(config: Any, layer: Any, said: "tensorrt_engine.Said") -> tensorrt_layers.Asked:
    before = len(said.warnings)
    takes = bool(config.can_run_on_DLA(layer))
    words = [line[len(layer.name) + 2 :] if line.startswith(layer.name) else line for line in said.warnings[before:]]
    return tensorrt_layers.Asked(layer.name, layer.type.name, takes, "; ".join(words))


def timing_cache(config: Any, path: Optional[str]) -> Optional[str]:
    """Use the timings in a file; ``read`` or ``new``, ``None`` where no file is named."""
    if path is None:
        return None
    data = _read(path, "timing_cache") if os.path.exists(path) else b""
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache=cache, ignore_mismatch=False):
        raise Refused(
            "timing_cache=%s is of another TensorRT or another GPU" % path, "name another file, which will be written"
        )
    return "read" if data else "new"


def _keep(config: Any, path: str) -> None:
    """The timings, for the next build; whole or not at all."""
    making = "%s.%d" % (path, os.getpid())
    with open(making, "wb") as file:
        file.write(memoryview(config.get_timing_cache().serialize()))
    os.replace(making, path)


def _read(path: str, option: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as problem:
        raise Refused("%s=%s can't be read: %s" % (option, path, problem.strerror)) from problem


def _facts(trt: Any, config: Any, network: Any, wish: Wish) -> Dict[str, str]:
    """How it was built, read back from the configuration."""
    members = trt.BuilderFlag.__members__
    on = [name for name, flag in members.items() if config.get_flag(flag)]
    found = {
        "builder": "TensorRT %s" % trt.__version__,
        "precision": wish.asked,
        "typing": "strong" if wish.typed else "weak",
        "flags": ", ".join(on) or "none",
        "workspace_mib": str(config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) >> 20),
        "network_layers": str(network.num_layers),
    }
    level = getattr(config, "builder_optimization_level", None)
    return found if level is None else dict(found, optimisation_level=str(level))


def _write_notes(
    folder: str, job: wire.Open, wish: Wish, placement: Optional[wire.Placement], facts: Dict[str, str]
) -> None:
    told = {name: facts[name] for name in ("flags", "typing", "workspace_mib", "timing_cache")}
    if "optimisation_level" in facts:
        told["optimisation_level"] = facts["optimisation_level"]
    notes: Dict[str, Any] = {"effective": told, "tf32": wish.tf32, "asked": wish.asked}
    if "calibration" in job.options:
        notes["calibration"] = tensorrt_engine.fingerprint(job.options["calibration"])
    if placement is not None:
        notes["placement"] = dataclasses.asdict(placement)
    with open(os.path.join(folder, tensorrt_engine.NOTES), "w", encoding="utf-8") as file:
        json.dump(notes, file)


def _remedy(job: wire.Open) -> Optional[str]:
    return "see which layers the DLA takes: leave fallback=on" if job.options.get("fallback") == "off" else None
