"""The resident worker: one request a line on stdin, one answer a line on a guarded stdout."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from typing import IO, Any, Callable, Dict, List, Optional

import numpy

from . import building, conditions, endure, machine, measure, memory, meters, parts, scenarios, sequences, wire
from .backends import BACKENDS, Arrays, FellBack, Refused, Session, check_options, load, load_native
from .meters.sampler import Sampler

OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")
"""How C++ runtimes say it."""
PHONE_HOME = ("openvino_telemetry",)
"""Packages that do nothing but report: OpenVINO 2026.4 sends an event, and writes below the home, when imported."""


def main(arguments: List[str]) -> int:
    """Answer requests until stdin closes; return the exit status."""
    requests, answers = guard_streams()
    _die_with_parent()
    for module in PHONE_HOME:
        sys.modules[module] = None  # type: ignore[assignment]  # its import fails; its users do without
    if arguments[:1] == ["--cpus"]:
        os.sched_setaffinity(0, {int(cpu) for cpu in arguments[1].split(",")})
    # On a line of its own, whatever the interpreter printed before it.
    answers.write("\n" + wire.answer_line(0, wire.Hello(wire.PROTOCOL, os.getpid(), list(BACKENDS), machine.look())))
    worker = Worker()
    with requests, answers:
        for line in requests:
            answers.write(worker.answer(line))
    return 0


def guard_streams() -> "tuple[IO[str], IO[str]]":
    """Private copies of stdin and stdout; what vendor libraries print, from C too, lands on stderr."""
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _die_with_parent() -> None:
    """On Linux, ask to be killed when the host dies: a frozen worker can't see its stdin close."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
    except (AttributeError, OSError, ImportError, TypeError):
        pass


