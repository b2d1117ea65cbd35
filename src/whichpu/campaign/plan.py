"""What will be measured: contenders made from targets, each with the form of the model that its runtime takes."""

from __future__ import annotations

import datetime
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from whichpu import __version__
from whichpu.campaign.watch import Watch
from whichpu.errors import ConversionError, FellBack, UserError
from whichpu.models import convert, inputs, variants
from whichpu.models.artefact import SUFFIXES, Model, beside, beside_each_other, concrete, sha256_of
from whichpu.models.inputs import Samples
from whichpu.results.schema import (
    Campaign,
    Doubt,
    Form,
    Loop,
    LoopAsked,
    Metered,
    MetersAsked,
    ModelInfo,
    Result,
    Settings,
    Status,
)
from whichpu.targets import bundle
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.targets.target import ALL, Target, default_device, interpreter, parse
from whichpu.tasks import Task, inferences
from whichpu.tasks import load as load_task
from whichpu.worker import wire

YARDSTICK = "null"
BASELINE = " (baseline)"
"""What stands behind the name of a contender that another one is held against."""


LOOPS: dict[str, LoopAsked] = {"auto": "auto", "native": "native", "python": "python"}

METERS: dict[str, MetersAsked] = {"auto": "auto", "windows": "windows", "off": "off"}

STATUSES: tuple[Status, ...] = ("refused", "crashed", "hung", "out-of-memory", "bad-output")
"""What a worker's trouble makes of a row; any other is our bug."""

AGAIN = ("hung", "crashed", "out-of-memory")
"""Statuses that another try may mend; a resumed campaign gives it."""

SIDE_BY_SIDE = 6
"""Workers that look at runtimes at the same time: a small board holds no more."""

ROUNDS_LEAST = 5
"""With 10 blocks of at least 20 inferences in each round, p99 is supported (it needs 1,000)."""


class Contender(msgspec.Struct, kw_only=True):
    """A row of the campaign that can run: its target, and the file its runtime loads."""

    target: Target
    result: Result
    format: str
    path: Path
    precision: str | None = None
    bytes: int = 0
    native_why_not: str | None = None
    loop: Loop = "python"
    named: bool = True
    builds: bool = False
    """Whether its runtime first builds what it loads."""
    run_options: list[str] = []
    """Options that change nothing of what is built."""
    built: str | None = None
    """The folder, where it runs, of what was built."""

    def job(self, inputs: list[wire.TensorSpec] | None) -> wire.Open:
        """What its worker is to load."""
        return wire.Open(
            backend=self.target.backend,
            device=self.target.device,
            model=str(self.path.absolute()),
            format=self.format,
            precision=self.target.precision,
            threads=self.result.threads,
            options=self.target.options,
            inputs=inputs,
            loop=self.loop,
            built=self.built,
            beside=beside(self.path, self.format) if self.target.board is not None else [],
        )

    def trouble(self, trouble: WorkerTrouble) -> None:
        """Make a trouble the row's status and reason."""
        result = self.result
        result.status = next((status for status in STATUSES if status == trouble.kind), "bug")
        if trouble.kind == "fallback":
            result.status, result.fell_back = "refused", True
        result.why, result.remedy, result.words = str(trouble), trouble.remedy, trouble.words or None


class Plan(msgspec.Struct, kw_only=True):
    """A campaign about to run. ``campaign.results`` also holds the rows that can't run, with their reasons."""

    campaign: Campaign
    contenders: list[Contender]
    samples: Samples
    task: Task | None
    reference: Samples | None
    model: Model
    random: bool = False
    onnx: Path | None = None
    root: str = "/"
    place: Place = HERE
    """Where its workers run; the reference's always run here."""


