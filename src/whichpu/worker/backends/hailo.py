"""Hailo-8, 8R and 8L by HailoRT 4.x's Python package: ``hailo:npu`` runs a compiled file (HEF).

Read for this: ``pyhailort.py`` of 4.21 and the bindings ``infer_model_api.cpp``, ``vdevice_api.hpp`` of 4.23
(github.com/hailo-ai/hailort, branch hailo8); contract-tested against a stand-in, not run on hardware yet.

``api=async`` is ``ConfiguredInferModel.run`` with buffers bound once: HailoRT's only way to reuse them, though below it
Python's binding takes a new output buffer and a callback each time. ``api=vstreams`` is ``InferVStreams.infer``, which
makes its output arrays in the call. A latency is from the user's arrays to the user's arrays: quantising, reordering,
transfers over PCIe, the chip, dequantising, and NMS on the host. How long the chip alone takes: ``hailo_parts.py``.
"""

from __future__ import annotations

import builtins
import importlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .. import hef, wire
from . import Arrays, Refused, Session, WhyNot, check_options, not_installed
from .hailo_errors import in_words
from .hailo_run import RUNNERS, Runner
from .hailo_shapes import Give, Take, give_of, takes_of

FORMATS = ("hef",)
OPTIONS = {
    "api": "async (default: ConfiguredInferModel.run) or vstreams (InferVStreams.infer)",
    "batch": "frames in one inference, as batch=8 (default: as many as the inputs hold, else 1)",
    "scheduler": "off (default: the network is activated once) or on (HailoRT's, for several networks of a process)",
    "power_mode": "performance (default) or ultra_performance",
    "input": "float32, uint8 or uint16: what the call is given (default: the model's type); HailoRT quantises float32",
    "output": "float32 (default: HailoRT dequantises), uint8, uint16, or auto: as the chip gives them",
}
CHOICES = {
    "api": tuple(RUNNERS),
    "scheduler": ("off", "on"),
    "power_mode": ("performance", "ultra_performance"),
    "input": ("float32", "uint8", "uint16"),
    "output": ("float32", "uint8", "uint16", "auto"),
}
RARE = True
WHEEL = (
    "pip install hailort-VERSION-cp3XX-cp3XX-linux_ARCH.whl  # of the driver's version, from hailo.ai/developer-zone"
)
DRIVER = "/sys/module/hailo_pci/version"


class Board(NamedTuple):
    """A device as it identifies itself; ``mhz`` is the clock of its core."""

    device_id: str
    arch: str
    firmware: str
    mhz: Optional[int]


class Wishes(NamedTuple):
    """What the target asks for. ``devices`` is empty where any will do."""

    path: str
    batch: int
    scheduler: str
    power_mode: str
    devices: List[str]


def why_not() -> Optional[WhyNot]:
    missing = not_installed("hailo_platform", "hailort")
    if missing is None:
        return None
    return WhyNot("%s (HailoRT's; on a Raspberry Pi: sudo apt install hailo-all)" % missing.reason, WHEEL)


def versions() -> Dict[str, str]:
    found = {"hailort": str(_hailort().__version__)}
    driver = _driver()
    return dict(found, hailo_pci=driver) if driver else found


def offers() -> List[wire.Offer]:
    boards = [board_of(device_id) for device_id in scan()]
    names = ["npu"] if len(boards) == 1 else ["npu.%d" % index for index in range(len(boards))]
    return [wire.Offer(name, note="%s at %s" % (board.arch, board.device_id)) for name, board in zip(names, boards)]


def open(job: wire.Open) -> "Hailo":
    check_options(job, OPTIONS)
    for name, known in CHOICES.items():
        if job.options.get(name, known[0]) not in known:
            raise Refused("%s=%s is not known" % (name, job.options[name]), "use one of: %s" % ", ".join(known))
    described = described_of(job.model)
    board = board_of(device_of(job.device))
    check_chip(described, board, job.model)
    return Hailo(job, described, board)


