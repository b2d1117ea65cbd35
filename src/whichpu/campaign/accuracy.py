"""From answers to a contender's accuracy: values, deltas from the reference with intervals, agreement, what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whichpu.campaign.scoring import Scored
from whichpu.errors import UserError
from whichpu.results.accuracy import kept, limits_of, smaller_is_better
from whichpu.results.schema import Accuracy, Changed
from whichpu.stats import bootstrap
from whichpu.stats.evidence import Evidence, Mean, Ratio
from whichpu.tasks import BadSample, Task

SENTENCES = 10
"""Of samples that were left out; the others are counted."""

SHOWN = 6
"""Of samples whose answer changed; the others are counted."""


class Judge:
    """Holds answers against the reference's (``None``: there is none)."""

    def __init__(self, task: Task, reference: Mapping[int, Any] | None) -> None:
        self.task, self.reference = task, reference
        self.known: tuple[list[int], dict[str, Evidence]] | None = None
        self.seed = int(hashlib.sha256(task.info.protocol_sha256.encode()).hexdigest()[:8], 16)

    def accuracy(self, scored: Scored, against_reference: bool = True) -> Accuracy:
        """How good the answers are. Raises :class:`~whichpu.errors.UserError` for what the task can't read."""
        answered = sorted(scored.answers)
        own = self.task.evidence({index: scored.answers[index] for index in answered})
        values = {name: evidence.value() for name, evidence in own.items()}
        found = Accuracy(
            samples=len(answered),
            values={name: value for name, value in values.items() if np.isfinite(value)},
            left_out=list(scored.left_out.values())[:SENTENCES],
            left_out_count=len(scored.left_out),
            answered_sha256=hashlib.sha256(np.array(answered, "<i8").tobytes()).hexdigest(),
            seed=self.seed,
            wall_s=scored.wall_s,
        )
        drawn = self._held(found, scored, own) if self.reference is not None and against_reference else None
        main = self.task.info.metric
        if main in own:
            if drawn is None and not isinstance(own[main], (Mean, Ratio)):
                alone = {main: own[main]}
                drawn = bootstrap.paired(alone, alone, len(answered), self.seed).ours
            found.by_sample = kept(own[main], (drawn or {}).get(main))
        return found

    def _held(
        self, found: Accuracy, scored: Scored, own: Mapping[str, Evidence]
    ) -> dict[str, bootstrap.Numbers] | None:
        """Fill in what is held against the reference; the metrics' drawn values, where all samples are common."""
        assert self.reference is not None
        answered = sorted(scored.answers)
        common = [index for index in answered if index in self.reference]
        if not common:
            return None
        ours = own
        if len(common) < len(answered):
            ours = self.task.evidence({index: scored.answers[index] for index in common})
        theirs = self._evidence(common)
        self._refuse_infinite(own, theirs)
        pairs = [(scored.answers[index], self.reference[index]) for index in common]
        changed = [place for place, pair in enumerate(pairs) if not self.task.same(*pair)]
        told = bootstrap.paired(ours, theirs, len(common), self.seed, limits=limits_of(self.task.info))
        found.deltas = {name: (delta.value, delta.low, delta.high) for name, delta in told.deltas.items()}
        main = told.deltas.get(self.task.info.metric)
        found.p = main.p if main is not None else None
        found.draws = told.draws
        found.agreement = 1 - len(changed) / len(common)
        found.changed_count = len(changed)
        worst = self._worst_first(changed, ours, theirs)[:SHOWN]
        found.changed = [shown for place in worst if (shown := self._shown(common[place], scored)) is not None]
        return told.ours if len(common) == len(answered) else None

    def _evidence(self, common: list[int]) -> dict[str, Evidence]:
        """The reference's, on these samples; gathered once where contenders answered the same ones."""
        assert self.reference is not None
        if self.known is None or self.known[0] != common:
            found = self.task.evidence({index: self.reference[index] for index in common})
            quick = (Mean, Ratio)
            self.known = (
                common,
                {
                    name: evidence if isinstance(evidence, quick) else bootstrap.Remembering(evidence)
                    for name, evidence in found.items()
                },
            )
        return self.known[1]

    def _refuse_infinite(self, ours: Mapping[str, Evidence], theirs: Mapping[str, Evidence]) -> None:
        """Raises :class:`UserError` for answers that make the main metric infinite, where the reference's don't."""
        main = self.task.info.metric
        if main not in ours or main not in theirs or not np.isinf(ours[main].value()):
            return
        if np.isfinite(theirs[main].value()):
            said = f"its {main} is infinite, the reference's is not: an answer is infinite, or empty"
            raise UserError(said, "16 bits overflow at 65504: see the precision that ran")

    def _worst_first(
        self, changed: Sequence[int], ours: Mapping[str, Evidence], theirs: Mapping[str, Evidence]
    ) -> list[int]:
        """Places in the order of what they cost, where the main metric is a mean over samples."""
        main = self.task.info.metric
        mine, others = ours.get(main), theirs.get(main)
        if not isinstance(mine, Mean) or not isinstance(others, Mean):
            return list(changed)
        sign = 1.0 if smaller_is_better(self.task.info) else -1.0
        with np.errstate(invalid="ignore"):  # infinite in both: it costs nothing
            costs = np.nan_to_num(sign * (mine.each - others.each))
        return sorted(changed, key=lambda place: -costs[place])

    def _shown(self, index: int, scored: Scored) -> Changed | None:
        assert self.reference is not None
        try:
            shown = self.task.show(index, {"reference": self.reference[index], "ours": scored.answers[index]})
        except BadSample:
            return None
        return Changed(
            sample=shown.sample,
            truth=shown.truth,
            reference=shown.answers["reference"],
            ours=shown.answers["ours"],
            picture=shown.picture,
        )