class Wishes(msgspec.Struct, kw_only=True, frozen=True):
    """What the user asked for; the defaults are those of the command line."""

    on: tuple[str, ...] = (ALL,)
    data: Path | None = None
    budget_s: float = 60.0
    half_width: float = 0.02
    matters: float = 0.02
    rounds_least: int = ROUNDS_LEAST
    rounds_most: int | None = None
    blocks: int = 10
    threads: int = 1
    cpus: tuple[int, ...] | None = None
    """CPUs to pin every contender to; none given: as many as threads, chosen; empty: not pinned."""
    seed: int | None = None
    timeout_s: float = 120.0
    root: str = "/"
    """Where the watcher finds /proc and /sys; a test passes a small tree."""
    against_python: str | None = None
    sustained_s: float | None = None
    """How long each contender runs without a pause after the rounds; ``None``: not at all."""
    meters: str = "auto"
    """When sensors are read in windows of their own: ``auto``, ``windows`` or ``off``."""
    meter_window_s: float | None = None
    power_limit_w: float | None = None
    variants: tuple[str, ...] = ()
    """Precisions that are measured, ``fp32`` (the model as given) among them; none: the model as given."""
    loop: str = "auto"
    """``native`` where a contender can, ``python`` for all, or ``auto``: native when every contender can."""
    fail_on_fallback: bool = False


def make(model: Model, wishes: Wishes, watch: Watch, against: Model | None = None, place: Place = HERE) -> Plan:
    """Find contenders, convert what must be converted, prepare the data. Raises :class:`UserError`.

    All targets of ``wishes.on`` are on ``place``. With ``against`` (the old model) or ``wishes.against_python`` (the
    old runtimes) each contender gets a second one that it is held against.
    """
    watch.phase("looking at the runtimes")
    hello, found = describe(wishes, place)
    task = load_task(wishes.data, model.name) if wishes.data is not None and wishes.data.suffix == ".toml" else None
    settings = _settings(wishes, _cpus(wishes, found, hello.machine))
    specs = _specs(model, found, wishes, place)
    precisions = variants.asked(wishes.variants)
    own = not precisions or variants.OWN in precisions
    as_given = [entry for entry in found if own or entry.target.backend == YARDSTICK]
    contenders = _contenders(as_given, model, specs, settings, watch)
    contenders += _variants(found, model, precisions, task, specs, settings, watch)
    if against is not None or wishes.against_python is not None:
        if precisions:
            raise UserError("an older model or runtime is not measured in several precisions", "leave out the variants")
        contenders += _baselines(contenders, found, against or model, model, specs, wishes, settings, watch, place)
    _choose_loops(contenders, settings.loop)
    results = [contender.result for contender in contenders]
    return Plan(
        campaign=Campaign(
            whichpu=__version__,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            model=_info(model, specs),
            other_models=[_info(against, specs)] if against is not None and not _same(against, model) else [],
            machine=hello.machine,
            metered=_metered(wishes),
            settings=settings,
            task=task.info if task else None,
            results=results,
            board=place.name,
        ),
        contenders=[contender for contender in contenders if contender.result.status == "pending"],
        samples=_samples(wishes, task, specs, settings.seed),
        task=task,
        reference=task.reference if task else None,
        model=model,
        random=wishes.data is None,
        onnx=_laid_out(model, "onnx") if "onnx" in model.paths else None,
        root=wishes.root,
        place=place,
    )


def resume(plan: Plan, before: Campaign, wishes: Wishes) -> None:
    """Go on with a campaign file: its readings, its seed. Raises :class:`UserError` when something else changed."""
    now = plan.campaign
    for what, then, new in (
        ("the model's bytes", before.model.sha256, now.model.sha256),
        ("the old model", [it.sha256 for it in before.other_models], [it.sha256 for it in now.other_models]),
        ("the board", before.board, now.board),
        ("the machine", before.machine.hostname, now.machine.hostname),
        ("the CPU", before.machine.cpu_model, now.machine.cpu_model),
        ("the number of threads", before.settings.threads, now.settings.threads),
        (
            "the CPUs of --cpus",
            before.settings.cpus,
            before.settings.cpus if wishes.cpus is None else now.settings.cpus,
        ),
        ("the inputs", _shapes(before), _shapes(now)),
        ("the data", before.settings.data, now.settings.data),
        ("the loop", before.settings.loop, now.settings.loop),
        ("the seed", before.settings.seed, before.settings.seed if wishes.seed is None else wishes.seed),
        ("the task", before.task and before.task.protocol_sha256, now.task and now.task.protocol_sha256),
        *_contender_changes(before, now),
    ):
        if then != new:
            raise UserError(
                f"can't go on: {what} changed since the campaign began ({then!r}, now {new!r})",
                "give the same command, or measure anew into another file",
            )
    _refuse_absent(before.settings.cpus, now.machine)
    now.created, now.reference, now.results = before.created, before.reference, before.results
    now.watched, now.application = before.watched, before.application
    now.metered = _metered_on(before.metered, wishes)
    now.settings = msgspec.structs.replace(now.settings, seed=before.settings.seed, cpus=before.settings.cpus)
    if plan.random:
        plan.samples = inputs.random(now.model.inputs, before.settings.seed)
    for contender in plan.contenders:
        contender.result = next(result for result in now.results if result.name == contender.result.name)
    for contender in plan.contenders:
        if contender.result.status in AGAIN:
            contender.result.status = "pending"
            contender.result.why = contender.result.remedy = contender.result.words = None
    plan.contenders = [contender for contender in plan.contenders if contender.result.status in ("pending", "measured")]
    _keep_loops(plan)


