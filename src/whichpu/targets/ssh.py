"""One connection to a board by the system's own OpenSSH: the user's config, keys and known hosts.

Host keys are always checked, whatever the config says, and nothing is asked: no password, no yes or no.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

import msgspec

from whichpu.errors import UserError
from whichpu.targets import bundle
from whichpu.targets.inventory import BoardEntry

OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "30",
    "ServerAliveCountMax": "4",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "LogLevel": "INFO",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}
"""What holds over the user's config. A dead link is seen after two minutes; more often would wake the board.

A connection that is shared (ControlPath) may have been made without a look at the host key.
"""

PIECE = 1 << 20
SSH_FAILED = 255
"""ssh's own exit status; others are those of what ran on the board."""
START_S = 120.0
"""How long a board may take until its keeper speaks."""

BOOT = """\
import base64, sys
if sys.version_info < (3, 8):
    sys.stdout.write('\\n{"old": "%d.%d"}\\n' % sys.version_info[:2])
else:
    exec(base64.b64decode("SESSION").decode())
    boot(json.loads(base64.b64decode("ASKED").decode()))
"""
"""The first words to a board's Python, whatever its version: take the worker, and become the keeper."""


class LostLink(Exception):
    """The connection to a board ended, or the board is silent. What was measured before is whole."""


