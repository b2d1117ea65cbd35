"""The words host and worker share: one JSON object a line, one answer to each request.

Standard library only, Python 3.8+. The host converts answers strictly into these
dataclasses; the worker builds requests from plain dicts with :func:`request_from`.
Units stand in the names; shapes are lists of positive integers.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Type

PROTOCOL = 1
"""Raised when a request or an answer changes its meaning; both sides must agree."""


REMEDIES = {
    "out-of-memory": "free some memory, or use a smaller model or smaller inputs",
    "refused": "try a newer version of this runtime, or give it another form of the model with --form FILE",
}
"""What to try where an error carries nothing of its own, by its kind."""


class WireError(ValueError):
    """A line that is not a request of this protocol."""


@dataclass
class TensorSpec:
    """One input or output of a model, as the runtime sees it.

    ``dtype`` is NumPy's name (``float32``); ``shape`` is concrete; empty for a scalar.
    """

    name: str
    dtype: str
    shape: List[int]


# ---------------------------------------------------------------- requests


@dataclass
class Describe:
    """What can ``backend`` do on this machine, and if nothing, why not?"""

    backend: str


@dataclass
class Glance:
    """Which of these can't run on this machine, as far as can be told without importing a runtime?"""

    backends: List[str]


@dataclass
class Open:
    """Load a model. ``inputs`` are what the host knows of them (``None``: ask the runtime).

    ``precision`` is ``fp32`` (every backend must then really run fp32) or ``default``
    (whatever the runtime does for a user who asks for nothing). ``loop`` is ``python`` or ``native``; where the native
    one can't run, the Python one does, and ``effective`` says why. ``built`` is the folder that :class:`Build` filled.
    ``beside`` are the model's further files, by their paths from the folder it is in.
    """

    backend: str
    device: str
    model: str
    format: str
    precision: str = "fp32"
    threads: int = 1
    options: Dict[str, str] = field(default_factory=dict)
    inputs: Optional[List[TensorSpec]] = None
    loop: str = "python"
    built: Optional[str] = None
    beside: List[str] = field(default_factory=list)


@dataclass
class Build:
    """Make what the backend loads (an engine, a compiled program) of ``job.model``, into ``folder``; what was made
    there before is kept. It takes minutes, needs a process of its own, and is no part of a load time.
    """

    job: Open
    folder: str


@dataclass
class Bind:
    """Put sample ``index`` of the inputs file into the runtime's buffers; run the first inference.

    The file is an ``.npz`` with ``input_0``, ``input_1``, ... each ``[samples, *shape]``.
    The first inference's outputs go to ``outputs`` (``output_0``, ... without sample axis).
    """

    inputs: str
    outputs: str
    index: int = 0


@dataclass
class Warm:
    """Run until the latency is steady, or ``limit_ns`` have passed."""

    limit_ns: int = 2_000_000_000
    tolerance: float = 0.05


@dataclass
class Measure:
    """Measure one block: ``least_count`` inferences or ``least_ns``, whichever is longer.

    The opening inferences (``opening_count`` or ``opening_ns``, whichever is longer) run on
    cold caches: they are kept, but counted apart. ``most_count`` bounds each of the two parts, so that the
    readings of a quick model stay small enough to be kept raw.
    """

    least_count: int = 20
    least_ns: int = 20_000_000
    opening_count: int = 2
    opening_ns: int = 2_000_000
    most_count: int = 1_000


@dataclass
class Endure:
    """Run back to back for ``window_ns`` (one inference at least): one window of a sustained run.

    The first ``kept`` latencies come back raw. It runs for ``opening_ns`` before, of which nothing is told.
    """

    window_ns: int = 1_000_000_000
    kept: int = 50
    opening_ns: int = 0


@dataclass
class Infer:
    """Run every sample of the inputs file (as in :class:`Bind`); write all outputs, ``[samples, *shape]``.

    ``inputs`` may also be a folder that holds ``input_0.npy``, ``input_1.npy``, ... and nothing else: a dataset is read
    as it is run.

    An output whose shape depends on the data is written as ``output_0_0``, ``output_0_1``, ..., one for each sample.

    ``carry`` makes the samples the steps of one sequence, run in order: output index to the input index it is fed back
    to. At the first step such an input is what the file holds first; the rest the file holds of it is not read.
    """

    inputs: str
    outputs: str
    carry: Dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.carry = {int(given): int(taken) for given, taken in self.carry.items()}  # JSON's keys are strings