def _keep_loops(plan: Plan) -> None:
    """What ``auto`` chose holds for the whole campaign: rounds of two loops would not be rounds of one figure."""
    readings = [reading for result in plan.campaign.results if not result.yardstick for reading in result.readings]
    ran = {reading.loop for reading in readings if reading.blocks}
    if plan.campaign.settings.loop == "auto" and ran:
        for contender in plan.contenders:
            contender.loop = "native" if "native" in ran else "python"


# ---------------------------------------------------------------- runtimes


class Found(msgspec.Struct, kw_only=True):
    """A target, the contender's name, and what its backend says of itself."""

    name: str
    target: Target
    description: wire.Description
    note: str = ""
    named: bool = False


def describe(wishes: Wishes, place: Place = HERE) -> tuple[wire.Hello, list[Found]]:
    """The machine, and all contenders that ``wishes.on`` names. Raises :class:`UserError`."""
    everything_there = (ALL, f"{ALL}@{place.name}")
    parsed = [(None, None) if text.strip() in everything_there else parse(text) for text in wishes.on]
    with _started(place, wishes.timeout_s) as link:
        hello = link.hello
        pairs = {(target.backend, target.python): None for _, target in parsed if target is not None}
        if any(target is None for _, target in parsed):
            pairs |= {(backend, None): None for backend in hello.backends}
        for backend, _ in pairs:
            if backend not in hello.backends:
                raise UserError(f"no backend is called {backend!r}", f"there are: {', '.join(sorted(hello.backends))}")
        descriptions = describe_all(list(pairs), wishes.timeout_s, link, place)
    found: list[Found] = []
    for name, target in parsed:
        if target is not None:
            found.append(_explicit(name, target, descriptions[target.backend, target.python]))
    if len(found) < len(parsed):
        named = {str(entry.target) for entry in found}
        within = [descriptions[backend, None] for backend in hello.backends]
        reachable = [one for one in within if one.usable or not (one.rare or place.name)]
        everything = [entry for one in reachable for entry in _offered(one, place.name)]
        found = [entry for entry in everything if str(entry.target) not in named] + found
    if not found:
        raise UserError(f"{place.name} has no runtime that WhichPU knows", f"see: whichpu devices --board {place.name}")
    _no_twins(found)
    return hello, found


def targets_within_reach(
    pythons: Sequence[str], timeout_s: float = 60.0, place: Place = HERE
) -> list[dict[str, object]]:
    """Every target that ``whichpu devices`` lists, usable or not, on one machine, in several interpreters there.

    Raises :class:`UserError` for an interpreter that is not there.
    """
    interpreters = [None, *(python if place.name else interpreter(python) for python in pythons)]
    with _started(place, timeout_s) as link:
        backends, sensors = link.hello.backends, _sensors(link)
    pairs = [(backend, python) for python in interpreters for backend in backends]
    rows: dict[str, dict[str, object]] = {}
    for (_, python), description in describe_all(pairs, timeout_s, place=place).items():
        for entry in _offered(description, place.name):
            target = msgspec.structs.replace(entry.target, precision="fp32", python=python)
            row = rows.setdefault(str(target), _row(target, description))
            precisions, notes = row["precisions"], row["notes"]
            assert isinstance(precisions, list)
            assert isinstance(notes, list)
            precisions += [entry.target.precision] if description.usable else []
            notes += [entry.note] if entry.note else []
            row["meters"] = [f"{one.meter}:{one.name}" for one in sensors if _touches(one, target.device)]
    return list(rows.values())