class Worker:
    """Holds at most one loaded model between requests."""

    def __init__(self) -> None:
        self.session: Optional[Session] = None
        self.call: Optional[Callable[[], Any]] = None
        self.job: Optional[wire.Open] = None
        self.memory: Optional[memory.Account] = None
        self.streams: Optional[scenarios.Streams] = None
        self.sampler: Optional[Sampler] = None
        self.handlers: Dict[type, Callable[[Any], Any]] = {
            wire.Describe: describe,
            wire.Glance: glance,
            wire.Build: building.build,
            wire.Open: self.open,
            wire.Bind: self.bind,
            wire.Warm: self.warm,
            wire.Measure: lambda request: measure.block(self._bound(), request),
            wire.Endure: lambda request: endure.window(self._bound(), request),
            wire.Infer: self.infer,
            wire.Parts: self.parts,
            wire.LookNow: conditions.look,
            wire.LoadTest: self.load_test,
            wire.TellMemory: self.tell_memory,
            wire.FindMeters: self.find_meters,
            wire.StartMeters: lambda request: self._sampler().start(request),
            wire.StopMeters: lambda request: self._sampler().stop(),
            wire.Close: self.close,
        }

    def answer(self, line: str) -> str:
        """The answer line to a request line; every error is an answer too."""
        number = None
        try:
            number, request = wire.request_from(line)
            return wire.answer_line(number, self.handlers[type(request)](request))
        except Exception as problem:
            return wire.answer_line(number, failure_of(problem))

    def open(self, job: wire.Open) -> wire.Opened:
        self.close(wire.Close())
        backend = load(job.backend)
        reason = backend.why_not()
        if reason is not None:
            raise Refused(reason.reason, reason.remedy)
        check_options(job, backend.OPTIONS)
        self.memory = memory.Account()
        with self.memory.phase("import"):
            began = time.perf_counter_ns()
            versions = backend.versions()  # imports the runtime: not part of the load time
            import_ns = time.perf_counter_ns() - began
        self.memory.imported()
        with self.memory.phase("load"):
            began = time.perf_counter_ns()
            session = open_session(job)
            load_ns = time.perf_counter_ns() - began
        self.session, self.job = session, job
        return wire.Opened(
            load_ns=load_ns if session.load_ns is None else session.load_ns,
            import_ns=import_ns,
            inputs=session.inputs,
            outputs=session.outputs,
            versions=versions,
            effective=session.effective,
            precision=session.precision,
            rss_bytes=machine.rss_bytes(),
            boundary=session.boundary,
            placement=session.placement,
        )

    def bind(self, request: wire.Bind) -> wire.Bound:
        session, account = self._open(), self._account()
        # Copied, so that the other samples are gone before what is resident counts.
        sample = [array.copy() for array in _sample(_inputs(request.inputs, session), request.index)]
        with account.phase("first"):
            call = session.bind(sample)
            first_ns = measure.first(call)
        _save(request.outputs, session.read())
        self.call = session.steady(call)
        return wire.Bound(first_ns)

    def warm(self, request: wire.Warm) -> wire.Warmed:
        call, account = self._bound(), self._account()
        with account.phase("warm"):
            warmed = measure.warm(call, request)
        warmed.tied_to = machine.tied_to(call)
        warmed.memory = account.loaded()
        warmed.rss_bytes = warmed.memory.loaded
        return warmed

    def tell_memory(self, request: wire.TellMemory) -> wire.Memory:
        self._bound()
        return self._account().measured()

    def infer(self, request: wire.Infer) -> wire.Inferred:
        session = self._open()
        inputs = _inputs(request.inputs, session)
        carry = sequences.Carry(request.carry, inputs)
        collected: List[Arrays] = []
        began = time.perf_counter_ns()
        for index in range(carry.steps):
            session.bind(carry.sample(index))()
            collected.append(session.read())
            carry.take(collected[-1])
        wall_ns = time.perf_counter_ns() - began
        self.call = None  # what was bound for measuring is gone
        _save_samples(request.outputs, collected)
        return wire.Inferred(carry.steps, wall_ns)

    def parts(self, request: wire.Parts) -> wire.Parted:
        session, job = self._open(), self.job
        assert job is not None
        self.call = None  # what was bound for measuring is gone
        return parts.told(session, job.backend, _sample(_inputs(request.inputs, session), 0), request)

    def load_test(self, request: wire.LoadTest) -> wire.LoadTested:
        if request.streams == 1 and request.scenario in scenarios.ONE_AT_A_TIME:
            return scenarios.run(request, scenarios.Alone(self._bound(), request.batch))
        if self.streams is None:
            scenarios.loadgen()  # its absence is known before sessions are opened
            inputs, job = _sample(_inputs(request.inputs, self._open()), 0), self.job
            self.close(wire.Close())  # the streams open sessions of their own, each in its thread
            assert job is not None
            self.streams = scenarios.Streams(scenarios.opener(job, inputs), request.streams, request.batch)
        return scenarios.run(request, self.streams)

    def find_meters(self, request: wire.FindMeters) -> wire.FoundMeters:
        around = meters.Around(request.root)
        found = meters.find(around, request.only)
        channels = [one for one in found if isinstance(one, meters.Channel)]
        self.sampler = Sampler(channels, around)
        return wire.FoundMeters(
            [one.facts for one in channels], [one for one in found if isinstance(one, wire.Missing)]
        )

    def close(self, request: wire.Close) -> wire.Closed:
        if self.streams is not None:
            self.streams.close()
            self.streams = None
        if self.session is not None:
            self.session.close()
        self.session = self.call = None
        return wire.Closed()

    def _sampler(self) -> Sampler:
        if self.sampler is None:
            raise wire.WireError("no meters were looked for")
        return self.sampler

    def _account(self) -> memory.Account:
        if self.memory is None:
            raise wire.WireError("no model is open")
        return self.memory

    def _open(self) -> Session:
        if self.session is None:
            raise wire.WireError("no model is open")
        return self.session

    def _bound(self) -> Callable[[], Any]:
        if self.call is None:
            raise wire.WireError("no inputs are bound")
        return self.call


def describe(request: wire.Describe) -> wire.Description:
    """What the backend can do here; a runtime that is installed but broken is 'not usable', with its words."""
    found, backend = _at_a_glance(request.backend), load(request.backend)
    if found.why_not is not None:
        return found
    try:
        found.versions, found.offers = backend.versions(), backend.offers()
        found.usable = True
        found.native, found.native_why_not = _native(request.backend)
    except Refused as problem:  # the adapter knows what is missing
        found.why_not, found.remedy = str(problem), problem.remedy
    except Exception as problem:
        found.why_not = "installed, but it does not start: %s: %s" % (type(problem).__name__, problem)
        found.remedy = "install it again in an environment of its own, and name that with python="
    return found


