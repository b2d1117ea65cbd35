"""What will the NPU take? ``whichpu.api.analyze`` is ``whichpu analyze`` without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from whichpu.api.measuring import Pathlike

if TYPE_CHECKING:
    from whichpu.graphs.analysis import Analysis
    from whichpu.graphs.document import ModelRow, ModelRows


@dataclass(frozen=True)
class Analysed:
    """Analyses of models on targets, one a model; ``unmet`` are checks that did not pass, each a sentence."""

    analyses: list[Analysis]
    unmet: list[str]

    @property
    def refusals(self) -> list[str]:
        """Why models could not be read, or be analysed on any target."""
        from whichpu.reports.analysis import refusals

        return [says for analysis in self.analyses for says in refusals(analysis)]

    @property
    def bugs(self) -> list[Exception]:
        """What failed by a fault of WhichPU; the other models and targets were analysed."""
        return [bug for analysis in self.analyses for bug in analysis.bugs]

    def document(self) -> ModelRow | ModelRows:
        """What ``--json`` prints."""
        from whichpu.graphs.document import document

        return document(self.analyses)


def analyze(
    models: Pathlike | Sequence[Pathlike],
    npu: str | Sequence[str] = "all",
    *,
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    ask: bool = True,
    propose: bool = True,
    min_mac_share: float | None = None,
    fail_on_fallback: bool = False,
) -> Analysed:
    """Which operators the targets take, in which regions, and why not the others. No model is run.

    ``npu`` names capability tables, each with options (``ethos-n78:driver=23.02``), or ``all``. ``shapes`` gives sizes
    to inputs that leave them open. ``ask``: the vendors' compilers are asked where they are installed. ``propose``:
    remedies are tried. ``min_mac_share`` (of 1) and ``fail_on_fallback`` are checks; what does not pass is in
    ``unmet``. Raises :class:`whichpu.UserError` for a target that is not known; a model that can't be read is a
    refusal in the answer.
    """
    from whichpu.graphs import capability
    from whichpu.graphs.analysis import analyse

    paths = [models] if isinstance(models, str | PathLike) else models
    targets = [capability.check_files(one) for one in capability.targets([npu] if isinstance(npu, str) else npu)]
    analyses = [analyse(Path(path), targets, shapes=shapes, ask=ask, propose=propose) for path in paths]
    analyses = told_apart(analyses)
    return Analysed(analyses, unmet(analyses, min_mac_share, fail_on_fallback))


def told_apart(analyses: Sequence[Analysis]) -> list[Analysis]:
    """Models of one name in several folders, called by as many folders as tell them apart."""
    found = []
    for one in analyses:
        twins = {other.model for other in analyses if other.model.name == one.model.name} - {one.model}
        most = len(one.model.parts) - 1
        needed = (
            at for at in range(most) if all(other.parts[-1 - at :] != one.model.parts[-1 - at :] for other in twins)
        )
        found.append(replace(one, folders=next(needed, most)))
    return found


def unmet(analyses: Sequence[Analysis], min_mac_share: float | None, fail_on_fallback: bool) -> list[str]:
    """The checks that did not pass, model by model and target by target. What is not known does not pass."""
    if min_mac_share is None and not fail_on_fallback:
        return []
    from whichpu.reports.analysis import share as told

    found = []
    for analysis in analyses:
        for one in analysis.targets:
            where = f"{analysis.name} on {one.target.text}"
            if one.placement is None:
                found.append(f"{where}: it could not be analysed")
                continue
            figures = one.placement.figures
            share = 1.0 if figures.macs == 0 else figures.mac_share
            if min_mac_share is not None and (share is None or share < min_mac_share):
                known = "an unknown share" if share is None else told(share)
                found.append(f"{where}: {known} of the MACs, less than the {100 * min_mac_share:g} % asked for")
            rest = figures.host_operators + figures.refused + figures.unknown
            if fail_on_fallback and (rest or (one.answer is not None and one.answer.refused)):
                found.append(f"{where}: {rest} of {figures.operators} operators are not on it, or not known to be")
    return found
