"""A profile of Qualcomm AI Hub: JSON as ``ProfileJob.download_profile`` gives it.

Keys, microseconds and bytes: qai-hub 0.56 (BSD-3-Clause) and app.aihub.qualcomm.com/docs/hub/howitworks.html: measured
on a hosted device, in a tight loop. That its "estimated inference time" is the smallest one observed is told at second
hand only: it is taken as that, with a doubt. The profile does not name its model, device or runtime.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from whichpu.errors import UserError
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of
from whichpu.results.reported.figures import Figures
from whichpu.results.reported.rows import US_NS, mapping, objects, times_ns

TOOL = "Qualcomm AI Hub"
BEGINS = re.compile(r'^\s*\{\s*"(?:execution_summary|execution_detail)"\s*:')
PEAK = {"scope": "process", "statistic": "peak, its upper bound"}
WHERE = "execution_summary"
NO_MEAN = "AI Hub tells one time, taken as the smallest it observed"
SECOND_HAND = "that AI Hub's time is the smallest observed is told at second hand only: it may be another statistic"


def recognises(head: str, name: str) -> bool:
    """Is it a profile of AI Hub?"""
    return bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """One entry. Raises :class:`UserError`."""
    body = mapping(json_of(text))
    summary = mapping(body.get("execution_summary"))
    if not summary:
        raise UserError("has no execution_summary: the job did not succeed", "give the profile of a job that did")
    figures = Figures(TOOL)
    doubts: list[str] = []
    samples = times_ns(summary.get("all_inference_times"), f"{WHERE}.all_inference_times", US_NS)
    if samples:
        figures.samples(samples, f"{WHERE}.all_inference_times[*]", {})
    else:
        told_ = summary.get("estimated_inference_time")
        figures.put("latency_min", told_, f"{WHERE}.estimated_inference_time", US_NS)
        figures.lacks("latency_mean", NO_MEAN)
        doubts.append(SECOND_HAND)
    for key, holds in (("warm_load_time", "from a cache"), ("first_load_time", "from a file")):
        if summary.get(key) is not None:
            figures.put("load", summary[key], f"{WHERE}.{key}", US_NS, {"load": holds})
    _memory(figures, summary)
    units = Counter(str(row.get("compute_unit")) for _, row in objects(body.get("execution_detail")))
    main = units.most_common(1)[0][0] if units else None
    doubts += elsewhere(units)
    entry = figures.entry(source, None, f"AI Hub ({main})" if main else "AI Hub", device=main, doubts=doubts)
    kept = {entry.contender: samples} if samples else {}
    notes = ["a profile does not name its model, device or runtime: give --model and --contender"]
    return Reported(format="aihub", tool=TOOL, source=source, entries=[entry], samples=kept, notes=notes)


def elsewhere(units: Mapping[str, int]) -> list[str]:
    """Doubts of a model whose layers ran on more than one unit; ``units`` counts the layers by unit."""
    if len(units) < 2:
        return []
    ranked = sorted(units.items(), key=lambda item: -item[1])
    return [f"its layers ran on {', '.join(f'{unit} ({count})' for unit, count in ranked)}, as AI Hub tells"]


def _memory(figures: Figures, summary: Mapping[str, Any]) -> None:
    span = summary.get("inference_memory_peak_range")
    if isinstance(span, list) and len(span) == 2:
        figures.put("memory", span[1], f"{WHERE}.inference_memory_peak_range[1]", 1.0, PEAK)
    elif summary.get("estimated_inference_peak_memory") is not None:
        figures.put(
            "memory",
            summary["estimated_inference_peak_memory"],
            f"{WHERE}.estimated_inference_peak_memory",
            1.0,
            {"scope": "process", "statistic": "peak"},
        )
