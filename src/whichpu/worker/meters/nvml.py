"""NVIDIA GPUs by NVML, the library behind nvidia-smi, called by ctypes.

Names, structures and codes are those of nvml.h 12.9 (https://docs.nvidia.com/deploy/nvml-api/). Every function may be
absent from an older driver's library; then the older one is asked, or the quantity is missing.

What its figures are, by that page: the energy counter counts mJ since the driver was loaded (Volta and newer);
``NVML_FI_DEV_POWER_INSTANT`` is the power now; ``nvmlDeviceGetPowerUsage`` is a mean over 1 s on Ampere (except GA100)
and newer. Utilisation is a share of a sample period of 1/6 s to 1 s, by the product (nvidia-smi's manual). Not on these
pages, but measured on over 70 GPUs ("Part-time Power Measurements", https://arxiv.org/abs/2312.02741): A100 and H100
look at their power in only 25 of every 100 ms, so a load in step with that is told wrongly. Energy and power are of the
whole GPU with its memory, whoever uses it, and of all slices under MIG; NVML knows no energy of one process.

A Jetson has the library, which initialises, and tells little or nothing (NOT_SUPPORTED, or zeros): then all is missing.
zeus does much of this, but needs Python 3.9, pydantic, pandas and more; a worker has none of them.
"""

from __future__ import annotations

import ctypes
import grp
import os
import time
from ctypes import POINTER, byref, c_char_p, c_int, c_longlong, c_uint, c_ulonglong, c_void_p
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .. import wire
from . import Around, Channel, Found, Gone, line_in
from .jetson import is_jetson

NAME = "nvml"
LIBRARY = "libnvidia-ml.so.1"

NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, INSUFFICIENT_SIZE, FUNCTION_NOT_FOUND = 3, 4, 6, 7, 13
ERRORS: Dict[int, Tuple[str, str, str]] = {
    3: ("NOT_SUPPORTED", "not-present", "this GPU, or its driver, does not tell it"),
    4: ("NO_PERMISSION", "not-permitted", "this user may not ask"),
    6: ("NOT_FOUND", "not-present", "there is none"),
    9: ("DRIVER_NOT_LOADED", "not-present", "the NVIDIA driver is not loaded"),
    13: ("FUNCTION_NOT_FOUND", "not-present", "this driver is too old to tell it"),
    15: ("GPU_IS_LOST", "broken", "the GPU has fallen off the bus"),
    16: ("RESET_REQUIRED", "broken", "the GPU must be reset"),
    17: ("OPERATING_SYSTEM", "not-permitted", "the system, or this container, keeps the GPU's device away"),
    18: ("LIB_RM_VERSION_MISMATCH", "broken", "the driver in the kernel and its library are of different versions"),
    999: ("UNKNOWN", "broken", "an internal error of the driver"),
}
"""``nvmlReturn_t``: its name, and what it means for a meter."""
REMEDIES = {
    9: "sudo modprobe nvidia",
    16: "sudo nvidia-smi --gpu-reset",
    17: "docker run --gpus all ... (or another way to give the container the GPU)",
    18: "sudo reboot",
}

POWER_AVERAGE, POWER_INSTANT = 185, 186
"""``NVML_FI_DEV_POWER_AVERAGE`` and ``NVML_FI_DEV_POWER_INSTANT``, in mW."""
CLOCK_SM, CLOCK_MEMORY = 1, 2
AMPERE = 7
"""``NVML_DEVICE_ARCH_AMPERE``: from there on power is a mean, except on GA100, whose compute capability is 8.0."""
TURING = 6
POWER_PERIOD_NS = 100_000_000
"""How often power has news, Turing and newer: NVIDIA does not say; by the paper above."""
AVERAGE_NS = 1_000_000_000
SAMPLE_LEAST_NS, SAMPLE_MOST_NS = 166_666_667, 1_000_000_000
"""The period over which utilisation is a share: between these, by the product."""
LIVE_NS = 100_000_000
"""Memory, clocks and temperature are told as they are; read twice in so long, since each question costs the driver."""
NOT_AVAILABLE = 2**64 - 1
"""``NVML_VALUE_NOT_AVAILABLE`` in ``usedGpuMemory``: the driver doesn't know, as under WDDM."""
FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""The machine's own; the kernel gives it this number always (PROC_PID_INIT_INO)."""


