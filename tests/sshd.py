"""A real OpenSSH server on loopback, with keys, a port and a home of its own; and a far side without one."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

WAIT_S = 20.0
"""Far more than anything here takes."""
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PidFile {folder}/sshd.pid
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv HOME={home} TMPDIR={tmp}
"""
USER_CONFIG = """\
Host *
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  GlobalKnownHostsFile /dev/null
"""
NO_SSHD = """\
#!/bin/sh
for words; do :; done
exec env -i PATH="$PATH" HOME="{home}" TMPDIR="{tmp}" sh -c "$words"
"""
"""In place of ``ssh``: what is to run on the board runs here."""


class Far:
    """A board's side of the link: all that a campaign may leave there lies below ``root``, also what is left in /tmp.

    Its home is its own, by which all that runs there is known.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "far"
        self.home, self.tmp = self.root / "home", self.root / "tmp"
        self.home.mkdir(parents=True)
        self.tmp.mkdir()
        self.lock = self.root / "lock"
        self.ours = self.home / ".cache" / "whichpu-board"
        (self.home / ".profile").write_text("")

    def files(self) -> dict[str, int]:
        """Every path and when it was written last; of folders that they are there."""
        paths = list(self.root.rglob("*"))
        return {str(path): 0 if path.is_dir() else path.lstat().st_mtime_ns for path in paths}

    def processes(self) -> list[psutil.Process]:
        """All that runs there, by its home."""
        return [process for process in psutil.process_iter() if _environ(process).get("HOME") == str(self.home)]

    def keepers(self) -> list[psutil.Process]:
        return [process for process in self.processes() if "--keep" in process.cmdline()]

    def workers(self, of: str = "") -> list[psutil.Process]:
        """Workers by what they are for: a contender's name, or ``the watcher``."""
        return [one for one in self.processes() if of in (_environ(one).get("WHICHPU_WORKER") or "-")]

    def is_left_as(self, before: dict[str, int]) -> None:
        """Fails unless nothing runs there any more, and all files are those of before."""
        until(lambda: not self.processes(), f"they still run: {[one.cmdline()[:3] for one in self.processes()]}")
        assert self.files() == before


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:  # it ended meanwhile, or is another user's
        return {}


def until(holds: Callable[[], object], what: object = "it did not come to be", seconds: float = WAIT_S) -> None:
    """Wait for something; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.03)


class Sshd:
    """``entry`` is the text of the board's table in ``whichpu.toml``."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self.program = folder, program
        self.far = Far(folder)
        self.user_config = folder / "ssh_config"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("host", "user"):
            self.make_key(name)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self.trust()
        facts = {"folder": folder, "port": self.port, "home": self.far.home, "tmp": self.far.tmp}
        (folder / "sshd_config").write_text(CONFIG.format(**facts))
        self.user_config.write_text(USER_CONFIG.format(**facts, user=getpass.getuser()))
        self.start()

    def make_key(self, name: str) -> None:
        """A new key pair, in place of what is there."""
        (self.folder / name).unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(words, check=True, capture_output=True)

    def trust(self) -> None:
        """Make its host key known."""
        key = (self.folder / "host.pub").read_text()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}")

    def start(self) -> None:
        """Listen."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [self.program, "-D", "-e", "-f", str(self.folder / "sshd_config")], stdout=log, stderr=log
        )
        log.close()
        until(self._listens, f"sshd does not listen: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """Listen no more; what is connected stays."""
        self.process.terminate()
        self.process.wait()

    def connections(self) -> list[psutil.Process]:
        """The server's processes that serve a connection."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "sshd" in child.name()]

    def cut(self) -> int:
        """End all connections as a crash would; how many processes that took."""
        ended = self.connections()
        for process in ended:
            process.kill()
        return len(ended)

    def close(self) -> None:
        self.cut()
        self.process.kill()
        self.process.wait()

    def table(self, interpreter: object, name: str = "pi5", **more: object) -> str:
        """A board's table; ``more`` are TOML texts."""
        keys = {
            "host": '"board"',
            "python": f'"{interpreter}"',
            "ssh": f'["-F", "{self.user_config}"]',
            "lock": f'"{self.far.lock}"',
            "patience_s": 5,
        }
        return f"[boards.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in {**keys, **more}.items())

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def server() -> str:
    """The program; skips where there is none, or it can't run."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("there is no OpenSSH server here: install openssh-server")
    if os.getuid() == 0:
        try:
            Path("/run/sshd").mkdir(exist_ok=True)
        except OSError as problem:
            pytest.skip(f"sshd run by root needs /run/sshd: {problem.strerror}")
    return program


def served(folder: Path) -> Iterator[Sshd]:
    """A server for a test or a module; for use in a fixture."""
    sshd = Sshd(folder, server())
    try:
        yield sshd
    finally:
        sshd.close()


def without_sshd(folder: Path) -> Far:
    """A far side whose ``ssh`` is ``folder/bin/ssh``."""
    far = Far(folder)
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(NO_SSHD.format(home=far.home, tmp=far.tmp))
    program.chmod(0o755)
    return far