class Hailo(Session):
    def __init__(self, job: wire.Open, described: hef.Hef, board: Board) -> None:
        self.job, self.board = job, board
        group = described.groups[0]
        infos = _infos(job.model)
        batch = batch_of(job)
        self.takes: List[Take] = takes_of(job, infos.inputs, batch)
        self.gives: List[Give] = [give_of(info, job.options, self.takes) for info in infos.outputs]
        self.inputs = [take.spec for take in self.takes]
        self.outputs = [give.spec(batch) for give in self.gives]
        several = [board.device_id] if "." in job.device else []
        self.wishes = Wishes(job.model, batch, option(job, "scheduler"), option(job, "power_mode"), several)
        self.runner: Optional[Runner] = self.start()
        self.boundary = _boundary(self.takes, self.gives)
        self.precision = precision_of(group)
        self.placement = placement_of(group)
        self.effective = self._effective(described, batch)

    def start(self) -> Runner:
        """The network on the device. Raises :class:`Refused` in words for what users can change."""
        try:
            return RUNNERS[option(self.job, "api")](_hailort(), self.wishes, self.takes, self.gives)
        except Exception as problem:
            raise in_words(problem, _driver(), str(_hailort().__version__)) from problem

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        frames = [take.frames(array) for take, array in zip(self.takes, arrays)]
        return self._running().bind(frames)

    def read(self) -> Arrays:
        return [give.array(raw) for give, raw in zip(self.gives, self._running().read())]

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        from . import hailo_parts

        return hailo_parts.parts_of(self, arrays, request)

    def close(self) -> None:
        if self.runner is not None:
            runner, self.runner = self.runner, None
            runner.close()

    def _running(self) -> Runner:
        """The network; it is loaded again where the device was lent to ``hailortcli``."""
        if self.runner is None:
            self.runner = self.start()
        return self.runner

    def _effective(self, described: hef.Hef, batch: int) -> Dict[str, str]:
        board, group = self.board, described.groups[0]
        told = {
            "api": option(self.job, "api"),
            "batch": str(batch),
            "scheduler": self.wishes.scheduler,
            "power_mode": self.wishes.power_mode,
            "device": "%s at %s" % (board.arch, board.device_id),
            "firmware": board.firmware,
            "compiled_for": described.chip,
            "compiler": described.compiler,
            "contexts": str(group.contexts),
            "inputs": "; ".join(take.words() for take in self.takes),
            "outputs": "; ".join(give.words() for give in self.gives),
        }
        if board.mhz is not None:
            told["clock_mhz"] = str(board.mhz)
        if board.arch == "HAILO8" and described.arch == "HAILO8L":
            told["compiled_for"] += ", half of this Hailo-8: compiled with --hw-arch hailo8 it would be faster"
        return told


# ---------------------------------------------------------------- before HailoRT is asked


def option(job: wire.Open, name: str) -> str:
    """What was asked for, or the default, which stands first."""
    return job.options.get(name, CHOICES[name][0])


def batch_of(job: wire.Open) -> int:
    """Frames in one inference. Raises :class:`Refused` for no number, or another than the inputs hold."""
    held = {spec.shape[0] for spec in job.inputs or [] if len(spec.shape) > 1}
    text = job.options.get("batch") or str(max(held or {1}))
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise Refused("batch=%s is not a number of frames" % text, "write it as batch=8")
    batch = int(text)
    if held and held != {batch}:
        words = "batch=%d, but the inputs hold %s: the two are to be the same" % (batch, " or ".join(map(str, held)))
        raise Refused(words, "give --batch %d too, or leave out batch=" % batch)
    return batch


def described_of(path: str) -> hef.Hef:
    """The file as read without HailoRT. Raises :class:`Refused` for a damaged one, or one of several networks."""
    try:
        described = hef.read(path)
    except hef.HefError as problem:
        raise Refused(str(problem), hef.AGAIN) from None
    if len(described.groups) > 1:
        names = ", ".join(group.name for group in described.groups)
        words = "the HEF holds %d network groups (%s); WhichPU measures files of one" % (len(described.groups), names)
        raise Refused(words, "compile each network into a HEF of its own")
    return described


def check_chip(described: hef.Hef, board: Board, path: str) -> None:
    """Raises :class:`Refused` for a HEF that was compiled for another chip."""
    if described.runs_on(board.arch) is False:
        words = "%s was compiled for the %s; this device is a %s" % (path, described.chip, _maker(board.arch))
        remedy = "compile it with --hw-arch %s (hailo compiler, or hailomz compile)" % board.arch.lower()
        raise Refused(words, remedy)


