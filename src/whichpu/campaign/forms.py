"""The form of a model that a runtime takes: given, or converted from ONNX."""

from __future__ import annotations

from pathlib import Path

from whichpu.campaign.watch import Watch
from whichpu.errors import ConversionError
from whichpu.models import convert
from whichpu.models.artefact import SUFFIXES, Model, beside_each_other
from whichpu.results.schema import Doubt, Form
from whichpu.targets import bundle
from whichpu.targets.target import Target
from whichpu.worker import wire


def form_of(
    description: wire.Description, target: Target, model: Model, specs: list[wire.TensorSpec], watch: Watch
) -> tuple[str, Path, Form]:
    """The first form that the backend takes: given, or converted from ONNX. Raises :class:`ConversionError`."""
    for format in description.formats:
        if format == "*":
            return main_form(model).format, model.path, main_form(model)
        if format in model.paths:
            return format, laid_out(model, format), model.forms[format]
    for format in description.formats:
        if format in convert.CONVERTERS and "onnx" in model.paths:
            watch.phase(f"converting {model.name} to {format}")
            return _converted(format, target, model, specs)
    takes, has = ", ".join(description.formats), ", ".join(sorted(model.paths))
    suffix = next(suffix for suffix, named in SUFFIXES.items() if named == description.formats[0])
    also = " (or the ONNX file, which is then converted)" if description.formats[0] in convert.CONVERTERS else ""
    raise ConversionError(
        f"{target.backend} takes {takes}; this model is given as {has}",
        f"export it as a {suffix} file{also}, beside the model file or with --form FILE",
    )


def laid_out(model: Model, format: str) -> Path:
    """The form's path, its files side by side."""
    return beside_each_other(model.paths[format], format, bundle.writable_cache() / "staged")


def _converted(format: str, target: Target, model: Model, specs: list[wire.TensorSpec]) -> tuple[str, Path, Form]:
    missing = convert.why_not(format)
    if missing is not None:
        raise ConversionError(*missing)
    made = convert.convert(
        model.paths["onnx"],
        model.forms["onnx"].sha256,
        format,
        precision=target.precision,
        inputs=specs,
        cache=bundle.writable_cache() / "converted",
    )
    form = Form(
        format=format,
        file=made.path.name,
        sha256=made.sha256,
        bytes=made.bytes,
        origin="converted",
        tool=f"{made.tool} ({made.tool_version})",
        warnings=list(made.warnings),
    )
    return format, made.path, form


def converter_doubts(form: Form) -> list[Doubt]:
    """One doubt for all the parts of the model that the converter says it left out."""
    if not form.warnings:
        return []
    more = f" and {len(form.warnings) - 3} more" if len(form.warnings) > 3 else ""
    says = f"the converter left out parts of the model: {'; '.join(form.warnings[:3])}{more}"
    return [Doubt(kind="converter", says=says, advice="don't use this form before you know what they were")]


def main_form(model: Model) -> Form:
    """The form of the file that the user named."""
    return next(form for format, form in model.forms.items() if model.paths.get(format) == model.path)


def same(one: Model, other: Model) -> bool:
    return main_form(one).sha256 == main_form(other).sha256
