"""Reasons to trust a figure less, found in the raw readings; each with its facts and what to try."""

from __future__ import annotations

from whichpu.results.accuracy import unit_of
from whichpu.results.boundary import SIMULATED, boundary_doubts
from whichpu.results.conditions import condition_doubts, merged
from whichpu.results.irregular import latency_doubts
from whichpu.results.linked import linked_doubts
from whichpu.results.placement import placement_doubts
from whichpu.results.schema import Campaign, Doubt, Result
from whichpu.results.sustained import sustained_doubts
from whichpu.stats.intervals import Estimate

DIFFERS = 1e-3
"""Largest output difference, relative to the reference's largest output, that fp32 arithmetic explains."""

COARSE = 50
"""A latency under this many clock steps is read too coarsely."""

TIES_ITSELF = "ties itself to CPUs"
"""The effective option under which a runtime's own pinning is kept."""


def doubts_of(result: Result, campaign: Campaign, median: Estimate | None) -> list[Doubt]:
    """All doubts about one contender's figures, the gravest first."""
    found = [_outputs(result, campaign), _answers(result, campaign), *placement_doubts(result)]
    if median is not None and result.boundary == SIMULATED:  # its times are none, and need no doubts
        found += boundary_doubts(result, median)
    elif median is not None:
        found += [_trouble(result), _unequal_threads(result, campaign), _pins_itself(result, campaign)]
        found += [_unequal_loop(result, campaign), _took_turns(result), _too_many_threads(result, campaign)]
        found += [_few_rounds(median, campaign), _wide(median, campaign), _unsteady(result), _pushed_aside(result)]
        found += [_coarse(result, campaign, median)]
        found += [*condition_doubts(campaign, result), *latency_doubts(result, median)]
        found += boundary_doubts(result, median)
    found += linked_doubts(campaign)
    found += sustained_doubts(result)
    return merged([doubt for doubt in found if doubt is not None])


def differs(result: Result) -> bool:
    """Do the outputs differ from the reference's by more than was to be expected?

    Of the model as it is: by more than fp32 arithmetic explains. A variant's outputs always do: its answers count.
    """
    difference = result.difference
    if result.variant is not None and result.accuracy is not None and result.accuracy.verdict is not None:
        return result.accuracy.verdict == "worse"
    return difference is not None and (difference.other_shapes > 0 or (difference.relative or 0.0) > DIFFERS)


def _outputs(result: Result, campaign: Campaign) -> Doubt | None:
    difference = result.difference
    if difference is not None and difference.other_shapes:
        says = f"in {difference.other_shapes} of {difference.samples} samples its outputs have another size"
        return Doubt(kind="outputs-differ", says=says, advice="look at these samples before using this contender")
    if difference is None or not differs(result):
        return None
    form = next((form for form in campaign.model.forms if form.sha256 == result.form_sha256), None)
    advice = "look at the precision that ran and at the score before using this contender"
    if campaign.task is None:
        advice = "look at the precision that ran; whether it matters, only a score on your data can tell (--data)"
    if form is not None and form.origin == "beside":
        advice = f"is {form.file} the same network? It was found beside the model; --no-siblings leaves it out"
    elif (stranger := _stranger(campaign)) is not None and result.variant is None:
        advice = (
            f"is {stranger} the same network? It gave the reference, and was found beside the model (--no-siblings)"
        )
    return Doubt(
        kind="outputs-differ",
        says=f"output {difference.output or 0} differs from the reference by up to"
        f" {100 * (difference.relative or 0):.2g} % of its largest value",
        advice=advice,
    )


def _stranger(campaign: Campaign) -> str | None:
    """The file that the reference ran, where nobody named it and none of the others agrees with it."""
    by = campaign.reference.by if campaign.reference is not None else ""
    files = [form.file for form in campaign.model.forms if (form.format, form.origin) == ("pt2", "beside")]
    plain = [each for each in campaign.results if each.variant is None and each.difference and each.backend != "torch"]
    return files[0] if by.startswith("PyTorch") and files and all(map(differs, plain)) else None


def _answers(result: Result, campaign: Campaign) -> Doubt | None:
    """Answers that are shown to be worse than the reference's, over the user's own data."""
    accuracy, task = result.accuracy, campaign.task
    if accuracy is None or task is None or accuracy.verdict != "worse":
        return None
    delta, low, high = accuracy.deltas[task.metric]
    share = unit_of(task) == "share"
    factor, unit, points = (100.0, " %", " points") if share else (1.0, f" {task.unit}".rstrip(), "")
    interval = "" if low is None or high is None else f" (95 % interval {factor * low:+.2g} to {factor * high:+.2g})"
    return Doubt(
        kind="less-accurate",
        says=f"its {task.metric} is {factor * accuracy.values[task.metric]:.4g}{unit},"
        f" {factor * delta:+.3g}{points} from the reference's{interval}",
        advice="look at the samples that changed; another precision, calibration or runtime may keep them",
        touches="outputs",
        facts={"delta": delta, "samples": accuracy.samples},
    )


