"""``whichpu.measure("model.onnx")`` is ``whichpu run`` without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichpu.results.comparison import Comparison, compare
from whichpu.results.schema import Campaign
from whichpu.results.summary import Figures, summarize
from whichpu.results.writable import writable

if TYPE_CHECKING:
    import pandas

    from whichpu.campaign.watch import Watch
    from whichpu.results.sustained import Outlook

Pathlike = str | PathLike[str]


class Measurement:
    """A campaign's outcome. Shows as a table in a notebook; ``campaign`` holds every raw reading.

    ``campaigns`` are all that one command measured, one a machine; ``campaign`` is the first of them.
    """

    def __init__(self, campaign: Campaign, path: Path | None = None, campaigns: Sequence[Campaign] = ()) -> None:
        self.campaign = campaign
        self.path = path
        self.campaigns = list(campaigns) or [campaign]

    @property
    def machines(self) -> list[Measurement]:
        """A measurement for each machine."""
        return [Measurement(campaign, self.path) for campaign in self.campaigns]

    @property
    def figures(self) -> list[Figures]:
        """Figures of all contenders, the fastest first (latencies in ns)."""
        return summarize(self.campaign)

    def compare(self, baseline: str | None = None) -> list[Comparison]:
        """Latency of every contender against ``baseline`` (default: the fastest). Raises :class:`whichpu.UserError`."""
        return compare(self.campaign, baseline)

    def compare_energy(self, baseline: str | None = None) -> list[Comparison]:
        """Energy per inference, gross and net of idle (``metric``), where a sensor told it."""
        from whichpu.results.energy import ratios

        return ratios.compare_energy(self.campaign, baseline)

    def compare_memory(self, baseline: str | None = None) -> list[Comparison]:
        """The most memory resident, while loading or measuring."""
        from whichpu.results.energy import ratios

        return ratios.compare_memory(self.campaign, baseline)

    @property
    def sustained(self) -> Outlook | None:
        """What the sustained runs show; ``None`` where there were none."""
        from whichpu.results.sustained import outlook

        return outlook(self.campaign)

    def to_pandas(self) -> pandas.DataFrame:
        """Figures as a data frame, a row a contender; needs pandas. Energy is that by the source which all contenders
        are compared by (``energy_gross_j``), memory the medians over rounds (``memory_loaded_bytes``)."""
        import pandas

        from whichpu.results import energy

        source = energy.primary(self.campaign)
        return pandas.DataFrame([_flat(row, source) for row in self.figures]).set_index("name")

    def join(
        self,
        log: Pathlike,
        *,
        format: str | None = None,
        shift_s: float | None = None,
        began: str | None = None,
        align: bool = False,
        interval_s: float | None = None,
        zone: str | None = None,
        columns: Mapping[str, str] | None = None,
        voltage_v: float | str | None = None,
        scope: str | None = None,
    ) -> Measurement:
        """This measurement with another program's log of power, written meanwhile; not saved yet.

        ``format`` is recognised where it isn't told. Of ``shift_s`` (added to the log's times), ``began`` (the time of
        day of its first line) and ``align`` (find it by the run's pattern of busy and idle) give one at most.
        ``interval_s`` is the time between lines that carry none, ``zone`` that of times of day (``+09:00``; default:
        this machine's), ``columns`` what columns hold (``{"P1": "power:mW"}``), ``voltage_v`` the supply where only the
        current was logged, ``scope`` what a bench meter covers (default: ``board``). Raises
        :class:`whichpu.UserError`.
        """
        from whichpu.results import join

        path = Path(log)
        options = join.options(interval_s, zone, columns, voltage_v, scope)
        clock = join.clock(shift_s, began, align, options.zone)
        return Measurement(join.join(self.campaign, join.data_of(path), path.name, options, clock, format))

    def save(self, path: Pathlike) -> None:
        """Write the campaign file. Raises :class:`whichpu.UserError`."""
        from whichpu.results import store

        self.path = Path(path)
        store.save(self.campaign, self.path)

    def __repr__(self) -> str:
        from whichpu.reports import terminal

        return terminal.plain(self.campaign)

    def _repr_html_(self) -> str:
        from whichpu.reports import html

        return html.fragment(self.campaign)


def _flat(row: Figures, source: str | None) -> dict[str, Any]:
    """A row of plain columns: figures of figures get a prefix, lists of sources are left to ``figures``."""
    import msgspec

    flat: dict[str, Any] = msgspec.to_builtins(row)
    sources, memory, cost = flat.pop("energy"), flat.pop("memory"), flat.pop("meter_cost")
    del flat["gauges"]
    energy: dict[str, Any] = next((one for one in sources if one["source"] == source), {})
    flat |= {f"memory_{name}_bytes": of["bytes"] for name, of in (memory or {}).items() if of and name != "missing"}
    flat |= {f"energy_{name}": value for name, value in energy.items() if name not in ("steadiness", "missing")}
    flat |= {f"steadiness_{name}": value for name, value in (energy.get("steadiness") or {}).items()}
    return flat | {f"meter_cost_{name}": value for name, value in (cost or {}).items()}


def measure(
    model: Pathlike,
    on: str | Sequence[str] = "all",
    *,
    data: Pathlike | None = None,
    forms: Sequence[Pathlike] = (),
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    siblings: bool = True,
    variants: Sequence[str] = (),
    output: Pathlike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    budget_s: float = 60.0,
    half_width: float = 0.02,
    matters: float = 0.02,
    rounds_most: int | None = None,
    threads: int = 1,
    cpus: Sequence[int] | None = None,
    seed: int | None = None,
    timeout_s: float = 120.0,
    against: Pathlike | None = None,
    against_python: str | None = None,
    loop: str = "auto",
    sustained_s: float | None = None,
    meters: str = "auto",
    meter_window_s: float | None = None,
    power_limit_w: float | None = None,
    fail_on_fallback: bool = False,
    watch: Watch | None = None,
) -> Measurement:
    """Measure one model on every target of ``on`` (``all``: every runtime within reach; ``hailo@pi5``: on a board that
    ``whichpu.toml`` names).

    ``data`` is a task (``.toml``) or samples (``.npz``); else seeded random inputs are used. ``forms`` are other
    files of the same network. ``variants`` are precisions to make and measure: ``fp32`` (the model as given), ``fp16``,
    ``int8``, ``int8-per-tensor``, ``int8-percentile``, ``int8-symmetric``, ``int8-nncf``.
    ``budget_s`` is per contender; ``half_width`` (relative) is the width asked of each interval; ``matters`` the
    relative difference that matters. With ``output`` the campaign file is written after every round; one that is
    there is refused unless ``resume`` goes on with it or ``overwrite`` replaces it. No other file is replaced, and
    none that is read.
    ``cpus`` are those to pin to (default: as many as threads, chosen; empty: none).
    ``against`` is an older version of the model, ``against_python`` an interpreter with older runtimes: each target is
    then measured with them too, interleaved, and held against that (see :func:`check`).
    ``loop`` is ``native`` (what a C++ application sees; the Python loop where a runtime can't), ``python``, or
    ``auto``: native when every contender can. With ``sustained_s``, after the rounds each contender runs alone and
    without a pause for so many seconds (:attr:`Measurement.sustained`).
    ``meters``: sensors are read in windows of ``meter_window_s`` (default: what the slowest sensor needs) after the
    latency blocks where one tells power (``auto``), in any case (``windows``), or not at all (``off``).
    ``power_limit_w``: the time above it is counted. ``fail_on_fallback``: a contender of which an operator runs on
    another unit than the one asked for is refused.
    Raises :class:`whichpu.UserError` for the user's mistakes; a contender's trouble is a row.
    """
    from whichpu.campaign import fleet
    from whichpu.campaign.watch import Silence
    from whichpu.campaign.wishes import Wishes
    from whichpu.models import artefact
    from whichpu.results.fleet import Keeper, campaigns_of
    from whichpu.targets import inventory

    path = None
    if output is not None:
        example, read = f"{Path(model).stem}.whichpu.json", [model, *forms, data, against]
        path = writable(output, "campaign", example, read, overwrite=overwrite, resume=resume)
    before = campaigns_of(path) if resume and path is not None else []
    wishes = Wishes(
        on=(on,) if isinstance(on, str) else tuple(on),
        data=Path(data) if data is not None else None,
        budget_s=budget_s,
        half_width=half_width,
        matters=matters,
        rounds_most=rounds_most,
        threads=threads,
        cpus=None if cpus is None else tuple(cpus),
        seed=seed,
        timeout_s=timeout_s,
        against_python=against_python,
        loop=loop,
        sustained_s=sustained_s,
        meters=meters,
        meter_window_s=meter_window_s,
        power_limit_w=power_limit_w,
        fail_on_fallback=fail_on_fallback,
        variants=tuple(variants),
    )

    def reader() -> tuple[artefact.Model, artefact.Model | None]:
        network = artefact.load(Path(model), [Path(form) for form in forms], shapes, siblings)
        return network, artefact.load(Path(against), [], shapes, siblings) if against is not None else None

    machines = list(fleet.split(wishes.on))
    boards = inventory.load() if any(machines) else inventory.Inventory()
    keeper = Keeper(path, machines, Path(model).name, before)
    known = {campaign.board: campaign for campaign in before}
    campaigns = fleet.measure(reader, wishes, boards, keeper, watch or Silence(), known)
    return Measurement(campaigns[0], path, campaigns)


def load(path: Pathlike) -> Measurement:
    """A campaign file, or one of several boards, as a :class:`Measurement`. Raises :class:`whichpu.UserError`."""
    from whichpu.results.fleet import campaigns_of

    campaigns = campaigns_of(Path(path))
    return Measurement(campaigns[0], Path(path), campaigns)
