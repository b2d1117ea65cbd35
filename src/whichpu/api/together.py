"""Contenders at once from Python: ``whichpu.api.together("model.onnx", ["a=onnxruntime:cpu", "b=openvino:cpu"])``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichpu.api.measuring import Pathlike
from whichpu.results import together as results
from whichpu.results.joint import Outcome, outcome
from whichpu.results.together import TogetherRun
from whichpu.results.writable import writable

if TYPE_CHECKING:
    from whichpu.campaign.watch import Watch


class Together:
    """A run's outcome. ``run`` holds every window; prints as the terminal's table."""

    def __init__(self, run: TogetherRun, path: Path | None = None) -> None:
        self.run = run
        self.path = path

    @property
    def outcome(self) -> Outcome:
        """Slow-downs, joint throughput and doubts, with intervals (latencies in ns)."""
        return outcome(self.run)

    @classmethod
    def load(cls, path: Pathlike) -> Together:
        """A together file. Raises :class:`whichpu.UserError`."""
        return cls(results.load(Path(path)), Path(path))

    def __repr__(self) -> str:
        from whichpu.reports import together

        return together.plain(self.run)


def together(
    model: Pathlike,
    on: Sequence[str],
    *,
    models: Mapping[str, Pathlike] | None = None,
    data: Pathlike | None = None,
    forms: Sequence[Pathlike] = (),
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    siblings: bool = True,
    output: Pathlike | None = None,
    overwrite: bool = False,
    budget_s: float = 120.0,
    half_width: float = 0.02,
    matters: float = 0.02,
    rounds_most: int | None = None,
    window_s: float = 0.25,
    threads: int = 1,
    loop: str = "auto",
    seed: int | None = None,
    timeout_s: float = 120.0,
    watch: Watch | None = None,
) -> Together:
    """Run the contenders of ``on`` alone and all at once: what each loses while the others run.

    A target takes ``cpus=0`` (``cpus=0+2-3``, ``cpus=all``) to be pinned; left out, each gets CPUs of its own where
    there are enough. ``models`` names contenders that run another model than ``model``. ``budget_s`` is for all,
    ``half_width`` (relative) the width asked of each slow-down's interval, ``matters`` the relative difference that
    matters, ``window_s`` the length of a window at least.
    With ``output`` the file is written after every round. Raises :class:`whichpu.UserError`; a contender that fails
    while measured ends the run, which keeps what was measured (``run.ended``).
    """
    from whichpu.campaign import members
    from whichpu.campaign import together as campaign
    from whichpu.campaign.watch import Silence

    own = {name: Path(path) for name, path in (models or {}).items()}
    path = None
    if output is not None:
        example = f"{Path(model).stem}.together.whichpu.json"
        path = writable(output, "together", example, [model, *own.values(), *forms, data], overwrite=overwrite)
    asked = members.Asked(
        on=tuple(on),
        models=own,
        data=Path(data) if data is not None else None,
        budget_s=budget_s,
        half_width=half_width,
        matters=matters,
        rounds_most=rounds_most,
        window_s=window_s,
        threads=threads,
        loop=loop,
        seed=seed,
        timeout_s=timeout_s,
    )
    sizes = None if shapes is None else {name: list(each) for name, each in shapes.items()}
    run = campaign.run(Path(model), asked, path, watch or Silence(), [Path(form) for form in forms], sizes, siblings)
    return Together(run, path)
