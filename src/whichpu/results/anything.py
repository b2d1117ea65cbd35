"""Any file of results by its content: a campaign, a scenario, contenders at once, an imported or another tool's."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from whichpu.errors import UserError
from whichpu.results import fleet, reported, scenarios, store, together
from whichpu.results.entries import Entry
from whichpu.results.entries_of import entries_of, entries_of_scenario
from whichpu.results.reported import Reported
from whichpu.results.scenarios import ScenarioRun
from whichpu.results.schema import Campaign
from whichpu.results.together import TogetherRun
from whichpu.results.writable import BEGINNINGS

OURS = re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.(?!reported/)')


class File(NamedTuple):
    """A file that was read. ``name`` is how it is called: by its name, or by its path where names are equal."""

    name: str
    sha256: str
    content: Campaign | ScenarioRun | TogetherRun | Reported

    @property
    def entries(self) -> list[Entry]:
        """Its contenders. None of a run of contenders at once: what they did beside others is no figure of theirs."""
        if isinstance(self.content, Campaign):
            return entries_of(self.content, self.name, self.sha256)
        if isinstance(self.content, ScenarioRun):
            return entries_of_scenario(self.content, self.name, self.sha256)
        if isinstance(self.content, TogetherRun):
            return []
        return self.content.entries


def load(path: Path) -> Campaign | ScenarioRun | TogetherRun | Reported:
    """A file of results, whatever it is. Raises :class:`UserError` when it is missing, damaged, foreign or too new."""
    return _content(path, reported.bytes_of(path))


def opened(paths: Sequence[Path]) -> list[File]:
    """Files with their names and hashes. Raises :class:`UserError`."""
    names = Counter(path.name for path in paths)
    return [file for path in paths for file in _opened(path, path.name if names[path.name] == 1 else str(path))]


def entries(paths: Sequence[Path]) -> list[Entry]:
    """The contenders of all files. Raises :class:`UserError`."""
    return [entry for file in opened(paths) for entry in file.entries]


def refuse_joint(files: Sequence[File]) -> None:
    """Raises :class:`UserError` where all files hold contenders at once, of which nothing can be compared."""
    if files and all(isinstance(file.content, TogetherRun) for file in files):
        raise UserError(
            f"{files[0].name} tells what contenders did at once, which is no figure of one alone",
            "`whichpu show` and `whichpu report` take it; compare campaigns of `whichpu run`",
        )


def campaigns(files: Sequence[File]) -> dict[str, Campaign]:
    """The campaigns among files, by their hashes."""
    return {file.sha256: file.content for file in files if isinstance(file.content, Campaign)}


def _opened(path: Path, name: str) -> list[File]:
    """The file; of one that several machines measured, a part for each."""
    data = reported.bytes_of(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if not fleet.BEGINNING.match(data[:256]):
        return [File(name, sha256, _content(path, data))]
    return [
        File(f"{name} ({fleet.name_of(campaign)})", fleet.sha256_of(sha256, campaign), campaign)
        for campaign in fleet.load(path).campaigns
    ]


def _content(path: Path, data: bytes) -> Campaign | ScenarioRun | TogetherRun | Reported:
    if BEGINNINGS["scenario"].match(data[:256]):
        return scenarios.load(path)
    if BEGINNINGS["together"].match(data[:256]):
        return together.load(path)
    if OURS.match(data[:256]):
        return store.load(path)
    return reported.parsed(data, str(path))