def _sensors(link: Link) -> list[wire.Channel]:
    try:
        return link.ask(wire.FindMeters(), wire.FoundMeters).channels
    except WorkerTrouble:  # a vendor's library may crash; `whichpu meters` tells
        return []


def _touches(channel: wire.Channel, device: str) -> bool:
    """Can a sensor see what runs on a device? One of another unit can't."""
    return channel.scope not in (("gpu", "npu") if device == "cpu" else ("package", "cores"))


def _row(target: Target, description: wire.Description) -> dict[str, object]:
    return {
        "target": str(target),
        "usable": description.usable,
        "why_not": description.why_not,
        "remedy": description.remedy,
        "versions": description.versions,
        "native_loop": description.usable and target.device in description.native,
        "native_loop_why_not": _native_why_not(target, description) if description.usable else None,
        "precisions": [],
        "notes": [],
        "meters": [],
    }


def describe_all(
    pairs: Sequence[tuple[str, str | None]], timeout_s: float, spare: Link | None = None, place: Place = HERE
) -> dict[tuple[str, str | None], wire.Description]:
    """Ask each backend (in its interpreter) what it can do, each in a process of its own: one may crash.

    ``spare`` is a worker of this interpreter that has been asked nothing yet, and is one of them.
    """
    found: dict[tuple[str, str | None], wire.Description] = {}
    for at in range(0, len(pairs), SIDE_BY_SIDE):
        with ExitStack() as workers:
            begun: dict[tuple[str, str | None], Link | WorkerTrouble] = {}
            for pair in pairs[at : at + SIDE_BY_SIDE]:  # they import their runtimes side by side
                given, spare = (spare, None) if pair[1] is None else (None, spare)
                begun[pair] = _begin(workers, *pair, timeout_s, given, place)
            found |= {pair: _description(*pair, worker) for pair, worker in begun.items()}
    return found


def _begin(
    workers: ExitStack, backend: str, python: str | None, timeout_s: float, link: Link | None, place: Place
) -> Link | WorkerTrouble:
    where = f"the worker that looks at {backend}"
    try:
        if link is None:
            link = workers.enter_context(place.start(python, timeout_s=timeout_s, where=where))
        link.where = where
        link.send(wire.Describe(backend))
        return link
    except WorkerTrouble as trouble:
        return trouble


def _description(backend: str, python: str | None, worker: Link | WorkerTrouble) -> wire.Description:
    try:
        if isinstance(worker, WorkerTrouble):
            raise worker
        description = worker.receive(wire.Description)
    except WorkerTrouble as trouble:
        return wire.Description(
            backend=backend, usable=False, why_not=str(trouble), remedy=trouble.remedy, formats=[], options={}
        )
    if python is not None and (description.remedy or "").startswith("pip "):
        description.remedy = f"{python} -m {description.remedy}"
    return description


def _started(place: Place, timeout_s: float) -> Link:
    try:
        return place.start(timeout_s=timeout_s)
    except WorkerTrouble as trouble:
        raise UserError(f"the worker does not start: {trouble}", trouble.remedy or trouble.words or None) from trouble


def _explicit(name: str | None, target: Target, description: wire.Description) -> Found:
    notes = [
        offer.note
        for offer in description.offers
        if (offer.device, offer.precision, offer.options) == (target.device, target.precision, target.options)
    ]
    note = notes[0] if notes else ""
    return Found(name=name or str(target), target=target, description=description, note=note, named=True)


def _offered(description: wire.Description, board: str | None = None) -> list[Found]:
    offers = description.offers or [wire.Offer(default_device(description.backend))]
    found = []
    for offer in offers:
        target = Target(
            backend=description.backend,
            device=offer.device,
            precision=offer.precision,
            options=offer.options,
            board=board,
        )
        found.append(Found(name=str(target), target=target, description=description, note=offer.note))
    return found


def _no_twins(found: list[Found]) -> None:
    seen: set[str] = set()
    for entry in found:
        if entry.name in seen:
            raise UserError(
                f"two contenders are called {entry.name!r}", f"name them: --on a={entry.target} --on b={entry.target}"
            )
        seen.add(entry.name)


# ---------------------------------------------------------------- contenders


def _contenders(
    found: list[Found], model: Model, specs: list[wire.TensorSpec], settings: Settings, watch: Watch
) -> list[Contender]:
    return [_contender(entry, model, specs, settings, watch) for entry in found]


