"""One file for several machines: a campaign of each, measured by one command (``whichpu.fleet/1``)."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from whichpu.errors import UserError
from whichpu.results import store
from whichpu.results.schema import Campaign
from whichpu.results.writable import begins

VERSION: Literal["whichpu.fleet/1"] = "whichpu.fleet/1"
BEGINNING = re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.fleet/')
HERE = "here"
"""How the machine that ran WhichPU is called among boards."""


class Fleet(msgspec.Struct, kw_only=True):
    """Campaigns of one model, one for each machine, in the order in which the machines were named.

    Each is whole in itself: figures of two machines are compared as those of two campaign files are.
    """

    schema: Literal["whichpu.fleet/1"] = VERSION
    campaigns: list[Campaign] = []


class Keeper:
    """Keeps one campaign in a campaign file, or those of several threads in one fleet file.

    ``before`` are those that the file holds already: they stay in it until they are gone on with.
    """

    def __init__(
        self, path: Path | None, names: Sequence[str | None], model: str = "a model", before: Sequence[Campaign] = ()
    ) -> None:
        self.campaigns = {campaign.board: msgspec.json.encode(campaign) for campaign in before}
        self.path, self.model = path, model
        self.names = list(dict.fromkeys([*self.campaigns, *names]))
        self.lock = threading.Lock()

    def save(self, campaign: Campaign) -> None:
        """Write all campaigns, with this one as it is now; called by the thread that owns it."""
        if len(self.names) == 1:
            if self.path is not None:
                store.save(campaign, self.path)
            return
        data = msgspec.json.encode(campaign)
        with self.lock:
            self.campaigns[campaign.board] = data
            if self.path is not None:
                known = [self.campaigns[name] for name in self.names if name in self.campaigns]
                store.write(self.path, b'{"schema":"%b","campaigns":[%b]}\n' % (VERSION.encode(), b",".join(known)))


def is_fleet(path: Path) -> bool:
    """Does a file begin as a fleet file? An empty one doesn't."""
    return path.is_file() and path.stat().st_size > 0 and begins(path, BEGINNING)


def campaigns_of(path: Path) -> list[Campaign]:
    """The campaigns of a campaign file or a fleet file. Raises :class:`UserError`."""
    return load(path).campaigns if is_fleet(path) else [store.load(path)]


def load(path: Path) -> Fleet:
    """Read a fleet file. Raises :class:`UserError` when it is missing, damaged or too new."""
    try:
        body = msgspec.json.decode(path.read_bytes())
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UserError(f"{path} is damaged: {problem}", "measure again, or repair it by hand") from problem
    found = body.get("schema") if isinstance(body, dict) else None
    if found != VERSION or not isinstance(body.get("campaigns"), list):
        raise UserError(f"{path} is of schema {found}; this WhichPU reads {VERSION}", "upgrade WhichPU")
    return Fleet(campaigns=[store.checked(campaign, path) for campaign in body["campaigns"]])


def name_of(campaign: Campaign) -> str:
    """What a campaign's machine is called."""
    return campaign.board or HERE


def sha256_of(file_sha256: str, campaign: Campaign) -> str:
    """A hash of its own for each campaign of a file."""
    return hashlib.sha256(f"{file_sha256} {name_of(campaign)}".encode()).hexdigest()


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a fleet file."""
    schema = msgspec.json.schema(Fleet)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}
