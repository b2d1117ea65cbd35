"""What runtimes can do where: each is asked in a process of its own, on this machine or on a board."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from whichpu.campaign.rows import remedy_in
from whichpu.campaign.wishes import Wishes
from whichpu.errors import FellBack, UserError
from whichpu.models.artefact import Model, beside, concrete
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.targets.target import ALL, Target, default_device, interpreter, parse
from whichpu.worker import wire

SIDE_BY_SIDE = 6
"""Workers that look at runtimes at the same time: a small board holds no more."""

FEW = 3
"""So many backends get a process each at once; more are glanced at first."""


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
                close = difflib.get_close_matches(backend, hello.backends, n=1)
                meant = f"did you mean {close[0]}? " if close else ""
                there = f"{meant}there are: {', '.join(sorted(hello.backends))}"
                raise UserError(f"no backend is called {backend!r}", there)
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


def describe_all(
    pairs: Sequence[tuple[str, str | None]], timeout_s: float, spare: Link | None = None, place: Place = HERE
) -> dict[tuple[str, str | None], wire.Description]:
    """Ask each backend (in its interpreter) what it can do, each in a process of its own: one may crash.

    ``spare`` is a worker of this interpreter that has been asked nothing yet, and is one of them.
    """
    found = _absent(pairs, timeout_s, spare, place)
    present = [pair for pair in pairs if pair not in found]
    for at in range(0, len(present), SIDE_BY_SIDE):
        with ExitStack() as workers:
            begun: dict[tuple[str, str | None], Link | WorkerTrouble] = {}
            for pair in present[at : at + SIDE_BY_SIDE]:  # they import their runtimes side by side
                given, spare = (spare, None) if pair[1] is None else (None, spare)
                begun[pair] = _begin(workers, *pair, timeout_s, given, place)
            found |= {pair: _description(*pair, worker, place) for pair, worker in begun.items()}
    return {pair: found[pair] for pair in pairs}


def _absent(
    pairs: Sequence[tuple[str, str | None]], timeout_s: float, spare: Link | None, place: Place
) -> dict[tuple[str, str | None], wire.Description]:
    """Backends that one worker can tell are not there: each of them needs no process of its own."""
    found: dict[tuple[str, str | None], wire.Description] = {}
    for python in {python for _, python in pairs}:
        backends = [backend for backend, of in pairs if of == python]
        if len(backends) < FEW:
            continue
        try:
            with ExitStack() as closing:
                link = spare if python is None else None
                link = link or closing.enter_context(place.start(python, timeout_s=timeout_s))
                glanced = link.ask(wire.Glance(backends), wire.Glanced)
        except WorkerTrouble:  # each backend's own worker tells
            continue
        found |= {(one.backend, python): _told(one, python, place) for one in glanced.absent}
    return found


def in_python(python: str | None, found: list[Found], timeout_s: float, place: Place) -> list[Found]:
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


def native_why_not(target: Target, description: wire.Description) -> str | None:
    """Why the native loop can't run this target; ``None`` when it can."""
    if target.device in description.native:
        return None
    here = ", ".join(description.native)
    return description.native_why_not or f"the native loop runs it on {here or 'no device'} only"


def specs_of(model: Model, found: list[Found], wishes: Wishes, place: Place) -> list[wire.TensorSpec]:
    if model.inputs is not None:
        return model.inputs
    told = [(spec.name, spec.dtype, spec.shape) for spec in _ask_runtime(model, found, wishes, place)]
    return concrete(told, model.shapes, model.path)


def _ask_runtime(model: Model, found: list[Found], wishes: Wishes, place: Place) -> list[wire.TensorSpec]:
    """Inputs of a model without an ONNX form, from the first runtime that opens it. Raises :class:`UserError`."""
    troubles: dict[str, WorkerTrouble] = {}
    for entry in found:
        formats = [format for format in entry.description.formats if format in model.paths]
        if not entry.description.usable and formats and entry.named:
            why = entry.description
            raise UserError(f"{entry.name} can't run {where(place)}: {why.why_not}", why.remedy)
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
            trouble.remedy = remedy_in(target.python or place.python, trouble.remedy)
            troubles[entry.name] = trouble
    if troubles:
        raise _unopened(model, troubles, wishes.fail_on_fallback)
    has = ", ".join(sorted(model.paths))
    takers = _takers(set(model.paths), wishes.timeout_s, place)
    named = f"{' and '.join(takers)} would: name one with --on; " if takers else ""
    raise UserError(
        f"no runtime that was asked for takes {model.path} ({has})",
        f"{named}`whichpu devices` tells what each needs",
    )


def _takers(formats: set[str], timeout_s: float, place: Place) -> list[str]:
    """Backends that take one of the formats, usable or not."""
    with _started(place, timeout_s) as link:
        backends = link.hello.backends
    described = describe_all([(backend, None) for backend in backends], timeout_s, place=place)
    return [backend for (backend, _), one in described.items() if formats & set(one.formats)]


def where(place: Place) -> str:
    """``here``, or ``on pi5``."""
    return "here" if place.name is None else f"on {place.name}"


def _unopened(model: Model, troubles: dict[str, WorkerTrouble], fail_on_fallback: bool) -> UserError:
    """Why nothing opens the model; a sole runtime says it in its own words, with its own remedy."""
    said = "; ".join(f"{name}: {str(trouble).strip().splitlines()[0]}" for name, trouble in troubles.items())
    fell_back = fail_on_fallback and any(trouble.kind == "fallback" for trouble in troubles.values())
    kind = FellBack if fell_back else UserError
    own = {trouble.remedy for trouble in troubles.values()} - {None, *wire.REMEDIES.values()}
    if len(troubles) == 1 and own:
        return kind(said, own.pop())
    return kind(f"no runtime here opens {model.path}: {said}", "if it is damaged, export or download it again")


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


def _description(
    backend: str, python: str | None, worker: Link | WorkerTrouble, place: Place = HERE
) -> wire.Description:
    try:
        if isinstance(worker, WorkerTrouble):
            raise worker
        description = worker.receive(wire.Description)
    except WorkerTrouble as trouble:
        return wire.Description(
            backend=backend, usable=False, why_not=str(trouble), remedy=trouble.remedy, formats=[], options={}
        )
    return _told(description, python, place)


def _told(description: wire.Description, python: str | None, place: Place) -> wire.Description:
    """With the remedy for the interpreter that was asked."""
    remedy = remedy_in(python or place.python, description.remedy)
    there = place.name is not None and remedy != description.remedy
    description.remedy = f"on {place.name}: {remedy}" if there else remedy
    return description


def _row(target: Target, description: wire.Description) -> dict[str, object]:
    return {
        "target": str(target),
        "usable": description.usable,
        "why_not": description.why_not,
        "remedy": description.remedy,
        "versions": description.versions,
        "native_loop": description.usable and target.device in description.native,
        "native_loop_why_not": native_why_not(target, description) if description.usable else None,
        "precisions": [],
        "notes": [],
        "meters": [],
    }


def _sensors(link: Link) -> list[wire.Channel]:
    try:
        return link.ask(wire.FindMeters(), wire.FoundMeters).channels
    except WorkerTrouble:  # a vendor's library may crash; `whichpu meters` tells
        return []


def _touches(channel: wire.Channel, device: str) -> bool:
    """Can a sensor see what runs on a device? One of another unit can't."""
    return channel.scope not in (("gpu", "npu") if device == "cpu" else ("package", "cores"))