def _variants(
    found: list[Found],
    model: Model,
    precisions: list[str],
    task: Task | None,
    specs: list[wire.TensorSpec],
    settings: Settings,
    watch: Watch,
) -> list[Contender]:
    """Contenders of precisions that are made from the model. Raises :class:`UserError` where none can be made."""
    names = [name for name in precisions if name != variants.OWN]
    if not names:
        return []
    variants.refuse_unfit(model)
    contenders = []
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
        calibration = _calibration(names, task, specs, Path(folder), watch)
        for name in names:
            watch.phase(f"making {name} of {model.name}")
            try:
                made = variants.make(model, name, specs, calibration, bundle.writable_cache() / "variants")
            except ConversionError as problem:
                contenders += [_refused_variant(entry, model, name, problem, settings) for entry in _take(found, name)]
                continue
            for entry in _take(found, name):
                contender = _contender(_named(entry, name), made, specs, settings, watch)
                contender.result.variant = name
                contenders.append(contender)
            model.forms |= {f"{name}: {format}": form for format, form in made.forms.items()}
    return contenders


def _calibration(
    names: list[str], task: Task | None, specs: list[wire.TensorSpec], folder: Path, watch: Watch
) -> variants.Calibration | None:
    calibrated = [name for name in names if variants.VARIANTS[name].calibrated]
    if not calibrated:
        return None
    if task is None:
        raise UserError(
            f"{calibrated[0]} is calibrated with data like those it will see, and there is no task to take them from",
            "give --data TASK.toml with a [calibration] table, or leave it out of --variants",
        )
    watch.phase("preparing calibration samples")
    drawn = task.calibration(variants.CALIBRATION_SAMPLES, variants.CALIBRATION_SEED)
    return variants.calibration(drawn, specs, folder)


def _take(found: list[Found], name: str) -> list[Found]:
    """Targets that a variant is for. Of those that nobody named, only usable ones that could take its form, in fp32."""
    variant = variants.VARIANTS[name]
    rivals = [entry for entry in found if entry.target.backend != YARDSTICK]
    if variant.backends:
        rivals = [entry for entry in rivals if entry.target.backend in variant.backends]
    return [entry for entry in rivals if entry.named or _fit(entry, variant.format)]


def _fit(entry: Found, form: str) -> bool:
    formats = entry.description.formats
    takes = form in formats or (form == "onnx" and any(format in convert.CONVERTERS for format in formats))
    return entry.description.usable and entry.target.precision == "fp32" and takes


def _named(entry: Found, variant: str) -> Found:
    return msgspec.structs.replace(entry, name=f"{entry.name} [{variant}]")


def _refused_variant(
    entry: Found, model: Model, variant: str, problem: ConversionError, settings: Settings
) -> Contender:
    contender = _bare(_named(entry, variant), model.path, settings)
    contender.result.variant = variant
    _refuse(contender.result, problem)
    return contender


def _contender(entry: Found, model: Model, specs: list[wire.TensorSpec], settings: Settings, watch: Watch) -> Contender:
    contender, target, description = _bare(entry, model.path, settings), entry.target, entry.description
    result = contender.result
    if not description.usable:
        return contender
    try:
        contender.format, contender.path, form = _form(description, target, model, specs, watch)
    except ConversionError as problem:
        _refuse(result, problem)
        return contender
    contender.builds, contender.run_options = contender.format in description.builds, description.run_options
    result.form_sha256, contender.precision, contender.bytes = form.sha256, form.precision, form.bytes
    result.doubts = _converter_doubts(form)
    if form.sha256 not in [known.sha256 for known in model.forms.values()]:
        model.forms[f"{form.format} for {entry.name}"] = form
    return contender


def _refuse(result: Result, problem: ConversionError) -> None:
    result.status, result.why, result.remedy = "refused", str(problem), problem.remedy


def _bare(entry: Found, path: Path, settings: Settings) -> Contender:
    """A contender without a form yet, or the reason why its runtime can't run here."""
    target, description = entry.target, entry.description
    result = Result(
        name=entry.name,
        target=str(target),
        backend=target.backend,
        device=target.device,
        note=entry.note,
        yardstick=target.backend == YARDSTICK,
        asked_precision=target.precision,
        threads=target.threads or settings.threads,
        options=target.options,
        python=target.python,
        versions=description.versions,
    )
    contender = Contender(target=target, result=result, format="", path=path, named=entry.named)
    contender.native_why_not = _native_why_not(target, description)
    if not description.usable:
        result.status, result.why, result.remedy = "not-here", description.why_not, description.remedy
    return contender


