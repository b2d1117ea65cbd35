"""What can be said: messages by id, in English. Other languages are in the catalogues of ``whichpu/locale``.

A field names how it is shown: ``{ratio:ratio}`` (three significant digits), ``{time:figure}`` (``[value, unit]`` or
``[value, unit, step]`` in base units), ``{share:percent}``, ``{key:metric}``, ``{keys:metrics}``, ``{names:list}``,
``{count:number}``; and in Korean which particle follows: ``{contender:은/는}``, ``{names:list,이/가}``.
"""

from __future__ import annotations

MESSAGES: dict[str, str] = {}


def said(id: str, english: str) -> None:
    """Add a message. Babel extracts these calls; the id is the message's context."""
    assert id not in MESSAGES, id
    MESSAGES[id] = english
