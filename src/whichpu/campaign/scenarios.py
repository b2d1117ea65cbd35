"""A model in one of MLPerf's scenarios: each contender in a fresh process of its own, alone on the machine."""

from __future__ import annotations

import datetime
import itertools
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec
import numpy as np

from whichpu import __version__
from whichpu.campaign import plan as planning
from whichpu.campaign.contenders import YARDSTICK, Contender
from whichpu.campaign.plan import Plan
from whichpu.campaign.rows import enter_opened, enter_trouble, warm_up
from whichpu.campaign.search import Spent, highest_rate
from whichpu.campaign.watch import Watch
from whichpu.campaign.wishes import Wishes
from whichpu.errors import UserError
from whichpu.models import artefact, batching
from whichpu.models.inputs import Samples, save
from whichpu.results import scenarios as results
from whichpu.results.scenarios import Probe, Purpose, Row, Scenario, ScenarioRun, Terms
from whichpu.results.writable import is_one
from whichpu.targets import local
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.target import ALL, parse, refuse_boards
from whichpu.worker import wire

LEAST_QUERIES: dict[Scenario, int] = {"SingleStream": 100, "MultiStream": 662, "Server": 1_000, "Offline": 1}
"""What LoadGen needs for its early stopping: 64 queries at p90, 662 at p99, 459 in Server if none is late."""
PERCENTILES: dict[Scenario, float] = {"SingleStream": 0.9, "MultiStream": 0.99, "Server": 0.99, "Offline": 0.99}
LONGER = 2
"""A confirming test, and the one at 1.3 times the rate, is so many times as long as one of the search."""
TRIES = 3
FIRST_SHARE = 0.5
"""Where the search begins: this share of the rate that the streams would reach without a pause."""
HANDING_NS = 20_000
"""What LoadGen's Python interface costs a query, roughly: only how many queries it prepares depends on it."""
TOO_SHORT = "Min duration satisfied"


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """What the user asked for; the defaults are those of the command line."""

    scenario: str
    on: tuple[str, ...] = (ALL,)
    data: Path | None = None
    bound_s: float | None = None
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    streams: tuple[int, ...] = (1,)
    samples_per_query: int | None = None
    duration_s: float = 3.0
    tolerance: float = 0.03
    budget_s: float = 300.0
    cpus: tuple[int, ...] = ()
    seed: int | None = None
    timeout_s: float = 120.0


class Place(NamedTuple):
    """A contender at one batch size and numbers of threads and streams, with the samples it is fed."""

    contender: Contender
    samples: Samples
    row: Row


def terms_of(asked: Asked) -> Terms:
    """The terms, complete. Raises :class:`UserError` for what the scenario does not know."""
    known: dict[str, Scenario] = {name.lower(): name for name in get_args(Scenario)}
    scenario = known.get(asked.scenario.lower().replace("-", "").replace("_", ""))
    if scenario is None:
        raise UserError(f"{asked.scenario!r} is no scenario", f"there are: {', '.join(known.values())}")
    if scenario == "Server" and asked.bound_s is None:
        raise UserError(
            "Server needs a latency bound: its rate is the highest at which p99 stays below", "--bound 10ms"
        )
    if scenario != "Server" and asked.bound_s is not None:
        raise UserError(f"{scenario} knows no latency bound", "leave out --bound, or choose Server")
    if asked.samples_per_query is not None and scenario != "MultiStream":
        raise UserError(f"a query of {scenario} has no number of samples to choose", "leave out --samples-per-query")
    samples = (8 if asked.samples_per_query is None else asked.samples_per_query) if scenario == "MultiStream" else 1
    for batch in asked.batches if scenario != "Offline" else ():
        if samples % batch:
            fits = f"it has to divide the {samples} samples of a query" if samples > 1 else "a query is one sample"
            raise UserError(f"{scenario} can't run batches of {batch}: {fits}", "choose another --batch, or Offline")
    if scenario == "SingleStream" and max(asked.streams) > 1:
        raise UserError("SingleStream has one query at a time: a second stream would idle", "leave out --streams")
    return Terms(
        scenario=scenario,
        seed=secrets.randbits(32) if asked.seed is None else asked.seed,
        percentile=PERCENTILES[scenario],
        bound_ns=None if asked.bound_s is None else round(1e9 * asked.bound_s),
        samples_per_query=samples,
        duration_s=asked.duration_s,
        least_queries=LEAST_QUERIES[scenario],
        tolerance=asked.tolerance,
        budget_s=asked.budget_s if scenario == "Server" else None,
        batches=list(asked.batches),
        threads=list(asked.threads),
        streams=list(asked.streams),
        cpus=list(asked.cpus),
        timeout_s=asked.timeout_s,
        data="",
    )