@dataclass
class Parts:
    """How long do the parts of an inference take? Runs ``count`` inferences on sample 0 of the inputs file (as in
    :class:`Bind`), apart from all measuring; what was bound is gone afterwards.

    ``again``: the runtime may load the model once more for it.
    """

    inputs: str
    count: int = 50
    again: bool = True


@dataclass
class LookNow:
    """How does the machine stand now? ``cpus`` are those that matter (none: all that this process may use).

    CPU time of ``pids`` counts as ours. ``commands`` lets board tools be started (``vcgencmd``, ``nvpmodel``) where
    no file tells; ``surroundings`` asks for what does not change while measuring.
    """

    cpus: List[int] = field(default_factory=list)
    pids: List[int] = field(default_factory=list)
    root: str = "/"
    commands: bool = False
    surroundings: bool = False


@dataclass
class LoadTest:
    """One test by MLCommons' LoadGen on the model that is open, on ``streams`` sessions of it.

    ``logs`` is the folder that LoadGen writes to. ``inputs`` is a file as in :class:`Bind`; its sample 0 is bound, and
    one call on it answers ``batch`` of LoadGen's samples. ``rate_per_s`` is the rate offered in Server, and the
    expected one (samples in Offline, else queries) by which LoadGen decides how much it prepares.
    """

    scenario: str
    logs: str
    inputs: str
    rate_per_s: float
    duration_ms: int
    least_queries: int
    seed: int
    percentile: float = 0.99
    bound_ns: int = 0
    samples_per_query: int = 1
    batch: int = 1
    streams: int = 1


@dataclass
class FindMeters:
    """Which sensors are here? ``root`` is where /sys and /proc are looked for; ``only`` names meters (none: all)."""

    root: str = "/"
    only: List[str] = field(default_factory=list)


@dataclass
class StartMeters:
    """Begin to read the sensors that were found, until :class:`StopMeters`. ``channels`` are numbers in the list of
    :class:`FoundMeters` (none: all); ``pids`` are the processes that channels of scope ``process`` are about.

    No channel is read more often than every ``least_ns``.
    """

    pids: List[int] = field(default_factory=list)
    channels: List[int] = field(default_factory=list)
    least_ns: int = 0


@dataclass
class StopMeters:
    """End the window and tell what was read."""


@dataclass
class TellMemory:
    """How much memory do the runtime and its model take? Asked after the blocks; ends what counts as measuring."""


@dataclass
class Close:
    """Release the model."""


REQUESTS: Dict[str, Type[Any]] = {
    "describe": Describe,
    "glance": Glance,
    "build": Build,
    "open": Open,
    "bind": Bind,
    "warm": Warm,
    "measure": Measure,
    "endure": Endure,
    "infer": Infer,
    "parts": Parts,
    "look": LookNow,
    "load-test": LoadTest,
    "find-meters": FindMeters,
    "start-meters": StartMeters,
    "stop-meters": StopMeters,
    "memory": TellMemory,
    "close": Close,
}

WITH_FILES = (Bind, Infer, Parts, LoadTest)
"""Requests whose ``inputs`` the worker reads, and whose ``outputs`` it writes."""

# ---------------------------------------------------------------- answers


@dataclass
class Machine:
    """The board as found. What could not be read is ``None``, never zero.

    ``cpus_preferred`` are the usable CPUs in the order in which contenders are pinned to them.
    """

    hostname: str
    system: str
    architecture: str
    python: str
    numpy: str
    cpu_model: Optional[str]
    cpus_usable: int
    cpus_online: Optional[int]
    governor: Optional[str]
    memory_total_bytes: Optional[int]
    memory_available_bytes: Optional[int]
    load_average_1min: Optional[float]
    virtualised: Optional[bool]
    clock_resolution_ns: int
    clock_cost_ns: int
    cpus_preferred: Optional[List[int]] = None


@dataclass
class Hello:
    """The worker's first line, before any request."""

    protocol: int
    pid: int
    backends: List[str]
    machine: Machine


@dataclass
class Offer:
    """One way a backend can run here. ``precision`` is what to ask for; ``note`` says what sets it apart."""

    device: str
    precision: str = "fp32"
    options: Dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass
class Description:
    """A backend as found here. ``formats`` are model formats it takes, best first (``*``: any).

    ``native`` are the devices that the native loop can run here; for none, ``native_why_not`` says why. ``builds`` are
    the formats of which the backend first builds what it loads (:class:`Build`), and ``run_options`` those that
    change nothing of what is built. ``rare``: few machines have it, and where it can't run nobody misses it.
    """

    backend: str
    usable: bool
    why_not: Optional[str]
    remedy: Optional[str]
    formats: List[str]
    options: Dict[str, str]
    versions: Dict[str, str] = field(default_factory=dict)
    offers: List[Offer] = field(default_factory=list)
    native: List[str] = field(default_factory=list)
    native_why_not: Optional[str] = None
    builds: List[str] = field(default_factory=list)
    run_options: List[str] = field(default_factory=list)
    rare: bool = False


