"""The Python API: ``whichpu.measure("model.onnx")`` is ``whichpu run`` without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichpu.errors import UserError
from whichpu.results.comparison import Comparison, compare
from whichpu.results.regression import Verdict
from whichpu.results.schema import Campaign
from whichpu.results.summary import Figures, summarize

if TYPE_CHECKING:
    import pandas

    from whichpu.campaign.watch import Watch
    from whichpu.results.limits import Config
    from whichpu.results.sustained import Outlook

Pathlike = str | PathLike[str]


class Measurement:
    """A campaign's outcome. Shows as a table in a notebook; ``campaign`` holds every raw reading."""

    def __init__(self, campaign: Campaign, path: Path | None = None) -> None:
        self.campaign = campaign
        self.path = path

    @property
    def figures(self) -> list[Figures]:
        """Figures of all contenders, the fastest first (latencies in ns)."""
        return summarize(self.campaign)

    def compare(self, baseline: str | None = None) -> list[Comparison]:
        """Every contender against ``baseline`` (default: the fastest). Raises :class:`whichpu.UserError`."""
        return compare(self.campaign, baseline)

    @property
    def sustained(self) -> Outlook | None:
        """What the sustained runs show; ``None`` where there were none."""
        from whichpu.results.sustained import outlook

        return outlook(self.campaign)

    def to_pandas(self) -> pandas.DataFrame:
        """Figures as a data frame, a row a contender; needs pandas."""
        import msgspec
        import pandas

        return pandas.DataFrame([msgspec.to_builtins(row) for row in self.figures]).set_index("name")

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


def measure(
    model: Pathlike,
    on: str | Sequence[str] = "all",
    *,
    data: Pathlike | None = None,
    forms: Sequence[Pathlike] = (),
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    siblings: bool = True,
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
    watch: Watch | None = None,
) -> Measurement:
    """Measure one model on every target of ``on`` (``all``: every runtime within reach).

    ``data`` is a task (``.toml``) or samples (``.npz``); else seeded random inputs are used. ``forms`` are other
    files of the same network. ``budget_s`` is per contender; ``half_width`` (relative) is the width asked of each
    interval; ``matters`` the relative difference that matters. With ``output`` the campaign file is written after
    every round; a file that is there is refused unless ``resume`` goes on with it or ``overwrite`` replaces it.
    ``cpus`` are those to pin to (default: as many as threads, chosen; empty: none).
    ``against`` is an older version of the model, ``against_python`` an interpreter with older runtimes: each target is
    then measured with them too, interleaved, and held against that (see :func:`check`).
    ``loop`` is ``native`` (what a C++ application sees; the Python loop where a runtime can't), ``python``, or
    ``auto``: native when every contender can. With ``sustained_s``, after the rounds each contender runs alone and
    without a pause for so many seconds (:attr:`Measurement.sustained`).
    Raises :class:`whichpu.UserError` for the user's mistakes; a contender's trouble is a row.
    """
    from whichpu.campaign import plan as planning
    from whichpu.campaign.run import run
    from whichpu.campaign.watch import Silence
    from whichpu.models import artefact
    from whichpu.results import store

    path = Path(output) if output is not None else None
    if path is not None and path.exists() and not (resume or overwrite):
        raise UserError(f"{path} exists", "resume (--resume) goes on with it, overwrite (--overwrite) replaces it")
    before = store.load(path) if resume and path is not None else None
    listener = watch or Silence()
    listener.phase("reading the model")
    wishes = planning.Wishes(
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
    )
    network = artefact.load(Path(model), [Path(form) for form in forms], shapes, siblings)
    old = artefact.load(Path(against), [], shapes, siblings) if against is not None else None
    plan = planning.make(network, wishes, listener, old)
    if before is not None:
        planning.resume(plan, before, wishes)
    return Measurement(run(plan, path, listener), path)


def load(path: Pathlike) -> Measurement:
    """A campaign file as a :class:`Measurement`. Raises :class:`whichpu.UserError`."""
    from whichpu.results import store

    return Measurement(store.load(Path(path)), Path(path))


class Checked:
    """What a check found: a verdict for each contender and metric; the campaigns measured for it, and their files."""

    def __init__(self, verdicts: list[Verdict], measured: Sequence[Measurement] = ()) -> None:
        self.verdicts = verdicts
        self.campaigns = [measurement.campaign for measurement in measured]
        self.paths = [measurement.path for measurement in measured if measurement.path is not None]

    @property
    def passed(self) -> bool:
        """Is nothing worse, and was anything compared at all?"""
        from whichpu.results import regression

        return regression.passed(self.verdicts)

    @property
    def sentences(self) -> list[str]:
        """Each verdict in words."""
        from whichpu.reports import regression

        return [regression.sentence(row) for row in self.verdicts]


