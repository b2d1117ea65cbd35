"""Contenders: targets, each with the file that its runtime loads, or with the reason why it can't run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from whichpu.campaign.forms import converter_doubts, form_of, main_form, same
from whichpu.campaign.reach import Found, in_python, native_why_not, specs_of
from whichpu.campaign.rows import enter_trouble
from whichpu.campaign.watch import Watch
from whichpu.campaign.wishes import Wishes
from whichpu.errors import ConversionError, UserError
from whichpu.models import convert, variants
from whichpu.models.artefact import Model, beside
from whichpu.results.schema import Loop, Result, Settings
from whichpu.targets import bundle
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.place import Place
from whichpu.targets.target import Target
from whichpu.tasks import Task
from whichpu.worker import wire

YARDSTICK = "null"

BASELINE = " (baseline)"
"""What stands behind the name of a contender that another one is held against."""


class Contender(msgspec.Struct, kw_only=True):
    """A row of the campaign that can run: its target, and the file its runtime loads."""

    target: Target
    result: Result
    format: str
    path: Path
    precision: str | None = None
    bytes: int = 0
    native_why_not: str | None = None
    loop: Loop = "python"
    named: bool = True
    builds: bool = False
    """Whether its runtime first builds what it loads."""
    run_options: list[str] = []
    """Options that change nothing of what is built."""
    built: str | None = None
    """The folder, where it runs, of what was built."""

    def job(self, inputs: list[wire.TensorSpec] | None) -> wire.Open:
        """What its worker is to load."""
        return wire.Open(
            backend=self.target.backend,
            device=self.target.device,
            model=str(self.path.absolute()),
            format=self.format,
            precision=self.target.precision,
            threads=self.result.threads,
            options=self.target.options,
            inputs=inputs,
            loop=self.loop,
            built=self.built,
            beside=beside(self.path, self.format) if self.target.board is not None else [],
        )

    def trouble(self, trouble: WorkerTrouble) -> None:
        """Make a trouble the row's status and reason."""
        enter_trouble(self.result, trouble, self.target.python)
        self.result.fell_back |= trouble.kind == "fallback"


def contenders_of(
    found: list[Found], model: Model, specs: list[wire.TensorSpec], settings: Settings, watch: Watch
) -> list[Contender]:
    return [_contender(entry, model, specs, settings, watch) for entry in found]


def _contender(entry: Found, model: Model, specs: list[wire.TensorSpec], settings: Settings, watch: Watch) -> Contender:
    contender, target, description = _bare(entry, model.path, settings), entry.target, entry.description
    result = contender.result
    if not description.usable:
        return contender
    try:
        contender.format, contender.path, form = form_of(description, target, model, specs, watch)
    except ConversionError as problem:
        _refuse(result, problem)
        return contender
    contender.builds, contender.run_options = contender.format in description.builds, description.run_options
    result.form_sha256, contender.precision, contender.bytes = form.sha256, form.precision, form.bytes
    result.doubts = converter_doubts(form)
    if form.sha256 not in [known.sha256 for known in model.forms.values()]:
        model.forms[f"{form.format} for {entry.name}"] = form
    return contender


def _refuse(result: Result, problem: ConversionError) -> None:
    result.status, result.why, result.remedy = "refused", str(problem), problem.remedy


def _bare(entry: Found, path: Path, settings: Settings) -> Contender:
    """A contender without a form yet, or the reason why its runtime can't run here."""
    target, description = entry.target, entry.description
    result = Result(
        name=entry.name,
        target=str(target),
        backend=target.backend,
        device=target.device,
        note=entry.note,
        yardstick=target.backend == YARDSTICK,
        asked_precision=target.precision,
        threads=target.threads or settings.threads,
        options=target.options,
        python=target.python,
        versions=description.versions,
    )
    contender = Contender(target=target, result=result, format="", path=path, named=entry.named)
    contender.native_why_not = native_why_not(target, description)
    if not description.usable:
        result.status, result.why, result.remedy = "not-here", description.why_not, description.remedy
    return contender


def choose_loops(contenders: list[Contender], asked: str) -> None:
    """Equal terms: with ``auto`` the native loop runs all, or none."""
    able = all(
        contender.native_why_not is None
        for contender in contenders
        if contender.result.status == "pending" and not contender.result.yardstick
    )
    for contender in contenders:  # a worker that can't run the native loop runs the Python one, and says why
        contender.loop = "native" if asked == "native" or (asked == "auto" and able) else "python"