def run(
    model: Path,
    asked: Asked,
    path: Path | None,
    watch: Watch,
    forms: Sequence[Path] = (),
    shapes: artefact.Shapes | None = None,
    siblings: bool = True,
) -> ScenarioRun:
    """Run the scenario on all contenders; write ``path`` after every test (``None``: keep no logs).

    Raises :class:`UserError`; a contender's trouble is a row. On Ctrl-C ``path`` holds what was measured.
    """
    refuse_boards(asked.on, "LoadGen")
    terms = terms_of(asked)
    watch.phase("reading the model")
    shaped = {size: batching.shapes_for([model, *forms], shapes or {}, size) for size in {1, *terms.batches}}
    wishes = Wishes(
        on=asked.on,
        data=asked.data,
        threads=asked.threads[0],
        cpus=asked.cpus,
        seed=terms.seed,
        timeout_s=asked.timeout_s,
    )
    plans: dict[int, Plan] = {}
    for size, sizes in shaped.items():
        network = artefact.load(model, forms, sizes, siblings)
        own = wishes if size == 1 else msgspec.structs.replace(wishes, data=None)
        plans[size] = planning.make(network, own, watch)
    campaign = plans[1].campaign
    done = ScenarioRun(
        whichpu=__version__,
        created=campaign.created,
        model=campaign.model,
        machine=campaign.machine,
        terms=msgspec.structs.replace(terms, data=campaign.settings.data),
    )
    keeper = Keeper(done, path)
    for place in _places(plans, terms, only_named=ALL not in asked.on):
        _play(place, keeper, watch)
    done.finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    keeper.save()
    return done


def _places(plans: Mapping[int, Plan], terms: Terms, only_named: bool) -> Iterator[Place]:
    """Every contender at every combination asked for; within one, contenders take turns in seeded order."""
    random = np.random.default_rng(terms.seed)
    refused: set[str] = set()
    for batch, threads, streams in itertools.product(terms.batches, terms.threads, terms.streams):
        plan = plans[batch]
        able = {contender.result.name: contender for contender in plan.contenders}
        fed = plans[1].samples if batch == 1 else batching.stacked(plans[1].samples, batch)
        for index in random.permutation(len(plan.campaign.results)):
            result = plan.campaign.results[index]
            if result.name in refused or (result.backend == YARDSTICK and not only_named):
                continue
            contender = able.get(result.name)
            own = contender.target.threads if contender is not None else None
            if own is not None and threads != terms.threads[0]:
                continue  # its number of threads is its own
            row = Row(
                contender=result.name,
                target=result.target,
                backend=result.backend,
                device=result.device,
                batch=batch,
                threads=own or threads,
                streams=streams,
                status=result.status,
                why=result.why,
                remedy=result.remedy,
                form_sha256=result.form_sha256,
                versions=result.versions,
            )
            if contender is None:
                refused.add(result.name)
                contender = Contender(target=parse(result.target)[1], result=result, format="", path=Path())
            yield Place(contender, fed, row)


class Keeper:
    """Owns the file and the folder of LoadGen's logs beside it: ``NAME.json`` and ``NAME.loadgen/``."""

    def __init__(self, run: ScenarioRun, path: Path | None) -> None:
        self.run, self.path = run, path
        self.folder = None if path is None else log_folder(path)
        if path is not None:
            forget(path)
        self.save()  # a place that can't be written is known before an hour of measuring

    def save(self) -> None:
        if self.path is not None:
            results.save(self.run, self.path)

    def logs(self, row: Row, purpose: Purpose, rate: float) -> Path | None:
        """A folder for the next test of a row."""
        if self.folder is None:
            return None
        contenders = dict.fromkeys(each.contender for each in self.run.rows)
        twins = [each for each in contenders if slug(each) == slug(row.contender)]
        number = twins.index(row.contender)
        name = slug(row.contender) + (f"-{number + 1}" if number else "")
        where = f"{self.run.terms.scenario.lower()}-batch{row.batch}-threads{row.threads}-streams{row.streams}"
        return self.folder / name / where / f"{len(row.probes):02d}-{purpose}-{rate:.4g}"