def scan() -> List[str]:
    """The devices' ids. Raises :class:`Refused` for none."""
    hailort = _hailort()
    try:
        found = list(hailort.Device.scan())
    except Exception as problem:
        raise in_words(problem, _driver(), str(hailort.__version__)) from problem
    if not found:
        words = "HailoRT finds no Hailo device on this machine"
        raise Refused(words, "lspci -d 1e60:  # nothing: not seated or PCIe off; else: sudo modprobe hailo_pci")
    return found


def device_of(name: str) -> str:
    """The id of ``npu`` (the first) or ``npu.1``. Raises :class:`Refused` for another."""
    found = scan()
    if name == "npu":
        return found[0]
    number = name[4:]
    if name.startswith("npu.") and number.isdigit() and int(number) < len(found):
        return found[int(number)]
    there = "npu" if len(found) == 1 else ", ".join("npu.%d" % index for index in range(len(found)))
    raise Refused("there is no device %r for hailo; there is: %s" % (name, there), "write the target as hailo:npu")


def board_of(device_id: str) -> Board:
    """What the device says of itself; it is opened for control only, and left. Raises :class:`Refused`."""
    hailort = _hailort()
    try:
        device = hailort.Device(device_id)
        try:
            identity = device.control.identify()
            clock_hz = _clock(device.control)
        finally:
            device.release()
    except Exception as problem:
        raise in_words(problem, _driver(), str(hailort.__version__)) from problem
    mhz = None if clock_hz is None else round(clock_hz / 1e6)
    return Board(device_id, str(identity.device_architecture), str(identity.firmware_version), mhz)


def _clock(control: Any) -> Optional[int]:
    try:
        return int(control.get_extended_device_information().neural_network_core_clock_rate)
    except Exception:  # not all boards tell
        return None


def _maker(arch: str) -> str:
    return dict(hef.CHIPS.values()).get(arch, arch)


def _driver() -> Optional[str]:
    try:
        with builtins.open(DRIVER, encoding="utf-8") as file:  # this module's own open is another
            return file.read().strip()
    except OSError:
        return None


# ---------------------------------------------------------------- what HailoRT and the file tell


class Infos(NamedTuple):
    """HailoRT's ``VStreamInfo`` of inputs and outputs, the outputs in the compiler's order."""

    inputs: List[Any]
    outputs: List[Any]


def _infos(path: str) -> Infos:
    hailort = _hailort()
    try:
        file = hailort.HEF(path)
        outputs = {info.name: info for info in file.get_output_vstream_infos()}
        names = list(file.get_sorted_output_names())
        ordered = names if sorted(names) == sorted(outputs) else list(outputs)
        return Infos(list(file.get_input_vstream_infos()), [outputs[name] for name in ordered])
    except Exception as problem:
        raise in_words(problem, _driver(), str(hailort.__version__)) from problem


def precision_of(group: hef.Group) -> wire.Precision:
    """By the types at the chip's edges, which is all a HEF tells: layers of 4-bit and 16-bit weights it hides."""
    inputs = sorted({stream.dtype for stream in group.inputs})
    ran = "int8" if set(inputs) <= {"uint8"} else "int16" if set(inputs) == {"uint16"} else "int8+int16"
    words = "the HEF's inputs are %s; a HEF doesn't tell the bits of its weights (4, 8 or 16)" % " and ".join(inputs)
    return wire.Precision(ran, words)


def placement_of(group: hef.Group) -> wire.Placement:
    """The HEF's operators: all that was compiled for the chip is one of them; what is left, HailoRT's threads do."""
    units = {"npu": 1}
    elsewhere = []
    if group.host:
        units["cpu"] = len(group.host)
        kinds: Dict[str, int] = {}
        for one in group.host:
            kinds[one.kind] = kinds.get(one.kind, 0) + 1
        reason = "post-processing that HailoRT does on the host"
        elsewhere = [wire.Elsewhere("cpu", len(group.host), kinds, reason, [one.name for one in group.host])]
    by = "the HEF's operators: one for all layers on the chip, one for each post-processing on the host"
    return wire.Placement("npu", units, by, elsewhere)


def _boundary(takes: List[Take], gives: List[Give]) -> str:
    left_out = []
    if any(take.quantised for take in takes):
        left_out.append("quantising the inputs")
    if any(give.quantised for give in gives):
        left_out.append("dequantising the outputs")
    return "end_to_end without " + " and ".join(left_out) if left_out else "end_to_end"


def _hailort() -> Any:
    return importlib.import_module("hailo_platform")
