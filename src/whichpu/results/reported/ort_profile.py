"""ONNX Runtime's own profile (``SessionOptions.enable_profiling``): a Chrome trace, times in µs.

``model_run`` is a whole ``Run``. The first one of a session is its first inference and stands apart; what follows may
hold the user's warm-up. The profiler itself adds to every operator's time. Events of operators name the provider that
ran them (``*_kernel_time``): what fell back to the CPU shows here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from whichpu.errors import UserError
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of, not_negative
from whichpu.results.reported.figures import AGAIN, Figures, shares, slowest

TOOL = "ONNX Runtime"
TRACE = re.compile(
    r'^\s*\[.*"cat"\s*:\s*"(?:Session|Node)".*"(?:model_loading_\w+|session_initialization|model_run|\w+_kernel_time)"',
    re.S,
)
LOADING = ("model_loading", "session_initialization")

Event = dict[str, Any]


def recognises(head: str, name: str) -> bool:
    """Does a trace of ONNX Runtime begin like this?"""
    return TRACE.search(head) is not None


def read(text: str, source: Source) -> Reported:
    """One entry; where operators ran in the notes. Raises :class:`UserError`."""
    body = json_of(text)
    if not isinstance(body, list):
        raise UserError("is no list of events, as ONNX Runtime's profiler writes it", AGAIN)
    events = [(index, event) for index, event in enumerate(body) if isinstance(event, dict)]
    runs = [(index, _duration(event, index)) for index, event in events if event.get("name") == "model_run"]
    loads = [(index, event) for index, event in events if str(event.get("name")).startswith(LOADING)]
    nodes = [event for _, event in events if event.get("cat") == "Node" and "provider" in _args(event)]
    figures = Figures(TOOL)
    later = _first_run(figures, runs) if loads and len(runs) > 1 else runs
    figures.samples([time for _, time in later], "[*].dur of model_run", {"boundary": "end_to_end"})
    if loads:
        where = " + ".join(f"[{index}].dur" for index, _ in loads)
        figures.put("load", sum(_duration(event, index) for index, event in loads), where)
    figures.lacks("throughput", "a profile tells none: with the profiler on, it would not be the model's")
    providers = shares((str(_args(event)["provider"]), not_negative(event.get("dur")) or 0.0) for event in nodes)
    main = providers[0][0].removesuffix("ExecutionProvider") if providers else None
    entry = figures.entry(
        source,
        None,
        f"ONNX Runtime ({main or 'provider not told'}, profiled)",
        device=main,
        doubts=["measured with ONNX Runtime's profiler on, which adds to every operator's time"],
    )
    times = {entry.contender: [time for _, time in later]} if later else {}
    notes = _placement(nodes, providers) + _slowest(nodes)
    return Reported(format="onnxruntime_profile", tool=TOOL, source=source, entries=[entry], samples=times, notes=notes)


def _first_run(figures: Figures, runs: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    index, time = runs[0]
    figures.put("first", time, f"[{index}].dur", terms={"boundary": "end_to_end"})
    return runs[1:]


def _duration(event: Event, index: int) -> float:
    """In ns."""
    found = not_negative(event.get("dur"))
    if found is None:
        raise UserError(f"[{index}].dur is no duration: {str(event.get('dur'))[:40]!r}", AGAIN)
    return found * 1000


def _args(event: Event) -> dict[str, Any]:
    args = event.get("args")
    return args if isinstance(args, dict) else {}


def _placement(nodes: Sequence[Event], providers: Sequence[tuple[str, float]]) -> list[str]:
    operators = {(str(_args(event)["provider"]), str(event.get("name"))) for event in nodes}
    counts = Counter(provider for provider, _ in operators)
    return [
        f"{provider} ran {counts[provider]} of {len(operators)} operators, {share:.0%} of their time"
        for provider, share in providers
    ]


def _slowest(nodes: Sequence[Event]) -> list[str]:
    times = ((str(_args(event).get("op_name")), not_negative(event.get("dur")) or 0.0) for event in nodes)
    words = slowest(times)
    return [f"operators by time: {words}"] if words else []
