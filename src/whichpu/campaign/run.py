"""A whole campaign: rounds until the answer is known, each stored before the next begins."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np

from whichpu.campaign import application, stop
from whichpu.campaign.building import build_all
from whichpu.campaign.check import Check
from whichpu.campaign.contenders import Contender
from whichpu.campaign.linked import Linkage
from whichpu.campaign.lookout import Lookout
from whichpu.campaign.metering import Meters
from whichpu.campaign.plan import Plan
from whichpu.campaign.rounds import Seat, run_round
from whichpu.campaign.sustained import run_sustained
from whichpu.campaign.watch import Watch
from whichpu.results import store
from whichpu.results.schema import Campaign
from whichpu.targets.ssh import LostLink

Save = Callable[[Campaign], None]


def run(plan: Plan, path: Path | None, watch: Watch, save: Save | None = None) -> Campaign:
    """Measure until the stop rule is content; write ``path`` after every round (``None``: keep in memory).

    ``save`` keeps it in another way. On Ctrl-C the round under way is lost and ``KeyboardInterrupt`` goes on to the
    caller; ``path`` holds the rest. A link to a board that was lost is taken up again; the round under way then runs
    anew.
    """
    campaign = plan.campaign

    def keep() -> None:
        if save is not None:
            save(campaign)
        elif path is not None:
            store.save(campaign, path)

    keep()  # a place that can't be written is known before an hour of measuring
    watch.phase("computing the reference's outputs")
    with Check(plan, watch) as check:
        if plan.task is not None and campaign.application is None:
            campaign.application = application.timed(plan.task, check.outputs_by_sample(application.MOST))
        linkage = Linkage(plan)
        while True:
            try:
                _measure(plan, check, watch, linkage, keep)
                break
            except LostLink as problem:
                linkage.recover(problem, path)
    campaign.finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    linkage.told()
    keep()
    return campaign


def _measure(plan: Plan, check: Check, watch: Watch, linkage: Linkage, keep: Callable[[], None]) -> None:
    campaign = plan.campaign
    build_all(plan, watch)
    with Lookout(campaign, plan.root, plan.place) as lookout, Meters(campaign, plan.root, plan.place) as meters:
        while active := _active(plan):
            linkage.mark()
            known = [reading.round for result in campaign.results for reading in result.readings]
            for seat in run_round(plan, active, 1 + max(known, default=-1), check, watch, lookout, meters):
                _enter(seat, plan)
            keep()
            watch.round_done(campaign, len(_active(plan)))
        linkage.mark()
        run_sustained(plan, check, watch, lookout, meters, keep)


def _active(plan: Plan) -> list[Contender]:
    needed = set(stop.still_needed(plan.campaign))
    return [contender for contender in plan.contenders if contender.result.name in needed]


def _enter(seat: Seat, plan: Plan) -> None:
    """Put a seat's reading into the contender's row; its trouble becomes the row's status and reason."""
    result = seat.contender.result
    result.readings.append(seat.finished())
    if seat.trouble is None:
        result.status = "measured"
        return
    seat.contender.trouble(seat.trouble)
    indices = [spec.name for spec in plan.campaign.model.inputs if np.dtype(spec.dtype).kind in "iu"]
    failed = result.status == "refused" and not result.fell_back and result.effective  # it loaded, then failed
    if failed and indices and plan.random:
        result.remedy = (
            f"random data may be out of range for {', '.join(indices)}: give real samples with --data FILE.npz"
        )
