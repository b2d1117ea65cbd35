"""``whichpu.api.reproduce`` is ``whichpu reproduce`` without a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whichpu.api.measuring import Pathlike, measure
from whichpu.errors import UserError

if TYPE_CHECKING:
    from whichpu.campaign.watch import Watch
    from whichpu.studies.study import Study

MEASURED = {"share-price": ("gru", "lstm")}
"""Studies whose networks are measured here by ``run``."""
BUDGET_S = 5.0


def reproduce(
    study: str,
    *,
    run: bool = False,
    output: Pathlike = ".",
    budget_s: float = BUDGET_S,
    watch: Watch | None = None,
) -> Study:
    """A study's tables from its figures, and what they say of each of its statements.

    The demo's campaign files are shown beside them where they are here; ``run`` measures the study's example anew,
    ``budget_s`` for each contender, into campaign files in the folder ``output``. Raises :class:`whichpu.UserError`.
    """
    from whichpu.studies import module
    from whichpu.studies.study import Asked

    found, examples = module(study), _folder("examples")
    own = _measured(study, examples, Path(output), budget_s, watch) if run else _demo(study)
    return found.reproduce(Asked(examples=str(examples) if examples is not None else None, own=list(map(str, own))))


def _folder(name: str) -> Path | None:
    """A folder of the repository: here, or where WhichPU's sources are."""
    beside = Path(__file__).parents[3]
    return next((each / name for each in (Path(), beside) if (each / name / "apple_stock").is_dir()), None)


def _demo(study: str) -> list[Path]:
    """What ``make demo`` measured, where it is here."""
    places = (Path("demo"), Path(__file__).parents[3] / "demo")
    for place in places:
        files = [place / f"{name}.json" for name in MEASURED.get(study, ())]
        if files and all(file.is_file() for file in files):
            return files
    return []


def _measured(study: str, examples: Path | None, folder: Path, budget_s: float, watch: Watch | None) -> list[Path]:
    if study not in MEASURED:
        raise UserError(f"{study} is not measured by `whichpu reproduce`", "leave out --run: it names the commands")
    if examples is None:
        raise UserError("the examples are not here: they come with the repository", "run it in a clone of WhichPU")
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}", f"mkdir -p {folder}")
    place = examples / "apple_stock"
    files = [folder / f"{study}-{name}.whichpu.json" for name in MEASURED[study]]
    there = next((file for file in files if file.exists()), None)
    if there is not None:
        raise UserError(f"{there} exists", "name another folder: -o FOLDER")
    for name, file in zip(MEASURED[study], files, strict=True):
        measure(place / f"{name}.onnx", data=place / "task.toml", output=file, budget_s=budget_s, watch=watch)
    return files
