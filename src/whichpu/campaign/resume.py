"""A campaign that goes on: with its readings, its seed and its order."""

from __future__ import annotations

import msgspec

from whichpu.campaign.plan import Plan
from whichpu.campaign.wishes import Wishes, metered_of, refuse_absent
from whichpu.errors import UserError
from whichpu.models import inputs
from whichpu.results.schema import Campaign, Metered

AGAIN = ("hung", "crashed", "out-of-memory")
"""Statuses that another try may mend; a resumed campaign gives it."""


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
    refuse_absent(before.settings.cpus, now.machine)
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


def _metered_on(before: Metered | None, wishes: Wishes) -> Metered:
    """The meters of a campaign that goes on: what was asked for anew holds from now on, the rest as it was."""
    now = metered_of(wishes)
    if before is None:
        return now
    if now.asked != "auto":
        before.asked = now.asked
    before.window_s = now.window_s or before.window_s
    before.limit_w = now.limit_w or before.limit_w
    return before


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