@dataclass
class Glanced:
    """Those that can't run; of the others nothing is known yet. The worker is as good as new."""

    absent: List[Description]


AS_IN_THE_GRAPH = "as in the graph"
"""What a runtime says that computes in the model's own types; the host, which can read the model, names them."""


@dataclass
class Precision:
    """The precision that really ran, and what shows it."""

    ran: str
    evidence: str


@dataclass
class Elsewhere:
    """Operators on another unit than the one asked for: how many, of which kinds (``{"Resize": 2}``), and why.

    ``names`` are some of them. ``reason`` is the runtime's, empty where it gives none.
    """

    unit: str
    operators: int
    kinds: Dict[str, int] = field(default_factory=dict)
    reason: str = ""
    names: List[str] = field(default_factory=list)


@dataclass
class Placement:
    """Where a loaded model's operators run. ``units`` counts them by unit (``{"cuda": 60, "cpu": 3}``) as the runtime
    does, after its own fusing; ``asked`` is the unit of the target; ``by`` is what told.

    Where nothing tells, ``unknown`` says why, and ``units`` is empty; ``elsewhere`` then names units that some
    operators are known to run on (0: nobody tells how many).
    """

    asked: str
    units: Dict[str, int] = field(default_factory=dict)
    by: str = ""
    elsewhere: List[Elsewhere] = field(default_factory=list)
    unknown: Optional[str] = None


@dataclass
class Built:
    """What building took, with what it made (file name to bytes) and how (``facts``: the builder's version, its flags).

    ``was_there``: nothing was built now; the figures are of then.
    """

    wall_ns: int
    files: Dict[str, int] = field(default_factory=dict)
    facts: Dict[str, str] = field(default_factory=dict)
    was_there: bool = False


@dataclass
class Opened:
    """A loaded model: load time from the file to a runnable model, and what the runtime made of our wishes.

    ``boundary`` is what a latency holds; ``end_to_end`` is from inputs in host memory to outputs in host memory.
    """

    load_ns: int
    import_ns: int
    inputs: List[TensorSpec]
    outputs: List[TensorSpec]
    versions: Dict[str, str]
    effective: Dict[str, str]
    precision: Precision
    rss_bytes: Optional[int]
    boundary: str = "end_to_end"
    placement: Optional[Placement] = None


@dataclass
class Bound:
    """The first inference, kept apart from all others."""

    first_ns: int


@dataclass
class Memory:
    """This process in bytes by the kernel's own account; what it doesn't tell is ``None``, ``missing`` says why.

    Resident (RSS): ``base`` before the runtime is imported, ``imported`` after that, ``loaded`` with the model loaded
    and warm, ``measured`` after the blocks. ``*_pss`` counts shared pages in parts, ``*_private`` only its own. The
    peaks are the most that was resident in the phases of loading, and while measuring. ``phases_ns`` has beginning and
    end (CLOCK_MONOTONIC) of ``import``, ``load``, ``first`` (the first inference and its buffers) and ``warm``.
    """

    base: Optional[int] = None
    imported: Optional[int] = None
    loaded: Optional[int] = None
    loaded_pss: Optional[int] = None
    loaded_private: Optional[int] = None
    peak_loading: Optional[int] = None
    measured: Optional[int] = None
    measured_pss: Optional[int] = None
    measured_private: Optional[int] = None
    peak_measuring: Optional[int] = None
    phases_ns: Dict[str, List[int]] = field(default_factory=dict)
    missing: Dict[str, str] = field(default_factory=dict)


@dataclass
class Warmed:
    """How the latency became steady; ``steady`` is False when it never was within the limit.

    ``rss_bytes`` is resident memory afterwards. ``tied_to`` are CPUs that the runtime tied its caller to, fewer than
    the process was given; else ``None``.
    """

    steady: bool
    wall_ns: int
    latencies_ns: List[int]
    tied_to: Optional[List[int]] = None
    rss_bytes: Optional[int] = None
    memory: Optional[Memory] = None


@dataclass
class Block:
    """One measured block, in order. The first ``opening`` latencies opened on cold caches.

    ``wall_ns`` is the time of the steady part with the loop's own cost (for throughput);
    ``cpu_ns`` all CPU time of the process in it. ``began_ns`` is CLOCK_MONOTONIC.
    """

    latencies_ns: List[int]
    opening: int
    began_ns: int
    wall_ns: int
    cpu_ns: int
    switches_involuntary: Optional[int]
    loop: str = "python"