class Memory(ctypes.Structure):
    """``nvmlMemory_t``: ``used`` holds what the driver reserves, too."""

    _fields_ = [("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong)]


class MemoryV2(ctypes.Structure):
    """``nvmlMemory_v2_t``: ``used`` is what is allocated."""

    _fields_ = [
        ("version", c_uint),
        ("total", c_ulonglong),
        ("reserved", c_ulonglong),
        ("free", c_ulonglong),
        ("used", c_ulonglong),
    ]


class Utilization(ctypes.Structure):
    """``nvmlUtilization_t``, in percent."""

    _fields_ = [("gpu", c_uint), ("memory", c_uint)]


class Temperature(ctypes.Structure):
    """``nvmlTemperature_v1_t``, in degrees Celsius."""

    _fields_ = [("version", c_uint), ("sensorType", c_uint), ("temperature", c_int)]


class ProcessV1(ctypes.Structure):
    """``nvmlProcessInfo_v1_t``."""

    _fields_ = [("pid", c_uint), ("usedGpuMemory", c_ulonglong)]


class ProcessV2(ctypes.Structure):
    """``nvmlProcessInfo_v2_t``."""

    _fields_ = ProcessV1._fields_ + [("gpuInstanceId", c_uint), ("computeInstanceId", c_uint)]


class ProcessSample(ctypes.Structure):
    """``nvmlProcessUtilizationSample_t``: percent; ``timeStamp`` in µs."""

    _fields_ = [
        ("pid", c_uint),
        ("timeStamp", c_ulonglong),
        ("smUtil", c_uint),
        ("memUtil", c_uint),
        ("encUtil", c_uint),
        ("decUtil", c_uint),
    ]


class Value(ctypes.Union):
    """``nvmlValue_t``; which field holds, ``nvmlValueType_t`` says: it counts through ``KINDS``."""

    _fields_ = [
        ("dVal", ctypes.c_double),
        ("siVal", c_int),
        ("uiVal", c_uint),
        ("ulVal", ctypes.c_ulong),
        ("ullVal", c_ulonglong),
        ("sllVal", c_longlong),
        ("usVal", ctypes.c_ushort),
    ]


KINDS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


class FieldValue(ctypes.Structure):
    """``nvmlFieldValue_t``."""

    _fields_ = [
        ("fieldId", c_uint),
        ("scopeId", c_uint),
        ("timestamp", c_longlong),
        ("latencyUsec", c_longlong),
        ("valueType", c_uint),
        ("nvmlReturn", c_int),
        ("value", Value),
    ]


SIGNATURES: Dict[str, List[Any]] = {
    "nvmlInit_v2": [],
    "nvmlDeviceGetCount_v2": [POINTER(c_uint)],
    "nvmlDeviceGetHandleByIndex_v2": [c_uint, POINTER(c_void_p)],
    "nvmlDeviceGetName": [c_void_p, c_char_p, c_uint],
    "nvmlDeviceGetArchitecture": [c_void_p, POINTER(c_uint)],
    "nvmlDeviceGetCudaComputeCapability": [c_void_p, POINTER(c_int), POINTER(c_int)],
    "nvmlDeviceGetMigMode": [c_void_p, POINTER(c_uint), POINTER(c_uint)],
    "nvmlDeviceGetTotalEnergyConsumption": [c_void_p, POINTER(c_ulonglong)],
    "nvmlDeviceGetFieldValues": [c_void_p, c_int, POINTER(FieldValue)],
    "nvmlDeviceGetPowerUsage": [c_void_p, POINTER(c_uint)],
    "nvmlDeviceGetUtilizationRates": [c_void_p, POINTER(Utilization)],
    "nvmlDeviceGetMemoryInfo_v2": [c_void_p, POINTER(MemoryV2)],
    "nvmlDeviceGetMemoryInfo": [c_void_p, POINTER(Memory)],
    "nvmlDeviceGetTemperatureV": [c_void_p, POINTER(Temperature)],
    "nvmlDeviceGetTemperature": [c_void_p, c_uint, POINTER(c_uint)],
    "nvmlDeviceGetClockInfo": [c_void_p, c_uint, POINTER(c_uint)],
    "nvmlDeviceGetProcessUtilization": [c_void_p, POINTER(ProcessSample), POINTER(c_uint), c_ulonglong],
}
"""Arguments of the functions that are called, as nvml.h declares them; all return ``nvmlReturn_t``."""
LISTS = {"_v2": ProcessV2, "_v3": ProcessV2, "": ProcessV1}
"""Versions of ``nvmlDeviceGet*RunningProcesses``, and what they list. The second is asked first, since the third
changed its structure under the same name in driver 535 (https://github.com/XuehaiPan/nvitop/pull/79)."""
for _kind in ("Compute", "Graphics"):
    for _version, _structure in LISTS.items():
        _function = "nvmlDeviceGet%sRunningProcesses%s" % (_kind, _version)
        SIGNATURES[_function] = [c_void_p, POINTER(c_uint), POINTER(_structure)]


class Refused(Gone):
    """NVML said no: a function's return code."""

    def __init__(self, function: str, code: int) -> None:
        name, self.kind, words = ERRORS.get(code, ("code %d" % code, "broken", "an error that nvml.h does not explain"))
        super().__init__("%s (NVML_ERROR_%s of %s)" % (words, name, function))
        self.code = code


class Nvml:
    """The library, initialised. Raises :class:`OSError` when it can't be loaded, :class:`Refused` when it won't."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.functions: Dict[str, Any] = {}
        self.ask("nvmlInit_v2")
        count = c_uint()
        self.ask("nvmlDeviceGetCount_v2", byref(count))
        self.count = int(count.value)

    def ask(self, function: str, *arguments: Any) -> None:
        """Call a function; any code but success is :class:`Refused`."""
        code = self.code(function, *arguments)
        if code != 0:
            raise Refused(function, code)

    def code(self, function: str, *arguments: Any) -> int:
        """What a function returns."""
        if function not in self.functions:
            try:
                self.functions[function] = getattr(self.library, function)
            except AttributeError:
                return FUNCTION_NOT_FOUND
            self.functions[function].argtypes = SIGNATURES[function]
            self.functions[function].restype = c_int
        return int(self.functions[function](*arguments))


class Gpu:
    """One GPU, by its number in NVML (the order on the bus; CUDA may count in another)."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self.nvml = nvml
        self.index = index
        self.handle = c_void_p()
        nvml.ask("nvmlDeviceGetHandleByIndex_v2", index, byref(self.handle))
        self.title = "GPU %d (%s)" % (index, self.name() or "its name is unknown")

    def ask(self, function: str, *arguments: Any) -> None:
        """Call a function whose first argument is the device."""
        self.nvml.ask(function, self.handle, *arguments)

    def name(self) -> str:
        """The product's name; empty when unknown."""
        text = ctypes.create_string_buffer(96)  # NVML_DEVICE_NAME_V2_BUFFER_SIZE
        if self.nvml.code("nvmlDeviceGetName", self.handle, text, len(text)) != 0:
            return ""
        return text.value.decode("utf-8", "replace")

    def number(self, function: str, *arguments: Any, kind: Any = c_uint) -> int:
        """The number that a function puts behind its last argument."""
        value = kind()
        self.ask(function, *arguments, byref(value))
        return int(value.value)

    def field(self, number: int) -> int:
        """The value of a field, whatever its type."""
        value = FieldValue(fieldId=number)
        self.ask("nvmlDeviceGetFieldValues", 1, byref(value))
        if value.nvmlReturn != 0 or value.valueType >= len(KINDS):
            raise Refused("nvmlDeviceGetFieldValues", value.nvmlReturn or NOT_SUPPORTED)
        read: float = getattr(value.value, KINDS[value.valueType])
        return round(read)

    def utilisation(self, of: str) -> int:
        """Percent of the sample period in which a kernel ran (``gpu``), or memory was read or written (``memory``)."""
        rates = Utilization()
        self.ask("nvmlDeviceGetUtilizationRates", byref(rates))
        return int(getattr(rates, of))

    def memory_allocated(self) -> int:
        """Bytes allocated by all processes."""
        memory = MemoryV2(version=ctypes.sizeof(MemoryV2) | 2 << 24)
        self.ask("nvmlDeviceGetMemoryInfo_v2", byref(memory))
        if not memory.total:
            raise Refused("nvmlDeviceGetMemoryInfo_v2", NOT_SUPPORTED)
        return int(memory.used)

    def memory_used(self) -> int:
        """Bytes allocated by all processes and reserved by the driver."""
        memory = Memory()
        self.ask("nvmlDeviceGetMemoryInfo", byref(memory))
        if not memory.total:
            raise Refused("nvmlDeviceGetMemoryInfo", NOT_SUPPORTED)
        return int(memory.used)

    def celsius(self) -> int:
        """The chip's temperature in degrees Celsius."""
        temperature = Temperature(version=ctypes.sizeof(Temperature) | 1 << 24)
        self.ask("nvmlDeviceGetTemperatureV", byref(temperature))
        return int(temperature.temperature)

    def processes(self, kind: str = "Compute") -> Dict[int, Optional[int]]:
        """Processes with a context on the GPU and the bytes they hold there; ``None`` where the driver doesn't know."""
        for version, structure in LISTS.items():
            function = "nvmlDeviceGet%sRunningProcesses%s" % (kind, version)
            try:
                return self._listed(function, structure)
            except Refused as problem:
                if problem.code != FUNCTION_NOT_FOUND:
                    raise
        raise Refused(function, FUNCTION_NOT_FOUND)

    def _listed(self, function: str, structure: Any) -> Dict[int, Optional[int]]:
        room, code = 64, INSUFFICIENT_SIZE
        while code == INSUFFICIENT_SIZE and room < 1_000_000:
            count, table = c_uint(room), (structure * room)()
            code = self.nvml.code(function, self.handle, byref(count), table)
            room = max(room * 2, count.value + 16)
        if code != 0:
            raise Refused(function, code)
        held: Dict[int, Optional[int]] = {}
        for entry in table[: count.value]:  # one process has several entries under MIG
            before = held.get(entry.pid, 0)
            unknown = before is None or entry.usedGpuMemory == NOT_AVAILABLE
            held[entry.pid] = None if unknown else (before or 0) + entry.usedGpuMemory
        return held

    def samples(self, since_us: int) -> List[ProcessSample]:
        """Utilisation of processes, as sampled since then; none for a process that used nothing."""
        function, room, code = "nvmlDeviceGetProcessUtilization", 256, INSUFFICIENT_SIZE
        while code == INSUFFICIENT_SIZE and room < 1_000_000:
            count, table = c_uint(room), (ProcessSample * room)()
            code = self.nvml.code(function, self.handle, table, byref(count), since_us)
            room = max(room * 2, count.value + 16)
        if code == NOT_FOUND:
            return []
        if code != 0:
            raise Refused(function, code)
        return list(table[: count.value])

    def mig(self) -> bool:
        """Is the GPU cut into slices?"""
        current, pending = c_uint(), c_uint()
        return self.nvml.code("nvmlDeviceGetMigMode", self.handle, byref(current), byref(pending)) == 0 and bool(
            current
        )

    def power_average_ns(self) -> int:
        """Over how long ``nvmlDeviceGetPowerUsage`` is a mean here."""
        ga100 = self.architecture() == AMPERE and self.capability() == (8, 0)
        return AVERAGE_NS if self.architecture() >= AMPERE and not ga100 else 0

    def power_period_ns(self) -> Optional[int]:
        """How often power has news; ``None`` for the older ones."""
        return POWER_PERIOD_NS if self.architecture() >= TURING else None

    def architecture(self) -> int:
        """``NVML_DEVICE_ARCH_*``; unknown ones count as the newest, as NVML itself counts them."""
        try:
            return self.number("nvmlDeviceGetArchitecture")
        except Refused:
            return 0xFFFFFFFF

    def capability(self) -> "tuple[int, int]":
        """The CUDA compute capability; 0.0 when unknown."""
        major, minor = c_int(), c_int()
        self.nvml.code("nvmlDeviceGetCudaComputeCapability", self.handle, byref(major), byref(minor))
        return major.value, minor.value


class Processes:
    """The measured processes, and those they started, on one GPU."""

    def __init__(self, gpu: Gpu, around: Around) -> None:
        self.gpu = gpu
        self.around = around
        self.ours: Set[int] = set()

    def begin(self) -> None:
        """Who is measured in this window?"""
        self.ours = family(self.around)

    def memory(self) -> int:
        """Bytes that they hold together. Raises :class:`Gone` where it is not known."""
        held = self._held()
        if None in held.values():
            raise Gone("NVML lists the processes on GPU %d, but not what each holds" % self.gpu.index)
        return sum(value for value in held.values() if value is not None)

    def utilisation(self) -> int:
        """Percent of the last sample period in which a kernel of theirs ran. Raises :class:`Gone` where not known.

        NVML lists a process only if it used something: one that is on the GPU and not in the list used nothing.
        """
        on_gpu = self._held()
        latest: Dict[int, ProcessSample] = {}
        for sample in self.gpu.samples(time.time_ns() // 1000 - SAMPLE_MOST_NS // 1000):
            if sample.pid in on_gpu and sample.timeStamp >= latest.get(sample.pid, sample).timeStamp:
                latest[sample.pid] = sample
        return sum(int(sample.smUtil) for sample in latest.values())

    def _held(self) -> Dict[int, Optional[int]]:
        listed = self.gpu.processes()
        ours = {pid: held for pid, held in listed.items() if pid in self.ours}
        strange = [pid for pid in listed if not os.path.exists(self.around.path("proc", str(pid)))]
        if strange and contained(self.around):
            # Numbers of another namespace: one that looks like ours may be anyone's.
            raise Gone("NVML tells process numbers of the machine, and this container has its own: run with --pid=host")
        if not ours:
            raise Gone("no measured process is at work on GPU %d, as far as NVML tells" % self.gpu.index)
        return ours


def find(around: Around) -> Found:
    """Channels of all NVIDIA GPUs."""
    path = LIBRARY if around.root == "/" else around.path("usr", "lib", LIBRARY)
    try:
        nvml = Nvml(path)
    except OSError as problem:
        return [_no_library(around, str(problem))]
    except Refused as problem:
        return [_missing("all", problem)]
    if nvml.count == 0:
        return [wire.Missing(NAME, "all", "not-present", "NVML knows no GPU that this process may use")]
    return [one for index in range(nvml.count) for one in _of_number(nvml, index, around)]


def _of_number(nvml: Nvml, index: int, around: Around) -> Found:
    try:
        return _of_gpu(Gpu(nvml, index), around)
    except Refused as problem:
        return [_missing("all", problem, "GPU %d: " % index)]


def _of_gpu(gpu: Gpu, around: Around) -> Found:
    found = [_tried(*ways) for ways in _device_channels(gpu)]
    if not any(isinstance(one, Channel) and one.facts.quantity in ("energy", "power", "temperature") for one in found):
        says = "NVML answers for %s, but tells no energy, no power and no temperature" % gpu.title
        if is_jetson(around):
            says += ", as on every Jetson so far: its own sensors do"
        return [wire.Missing(NAME, "all", "not-present", says)]
    return found + _process_channels(gpu, around) + _shared(gpu, around)


def _device_channels(gpu: Gpu) -> "List[List[Channel]]":
    """For each quantity the ways to read it, the best first."""
    period_ns, average_ns = gpu.power_period_ns(), gpu.power_average_ns()
    whole = "all of %s with its memory, whoever uses it%s" % (gpu.title, ", all MIG slices" if gpu.mig() else "")

    def channel(name: str, quantity: str, unit: str, call: str, read: Callable[[], int], **facts: Any) -> Channel:
        covers = facts.pop("covers", whole)
        name = "gpu%d %s" % (gpu.index, name)
        return Channel(wire.Channel(NAME, name, quantity, unit, "gpu", call, covers, **facts), read)

    def simple(name: str, quantity: str, unit: str, call: str, *arguments: Any, **facts: Any) -> Channel:
        kind = facts.pop("kind", c_uint)
        return channel(name, quantity, unit, call, lambda: gpu.number(call, *arguments, kind=kind), **facts)

    def power(name: str, number: int, average_ns: int) -> Channel:
        call = "nvmlDeviceGetFieldValues %d" % number
        facts = {"period_ns": period_ns, "averages_ns": average_ns}
        return channel(name, "power", "mW", call, lambda: gpu.field(number), **facts)

    def share(name: str, of: str) -> Channel:
        facts = {"period_ns": SAMPLE_LEAST_NS, "averages_ns": SAMPLE_MOST_NS}
        call = "nvmlDeviceGetUtilizationRates"
        return channel(name, "utilisation", "percent", call, lambda: gpu.utilisation(of), **facts)

    reserved = "all of %s, what the driver reserves included" % gpu.title
    live: Dict[str, Any] = {"period_ns": LIVE_NS}
    chip: Dict[str, Any] = {"covers": "the chip of %s" % gpu.title, **live}
    energy, usage = "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage"
    return [
        [simple("energy", "energy", "mJ", energy, kind=c_ulonglong, counter=True)],
        [
            power("power instant", POWER_INSTANT, 0),
            simple("power", "power", "mW", usage, period_ns=period_ns, averages_ns=average_ns),
            power("power average", POWER_AVERAGE, AVERAGE_NS),
        ],
        [share("utilisation", "gpu")],
        [share("memory utilisation", "memory")],
        [
            channel("memory", "memory", "B", "nvmlDeviceGetMemoryInfo_v2", gpu.memory_allocated, **live),
            channel("memory", "memory", "B", "nvmlDeviceGetMemoryInfo", gpu.memory_used, covers=reserved, **live),
        ],
        [
            channel("temperature", "temperature", "C", "nvmlDeviceGetTemperatureV", gpu.celsius, **chip),
            simple("temperature", "temperature", "C", "nvmlDeviceGetTemperature", 0, **chip),
        ],
        [simple("SM clock", "clock", "MHz", "nvmlDeviceGetClockInfo", CLOCK_SM, **chip)],
        [simple("memory clock", "clock", "MHz", "nvmlDeviceGetClockInfo", CLOCK_MEMORY, **live)],
    ]


ZERO_IS_NOTHING = ("energy", "power", "temperature", "clock")
"""No GPU that answers is at 0 W, 0 °C or 0 MHz: nothing measures it."""


def _tried(*ways: Channel) -> "Channel | wire.Missing":
    """The first way that reads something; else what the first one said."""
    troubles: List[wire.Missing] = []
    for way in ways:
        facts = way.facts
        try:
            if way.read() != 0 or facts.quantity not in ZERO_IS_NOTHING:
                return way
            says = "%s is always 0 here (%s): nothing measures it" % (facts.name, facts.sensor)
            troubles.append(wire.Missing(NAME, facts.quantity, "not-present", says))
        except Refused as problem:
            troubles.append(_missing(facts.quantity, problem, "%s: " % facts.name))
    return next((trouble for trouble in troubles if trouble.kind != "not-present"), troubles[0])


def _process_channels(gpu: Gpu, around: Around) -> Found:
    """What the measured processes hold and use; they are known only when a window begins."""
    processes = Processes(gpu, around)
    covers = "the measured processes and those they started, on %s" % gpu.title

    def channel(name: str, quantity: str, unit: str, call: str, read: Callable[[], int], **facts: Any) -> Channel:
        name, part_of = "gpu%d %s of the process" % (gpu.index, name), "gpu%d %s" % (gpu.index, name)
        whole = wire.Channel(NAME, name, quantity, unit, "process", call, covers, part_of=part_of, **facts)
        return Channel(whole, read, begin=processes.begin)

    found: Found = []
    try:
        gpu.processes()
        call = "nvmlDeviceGetComputeRunningProcesses"
        found.append(channel("memory", "memory", "B", call, processes.memory, period_ns=LIVE_NS))
    except Refused as problem:
        return [_missing("memory", problem, "gpu%d memory of the process: " % gpu.index)]
    try:
        gpu.samples(time.time_ns() // 1000)
        call, facts = "nvmlDeviceGetProcessUtilization", {"period_ns": SAMPLE_LEAST_NS, "averages_ns": SAMPLE_MOST_NS}
        found.append(channel("utilisation", "utilisation", "percent", call, processes.utilisation, **facts))
    except Refused as problem:
        found.append(_missing("utilisation", problem, "gpu%d utilisation of the process: " % gpu.index))
    return found


def _shared(gpu: Gpu, around: Around) -> "List[wire.Missing]":
    """Is the energy of the whole GPU someone else's, too?"""
    why = ["it is cut into MIG slices, and only the whole is measured"] if gpu.mig() else []
    users = _users(gpu, "Compute") | _users(gpu, "Graphics")
    others = users - family(around) - {os.getpid()}
    if others:
        listed = ", ".join(str(pid) for pid in sorted(others)[:5]) + (", ..." if len(others) > 5 else "")
        why.append("%d other processes use it, too (%s)" % (len(others), listed))
    if not why:
        return []
    says = "%s: %s; energy and power are of all together" % (gpu.title, " and ".join(why))
    return [wire.Missing(NAME, "energy", "not-for-this-process", says, "nvidia-smi (shows who they are)")]


def _users(gpu: Gpu, kind: str) -> Set[int]:
    try:
        return set(gpu.processes(kind))
    except Refused:
        return set()


def _missing(quantity: str, problem: Refused, about: str = "") -> wire.Missing:
    remedy = _permission() if problem.code == NO_PERMISSION else REMEDIES.get(problem.code)
    return wire.Missing(NAME, quantity, problem.kind, about + str(problem), remedy)


def _permission() -> str:
    """The command that lets this user talk to the driver: by the group of its device, where it has one."""
    try:
        group = grp.getgrgid(os.stat("/dev/nvidiactl").st_gid).gr_name
    except (OSError, KeyError):
        group = "root"
    if group == "root":
        return "sudo chmod a+rw /dev/nvidiactl /dev/nvidia[0-9]*"
    return 'sudo usermod -aG %s "$USER"  (then log in again)' % group


def _no_library(around: Around, words: str) -> wire.Missing:
    """Why the library can't be loaded: no driver here, a container without it, or a broken file."""
    if "No such file" not in words:
        return wire.Missing(NAME, "all", "broken", "NVIDIA's %s can't be loaded: %s" % (LIBRARY, words))
    if os.path.exists(around.path("proc", "driver", "nvidia", "version")):
        says = "the NVIDIA driver is loaded, but its %s is not in this container or on this system" % LIBRARY
        return wire.Missing(NAME, "all", "not-present", says, "docker run --gpus all,capabilities=utility ...")
    return wire.Missing(NAME, "all", "not-present", "no NVIDIA driver: %s is not here" % LIBRARY)


def contained(around: Around) -> bool:
    """Does this process see process numbers of its own, as in a container?"""
    try:
        return os.readlink(around.path("proc", "self", "ns", "pid")) != FIRST_PID_NAMESPACE
    except OSError:
        return False


def family(around: Around) -> Set[int]:
    """The measured processes and all that they started, by /proc."""
    parents: Dict[int, int] = {}
    try:
        pids = [int(name) for name in os.listdir(around.path("proc")) if name.isdigit()]
    except OSError:
        pids = []
    for pid in pids:
        # The command in the brackets may hold anything; the parent is the second field after it.
        fields = (line_in(around.path("proc", str(pid), "stat")) or "").rpartition(")")[2].split()
        if len(fields) > 1:
            parents[pid] = int(fields[1])
    ours = set(around.pids)
    while True:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        if not more:
            return ours
        ours |= more