def _baselines(
    contenders: list[Contender],
    found: list[Found],
    old: Model,
    model: Model,
    specs: list[wire.TensorSpec],
    wishes: Wishes,
    settings: Settings,
    watch: Watch,
    place: Place,
) -> list[Contender]:
    """For each contender the one that it is held against: the old model, or the same in the old interpreter."""
    held = [contender.result for contender in contenders if not contender.result.yardstick]
    held = held or [contender.result for contender in contenders]
    named = {result.name: result for result in held}
    entries = [entry for entry in found if entry.name in named]
    entries = _in_python(wishes.against_python, entries, wishes.timeout_s, place)
    theirs = _specs(old, entries, wishes, place)
    if theirs != specs:
        raise UserError(
            f"{model.path.name} takes {_told(specs)}, but {old.path.name} takes {_told(theirs)}:"
            " they can't be fed the same samples",
            "compare models of the same inputs (--shape gives sizes to dynamic ones)",
        )
    olds = _contenders(entries, old, specs, settings, watch)
    for baseline in olds:
        new = named[baseline.result.name]
        new.baseline = baseline.result.name = new.name + BASELINE
        baseline.result.model_sha256 = None if _same(old, model) else _main(old).sha256
    return olds


def _in_python(python: str | None, found: list[Found], timeout_s: float, place: Place) -> list[Found]:
    """The same targets in another interpreter. Raises :class:`UserError` when there is none."""
    if python is None:
        return found
    path = python if place.name else interpreter(python)
    pairs = list({(entry.target.backend, path): None for entry in found})
    descriptions = describe_all(pairs, timeout_s, place=place)
    return [
        msgspec.structs.replace(
            entry,
            target=msgspec.structs.replace(entry.target, python=path),
            description=descriptions[entry.target.backend, path],
        )
        for entry in found
    ]


def _same(one: Model, other: Model) -> bool:
    return _main(one).sha256 == _main(other).sha256


def _told(specs: list[wire.TensorSpec]) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'})" for spec in specs)


def _native_why_not(target: Target, description: wire.Description) -> str | None:
    """Why the native loop can't run this target; ``None`` when it can."""
    if target.device in description.native:
        return None
    here = ", ".join(description.native)
    return description.native_why_not or f"the native loop runs it on {here or 'no device'} only"


def _choose_loops(contenders: list[Contender], asked: str) -> None:
    """Equal terms: with ``auto`` the native loop runs all, or none."""
    able = all(
        contender.native_why_not is None
        for contender in contenders
        if contender.result.status == "pending" and not contender.result.yardstick
    )
    for contender in contenders:
        if asked == "native" or (asked == "auto" and able):
            contender.loop = "native"  # a worker that can't runs the Python loop, and says why


def _converter_doubts(form: Form) -> list[Doubt]:
    """One doubt for all the parts of the model that the converter says it left out."""
    if not form.warnings:
        return []
    more = f" and {len(form.warnings) - 3} more" if len(form.warnings) > 3 else ""
    says = f"the converter left out parts of the model: {'; '.join(form.warnings[:3])}{more}"
    return [Doubt(kind="converter", says=says, advice="don't use this form before you know what they were")]


def _form(
    description: wire.Description, target: Target, model: Model, specs: list[wire.TensorSpec], watch: Watch
) -> tuple[str, Path, Form]:
    """The first form that the backend takes: given, or converted from ONNX. Raises :class:`ConversionError`."""
    for format in description.formats:
        if format == "*":
            return _main(model).format, model.path, _main(model)
        if format in model.paths:
            return format, _laid_out(model, format), model.forms[format]
    for format in description.formats:
        if format in convert.CONVERTERS and "onnx" in model.paths:
            watch.phase(f"converting {model.name} to {format}")
            return _converted(format, target, model, specs)
    takes, has = ", ".join(description.formats), ", ".join(sorted(model.paths))
    suffix = next(suffix for suffix, named in SUFFIXES.items() if named == description.formats[0])
    also = " (or the ONNX file, which is then converted)" if description.formats[0] in convert.CONVERTERS else ""
    raise ConversionError(
        f"{target.backend} takes {takes}; this model is given as {has}",
        f"export it as a {suffix} file{also}, beside the model file or with --form FILE",
    )


