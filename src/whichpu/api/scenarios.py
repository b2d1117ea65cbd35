"""MLPerf's scenarios from Python: ``whichpu.scenario("Server", "model.onnx", bound_s=0.005)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichpu.api.measuring import Pathlike
from whichpu.results import scenarios as results
from whichpu.results.scenarios import Row, ScenarioRun, Summary, summarize
from whichpu.results.writable import writable

if TYPE_CHECKING:
    from whichpu.campaign.watch import Watch


class ScenarioMeasurement:
    """A scenario's outcome. ``run`` holds every test of LoadGen; prints as the terminal's table."""

    def __init__(self, run: ScenarioRun, path: Path | None = None) -> None:
        self.run = run
        self.path = path

    @property
    def rows(self) -> list[Row]:
        """A row for each contender, batch size and numbers of threads and streams."""
        return self.run.rows

    @property
    def figures(self) -> list[Summary]:
        """What answers each row, the largest throughput first, with LoadGen's verdict (latencies in ns)."""
        return summarize(self.run)

    @classmethod
    def load(cls, path: Pathlike) -> ScenarioMeasurement:
        """A scenario file. Raises :class:`whichpu.UserError`."""
        return cls(results.load(Path(path)), Path(path))

    def __repr__(self) -> str:
        from whichpu.reports import scenarios

        return scenarios.plain(self.run)


def scenario(
    name: str,
    model: Pathlike,
    on: str | Sequence[str] = "all",
    *,
    bound_s: float | None = None,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    streams: Sequence[int] = (1,),
    samples_per_query: int | None = None,
    duration_s: float = 3.0,
    budget_s: float = 300.0,
    data: Pathlike | None = None,
    forms: Sequence[Pathlike] = (),
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    siblings: bool = True,
    output: Pathlike | None = None,
    overwrite: bool = False,
    cpus: Sequence[int] = (),
    seed: int | None = None,
    timeout_s: float = 120.0,
    watch: Watch | None = None,
) -> ScenarioMeasurement:
    """Run ``name`` (SingleStream, MultiStream, Server or Offline) on MLCommons' LoadGen, for each target of ``on``.

    ``bound_s`` is Server's latency bound; its rate is the highest that LoadGen calls VALID, searched for within
    ``budget_s``. ``batches``, ``threads`` and ``streams`` are swept. ``duration_s`` is the least length of one test.
    With ``output`` the file is written after every test, and LoadGen's logs go to a folder beside it.
    Raises :class:`whichpu.UserError`; a contender's trouble is a row.
    """
    from whichpu.campaign import scenarios
    from whichpu.campaign.watch import Silence

    path = None
    if output is not None:
        example = f"{Path(model).stem}.{name.lower()}.whichpu.json"
        path = writable(output, "scenario", example, [model, *forms, data], overwrite=overwrite)
    asked = scenarios.Asked(
        scenario=name,
        on=(on,) if isinstance(on, str) else tuple(on),
        data=Path(data) if data is not None else None,
        bound_s=bound_s,
        batches=tuple(dict.fromkeys(batches)),
        threads=tuple(dict.fromkeys(threads)),
        streams=tuple(dict.fromkeys(streams)),
        samples_per_query=samples_per_query,
        duration_s=duration_s,
        budget_s=budget_s,
        cpus=tuple(cpus),
        seed=seed,
        timeout_s=timeout_s,
    )
    listener = watch or Silence()
    run = scenarios.run(Path(model), asked, path, listener, [Path(form) for form in forms], shapes, siblings)
    return ScenarioMeasurement(run, path)