class Connection:
    """Messages to and from one board's keeper. Every method raises :class:`LostLink` when the link is gone."""

    def __init__(self, name: str, entry: BoardEntry, session: str, instead: Sequence[str] = ()) -> None:
        """Connect and start the keeper. ``instead`` are sessions of ours that were lost, and may not know it yet.

        Raises :class:`UserError` where that can't be.
        """
        self.name, self.entry = name, entry
        self.unread = b""
        program = shutil.which("ssh")
        if program is None:
            raise UserError("there is no ssh here, by which boards are reached", "install OpenSSH's client")
        self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the connection
        self.process = self._started(program, session, instead)
        try:
            self.hello = self._booted()
        except BaseException:
            self.close(0.0)
            raise

    def say(self, message: dict[str, Any], raw: IO[bytes] | None = None) -> None:
        """Send one message, and as many bytes of a file behind it as it says."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            left = message["bytes"] if raw is not None else 0
            while left and raw is not None:  # a file that became shorter meanwhile is a damaged one
                piece = raw.read(min(left, PIECE)) or bytes(min(left, PIECE))
                self.process.stdin.write(piece)
                left -= len(piece)
            self.process.stdin.flush()
        except OSError:
            raise self._lost() from None

    def hear(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; ``None`` when there is none in time."""
        line = self._line(time.monotonic() + timeout_s)
        try:
            return None if line is None else msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            raise LostLink(f"the link to {self.name} was lost: it brought {line!r:.60}") from None

    def take(self, size: int, file: IO[bytes], timeout_s: float) -> None:
        """The raw bytes behind a message, into a file. ``timeout_s`` is how long the board may be silent."""
        while size:
            if not self.unread and not self._more(timeout_s):
                raise self._lost()
            piece, self.unread = self.unread[:size], self.unread[size:]
            file.write(piece)
            size -= len(piece)

    def close(self, patience_s: float = 20.0) -> None:
        """End the link; the keeper takes everything away meanwhile, so give it time."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.close()
        except OSError:
            pass
        deadline = time.monotonic() + patience_s
        try:
            while patience_s and self._line(deadline) is not None:  # what it still has to say is read
                pass
        except (LostLink, UserError, OSError):  # which is the end of it
            pass
        try:
            self.process.wait(max(0.5, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.stderr.close()

    # ------------------------------------------------------------ parts

    def _started(self, program: str, session: str, instead: Sequence[str]) -> subprocess.Popen[bytes]:
        options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
        worker = bundle.archive().read_bytes()
        asked = {
            "folder": self.entry.folder,
            "worker": bundle.archive().name,
            "bytes": len(worker),
            "sha256": hashlib.sha256(worker).hexdigest(),
            "session": session,
            "instead": list(instead),
            "keep": self.entry.keep,
        }
        return subprocess.Popen(
            [program, "-T", *options, *self.entry.ssh, "--", self.entry.host, _command(self.entry.python, asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            start_new_session=True,  # Ctrl-C reaches the host alone, which then ends the link
        )

    def _booted(self) -> dict[str, Any]:
        boot = self._json(lambda body: {"have", "old", "failed"} & body.keys())
        if "old" in boot:
            raise UserError(
                f"{self.name}: {self.entry.python} is Python {boot['old']}, and the worker needs 3.8 or newer",
                f"install a newer Python on the board, and name it with python = in [boards.{self.name}]",
            )
        if "failed" not in boot and not boot["have"]:
            try:
                assert self.process.stdin is not None
                self.process.stdin.write(bundle.archive().read_bytes())
                self.process.stdin.flush()
            except OSError:
                raise self._lost() from None
        told = boot if "failed" in boot else self._json(lambda body: {"hello", "failed"} & body.keys())
        if "failed" in told:
            raise UserError(
                f"{self.name}: nothing can be kept in {told['folder']}: {told['failed']}",
                f"free some space there, or name another place with folder = in [boards.{self.name}]",
            )
        return dict(told["hello"])

    def _json(self, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first line that is what is wanted: shells may greet before."""
        deadline = time.monotonic() + START_S
        while True:
            line = self._line(deadline)
            if line is None:
                raise UserError(f"{self.name} did not answer within {START_S:g} s", f"ssh {self.entry.host}, by hand")
            try:
                body = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(body, dict) and wanted(body):
                return body

    def _line(self, deadline: float) -> bytes | None:
        while b"\n" not in self.unread:
            if not self._more(deadline - time.monotonic()):
                return None
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _more(self, timeout_s: float) -> bool:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], max(0.0, timeout_s))[0]:
            return False
        piece = os.read(self.process.stdout.fileno(), PIECE)
        if not piece:
            raise self._lost()
        self.unread += piece
        return True

    def _lost(self) -> Exception:
        """Why it ended: what ssh says is the user's to mend, unless the link had stood."""
        try:
            status = self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            status = None
        words = self._words()
        if not hasattr(self, "hello"):
            return refusal(self.name, self.entry, status, words)
        last = words.strip().splitlines()[-1:]
        return LostLink(f"the link to {self.name} was lost" + (f": {last[0]}" if last else ""))

    def _words(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")


def refusal(name: str, entry: BoardEntry, status: int | None, words: str) -> UserError:
    """Why no link came to be, from what ssh, or the board's shell, says."""
    host = entry.host
    for says, message, remedy in (
        (
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            f"{name}: the host key of {host} is not the one you know, so nothing was sent",
            f"if the board was set up anew, forget the old key (ssh-keygen -R), then compare the new one: ssh {host}",
        ),
        (
            "Host key verification failed",
            f"{name}: the host key of {host} is not known yet",
            f"connect once by hand and compare its fingerprint: ssh {host}",
        ),
        ("Permission denied", f"{name}: {host} takes none of your keys", f"bring yours there: ssh-copy-id {host}"),
        (
            "ould not resolve",
            f"{name}: no host is called {host}",
            "see the name in whichpu.toml and in your ssh config",
        ),
        ("onnection refused", f"{name}: {host} takes no SSH connections", "start sshd on the board, or give its port"),
    ):
        if says in words:
            return UserError(message, remedy)
    last = (words.strip().splitlines() or ["no word"])[-1]
    if status in (126, 127):
        return UserError(
            f"{name}: {entry.python} does not start there: {last}", f"name its Python with python = in [boards.{name}]"
        )
    if status not in (None, SSH_FAILED):
        return UserError(f"{name}: {entry.python} fails there: {last}", f"ssh {host} {entry.python}, by hand")
    return UserError(f"{name}: can't connect to {host}: {last}", f"ssh {host}, by hand")


def _command(python: str, asked: dict[str, Any]) -> str:
    """What the board's shell, whichever it is, is to run: ``python`` is an interpreter, or its environment."""
    session = base64.b64encode((bundle.WORKER / "session.py").read_bytes()).decode()
    code = BOOT.replace("SESSION", session).replace("ASKED", base64.b64encode(json.dumps(asked).encode()).decode())
    packed = base64.b64encode(code.encode()).decode()
    path = f'"$HOME"/{shlex.quote(python[2:])}' if python.startswith("~/") else shlex.quote(python)
    words = shlex.quote(f'import base64;exec(base64.b64decode("{packed}"))')
    script = f'p={path}; test -d "$p" && p="$p/bin/python"; exec "$p" -c {words}'
    return f"exec sh -c {shlex.quote(script)}"
