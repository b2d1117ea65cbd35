"""Two kinds of trouble: the user's (exit 1, a sentence) and ours (exit 3, a log ready to paste)."""

from __future__ import annotations

EXIT_OK = 0
EXIT_USER = 1
EXIT_CHECK = 2
EXIT_BUG = 3
EXIT_INTERRUPTED = 130
"""128 + SIGINT, what a shell expects after Ctrl-C."""


class UserError(Exception):
    """What happened, where, and what to try; shown without a traceback.

    ``remedy`` is one command or one thing to do. ``kept`` names what was saved before it happened. ``status`` is the
    exit code.
    """

    status = EXIT_USER

    def __init__(self, message: str, remedy: str | None = None, kept: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.kept = kept


class FellBack(UserError):
    """Everything would run on another unit than the one asked for, and ``--fail-on-fallback`` forbids that."""

    status = EXIT_CHECK


class ConversionError(UserError):
    """The vendor's converter could not make the form a runtime needs; the message carries its words."""