def log_folder(path: Path) -> Path:
    """Where LoadGen's logs of a scenario file go."""
    return path.with_name(f"{path.name.removesuffix('.json')}.loadgen")


def slug(name: str) -> str:
    """A contender's name as a folder's."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "_", name).strip(".") or "contender"


def forget(path: Path) -> None:
    """Remove the logs that a scenario file about to be replaced names, and no other file."""
    try:
        rows = results.load(path).rows if is_one(path, "scenario") else []
    except UserError:  # damaged: what it named is not known
        return
    home = log_folder(path).resolve()
    for row in rows:
        for probe in row.probes:
            folder = (path.parent / probe.logs).resolve() if probe.logs else home
            if folder != home and folder.is_relative_to(home):
                shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------- one contender


def _play(place: Place, keeper: Keeper, watch: Watch) -> None:
    """Run all tests of a row in one fresh worker; its trouble becomes the row's status and reason."""
    row, terms = place.row, keeper.run.terms
    keeper.run.rows.append(row)
    if row.status == "pending":
        watch.phase(f"{row.contender} loads")
        try:
            with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
                _tested(place, keeper, watch, Path(folder))
            row.status = "measured"
        except WorkerTrouble as trouble:
            enter_trouble(row, trouble, place.contender.target.python)
        if terms.scenario == "Server":
            _conclude(row)
    keeper.save()


def _tested(place: Place, keeper: Keeper, watch: Watch, folder: Path) -> None:
    contender, row, terms = place.contender, place.row, keeper.run.terms
    inputs = folder / "inputs.npz"
    save([array[:1] for array in place.samples], inputs)
    start = local.start(
        contender.target.python, threads=row.threads, cpus=terms.cpus, timeout_s=terms.timeout_s, where=row.contender
    )
    with start as link:
        enter_opened(row, link.ask(_job(place, keeper), wire.Opened), contender.precision)
        row.alone_ns = warm_up(link, inputs, terms.timeout_s, check=not contender.result.yardstick).latency_ns
        tester = Tester(link, row, keeper, watch, inputs, folder)
        if terms.scenario == "Server":
            start_rate = FIRST_SHARE * 1e9 * row.streams / (row.alone_ns + HANDING_NS)
            highest_rate(tester.judged, start_rate, terms.tolerance)
        else:
            tester.until_long_enough()


def _job(place: Place, keeper: Keeper) -> wire.Open:
    target = place.contender.target
    specs = [
        wire.TensorSpec(spec.name, spec.dtype, [int(size) for size in array.shape[1:]])
        for spec, array in zip(keeper.run.model.inputs, place.samples, strict=True)
    ]
    return wire.Open(
        backend=target.backend,
        device=target.device,
        model=str(place.contender.path.absolute()),
        format=place.contender.format,
        precision=target.precision,
        threads=place.row.threads,
        options=target.options,
        inputs=specs,
    )


class Told(NamedTuple):
    """What the search needs of a test."""

    valid: bool
    hopeless: bool