def glance(request: wire.Glance) -> wire.Glanced:
    """The backends that can't run here. One whose look fails is told of when it is asked alone."""
    absent = []
    for name in request.backends:
        try:
            found = _at_a_glance(name)
        except Exception:
            continue
        if found.why_not is not None:
            absent.append(found)
    return wire.Glanced(absent)


def _at_a_glance(name: str) -> wire.Description:
    """What is known of a backend without its runtime, and why it can't run here, where that is so."""
    backend = load(name)
    reason = backend.why_not()
    return wire.Description(
        backend=name,
        usable=False,
        why_not=None if reason is None else reason.reason,
        remedy=None if reason is None else reason.remedy,
        formats=list(backend.FORMATS),
        options=dict(backend.OPTIONS),
        builds=list(getattr(backend, "BUILDS", ())),
        run_options=list(getattr(backend, "RUN_OPTIONS", ())),
        rare=getattr(backend, "RARE", False),
    )


def open_session(job: wire.Open) -> Session:
    """The model, opened for the loop that was asked for; for the Python loop, with the reason, where that fails."""
    why_not = None
    if job.loop == "native":
        try:
            native: Session = load_native(job.backend).open(job)
            return native
        except Exception as problem:
            why_not = str(problem) or type(problem).__name__
    began = time.perf_counter_ns()
    session: Session = load(job.backend).open(job)
    if why_not is not None:
        session.load_ns = time.perf_counter_ns() - began
        session.effective["loop"] = "python, because %s" % why_not
    return session


def failure_of(problem: BaseException) -> wire.Failure:
    """Any exception as data. Whatever a vendor's library raises is that library's refusal."""
    text = str(problem) or type(problem).__name__
    kind = "fallback" if isinstance(problem, FellBack) else "refused"
    if isinstance(problem, wire.WireError):
        kind = "bad-request"
    elif isinstance(problem, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        kind = "out-of-memory"
    return wire.Failure(
        kind=kind,
        type=type(problem).__name__,
        message=text,
        traceback="".join(traceback.format_exception(type(problem), problem, problem.__traceback__)),
        remedy=getattr(problem, "remedy", None) or wire.REMEDIES.get(kind),
    )


def _native(backend: str) -> "tuple[List[str], Optional[str]]":
    """Devices that the native loop can run, and for none the reason."""
    try:
        devices: List[str] = load_native(backend).devices()
        return devices, None
    except Exception as problem:
        return [], str(problem) or type(problem).__name__


def _inputs(path: str, session: Session) -> Arrays:
    if os.path.isdir(path):
        inputs = [_mapped(os.path.join(path, "input_%d.npy" % index)) for index in range(len(os.listdir(path)))]
    else:
        with numpy.load(path, allow_pickle=False) as file:
            inputs = [file["input_%d" % index] for index in range(len(file.files))]
    if session.inputs and len(inputs) != len(session.inputs):
        raise Refused("the model takes %d inputs, the data has %d" % (len(session.inputs), len(inputs)))
    return inputs


def _mapped(path: str) -> Any:
    """An array whose bytes are read when they are used; the file stays as it is if they are written to."""
    return numpy.asarray(numpy.load(path, mmap_mode="c", allow_pickle=False))


def _sample(inputs: Arrays, index: int) -> Arrays:
    return [array[index] for array in inputs]


def _save_samples(path: str, collected: List[Arrays]) -> None:
    """Outputs of all samples: ``output_0`` ``[samples, *shape]``, or ``output_0_0``, ``output_0_1``, ... one for each
    sample where their shapes depend on the data."""
    named: Dict[str, Any] = {}
    for index, column in enumerate(zip(*collected)):
        if len({array.shape for array in column}) == 1:
            named["output_%d" % index] = numpy.stack(column)
        else:
            named.update(("output_%d_%d" % (index, sample), array) for sample, array in enumerate(column))
    with open(path, "wb") as file:
        numpy.savez(file, **named)


def _save(path: str, outputs: Arrays) -> None:
    with open(path, "wb") as file:
        named: Dict[str, Any] = {"output_%d" % index: array for index, array in enumerate(outputs)}
        numpy.savez(file, **named)