def check(
    subject: Pathlike,
    *,
    baseline: Pathlike | Sequence[Pathlike] = (),
    against: Pathlike | None = None,
    against_python: str | None = None,
    on: str | Sequence[str] | None = None,
    config: Pathlike | None = None,
    output: Pathlike | None = None,
    threads: int | None = None,
    cpus: Sequence[int] | None = None,
    **measuring: Any,
) -> Checked:
    """Did it get worse? ``subject`` is a campaign file or a model.

    A file is held against ``baseline``, one file or several of older campaigns. With ``against`` (the old model) or
    ``against_python`` (an interpreter with the old runtimes) both are measured now, interleaved, on the targets ``on``
    (default: those of the file, else all); what looks worse is measured a second time before it counts. ``threads`` and
    ``cpus`` are by default the file's; ``measuring`` are other keywords of :func:`measure`. Limits come from
    ``config``, else from the nearest ``whichpu.toml``. Raises :class:`whichpu.UserError`.
    """
    from whichpu.results import limits, regression, store

    settings = limits.load(Path(config) if config is not None else limits.find(Path.cwd()))
    paths = [baseline] if isinstance(baseline, str | PathLike) else baseline
    olds = [(str(path), store.load(Path(path))) for path in paths]
    path = Path(subject)
    stored = store.load(path) if _is_campaign(path) else None
    if against is None and against_python is None:
        return Checked(_stored(path, stored, olds, settings))
    source = stored or (olds[-1][1] if olds else None)
    measuring |= {"against": against, "against_python": against_python}
    measuring["threads"] = threads or (source.settings.threads if source else 1)
    measuring["cpus"] = cpus if cpus is not None else (source.settings.cpus if source else None)
    targets = on or (regression.targets(source) if source else "all")
    model = _model_of(stored, path) if stored else path
    again = _again(output, bool(measuring.get("overwrite")))
    first = measure(model, targets, output=output, **measuring)
    everything = targets in ("all", ["all"], ("all",))
    verdicts = regression.side_by_side(first.campaign, settings, everything)
    verdicts = verdicts or regression.side_by_side(first.campaign, settings)
    suspects = regression.suspects(verdicts)
    if not suspects:
        return Checked(verdicts, [first])
    if measuring.get("seed") is not None:
        measuring["seed"] += 1
    only = regression.targets(first.campaign, [row.contender for row in suspects])
    second = measure(model, only, output=again, **measuring)
    return Checked(regression.confirmed(verdicts, regression.side_by_side(second.campaign, settings)), [first, second])


def _stored(path: Path, campaign: Campaign | None, olds: list[tuple[str, Campaign]], settings: Config) -> list[Verdict]:
    from whichpu.results import known, regression

    if campaign is None:
        raise UserError(
            f"{path} is not a campaign file, and there is no old model to measure beside it",
            "give --against OLD_MODEL, or measure it with `whichpu run` and check the file that it writes",
        )
    if olds:
        return regression.across(campaign, olds, settings)
    if known.pairs(campaign):
        return regression.side_by_side(campaign, settings)
    raise UserError(
        f"there is nothing to hold {path} against",
        "give --baseline FILE (an older campaign), or measure again with --against OLD_MODEL",
    )


def _is_campaign(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return path.suffix == ".json"


def _model_of(campaign: Campaign, path: Path) -> Path:
    """The model that a campaign file was made of, beside it or in this folder. Raises :class:`UserError`."""
    from whichpu.models import artefact

    form = next((form for form in campaign.model.forms if form.sha256 == campaign.model.sha256), None)
    for folder in (path.parent, Path()):
        if form is None or not (model := folder / form.file).is_file():
            continue
        if artefact.sha256_of(artefact.files_of(model, form.format)) == form.sha256:
            return model
    name = form.file if form is not None else campaign.model.name
    raise UserError(
        f"{path} was made of {name}, which is neither beside it nor here with the same bytes",
        "give the model itself: whichpu check MODEL --against OLD_MODEL",
    )


def _again(output: Pathlike | None, overwrite: bool) -> Path | None:
    """Where the second measurement goes. Raises :class:`UserError` when that file is there."""
    if output is None:
        return None
    path = Path(output)
    again = path.with_name(f"{path.name.removesuffix('.json')}-again.json")
    if again.exists() and not overwrite:
        raise UserError(f"{again} exists", "overwrite (--overwrite) replaces it")
    return again