class Tester:
    """Runs LoadGen tests of one row in its worker, and keeps each."""

    def __init__(self, link: Link, row: Row, keeper: Keeper, watch: Watch, inputs: Path, spare: Path) -> None:
        self.link, self.row, self.keeper, self.watch = link, row, keeper, watch
        self.inputs, self.spare = inputs, spare
        self.terms = keeper.run.terms
        assert row.alone_ns is not None
        self.call_ns = row.alone_ns + HANDING_NS
        self.began = time.monotonic()

    def judged(self, rate: float, purpose: Purpose) -> Told:
        """A test in Server. It is hopeless when even the quickest query was above the bound: no rate mends that.

        Raises :class:`Spent` instead, once the budget is spent; twice of it for the tests after the search.
        """
        times = 1 if purpose == "search" else 2
        if time.monotonic() - self.began > times * (self.terms.budget_s or np.inf):
            self.row.spent = True
            raise Spent
        probe = self.test(rate, purpose)
        return Told(probe.valid, probe.latency_ns.get("min", 0.0) > (self.terms.bound_ns or np.inf))

    def until_long_enough(self) -> None:
        """LoadGen prepares queries by an expected rate; where that was too low, the test ends early and is repeated."""
        terms, row = self.terms, self.row
        rate = 1e9 * row.batch * row.streams / self.call_ns / terms.samples_per_query
        rate *= 1.0 if terms.scenario == "Offline" else 2.0  # too many prepared ones cost nothing but memory
        for _ in range(TRIES):
            probe = self.test(rate, "measure")
            row.answer = len(row.probes) - 1
            if not any(reason.startswith(TOO_SHORT) for reason in probe.reasons):
                return
            rate = max(3 * rate, 1.5 * (probe.throughput_per_s or 0.0) / terms.samples_per_query)

    def test(self, rate: float, purpose: Purpose) -> Probe:
        """One test by LoadGen, kept. Raises :class:`WorkerTrouble`."""
        terms, row = self.terms, self.row
        times = LONGER if purpose in ("confirm", "overload") else 1
        duration_s, least = times * terms.duration_s, times * terms.least_queries
        logs = self.keeper.logs(row, purpose, rate)
        self.watch.phase(f"{terms.scenario}: {row.contender}, {_doing(row, terms, purpose, rate)}")
        request = wire.LoadTest(
            scenario=terms.scenario,
            logs=str((logs or self.spare / "logs").absolute()),
            inputs=str(self.inputs),
            rate_per_s=rate,
            duration_ms=round(1e3 * duration_s),
            least_queries=least,
            seed=terms.seed,
            percentile=terms.percentile,
            bound_ns=terms.bound_ns or 0,
            samples_per_query=terms.samples_per_query,
            batch=row.batch,
            streams=row.streams,
        )
        began = time.monotonic()
        told = self.link.ask(request, wire.LoadTested, terms.timeout_s + 3 * self._lasts_s(rate, duration_s, least))
        home = self.keeper.path.parent if self.keeper.path is not None else None
        probe = Probe(
            purpose=purpose,
            rate_per_s=rate,
            duration_s=duration_s,
            valid=told.valid,
            reasons=told.reasons,
            queries=told.queries,
            samples=told.samples,
            throughput_per_s=told.throughput_per_s,
            latency_ns=told.latency_ns,
            over_bound=told.over_bound,
            spent_s=time.monotonic() - began,
            logs=None if logs is None or home is None else logs.relative_to(home).as_posix(),
            settings=told.settings,
        )
        row.probes.append(probe)
        self.keeper.run.loadgen = told.loadgen
        self.keeper.save()
        return probe

    def _lasts_s(self, rate: float, duration_s: float, least: int) -> float:
        """How long a test may last: until all queries are issued, and as long again as their calls take one by one."""
        queries = max(float(least), 1.1 * rate * duration_s)
        calls = queries * max(1.0, self.terms.samples_per_query / self.row.batch)
        calls = calls / self.row.batch if self.terms.scenario == "Offline" else calls
        return max(duration_s, least / rate) + calls * self.call_ns / 1e9


def _conclude(row: Row) -> None:
    """Name the probes that answer in Server; without one, say which was the lowest rate that did not hold."""
    confirmed = [at for at, probe in enumerate(row.probes) if probe.purpose == "confirm" and probe.valid]
    if confirmed:
        row.answer = confirmed[-1]
        after = row.answer + 1
        if after < len(row.probes) and row.probes[after].purpose == "overload":
            row.overload = after
    elif row.probes and row.status == "measured":
        least = min(row.probes, key=lambda probe: probe.rate_per_s)
        held = "held in a short test only" if least.valid else "; ".join(["is INVALID", *least.reasons[:1]])
        quickest = f"; its quickest query took {least.latency_ns['min'] / 1e6:.3g} ms" if least.latency_ns else ""
        found = "the budget was spent before a rate was confirmed" if row.spent else "no rate holds"
        row.why = f"{found}: the lowest tried, {least.rate_per_s:.4g} queries/s, {held}{quickest}"
        row.remedy = "give a larger --budget" if row.spent else "give a wider --bound, or more --streams"


def _doing(row: Row, terms: Terms, purpose: Purpose, rate: float) -> str:
    where = [f"{name} {value}" for name, value in (("batch", row.batch), ("streams", row.streams)) if value > 1]
    doing = f"test {len(row.probes) + 1}, {purpose}" + (f" at {rate:.4g}/s" if terms.scenario == "Server" else "")
    return ", ".join([*where, doing])
