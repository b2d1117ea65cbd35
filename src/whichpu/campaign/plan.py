"""What will be measured: contenders made from targets, each with the form of the model that its runtime takes."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec

from whichpu import __version__
from whichpu.campaign.contenders import YARDSTICK, Contender, baselines_of, choose_loops, contenders_of, variants_of
from whichpu.campaign.forms import laid_out, main_form, same
from whichpu.campaign.reach import describe, specs_of
from whichpu.campaign.watch import Watch
from whichpu.campaign.wishes import Wishes, cpus_of, metered_of, settings_of
from whichpu.errors import UserError
from whichpu.models import inputs, variants
from whichpu.models.artefact import Model
from whichpu.models.inputs import Samples
from whichpu.results.schema import Campaign, ModelInfo
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.tasks import Task, inferences
from whichpu.tasks import load as load_task
from whichpu.worker import wire


class Plan(msgspec.Struct, kw_only=True):
    """A campaign about to run. ``campaign.results`` also holds the rows that can't run, with their reasons."""

    campaign: Campaign
    contenders: list[Contender]
    samples: Samples
    task: Task | None
    reference: Samples | None
    model: Model
    random: bool = False
    onnx: Path | None = None
    root: str = "/"
    place: Place = HERE
    """Where its workers run; the reference's always run here."""


def make(model: Model, wishes: Wishes, watch: Watch, against: Model | None = None, place: Place = HERE) -> Plan:
    """Find contenders, convert what must be converted, prepare the data. Raises :class:`UserError`.

    All targets of ``wishes.on`` are on ``place``. With ``against`` (the old model) or ``wishes.against_python`` (the
    old runtimes) each contender gets a second one that it is held against.
    """
    watch.phase("looking at the runtimes")
    hello, found = describe(wishes, place)
    task = load_task(wishes.data, model.name) if wishes.data is not None and wishes.data.suffix == ".toml" else None
    settings = settings_of(wishes, cpus_of(wishes, [entry.target for entry in found], hello.machine))
    specs = specs_of(model, found, wishes, place)
    precisions = variants.asked(wishes.variants)
    own = not precisions or variants.OWN in precisions
    as_given = [entry for entry in found if own or entry.target.backend == YARDSTICK]
    contenders = contenders_of(as_given, model, specs, settings, watch)
    contenders += variants_of(found, model, precisions, task, specs, settings, watch)
    if against is not None or wishes.against_python is not None:
        if precisions:
            raise UserError("an older model or runtime is not measured in several precisions", "leave out the variants")
        contenders += baselines_of(contenders, found, against or model, model, specs, wishes, settings, watch, place)
    choose_loops(contenders, settings.loop)
    results = [contender.result for contender in contenders]
    return Plan(
        campaign=Campaign(
            whichpu=__version__,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            model=_info(model, specs),
            other_models=[_info(against, specs)] if against is not None and not same(against, model) else [],
            machine=hello.machine,
            metered=metered_of(wishes),
            settings=settings,
            task=task.info if task else None,
            results=results,
            board=place.name,
        ),
        contenders=[contender for contender in contenders if contender.result.status == "pending"],
        samples=_samples(wishes, task, specs, settings.seed),
        task=task,
        reference=task.reference if task else None,
        model=model,
        random=wishes.data is None,
        onnx=laid_out(model, "onnx") if "onnx" in model.paths else None,
        root=wishes.root,
        place=place,
    )


def _info(model: Model, specs: list[wire.TensorSpec]) -> ModelInfo:
    return ModelInfo(name=model.name, sha256=main_form(model).sha256, inputs=specs, forms=list(model.forms.values()))


def _samples(wishes: Wishes, task: Task | None, specs: list[wire.TensorSpec], seed: int) -> Samples:
    if task is not None:
        return _of_task(task, specs)
    if wishes.data is not None:
        return inputs.from_npz(wishes.data, specs)
    return inputs.random(specs, seed)


def _of_task(task: Task, specs: list[wire.TensorSpec]) -> Samples:
    """The first samples (of a sequence: its steps): latencies are measured with them, each ``[samples, *shape]``."""
    return inputs.of_task(enumerate(inferences(task)), specs, inputs.RANDOM_SAMPLES, task.info.name)[1]