def _laid_out(model: Model, format: str) -> Path:
    """The form's path, its files side by side."""
    return beside_each_other(model.paths[format], format, bundle.writable_cache() / "staged")


def _converted(format: str, target: Target, model: Model, specs: list[wire.TensorSpec]) -> tuple[str, Path, Form]:
    missing = convert.why_not(format)
    if missing is not None:
        raise ConversionError(*missing)
    made = convert.convert(
        model.paths["onnx"],
        model.forms["onnx"].sha256,
        format,
        precision=target.precision,
        inputs=specs,
        cache=bundle.writable_cache() / "converted",
    )
    form = Form(
        format=format,
        file=made.path.name,
        sha256=made.sha256,
        bytes=made.bytes,
        origin="converted",
        tool=f"{made.tool} ({made.tool_version})",
        warnings=list(made.warnings),
    )
    return format, made.path, form


# ---------------------------------------------------------------- model and data


def _specs(model: Model, found: list[Found], wishes: Wishes, place: Place) -> list[wire.TensorSpec]:
    if model.inputs is not None:
        return model.inputs
    told = [(spec.name, spec.dtype, spec.shape) for spec in _ask_runtime(model, found, wishes, place)]
    return concrete(told, model.shapes, model.path)


def _info(model: Model, specs: list[wire.TensorSpec]) -> ModelInfo:
    return ModelInfo(name=model.name, sha256=_main(model).sha256, inputs=specs, forms=list(model.forms.values()))


def _ask_runtime(model: Model, found: list[Found], wishes: Wishes, place: Place) -> list[wire.TensorSpec]:
    """Inputs of a model without an ONNX form, from the first runtime that opens it. Raises :class:`UserError`."""
    troubles: dict[str, WorkerTrouble] = {}
    for entry in found:
        formats = [format for format in entry.description.formats if format in model.paths]
        if not entry.description.usable and formats and entry.named:
            why = entry.description
            raise UserError(f"{entry.name} can't run here: {why.why_not}", why.remedy)
        if not entry.description.usable or not formats:
            continue
        target = entry.target
        job = wire.Open(target.backend, target.device, str(model.paths[formats[0]]), formats[0], target.precision)
        job.options = target.options
        job.beside = beside(model.paths[formats[0]], formats[0]) if target.board is not None else []
        try:
            with place.start(target.python, timeout_s=wishes.timeout_s, where=entry.name) as link:
                return link.ask(job, wire.Opened).inputs
        except WorkerTrouble as trouble:
            troubles[entry.name] = trouble
    if troubles:
        raise _unopened(model, troubles, wishes.fail_on_fallback)
    has = ", ".join(sorted(model.paths))
    raise UserError(f"no runtime here takes {model.path} ({has})", "see `whichpu devices` for what can be installed")


def _unopened(model: Model, troubles: dict[str, WorkerTrouble], fail_on_fallback: bool) -> UserError:
    """Why nothing opens the model; a sole runtime says it in its own words, with its own remedy."""
    said = "; ".join(f"{name}: {str(trouble).strip().splitlines()[0]}" for name, trouble in troubles.items())
    fell_back = fail_on_fallback and any(trouble.kind == "fallback" for trouble in troubles.values())
    kind = FellBack if fell_back else UserError
    own = {trouble.remedy for trouble in troubles.values()} - {None, *wire.REMEDIES.values()}
    if len(troubles) == 1 and own:
        return kind(said, own.pop())
    return kind(f"no runtime here opens {model.path}: {said}", "if it is damaged, export or download it again")


def _samples(wishes: Wishes, task: Task | None, specs: list[wire.TensorSpec], seed: int) -> Samples:
    if task is not None:
        return _of_task(task, specs)
    if wishes.data is not None:
        return inputs.from_npz(wishes.data, specs)
    return inputs.random(specs, seed)


def _of_task(task: Task, specs: list[wire.TensorSpec]) -> Samples:
    """The first samples (of a sequence: its steps): latencies are measured with them, each ``[samples, *shape]``."""
    return inputs.of_task(enumerate(inferences(task)), specs, inputs.RANDOM_SAMPLES, task.info.name)[1]


