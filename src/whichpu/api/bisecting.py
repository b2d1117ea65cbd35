"""Why did it change? ``whichpu.api.bisect`` is ``whichpu bisect`` without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichpu.api.measuring import Pathlike
from whichpu.results.bisection import Bisection

if TYPE_CHECKING:
    from whichpu.campaign.watch import Watch


def bisect(
    model: Pathlike,
    on: str | Sequence[str] = (),
    *,
    against: Pathlike | None = None,
    data: Pathlike | None = None,
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    samples: int = 4,
    bound: float = 1e-3,
    seed: int = 0,
    timeout_s: float = 120.0,
    watch: Watch | None = None,
) -> Bisection:
    """The first layer where two sides differ by more than ``bound`` (relative L2), and the layer that makes it.

    The sides are two targets on ``model`` (``on``: the one held against first, then the one looked at; a single one is
    held against ONNX Runtime on the CPU), or ``model`` and ``against``, two ONNX forms of one network.
    Raises :class:`whichpu.UserError`.
    """
    from whichpu.campaign import bisect as campaign
    from whichpu.campaign.watch import Silence

    asked = campaign.Asked(
        model=Path(model),
        on=(on,) if isinstance(on, str) else tuple(on),
        against=Path(against) if against is not None else None,
        data=Path(data) if data is not None else None,
        shapes=shapes or {},
        samples=samples,
        bound=bound,
        seed=seed,
        timeout_s=timeout_s,
    )
    return campaign.bisect(asked, watch or Silence())
