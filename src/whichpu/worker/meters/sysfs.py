"""What meters of kernel files have in common: the first reading, which shows what a sensor is worth."""

from __future__ import annotations

import collections
import errno
import os
import re
from typing import Callable, Dict, List, Optional, Union

from .. import wire
from . import Channel, Found, Gone

Sensor = Union[Channel, wire.Missing]


def first_read(channel: Channel, alive: Optional[Callable[[int], bool]] = None) -> Sensor:
    """The channel, if it can be read and its sensor is ``alive``; else why not.

    What is not alive prints 0 for ever: a counter of a domain that the chip doesn't have, a rail without voltage.
    """
    facts = channel.facts
    try:
        value = channel.read() or 0
    except PermissionError as problem:
        if problem.errno == errno.EACCES:
            return not_permitted(facts.meter, facts.quantity, facts.name, [facts.sensor])
        # A driver's own EPERM: amdgpu answers so while the GPU sleeps.
        return missing(facts, "broken", "its driver refuses to read it now (%s)" % problem.strerror)
    except OSError as problem:
        return missing(facts, "broken", "it can't be read: %s" % (problem.strerror or problem))
    except Gone as problem:
        return missing(facts, "broken", str(problem))
    if not (alive or bool)(value):
        return missing(facts, "broken", "it prints 0, and nothing shows that it measures anything")
    return channel


def only_whole(found: Found, members: Dict[str, int]) -> Found:
    """The same, where sums are told only if all their ``members`` can be read: a part is not the whole."""
    channels = [one for one in found if isinstance(one, Channel)]
    here = collections.Counter(one.facts.sums_to for one in channels)
    for facts in (one.facts for one in channels):
        total = facts.sums_to
        if total is not None and here[total] < members[total]:
            facts.sums_to = None
            facts.covers = "1 of %d %s: %s" % (members[total], total, facts.covers)
    return found


def missing(facts: wire.Channel, kind: str, says: str) -> wire.Missing:
    """One sensor that gives nothing."""
    return wire.Missing(facts.meter, facts.quantity, kind, "%s: %s" % (facts.name, says))


def not_permitted(meter: str, quantity: str, name: str, paths: List[str]) -> wire.Missing:
    """Files that this user may not read; the remedy hands them to this user alone, until the next boot."""
    says = "%s: this user may not read it (%s)" % (name, paths[0])
    return wire.Missing(meter, quantity, "not-permitted", says, 'sudo chown "$USER" %s' % " ".join(paths))


def entries(path: str, pattern: str) -> List[str]:
    """Names in a folder that match, in the order of their numbers; none where there is no such folder."""
    try:
        names = [name for name in os.listdir(path) if re.match(pattern + "$", name)]
    except OSError:
        return []
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