def _cpus(wishes: Wishes, found: list[Found], machine: wire.Machine) -> list[int]:
    """CPUs that all contenders are pinned to: those asked for, else as many of the preferred as threads run.

    Left to float, a process lands beside a neighbour's load or not, and stays there for a while: one of two equal
    contenders then looks up to 50 % slower than the other (a shared machine, 2026-11-20; docs/method.md).
    """
    if wishes.cpus is not None:
        _refuse_absent(wishes.cpus, machine)
        return list(dict.fromkeys(wishes.cpus))  # one named twice would count twice
    preferred = machine.cpus_preferred or []
    threads = max([entry.target.threads or wishes.threads for entry in found], default=wishes.threads)
    return sorted(preferred[:threads]) if threads < len(preferred) else []


def _refuse_absent(cpus: Sequence[int], machine: wire.Machine) -> None:
    """Raises :class:`UserError` for CPUs that no process can be pinned to here."""
    usable = machine.cpus_preferred
    absent = [cpu for cpu in cpus if cpu not in (usable or [])]
    if absent and usable is None:
        raise UserError("this system pins no process to CPUs", "leave out --cpus, or give --cpus all")
    if absent:
        raise UserError(f"CPU {absent[0]} can't be used here", f"usable: {', '.join(map(str, sorted(usable or [])))}")


def _settings(wishes: Wishes, cpus: list[int]) -> Settings:
    return Settings(
        seed=secrets.randbits(32) if wishes.seed is None else wishes.seed,
        threads=wishes.threads,
        cpus=cpus,
        budget_s=wishes.budget_s,
        half_width=wishes.half_width,
        matters=wishes.matters,
        rounds_least=wishes.rounds_least,
        rounds_most=wishes.rounds_most,
        blocks=wishes.blocks,
        timeout_s=wishes.timeout_s,
        loop=_asked_loop(wishes.loop),
        data=_data_name(wishes.data) if wishes.data is not None else "random, seeded",
        sustained_s=wishes.sustained_s,
        fail_on_fallback=wishes.fail_on_fallback,
    )


def _metered_on(before: Metered | None, wishes: Wishes) -> Metered:
    """The meters of a campaign that goes on: what was asked for anew holds from now on, the rest as it was."""
    now = _metered(wishes)
    if before is None:
        return now
    if now.asked != "auto":
        before.asked = now.asked
    before.window_s = now.window_s or before.window_s
    before.limit_w = now.limit_w or before.limit_w
    return before


def _metered(wishes: Wishes) -> Metered:
    if wishes.meters not in METERS:
        raise UserError(f"meters can't be {wishes.meters!r}", f"there are: {', '.join(METERS)}")
    return Metered(asked=METERS[wishes.meters], window_s=wishes.meter_window_s, limit_w=wishes.power_limit_w)


def _asked_loop(loop: str) -> LoopAsked:
    if loop not in LOOPS:
        raise UserError(f"no loop is called {loop!r}", f"there are: {', '.join(LOOPS)}")
    return LOOPS[loop]


def _data_name(path: Path) -> str:
    """The file's name and the beginning of its hash: other data under the same name is other data."""
    return f"{path.name} (sha256 {sha256_of([path])[:12]})"


def _main(model: Model) -> Form:
    """The form of the file that the user named."""
    return next(form for format, form in model.forms.items() if model.paths.get(format) == model.path)


def _shapes(campaign: Campaign) -> list[str]:
    return [f"{spec.name}={'x'.join(map(str, spec.shape))}" for spec in campaign.model.inputs]


def _contender_changes(before: Campaign, now: Campaign) -> list[tuple[str, object, object]]:
    """What a contender is, then and now: the names first, then each one's target, model file and versions."""
    then, new = ({result.name: result for result in campaign.results} for campaign in (before, now))
    pairs: list[tuple[str, object, object]] = [("the list of contenders", sorted(then), sorted(new))]
    for name in then.keys() & new.keys():
        pairs.append((f"the target of {name}", then[name].target, new[name].target))
        pairs.append((f"the model file of {name}", then[name].form_sha256, new[name].form_sha256))
        if then[name].readings:
            pairs.append((f"the runtime of {name}", then[name].versions, new[name].versions))
    return pairs
