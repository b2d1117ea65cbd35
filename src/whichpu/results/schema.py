"""What a campaign file holds. Version 1; published as JSON Schema in ``docs/schema/campaign-1.json``.

Everything read is kept raw and in order; every figure is computed from it (``results.summary``).
What was not measured is ``None`` with a reason beside it, never zero.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from whichpu.results.column import Column
from whichpu.worker.wire import Built, Channel, Machine, Missing, Placement, Precision, TensorSpec

VERSION: Literal["whichpu.campaign/1"] = "whichpu.campaign/1"

Status = Literal["pending", "measured", "refused", "crashed", "hung", "out-of-memory", "bad-output", "not-here", "bug"]
Loop = Literal["python", "native"]
LoopAsked = Literal["auto", "native", "python"]
MetersAsked = Literal["auto", "windows", "off"]
Nanoseconds = Annotated[int, Meta(ge=0)]


class Form(msgspec.Struct, kw_only=True, frozen=True):
    """One file form of the model. ``sha256`` runs over all its files (weights beside it too).

    ``precision`` is that of an ONNX graph's weights; ``None`` for forms that are not looked into. ``notes`` are
    sentences about a form that WhichPU made: what of it is quantised, what not.
    """

    format: str
    file: str
    sha256: str
    bytes: int
    origin: Literal["given", "beside", "converted", "made"]
    tool: str | None = None
    precision: str | None = None
    warnings: list[str] = []
    notes: list[str] = []


class ModelInfo(msgspec.Struct, kw_only=True):
    """The network measured: its name, inputs with concrete shapes, and the forms that were used."""

    name: str
    sha256: str
    inputs: list[TensorSpec]
    forms: list[Form]


class TaskInfo(msgspec.Struct, kw_only=True, frozen=True):
    """How outputs became a score. ``protocol_sha256`` covers dataset, pre-processing, decoding, thresholds and metric.

    ``protocol`` is the same in words, field by field (``preprocess.resize`` = ``letterbox 384x384``), so that two
    unequal ones can be told apart by name. ``metric`` is the main one, ``others`` are told beside it; ``better`` is
    what is better of the main one. ``notes`` are sentences about the dataset's labels that were wrong.
    """

    name: str
    kind: str
    metric: str
    unit: str
    samples: int
    protocol_sha256: str
    naive: float | None = None
    naive_says: str | None = None
    protocol: dict[str, str] = {}
    better: Literal["higher", "lower"] | None = None
    others: list[str] = []
    notes: list[str] = []


class Reference(msgspec.Struct, kw_only=True, frozen=True):
    """Whose outputs the others are held against, and its score where there is a task."""

    by: str
    samples: int
    score: float | None = None


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """The plan's numbers. ``half_width`` and ``matters`` are relative: 0.02 is 2 %.

    ``loop`` is the loop that was asked for; a reading's own says which ran. With ``fail_on_fallback`` a contender of
    which any operator runs on another unit is refused.
    """

    seed: int
    threads: int
    cpus: list[int]
    budget_s: float
    half_width: float
    matters: float
    rounds_least: int
    rounds_most: int | None
    blocks: int
    timeout_s: float
    data: str
    loop: LoopAsked = "python"
    sustained_s: float | None = None
    fail_on_fallback: bool = False


class Difference(msgspec.Struct, kw_only=True, frozen=True):
    """Outputs against the reference's, over all samples: absolute over all outputs, and relative for the worst output.

    ``relative`` is the largest difference of output ``output`` over the reference's largest value of that output;
    ``None`` when the reference's outputs are all zero. ``other_shapes`` counts samples whose outputs have another
    size than the reference's (where that depends on the data); they enter no difference. ``psnr_db`` is the peak
    signal-to-noise ratio of the worst output (peak: the reference's largest value), ``cosine`` its cosine similarity.
    """

    max_abs: float
    mean_abs: float
    relative: float | None
    samples: int
    output: int | None = None
    other_shapes: int = 0
    psnr_db: float | None = None
    cosine: float | None = None


class Changed(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A sample whose answer is another one than the reference's, in words; ``picture`` is a data URI."""

    sample: str
    truth: str
    reference: str
    ours: str
    picture: str | None = None


class BySample(msgspec.Struct, kw_only=True, frozen=True):
    """The main metric's evidence, kept so that contenders can be held against each other, in other files too.

    ``mean`` and ``root-mean``: of each answered sample what is averaged; ``ratio`` and ``root-ratio``: what is summed
    above and below; ``draws``: no evidence by sample, but the metric in each draw of the bootstrap.
    """

    how: Literal["mean", "root-mean", "ratio", "root-ratio", "draws"]
    columns: list[Column]


class Accuracy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How good a contender's answers are, over ``samples``; ``left_out`` has a sentence for each sample that could not
    be used (the first of them) of ``left_out_count``.

    ``values`` has all metrics, the main one under the task's ``metric``. ``deltas`` are differences from the
    reference's on the same samples, with 95 % intervals by a paired bootstrap (``draws`` draws, ``seed``); ``p`` is
    that of no difference in the main one, and ``verdict`` its word with ``p`` corrected for the number of contenders.
    ``agreement`` is the share of samples with the reference's answer; ``changed`` shows some of the others.
    ``answered_sha256`` tells which samples were answered.
    """

    samples: int
    values: dict[str, float]
    deltas: dict[str, tuple[float, float | None, float | None]] = {}
    verdict: str | None = None
    agreement: float | None = None
    changed: list[Changed] = []
    changed_count: int = 0
    left_out: list[str] = []
    left_out_count: int = 0
    draws: int = 0
    seed: int = 0
    wall_s: float | None = None
    p: float | None = None
    by_sample: BySample | None = None
    answered_sha256: str | None = None


class Doubt(msgspec.Struct, kw_only=True, frozen=True):
    """A reason to trust a figure less: its kind, the facts in words and as data, and what to try.

    ``touches`` names the figure that is doubted: ``latency`` (all of them), ``p99``, ``first``, ``outputs``, ...
    """

    kind: str
    says: str
    advice: str | None = None
    touches: str = "latency"
    facts: dict[str, float | int | str] = {}


class Block(msgspec.Struct, kw_only=True, frozen=True):
    """A block within a reading: ``count`` latencies, of which the first ``opening`` ran on cold caches.

    ``position`` counts the blocks of all contenders in the round, in the order they ran. In one ``turn`` each
    contender runs a block at most once: blocks of one turn are neighbours in time (``None``: not noted).
    """

    position: int
    turn: int | None = None
    count: int
    opening: int
    began_ns: Nanoseconds
    wall_ns: Nanoseconds
    cpu_ns: Nanoseconds
    switches_involuntary: int | None = None


class Memory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Memory of one fresh process in bytes, by the kernel's own account; what it doesn't tell is ``None``.

    Resident (RSS): ``base`` is the worker before the runtime is imported, ``imported`` after that, ``loaded`` with the
    model loaded and warm, ``measured`` after the blocks. ``peak_loading`` and ``peak_measuring`` are the most that was
    resident meanwhile (VmHWM, set back in between). ``*_pss`` counts shared pages in parts (PSS), ``*_private`` only
    its own (USS). ``phases_ns`` has beginning and end of the phases of loading: ``import``, ``load``, ``first``
    inference and ``warm``, from the beginning of the first. ``curve_at_ns`` and ``curve`` are resident memory in pages
    of ``page`` bytes meanwhile, up to the first inference. ``missing`` says why something is not known.
    """

    base: int | None = None
    imported: int | None = None
    loaded: int | None = None
    loaded_pss: int | None = None
    loaded_private: int | None = None
    peak_loading: int | None = None
    measured: int | None = None
    measured_pss: int | None = None
    measured_private: int | None = None
    peak_measuring: int | None = None
    page: int = 4096
    curve_at_ns: Column | None = None
    curve: Column | None = None
    phases_ns: dict[str, tuple[int, int]] = {}
    missing: dict[str, str] = {}


class Reading(msgspec.Struct, kw_only=True):
    """What one fresh process read in one round: latencies of all its blocks, in order."""

    round: int
    import_ns: Nanoseconds | None = None
    load_ns: Nanoseconds | None = None
    first_ns: Nanoseconds | None = None
    warm_steady: bool | None = None
    warm_ns: Nanoseconds | None = None
    warm_count: int | None = None
    rss_bytes: int | None = None
    loop: str = "python"
    blocks: list[Block] = []
    latencies_ns: Column | None = None
    spent_s: float = 0.0
    trouble: str | None = None
    parts: Parts | None = None
    memory: Memory | None = None


class Sustained(msgspec.Struct, kw_only=True):
    """One fresh process that ran alone, back to back, for ``asked_s``: its windows in order, as columns.

    ``began_ns`` counts from the first window's beginning; a window's figures are over all its ``count`` latencies
    (percentiles as NumPy's default, rounded to ns). Of each window the first ``kept`` latencies are kept raw, one
    window after the other in ``latencies_ns``. ``first_ns`` is the first inference, which is in no window.
    ``position`` is the contender's place among the sustained runs, in the order they ran. ``trouble`` says why a run
    ended before its time; what it had read is here. ``looks`` at the machine came between windows; their ``round`` is
    the position, and their first ``turn`` is 0. ``metered`` is the whole run as one window of the meters, which were
    read at a slow pace meanwhile.
    """

    asked_s: float
    window_s: float
    position: int
    loop: str = "python"
    first_ns: Nanoseconds | None = None
    began_ns: Column | None = None
    wall_ns: Column | None = None
    count: Column | None = None
    median_ns: Column | None = None
    p95_ns: Column | None = None
    p99_ns: Column | None = None
    min_ns: Column | None = None
    max_ns: Column | None = None
    kept: Column | None = None
    latencies_ns: Column | None = None
    looks: list[Look] = []
    metered: MeterWindow | None = None
    trouble: str | None = None
    remedy: str | None = None


class Parts(msgspec.Struct, kw_only=True, frozen=True):
    """What one inference is made of, read once by ``by``, apart from the measured blocks: times in ns, in order.

    ``end_to_end``, and of its parts ``compute``, ``h2d`` and ``d2h`` (to the device and back) those known; columns of
    one length: an entry for each of the ``inferences``, or one mean over all. ``missing`` has the reason for each part
    that is not known. ``coarse_ns``: ``compute`` may be told too short by so much.
    """

    ns: dict[str, Column] = {}
    inferences: int = 0
    by: str = ""
    coarse_ns: Nanoseconds = 0
    missing: dict[str, str] = {}


class Application(msgspec.Struct, kw_only=True, frozen=True):
    """What an application does around an inference: median times of preparing a sample and of finishing an output."""

    prepare_ns: float
    finish_ns: float
    samples: int
    by: str


class Result(msgspec.Struct, kw_only=True):
    """One contender: its target, what really ran, and all its readings; or the reason why there are none.

    ``baseline`` names the contender that this one is held against; ``None``: the fastest. ``model_sha256`` is the
    model's hash where that is one of the campaign's ``other_models``. ``variant`` is the form of the network that
    WhichPU made of the model (``fp16``, ``int8``); ``None``: the model itself. ``boundary`` is what a latency holds:
    ``end_to_end`` is from inputs in host memory to outputs in host memory. ``placement`` tells on which units its
    operators run, ``built`` how what it loads was built on the machine that measured it; ``None``: not told, nothing
    built. ``fell_back``: it was refused because it would run on another unit than the one asked for.
    """

    name: str
    target: str
    backend: str
    device: str
    note: str = ""
    yardstick: bool = False
    status: Status = "pending"
    why: str | None = None
    remedy: str | None = None
    words: str | None = None
    form_sha256: str | None = None
    asked_precision: str = "fp32"
    precision: Precision | None = None
    threads: int = 1
    options: dict[str, str] = {}
    versions: dict[str, str] = {}
    effective: dict[str, str] = {}
    python: str | None = None
    model_sha256: str | None = None
    boundary: str = "end_to_end"
    baseline: str | None = None
    took_turns: bool = False
    difference: Difference | None = None
    score: float | None = None
    accuracy: Accuracy | None = None
    variant: str | None = None
    placement: Placement | None = None
    built: Built | None = None
    fell_back: bool = False
    doubts: list[Doubt] = []
    readings: list[Reading] = []
    sustained: Sustained | None = None


class Look(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The machine between two blocks, and what it did since the look before in the same round.

    ``turn`` is 0 before the first block, and n after every contender's n-th. Clocks (MHz; lowest, median and highest)
    and times are those of the CPUs that may be measured; times are CPU seconds within ``span_s``: ``busy_s`` of
    everybody, ``own_s`` of our own processes, ``steal_s`` taken by the hypervisor. ``zone`` is the hottest one, and
    ``headroom_c`` the least distance to a trip point, in ``nearest``. ``pressure`` is the share of time in which some
    task waited for a CPU. ``throttles`` counts the hardware's own slowing down, by who did it.
    """

    round: int
    turn: int
    at_ns: int
    clock_mhz: tuple[float, float, float] | None = None
    zone: str | None = None
    temperature_c: float | None = None
    nearest: str | None = None
    headroom_c: float | None = None
    load_1min: float | None = None
    runnable: int | None = None
    span_s: float | None = None
    busy_s: float | None = None
    own_s: float | None = None
    iowait_s: float | None = None
    steal_s: float | None = None
    pressure: float | None = None
    switches: int | None = None
    throttles: dict[str, int] = {}


class MachineState(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What rarely changes, from this round and turn on. ``limit_mhz`` and ``hardware_mhz`` are those of the CPU whose
    clock is capped most; ``flags`` are a Raspberry Pi's ``get_throttled`` bits, ``power_mode`` is a Jetson's."""

    round: int
    turn: int
    governors: list[str] = []
    governors_offered: list[str] = []
    clock_from: str | None = None
    limit_mhz: float | None = None
    hardware_mhz: float | None = None
    boost: bool | None = None
    power_mode: str | None = None
    power_modes: dict[str, str] = {}
    flags: int | None = None


class Watched(msgspec.Struct, kw_only=True):
    """The machine while the campaign was measured. ``cpus`` counts the CPUs that may be measured; ``missing`` says why
    something was not seen; ``look_ns`` is what the longest look took, between blocks."""

    cpus: int = 0
    looks: list[Look] = []
    states: list[MachineState] = []
    missing: dict[str, str] = {}
    look_ns: int | None = None


class Trace(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What one channel said in one window: ``at_ns`` counts from the window's ``from_ns``, ``values`` are in the
    channel's unit, raised by ``above`` so that none is negative. ``trouble`` says why it was read no more."""

    channel: int
    at_ns: Column
    values: Column
    above: int = 0
    trouble: str | None = None


class MeterWindow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A stretch of time in which the meters were read, apart from the latency blocks.

    ``contender`` ran ``count`` inferences back to back from ``began_ns`` for ``wall_ns`` (CLOCK_MONOTONIC); ``None``:
    nothing ran, all contenders of the round being loaded and frozen (idle). ``position`` counts the windows of the
    campaign in the order they ran. Readings may lie before and behind; ``from_ns`` is where they begin. ``median_ns``
    is the median latency in the window, and ``bare_ns`` in a short one beside it in which no meter was read; the meters
    took ``busy_ns`` in ``sweeps`` goes. ``utc_ns`` is the time of day at ``began_ns``.
    """

    round: int
    position: int
    began_ns: Nanoseconds
    wall_ns: Nanoseconds
    contender: str | None = None
    count: int = 0
    from_ns: Nanoseconds = 0
    median_ns: float | None = None
    bare_ns: float | None = None
    utc_ns: Nanoseconds | None = None
    sweeps: int = 0
    busy_ns: Nanoseconds = 0
    traces: list[Trace] = []


class Joined(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A log that another program wrote meanwhile and that was joined afterwards: its channels are
    ``first_channel`` and those after it. ``shift_ns`` was added to its times, by ``aligned_by``; ``tested`` is False
    where the run's pattern of busy and idle neither confirms nor denies its clock."""

    file: str
    sha256: str
    format: str
    first_channel: int
    channels: int
    readings: int
    shift_ns: int = 0
    aligned_by: str = ""
    tested: bool = True
    notes: list[str] = []


class Metered(msgspec.Struct, kw_only=True):
    """Sensors, what is missing and why, and the windows in which they were read. ``asked`` is ``auto`` (windows where a
    sensor tells power, or what an accelerator does), ``windows`` (in any case, for another program's log) or ``off``.
    ``window_s`` is how long a window lasts; ``limit_w`` a power that the user named, above which time is counted.
    ``trouble`` ended the metering."""

    asked: MetersAsked = "auto"
    window_s: float | None = None
    limit_w: float | None = None
    channels: list[Channel] = []
    missing: list[Missing] = []
    windows: list[MeterWindow] = []
    joined: list[Joined] = []
    trouble: str | None = None


class Linked(msgspec.Struct, kw_only=True, frozen=True):
    """The link to a board, and its clocks against the host's.

    ``ahead_s`` is by how much the board's time of day is ahead. ``pace`` is how many seconds pass on the board's
    CLOCK_MONOTONIC in one of the host's (``None``: the campaign was too short to tell), known to ``pace_known_to``.
    ``waited_s`` the board was in use by others; ``lost`` counts the times that the link was lost and came back.
    """

    ahead_s: float
    pace: float | None = None
    pace_known_to: float | None = None
    waited_s: float = 0.0
    lost: int = 0


class Campaign(msgspec.Struct, kw_only=True):
    """One file: one model on many targets of one machine, with the settings and the seed behind the figures.

    ``board`` is what the machine is called in ``whichpu.toml``; ``None``: the one that ran WhichPU.
    """

    schema: Literal["whichpu.campaign/1"] = VERSION
    whichpu: str
    created: str
    model: ModelInfo
    other_models: list[ModelInfo] = []
    machine: Machine
    watched: Watched | None = None
    metered: Metered | None = None
    settings: Settings
    task: TaskInfo | None = None
    reference: Reference | None = None
    application: Application | None = None
    finished: str | None = None
    board: str | None = None
    linked: Linked | None = None
    results: list[Result] = []


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a campaign file."""
    schema = msgspec.json.schema(Campaign)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}