@dataclass
class Window:
    """One window of a sustained run; its figures are over all ``count`` latencies, percentiles as NumPy's default.

    ``latencies_ns`` are the first of them, raw and in order. ``began_ns`` is CLOCK_MONOTONIC.
    """

    began_ns: int
    wall_ns: int
    count: int
    median_ns: float
    p95_ns: float
    p99_ns: float
    min_ns: int
    max_ns: int
    latencies_ns: List[int]
    loop: str = "python"


@dataclass
class Inferred:
    """How many samples were run, and how long all of it took (not a latency)."""

    samples: int
    wall_ns: int


@dataclass
class Parted:
    """Times in ns: ``end_to_end``, and of its parts ``compute``, ``h2d`` and ``d2h`` those known; lists of one length.

    There is an entry for each of the ``inferences``, or a single mean over them. ``missing`` has the reason for each
    part that is not known. ``coarse_ns``: ``compute`` may be told too short by so much.
    """

    ns: Dict[str, List[int]]
    inferences: int
    by: str
    missing: Dict[str, str] = field(default_factory=dict)
    coarse_ns: int = 0


@dataclass
class CpuClock:
    """One CPU's clock in MHz: now, the limit set in software, the hardware's highest and lowest; and its governor."""

    cpu: int
    mhz: Optional[float] = None
    limit_mhz: Optional[float] = None
    hardware_mhz: Optional[float] = None
    least_mhz: Optional[float] = None
    governor: Optional[str] = None


@dataclass
class Ticks:
    """Time of some CPUs since boot in seconds: busy (user, system, interrupts), idle, waiting for disks, and stolen
    by the hypervisor."""

    busy_s: float
    idle_s: float
    iowait_s: float
    steal_s: Optional[float]


@dataclass
class Zone:
    """One temperature; ``trip_c`` is where the machine begins to slow down or stop, where it tells."""

    name: str
    celsius: float
    trip_c: Optional[float] = None


@dataclass
class PowerMode:
    """A Jetson's power mode; ``modes`` are all that the board has, by their number."""

    number: int
    name: Optional[str]
    modes: Dict[str, str] = field(default_factory=dict)


@dataclass
class Surroundings:
    """What else makes a machine noisy and does not change while measuring. What could not be read is ``None``."""

    siblings: Optional[List[List[int]]] = None
    isolated: Optional[List[int]] = None
    clock_source: Optional[str] = None
    clock_sources: Optional[List[str]] = None
    quota_cpus: Optional[float] = None
    quota_throttled: Optional[int] = None
    swap_used_bytes: Optional[int] = None
    on_mains: Optional[bool] = None
    battery: Optional[bool] = None
    hypervisor: Optional[str] = None
    interrupts_balanced: Optional[bool] = None


@dataclass
class Look:
    """The machine at one instant (``at_ns``, CLOCK_MONOTONIC). What could not be read is ``None``, never zero.

    ``clock_from`` is ``cpufreq``, or ``cpuinfo`` where only /proc/cpuinfo tells (on a virtual machine a nominal
    value). ``throttles`` count since boot, by who throttled; ``flags`` are a Raspberry Pi's ``get_throttled`` bits.
    ``cpus`` holds the time of the CPUs that matter, ``machine`` of all; ``own_s`` CPU seconds of each of our
    processes. ``pressure_s`` is how long some task waited for a CPU, since boot (PSI).
    """

    at_ns: int
    took_ns: int
    clocks: List[CpuClock]
    clock_from: Optional[str]
    governors_offered: Optional[List[str]]
    boost: Optional[bool]
    zones: Optional[List[Zone]]
    throttles: Optional[Dict[str, int]]
    flags: Optional[int]
    power_mode: Optional[PowerMode]
    cpus: Optional[Ticks]
    machine: Optional[Ticks]
    own_s: Dict[str, float]
    load_1min: Optional[float]
    runnable: Optional[int]
    switches: Optional[int]
    pressure_s: Optional[float]
    surroundings: Optional[Surroundings] = None


@dataclass
class LoadTested:
    """What LoadGen says of one test, read from its logs: its verdict, its reasons, its figures.

    ``latency_ns`` has ``min``, ``mean``, ``p50`` to ``p99.9`` and ``max``: of queries in MultiStream, else of samples.
    ``throughput_per_s`` counts samples. ``settings`` are LoadGen's effective ones. ``wall_ns`` is the whole test.
    """

    valid: bool
    reasons: List[str]
    queries: int
    samples: int
    wall_ns: int
    throughput_per_s: Optional[float]
    latency_ns: Dict[str, float]
    over_bound: Optional[int]
    loadgen: str
    settings: Dict[str, str]


