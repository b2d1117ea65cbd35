"""What runtimes build of a model before they load it, built once and apart from all measuring."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from whichpu import __version__
from whichpu.campaign.contenders import Contender
from whichpu.campaign.plan import Plan
from whichpu.campaign.watch import Watch
from whichpu.models.artefact import sha256_of
from whichpu.targets.link import WorkerTrouble
from whichpu.worker import wire

PATIENCE = 30
"""An engine may take so many times as long as any other answer: an hour, of two minutes."""

READ = ("calibration", "dataset")
"""Options that name a file of which something is built: other samples build something else."""


def build_all(plan: Plan, watch: Watch) -> None:
    """Have every runtime build what it needs to; one that can't is a row with the reason."""
    for contender in [one for one in plan.contenders if one.builds]:
        watch.phase(f"{contender.result.name} builds {plan.model.name}")
        try:
            _build(plan, contender)
        except WorkerTrouble as trouble:
            contender.trouble(trouble)
    plan.contenders = [one for one in plan.contenders if one.result.status in ("pending", "measured")]


def _build(plan: Plan, contender: Contender) -> None:
    settings, target, result = plan.campaign.settings, contender.target, contender.result
    folder = plan.place.folder("built", _key(plan, contender))
    start = plan.place.start(
        target.python, threads=result.threads, timeout_s=settings.timeout_s, where=f"the builder of {result.name}"
    )
    with start as link:
        request = wire.Build(contender.job(plan.campaign.model.inputs), folder)
        result.built = link.ask(request, wire.Built, PATIENCE * settings.timeout_s)
    contender.built = folder


def _key(plan: Plan, contender: Contender) -> str:
    """Another file, target, runtime, interpreter, machine or WhichPU builds something else."""
    result, machine = contender.result, plan.campaign.machine
    target = msgspec.structs.replace(
        contender.target,
        options={name: value for name, value in contender.target.options.items() if name not in contender.run_options},
    )
    shapes = [(spec.name, spec.dtype, spec.shape) for spec in plan.campaign.model.inputs]
    named = [Path(target.options[name]) for name in READ if name in target.options]
    parts = (
        __version__,
        result.form_sha256,
        [sha256_of([path]) for path in named if path.is_file()],
        str(target),
        result.threads,
        sorted(result.versions.items()),
        (machine.hostname, machine.architecture, machine.cpu_model),
        shapes,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
