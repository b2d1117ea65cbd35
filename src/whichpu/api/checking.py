"""Did it get worse? ``whichpu.api.check`` is ``whichpu check`` without a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichpu.api.measuring import Measurement, Pathlike, measure
from whichpu.errors import UserError
from whichpu.results.regression import Verdict
from whichpu.results.schema import Campaign
from whichpu.results.writable import writable

if TYPE_CHECKING:
    from whichpu.results.limits import Config


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
    measuring.setdefault("meters", "off")  # no limit is on watts, and windows take time
    measuring["threads"] = threads or (source.settings.threads if source else 1)
    measuring["cpus"] = cpus if cpus is not None else (source.settings.cpus if source else None)
    targets = on or (regression.targets(source) if source else "all")
    read = [path, *paths, against, config, measuring.get("data")]
    outputs = _outputs(output, f"{path.stem}.whichpu.json", read, measuring)
    return _measured(_model_of(stored, path) if stored else path, targets, outputs, settings, measuring)


def _outputs(
    output: Pathlike | None, example: str, read: list[Pathlike | None], measuring: dict[str, Any]
) -> tuple[Path | None, Path | None]:
    """Where both measurements go. Raises :class:`UserError` before an hour of measuring."""
    if output is None:
        return None, None
    overwrite = bool(measuring.get("overwrite"))
    first = writable(output, "campaign", example, read, overwrite=overwrite, resume=measuring.get("resume"))
    again = first.with_name(f"{first.name.removesuffix('.json')}-again.json")
    return first, writable(again, "campaign", example, read, overwrite=overwrite)


def _measured(
    model: Path,
    targets: str | Sequence[str],
    outputs: tuple[Path | None, Path | None],
    settings: Config,
    measuring: dict[str, Any],
) -> Checked:
    """Old and new side by side, and what looks worse once more."""
    from whichpu.results import regression

    first = measure(model, targets, output=outputs[0], **measuring)
    everything = targets in ("all", ["all"], ("all",))
    verdicts = regression.side_by_side(first.campaign, settings, everything)
    verdicts = verdicts or regression.side_by_side(first.campaign, settings)
    suspects = regression.suspects(verdicts)
    if not suspects:
        return Checked(verdicts, [first])
    measuring["resume"] = False
    if measuring.get("seed") is not None:
        measuring["seed"] += 1
    only = regression.targets(first.campaign, [row.contender for row in suspects])
    second = measure(model, only, output=outputs[1], **measuring)
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