# ---------------------------------------------------------------- variants


def variants_of(
    found: list[Found],
    model: Model,
    precisions: list[str],
    task: Task | None,
    specs: list[wire.TensorSpec],
    settings: Settings,
    watch: Watch,
) -> list[Contender]:
    """Contenders of precisions that are made from the model. Raises :class:`UserError` where none can be made."""
    names = [name for name in precisions if name != variants.OWN]
    if not names:
        return []
    variants.refuse_unfit(model)
    contenders = []
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
        calibration = _calibration(names, task, specs, Path(folder), watch)
        for name in names:
            watch.phase(f"making {name} of {model.name}")
            try:
                made = variants.make(model, name, specs, calibration, bundle.writable_cache() / "variants")
            except ConversionError as problem:
                contenders += [_refused_variant(entry, model, name, problem, settings) for entry in _take(found, name)]
                continue
            for entry in _take(found, name):
                contender = _contender(_named(entry, name), made, specs, settings, watch)
                contender.result.variant = name
                contenders.append(contender)
            model.forms |= {f"{name}: {format}": form for format, form in made.forms.items()}
    return contenders


def _calibration(
    names: list[str], task: Task | None, specs: list[wire.TensorSpec], folder: Path, watch: Watch
) -> variants.Calibration | None:
    calibrated = [name for name in names if variants.VARIANTS[name].calibrated]
    if not calibrated:
        return None
    if task is None:
        raise UserError(
            f"{calibrated[0]} is calibrated with data like those it will see, and there is no task to take them from",
            "give --data TASK.toml with a [calibration] table, or leave it out of --variants",
        )
    watch.phase("preparing calibration samples")
    drawn = task.calibration(variants.CALIBRATION_SAMPLES, variants.CALIBRATION_SEED)
    return variants.calibration(drawn, specs, folder)


def _take(found: list[Found], name: str) -> list[Found]:
    """Targets that a variant is for. Of those that nobody named, only usable ones that could take its form, in fp32."""
    variant = variants.VARIANTS[name]
    rivals = [entry for entry in found if entry.target.backend != YARDSTICK]
    if variant.backends:
        rivals = [entry for entry in rivals if entry.target.backend in variant.backends]
    return [entry for entry in rivals if entry.named or _fit(entry, variant.format)]


def _fit(entry: Found, form: str) -> bool:
    formats = entry.description.formats
    takes = form in formats or (form == "onnx" and any(format in convert.CONVERTERS for format in formats))
    return entry.description.usable and entry.target.precision == "fp32" and takes


def _named(entry: Found, variant: str) -> Found:
    return msgspec.structs.replace(entry, name=f"{entry.name} [{variant}]")


def _refused_variant(
    entry: Found, model: Model, variant: str, problem: ConversionError, settings: Settings
) -> Contender:
    contender = _bare(_named(entry, variant), model.path, settings)
    contender.result.variant = variant
    _refuse(contender.result, problem)
    return contender


# ---------------------------------------------------------------- baselines


def baselines_of(
    contenders: list[Contender],
    found: list[Found],
    old: Model,
    model: Model,
    specs: list[wire.TensorSpec],
    wishes: Wishes,
    settings: Settings,
    watch: Watch,
    place: Place,
) -> list[Contender]:
    """For each contender the one that it is held against: the old model, or the same in the old interpreter."""
    held = [contender.result for contender in contenders if not contender.result.yardstick]
    held = held or [contender.result for contender in contenders]
    named = {result.name: result for result in held}
    entries = [entry for entry in found if entry.name in named]
    entries = in_python(wishes.against_python, entries, wishes.timeout_s, place)
    theirs = specs_of(old, entries, wishes, place)
    if theirs != specs:
        raise UserError(
            f"{model.path.name} takes {_told(specs)}, but {old.path.name} takes {_told(theirs)}:"
            " they can't be fed the same samples",
            "compare models of the same inputs (--shape gives sizes to dynamic ones)",
        )
    olds = contenders_of(entries, old, specs, settings, watch)
    for baseline in olds:
        new = named[baseline.result.name]
        new.baseline = baseline.result.name = new.name + BASELINE
        baseline.result.model_sha256 = None if same(old, model) else main_form(old).sha256
    return olds


def _told(specs: list[wire.TensorSpec]) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'})" for spec in specs)