def _unequal_threads(result: Result, campaign: Campaign) -> Doubt | None:
    rivals = {each.threads for each in campaign.results if each is not result and not each.yardstick}
    if result.threads == campaign.settings.threads or rivals <= {result.threads}:
        return None
    own, others = (f"{count} thread{'s' * (count != 1)}" for count in (result.threads, campaign.settings.threads))
    says = f"it ran with {own}, others with {others}"
    return Doubt(kind="unequal-terms", says=says, advice="give --threads, which holds for all alike")


def _unequal_loop(result: Result, campaign: Campaign) -> Doubt | None:
    """The Python loop beside the native one, or in its place; the harness's own yardstick is no rival."""
    loops = {reading.loop for reading in result.readings if reading.blocks}
    others = {
        reading.loop
        for other in campaign.results
        for reading in other.readings
        if reading.blocks and not other.yardstick
    }
    asked = campaign.settings.loop == "native"
    if result.yardstick or loops == {"native"} or not (asked or len(others | loops) > 1):
        return None
    beside = " as others were" if "native" in others else ""
    why = result.effective.get("loop", "").partition("because ")[2]
    return Doubt(
        kind="unequal-loop",
        says=f"it was timed by the Python loop, not by the native one{beside}, so it bears more of the harness's cost"
        + (f" ({why})" if why else ""),
        advice="give --loop python, which times all alike",
    )


def _too_many_threads(result: Result, campaign: Campaign) -> Doubt | None:
    cpus = len(campaign.settings.cpus) or campaign.machine.cpus_usable
    if result.threads <= cpus:
        return None
    return Doubt(kind="too-many-threads", says=f"{result.threads} threads on {cpus} CPUs wait for each other")


def _pins_itself(result: Result, campaign: Campaign) -> Doubt | None:
    cpus = result.effective.get(TIES_ITSELF)
    if cpus is None or campaign.settings.cpus:
        return None
    return Doubt(
        kind="unequal-terms",
        says=f"the runtime tied itself to CPU {cpus} while others could move: load there hits it alone",
        advice=f"pin all contenders alike, for example with --cpus {cpus}",
    )


def _trouble(result: Result) -> Doubt | None:
    troubles = [reading for reading in result.readings if reading.trouble]
    if not troubles or result.status == "pending":
        return None
    last = troubles[-1]
    return Doubt(kind="cut-short", says=f"round {last.round + 1} was cut short: {last.trouble}")


def _took_turns(result: Result) -> Doubt | None:
    if not result.took_turns:
        return None
    return Doubt(
        kind="took-turns",
        says="the contenders don't fit into memory together: they took turns, so their blocks are not interleaved",
        advice="measure fewer contenders at once, or free some memory",
    )


def _few_rounds(median: Estimate, campaign: Campaign) -> Doubt | None:
    least = campaign.settings.rounds_least
    if median.rounds >= least:
        return None
    return Doubt(
        kind="few-rounds",
        says=f"{median.rounds} of at least {least} rounds were measured",
        advice="go on with --resume, and with more --rounds if those were limited",
    )


def _wide(median: Estimate, campaign: Campaign) -> Doubt | None:
    width = median.half_width
    if width is None or width <= 0.10:
        return None
    return Doubt(
        kind="wide-interval",
        says=f"processes of the same kind differ by much: the median is known to ±{100 * width:.0f} % only",
        advice="quiet the machine, or give a larger --budget",
    )


def _unsteady(result: Result) -> Doubt | None:
    judged = [reading for reading in result.readings if reading.warm_steady is not None]
    never = [reading for reading in judged if not reading.warm_steady]
    if not judged or 2 * len(never) < len(judged):
        return None
    return Doubt(kind="never-steady", says=f"in {len(never)} of {len(judged)} rounds the warm-up never became steady")


def _pushed_aside(result: Result) -> Doubt | None:
    blocks = [
        block for reading in result.readings for block in reading.blocks if block.switches_involuntary is not None
    ]
    wall_s = sum(block.wall_ns for block in blocks) / 1e9
    switches = sum(block.switches_involuntary or 0 for block in blocks)
    # A lone thread on a quiet core is preempted a few times a second; hundreds mean that others want the core.
    if not wall_s or switches / wall_s < 100:
        return None
    return Doubt(
        kind="other-load",
        says=f"the process was pushed off its core {switches / wall_s:.0f} times a second while measured",
        advice="stop other programs, or choose quieter CPUs with --cpus",
    )


def _coarse(result: Result, campaign: Campaign, median: Estimate) -> Doubt | None:
    step_ns = campaign.machine.clock_resolution_ns
    if median.value >= COARSE * step_ns or result.yardstick:
        return None
    return Doubt(kind="coarse-clock", says=f"the clock's step is {step_ns} ns, over {100 / COARSE:g} % of the latency")