@dataclass
class Channel:
    """One quantity that a sensor tells.

    ``meter`` is the file in ``worker/meters``, ``name`` the sensor's own name for what it reads, ``sensor`` the path or
    the call that is read. ``quantity`` is energy, power, temperature, utilisation, memory, clock or cpu-time, and
    ``unit`` that of the whole numbers read. ``scope`` is what is covered (``SCOPES`` in ``worker/meters``), in words
    in ``covers``. A ``counter`` only rises, from 0 again after ``wraps_at``. ``period_ns`` is how often the sensor has
    news, as its maker says (``None``: unknown); ``averages_ns`` over how long each value is a mean. ``part_of`` names
    the channel of the same meter that holds this one; channels with one ``sums_to`` add up to a total of that name.
    """

    meter: str
    name: str
    quantity: str
    unit: str
    scope: str
    sensor: str
    covers: str = ""
    counter: bool = False
    wraps_at: Optional[int] = None
    period_ns: Optional[int] = None
    averages_ns: int = 0
    part_of: Optional[str] = None
    sums_to: Optional[str] = None


@dataclass
class Missing:
    """What a meter can't tell. ``kind`` is ``not-present``, ``not-permitted``, ``not-for-this-process``, ``too-slow``
    or ``broken``; ``quantity`` may be ``all``. ``remedy`` is the command that would change it."""

    meter: str
    quantity: str
    kind: str
    says: str
    remedy: Optional[str] = None


@dataclass
class FoundMeters:
    """The sensors of a machine, and what is missing."""

    channels: List[Channel]
    missing: List[Missing]


@dataclass
class MetersStarted:
    """The sensors are being read."""


@dataclass
class Trace:
    """What one channel said in one window, in order: times (CLOCK_MONOTONIC) and values in the channel's unit.

    ``trouble`` says why it was read no more.
    """

    channel: int
    at_ns: List[int]
    values: List[int]
    trouble: Optional[str] = None


@dataclass
class Sampled:
    """All readings of one window; reading them took ``busy_ns`` in ``sweeps`` goes.

    ``clock_ns`` and ``utc_ns`` are CLOCK_MONOTONIC and the time of day, taken together at its end.
    """

    traces: List[Trace]
    sweeps: int
    busy_ns: int
    clock_ns: int = 0
    utc_ns: int = 0


@dataclass
class Closed:
    """The model is released."""


@dataclass
class Failure:
    """An error as data. ``kind``: ``refused`` (the runtime or the model says no), ``fallback`` (it would run on another
    unit than asked), ``bad-request`` (the host or the user asked for what isn't there), ``out-of-memory`` or ``bug``
    (ours)."""

    kind: str
    type: str
    message: str
    traceback: str
    remedy: Optional[str] = None


# ---------------------------------------------------------------- lines


def request_line(number: int, request: Any) -> str:
    """One request as a line. Raises :class:`WireError` for what is not a request."""
    for name, kind in REQUESTS.items():
        if type(request) is kind:
            body = {"id": number, "request": name, "with": dataclasses.asdict(request)}
            return json.dumps(body, separators=(",", ":")) + "\n"
    raise WireError("%r is not a request" % (request,))


def request_from(line: str) -> "tuple[int, Any]":
    """The request's number and the request itself. Raises :class:`WireError`."""
    try:
        body = json.loads(line)
        kind = REQUESTS[body["request"]]
        fields = dict(body.get("with") or {})
        if kind is Open:
            return int(body["id"]), _open(fields)
        if kind is Build:
            fields["job"] = _open(fields["job"])
        return int(body["id"]), kind(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        what = "%s: %s" % (type(problem).__name__, problem)
        raise WireError("not a request of protocol %d: %s" % (PROTOCOL, what)) from problem


def _open(fields: Dict[str, Any]) -> Open:
    fields = dict(fields)
    if fields.get("inputs"):
        fields["inputs"] = [TensorSpec(**spec) for spec in fields["inputs"]]
    return Open(**fields)


def answer_line(number: Optional[int], answer: Any) -> str:
    """One answer, or one failure, as a line."""
    key = "failure" if isinstance(answer, Failure) else "answer"
    return json.dumps({"id": number, key: dataclasses.asdict(answer)}, separators=(",", ":")) + "\n"
