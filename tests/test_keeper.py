"""The keeper and the board without an SSH server: in place of ``ssh``, what is to run on the board runs here."""

import fcntl
import hashlib
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from sshd import Far, until, without_sshd

from whichpu.errors import UserError
from whichpu.results.linked import linked_doubts
from whichpu.targets import bundle, ssh
from whichpu.targets.board import Board, Refused
from whichpu.targets.inventory import BoardEntry
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.ssh import LostLink
from whichpu.worker import keep, wire
from whichpu.worker.session import OURS, Session


@pytest.fixture
def far(tmp_path, monkeypatch) -> Far:
    far = without_sshd(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    yield far
    for process in far.processes():
        process.kill()


def board_of(far: Far, name: str = "pi5", **more) -> Board:
    entry = BoardEntry(host="board", **{"python": sys.executable, "lock": str(far.lock), "patience_s": 1.0, **more})
    board = Board(name, entry, [].append)
    board.said = []
    board.tell = board.said.append
    return board


@pytest.fixture
def board(far):
    with board_of(far) as board:
        board.connect()
        yield board


def file_of(folder: Path, size: int = 1000, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


# ---------------------------------------------------------------- the folder


def test_all_that_was_made_is_taken_away_and_nothing_else(far, tmp_path):
    for folder in ("~/.cache", "~/new/deep", "~"):
        before = far.files()
        with board_of(far, folder=folder) as board:
            board.connect()
            board.send([("net.onnx", file_of(tmp_path))])
            assert far.files() != before
        far.is_left_as(before)


def test_a_folder_of_the_users_own_keeps_what_is_in_it(far, tmp_path):
    for name in ("store/mine.txt", "sessions/mine.txt", "worker-1.pyz", ".made"):
        (far.home / name).parent.mkdir(exist_ok=True)
        (far.home / name).write_text("the user's")
    before = far.files()
    with board_of(far, folder="~") as board:
        board.connect()
        board.send([("net.onnx", file_of(tmp_path))])
    far.is_left_as(before)


def test_what_is_kept_is_the_store_and_the_worker_alone(far, tmp_path):
    path = file_of(tmp_path)
    before: list[int] = []
    for turn in range(2):
        with board_of(far, keep=True) as board:
            board.connect()
            where = Path(board.send([("net.onnx", path)]))
            times = [(where / "net.onnx").stat().st_mtime_ns, *(one.stat().st_mtime_ns for one in far.ours.glob("w*"))]
            assert turn == 0 or times == before, "sent a second time"
            before = times
    assert sorted(one.name for one in far.ours.iterdir()) == [
        ".lock",
        ".made",
        "sessions",
        "store",
        bundle.archive().name,
    ]
    assert not list((far.ours / "sessions").iterdir())
    assert not far.lock.exists()
    with board_of(far, keep=False) as board:
        board.connect()
    assert not (far.home / ".cache").exists()


def test_one_of_two_campaigns_leaves_and_the_other_keeps_all(far, tmp_path):
    path = file_of(tmp_path)
    with board_of(far, lock=str(far.root / "b")) as other:
        other.connect()
        with board_of(far) as board:
            board.connect()
            where = Path(board.send([("net.onnx", path)]))
        assert (where / "net.onnx").is_file()
        assert other._ask("have", sha256=where.name)
    assert not far.ours.exists()


def test_campaigns_that_come_and_go_at_once_do_not_take_away_each_others_worker(far):
    troubles = []

    def visit(number):
        try:
            for _ in range(3):
                with board_of(far, lock=str(far.root / f"lock{number}")) as board:
                    board.connect()
        except Exception as problem:
            troubles.append(problem)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert not (far.home / ".cache").exists()


def test_what_the_dead_left_is_taken_away_by_the_next(far, tmp_path):
    before = far.files()
    board = board_of(far)
    board.connect()
    board.send([("net.onnx", file_of(tmp_path))])
    far.keepers()[0].kill()
    with pytest.raises(LostLink, match="the link to pi5 was lost"):
        board.clock()
    board.close()
    assert list((far.ours / "sessions").iterdir())
    with board_of(far) as board:  # the kernel has freed the lock
        board.connect()
        assert len(list((far.ours / "sessions").iterdir())) == 1
    far.is_left_as(before)


def test_a_worker_that_was_cut_short_is_sent_anew(far):
    with board_of(far, keep=True) as board:
        board.connect()
    worker = far.ours / bundle.archive().name
    worker.write_bytes(bytes(worker.stat().st_size))
    with board_of(far) as board:
        board.connect()
        assert worker.read_bytes() == bundle.archive().read_bytes()


def test_a_folder_that_cannot_be_written_is_one_sentence(far):
    before = far.files()
    for folder in ("/proc/whichpu/deep", "/dev/null/deep"):
        with (
            board_of(far, folder=folder) as board,
            pytest.raises(UserError, match=f"kept in {folder}/{OURS}: ") as told,
        ):
            board.connect()
        assert "folder =" in told.value.remedy
        far.is_left_as(before)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_not_trusted(far):
    (far.root / OURS).mkdir()
    os.chown(far.root / OURS, 12345, 12345)
    before = far.files()
    with board_of(far, folder=str(far.root)) as board, pytest.raises(UserError, match="belongs to another user"):
        board.connect()
    far.is_left_as(before)


# ---------------------------------------------------------------- files


def test_half_a_model_is_never_taken_for_a_whole_one(far, tmp_path, monkeypatch):
    path = file_of(tmp_path, 3 << 20)
    board = board_of(far, keep=True)
    board.connect()
    session = far.ours / "sessions" / board.sessions[0]
    asked = {"id": 1, **PUT, "sha256": "a" * 64, "bytes": 3 << 20}
    board.link.process.stdin.write(json.dumps(asked).encode() + b"\n" + path.read_bytes()[: 2 << 20])
    board.link.process.stdin.flush()
    until(lambda: (session / ("a" * 64) / "net.onnx").exists())
    board.link.process.stdin.close()  # in mid-put
    until(lambda: not far.processes())
    board.close()
    assert not session.exists()
    assert not (far.ours / "store").exists()


def test_a_file_that_arrives_damaged_is_refused_and_the_link_goes_on(board, tmp_path, monkeypatch):
    monkeypatch.setattr("whichpu.targets.board._hash", lambda path: "0" * 64)
    with pytest.raises(Refused, match=r"net.onnx arrived damaged"):
        board.send([("net.onnx", file_of(tmp_path, 3 << 20))])
    monkeypatch.undo()
    board.hashes.clear()
    folder = Path(board.send([("net.onnx", tmp_path / "net.onnx")]))
    assert (folder / "net.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()


def test_a_file_that_shrinks_while_it_is_sent_does_not_upset_the_link(board, tmp_path):
    path = file_of(tmp_path, 1000)
    hashed = {"sha256": "b" * 64, "name": "net.onnx", "file_sha256": "0" * 64, "whole": True}
    with path.open("rb") as file, pytest.raises(Refused, match="damaged"):
        board._ask("put", raw=file, bytes=5000, **hashed)
    board.clock()


def test_a_name_that_leads_out_of_the_folder_is_refused(board, far, tmp_path):
    file_of(tmp_path, name="x")
    with pytest.raises(Refused, match="leads out"):
        board.send([("../../../x", tmp_path / "x")])
    board.clock()


def test_files_in_folders_go_with_their_names_and_empty_ones_too(board, tmp_path):
    (tmp_path / "model.mlpackage" / "Data").mkdir(parents=True)
    (tmp_path / "model.mlpackage" / "Data" / "weights.bin").write_bytes(b"w" * 10)
    (tmp_path / "model.mlpackage" / "Manifest.json").write_bytes(b"")
    names = ("model.mlpackage/Data/weights.bin", "model.mlpackage/Manifest.json")
    job = wire.Open("null", "cpu", str(tmp_path / "model.mlpackage"), "coreml", "fp32")
    job.beside = list(names)
    with board.start() as link:
        there = Path(link.process.carry(job).model)
    assert (there / "Data" / "weights.bin").read_bytes() == b"w" * 10
    assert (there / "Manifest.json").read_bytes() == b""


def test_inputs_that_are_used_once_leave_the_board_in_mid_campaign(far, tmp_path):
    with board_of(far, keep=True) as board:
        board.connect()
        folder = Path(board.send([("in.npz", file_of(tmp_path, name="in.npz"))], passing=True))
        assert (folder / "in.npz").is_file()
        board.remove(str(folder))
        assert not folder.exists()
        board.send([("in.npz", tmp_path / "in.npz")], passing=True)
    assert not (far.ours / "store").exists()


def test_a_file_that_no_worker_wrote_is_a_workers_trouble(board, tmp_path):
    with pytest.raises(WorkerTrouble, match="No such file"):
        board.fetch("nothing", tmp_path / "nothing")
    board.clock()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(far, tmp_path):
    small = far.root / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=72m", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        before = far.files()
        with board_of(far, folder=str(small)) as board:
            board.connect()
            with pytest.raises(
                WorkerTrouble, match=r"the board has \d+ MB free in .*, and 21 MB are to be sent"
            ) as told:
                board.send([("net.onnx", file_of(tmp_path, 20 << 20))])
            assert "free some space" in told.value.remedy
            board.clock()
        far.is_left_as(before)
        (small / "full").write_bytes(bytes(68 << 20))
        before = far.files()
        with board_of(far, folder=str(small)) as board, pytest.raises(UserError, match="No space left on device"):
            board.connect()
        far.is_left_as(before)
    finally:
        subprocess.run(["umount", small], check=True)


class Pipes:
    """A keeper in this process, for what a real disk doesn't do when it is asked to."""

    def __init__(self, folder: Path) -> None:
        theirs, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        session = Session(str(folder), "one", False)
        session.enter()
        self.keeper = keep.Keeper(session, theirs, answers)

    def ask(self, raw: bytes = b"", **asked) -> dict:
        os.write(self.requests, json.dumps({"id": 1, **asked}).encode() + b"\n" + raw)
        self.keeper._hear()
        return json.loads(os.read(self.answers, 1 << 16))


@pytest.fixture
def pipes(tmp_path):
    pipes = Pipes(tmp_path)
    yield pipes
    pipes.keeper.leave()


PUT = {"do": "put", "sha256": "c" * 64, "name": "net.onnx", "bytes": 3, "file_sha256": "", "whole": True}


def test_a_disk_that_fills_in_mid_put(pipes, monkeypatch):
    def full(self, file, asked):
        self._raw()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keep.Keeper, "_receive", full)
    told = pipes.ask(b"abc", **PUT)
    assert told["failed"].startswith("the board ran out of space in ")
    assert not list(Path(pipes.keeper.own).glob("c*"))
    assert "clock_ns" in pipes.ask(do="clock")["done"]


def test_a_board_without_room_says_how_much_there_is(pipes, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=60_000_000))
    told = pipes.ask(b"abc", **PUT)
    assert "the board has 60 MB free" in told["failed"]
    assert "folder =" in told["remedy"]


def test_two_sessions_that_bring_one_content_at_once(pipes, tmp_path):
    other = Session(str(tmp_path), "two", False)
    other.enter()
    Path(other.store, "c" * 64).mkdir(parents=True)
    Path(other.store, "c" * 64, "net.onnx").write_bytes(b"abc")
    told = pipes.ask(b"abc", **{**PUT, "file_sha256": hashlib.sha256(b"abc").hexdigest()})
    assert "failed" not in told
    other.leave()


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_keeper_that_is_told_to_end_takes_all_away(far, tmp_path, number):
    before = far.files()
    board = board_of(far)
    board.connect()
    board.send([("net.onnx", file_of(tmp_path))])
    board.start()
    for _ in range(2):
        far.keepers()[0].send_signal(number)
    far.is_left_as(before)
    with pytest.raises(LostLink):
        board.clock()


def test_a_worker_does_not_outlive_a_killed_keeper_not_even_a_frozen_one(far):
    board = board_of(far)
    board.connect()
    link = board.start()
    link.freeze()
    far.keepers()[0].kill()
    until(lambda: not far.processes())
    board.close()


@pytest.mark.parametrize("garbage", [b"\n", b"{}\n", b"\xff\xfe\n", b'{"do": "nothing", "id": 1}\n', b"[1]\n"])
def test_garbage_from_the_host_ends_the_keeper_and_leaves_nothing(far, garbage):
    before = far.files()
    board = board_of(far)
    board.connect()
    board.link.process.stdin.write(garbage)
    board.link.process.stdin.flush()
    far.is_left_as(before)
    board.close()


def test_garbage_from_the_board_is_a_lost_link(board, monkeypatch):
    board.link.unread = b"Segmentation fault\n"
    with pytest.raises(LostLink, match="it brought b'Segmentation fault'"):
        board.clock()


def test_a_host_that_is_silent_for_too_long_is_taken_for_gone(pipes, monkeypatch):
    pipes.keeper.deadline = time.monotonic() + 0.05
    pipes.keeper.serve()  # comes back


def test_a_request_may_say_that_it_takes_longer(pipes):
    pipes.ask(do="clock", patience_s=1e6)
    assert pipes.keeper.deadline > time.monotonic() + 1e6


def test_ctrl_c_in_mid_message_ends_the_link_at_once(far, tmp_path, monkeypatch):
    before = far.files()
    board = board_of(far)
    board.connect()

    class Interrupting:
        def read(self, size):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board._ask("put", raw=Interrupting(), sha256="d" * 64, name="x", bytes=100, file_sha256="", whole=True)
    far.is_left_as(before)
    with pytest.raises(LostLink):
        board.clock()
    with pytest.raises(KeyboardInterrupt):  # not a link to take up again
        board.recover(LostLink("lost"))


def test_a_link_that_died_without_a_word_does_not_hold_the_board_against_us(far):
    """A cut cable: the board's side sees nothing of it for an hour."""
    board = board_of(far)
    board.connect()
    board.start().freeze()
    old, link = far.keepers()[0], board.link
    board.link = None  # what its ssh says does not come here; the keeper still has it
    began = time.monotonic()
    board.recover(LostLink("the link to pi5 was lost"))
    assert time.monotonic() - began < 10.0
    assert board.waited_s < 5.0
    assert not old.is_running() or old.status() == "zombie"
    assert len(far.keepers()) == 1
    assert not any("in use" in words for words in board.said)
    link.close(0.0)
    board.close()


def test_a_board_that_does_not_come_back(far, board):
    far.keepers()[0].kill()
    with pytest.raises(LostLink) as lost:
        board.clock()
    board.entry = BoardEntry(host="board", python="/nowhere/python", patience_s=0.0)
    with pytest.raises(UserError, match=r"the link to pi5 was lost, and did not come back in 0 s: .*does not start"):
        board.recover(lost.value)


# ---------------------------------------------------------------- the lock


def taking(board: Board) -> threading.Thread:
    """Connect in a thread; what it raises is among what the board said."""

    def take() -> None:
        try:
            board.connect()
        except UserError as problem:
            board.said.append(str(problem))

    thread = threading.Thread(target=take)
    thread.start()
    return thread


def test_a_board_in_use_is_waited_for_and_whoever_has_it_is_named(far):
    first, second = board_of(far), board_of(far)
    first.purpose = "measures gru.onnx"
    first.connect()
    thread = taking(second)
    until(lambda: any("in use by" in words for words in second.said))
    assert "measures gru.onnx; waiting for it" in second.said[-1]
    assert thread.is_alive()
    first.close()
    thread.join(10)
    assert not thread.is_alive()
    assert second.waited_s > 0.0
    second.close()
    assert not far.lock.exists()


def test_the_lock_of_a_killed_keeper_is_free_at_once(far):
    first, second = board_of(far), board_of(far)
    first.connect()
    thread = taking(second)
    until(lambda: any("in use by" in words for words in second.said))
    next(one for one in far.keepers() if one.pid == first.own()[0]).kill()
    thread.join(10)
    assert not thread.is_alive()
    first.close()
    second.close()
    assert not (far.home / ".cache").exists()


def test_who_waits_and_is_gone_leaves_nothing_and_takes_nothing(far):
    before = far.files()
    first, second, third = board_of(far), board_of(far), board_of(far)
    first.connect()
    waiting = taking(second)
    until(lambda: any("in use by" in words for words in second.said))
    last = taking(third)
    until(lambda: any("in use by" in words for words in third.said))
    second.link.process.stdin.close()
    waiting.join(10)
    until(lambda: len(far.keepers()) == 2)
    first.close()
    last.join(10)
    assert not last.is_alive()
    third.close()
    far.is_left_as(before)


def test_a_lock_that_was_taken_away_is_not_the_lock(far):
    first, second = board_of(far), board_of(far)
    first.connect()
    far.lock.unlink()  # a cleaner of /tmp
    second.connect()
    first.close()
    assert far.lock.exists(), "it is the second's"
    second.close()


def test_many_that_want_a_board_have_it_one_after_the_other(far):
    had, troubles = [], []

    def have(number):
        try:
            with board_of(far) as board:
                board.connect()
                began = time.monotonic_ns()
                time.sleep(0.02)
                had.append((began, time.monotonic_ns()))
        except Exception as problem:
            troubles.append(problem)

    threads = [threading.Thread(target=have, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    had.sort()
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(had))
    assert len(had) == 5


def test_a_lock_file_of_another_user_is_as_good(far):
    far.lock.write_text("somebody's")
    far.lock.chmod(0o444)
    if os.getuid() == 0:
        os.chown(far.lock, 12345, 12345)
    with far.lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        board = board_of(far)
        thread = taking(board)
        until(lambda: any("in use by somebody's" in words for words in board.said))
    thread.join(10)
    assert not thread.is_alive()
    board.close()


@pytest.mark.parametrize("lock", ["/proc/lock", "/", "/nowhere/lock"])
def test_a_lock_that_cannot_be_taken_is_one_sentence(far, lock):
    before = far.files()
    with board_of(far, lock=lock) as board, pytest.raises(UserError, match=f"the lock {lock} can't be taken") as told:
        board.connect()
    assert "lock =" in told.value.remedy
    far.is_left_as(before)


# ---------------------------------------------------------------- workers


def test_a_frozen_worker_uses_no_cpu(board, far):
    with board.start(where="one") as link:
        job = wire.Open("null", "cpu", "", "onnx", "fp32")
        job.options = {"delay": "1ms"}
        link.ask(job, wire.Opened)
        link.freeze()
        worker = next(one for one in far.processes() if one.pid == link.pid)
        spent = sum(worker.cpu_times()[:2])
        link.send(wire.Warm())
        time.sleep(0.2)
        assert sum(worker.cpu_times()[:2]) == spent
        link.thaw()


def test_a_hung_worker_is_no_lost_link(board):
    with board.start(where="slow") as link:
        job = wire.Open("null", "cpu", "", "onnx", "fp32")
        link.freeze()
        link.frozen = False
        with pytest.raises(WorkerTrouble, match=r"slow gave no answer within 0\.2 s") as told:
            link.ask(job, wire.Opened, 0.2)
    assert told.value.kind == "hung"
    board.clock()


def test_a_crash_tells_its_last_words(board, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif '--keep' not in sys.argv:\n    os.write(2, b'no such device\\n')\n    os.abort()\n"
    )
    board.entry.env["PYTHONPATH"] = str(tmp_path)
    with pytest.raises(WorkerTrouble, match=r"killed by SIGABRT .* its last words: no such device") as told:
        board.start(where="one")
    assert told.value.kind == "crashed"
    board.clock()


def test_a_library_that_prints_does_not_upset_the_wire(board, tmp_path):
    words = (
        "import os, sys\nif '--keep' not in sys.argv:\n    print('Vendor 1.0', end='')\n    os.write(1, b'{}[]\\n')\n"
    )
    (tmp_path / "sitecustomize.py").write_text(words)
    board.entry.env["PYTHONPATH"] = str(tmp_path)
    with board.start() as link:
        assert link.hello.protocol == wire.PROTOCOL


def test_an_interpreter_that_is_not_there_is_refused_and_the_board_goes_on(board):
    with pytest.raises(WorkerTrouble, match="pi5: /nowhere/python does not start: No such file"):
        board.start("/nowhere/python")
    board.clock()


def test_an_environments_folder_names_its_interpreter(far):
    with board_of(far, python=str(Path(sys.executable).parent.parent)) as board:
        board.connect()
        with board.start(str(Path(sys.executable).parent.parent)) as link:
            assert link.hello.protocol == wire.PROTOCOL


def test_a_home_is_the_boards(far):
    (far.home / "it's a venv" / "bin").mkdir(parents=True)
    (far.home / "it's a venv" / "bin" / "python").symlink_to(sys.executable)
    for python in ("~/it's a venv", "~/it's a venv/bin/python"):
        with board_of(far, python=python) as board:
            board.connect()
            board.start(python).close()


def test_a_worker_without_numpy_says_so(board, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    with pytest.raises(WorkerTrouble, match="has no NumPy, which the worker needs") as told:
        board.start(str(tmp_path / "bare"))
    assert "-m pip install numpy" in told.value.remedy


@pytest.mark.parametrize("version", ["2.7.18", "3.6.15", "3.7.16"])
def test_a_python_that_is_too_old_is_one_sentence(far, version):
    python = Path.home() / ".pyenv" / "versions" / version / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no Python {version} here")
    before = far.files()
    with board_of(far, python=str(python)) as board, pytest.raises(UserError, match=r"needs 3\.8 or newer") as told:
        board.connect()
    assert f"is Python {version[:3]}" in str(told.value)
    far.is_left_as(before)


def test_what_a_shell_greets_with_is_passed_over(far, tmp_path):
    program = tmp_path / "bin" / "ssh"
    program.write_text(program.read_text().replace("exec env", "printf 'Welcome! {\"have\": '\nexec env"))
    with board_of(far) as board:
        board.connect()


# ---------------------------------------------------------------- clocks


def test_a_clock_that_is_ahead_and_runs_fast_is_measured(far, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nns, utc = time.perf_counter_ns, time.time_ns\nbase = ns()\n"
        "time.perf_counter_ns = lambda: base + (ns() - base) * 2\ntime.time_ns = lambda: utc() + 3600 * 10**9\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(tmp_path))} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with board_of(far, python=str(python)) as board:
        board.connect()
        assert board.first.ahead_s == pytest.approx(3600, abs=5)
        time.sleep(0.2)
        last = board.clock()
        pace = (last.theirs_ns - board.first.theirs_ns) / (last.ours_ns - board.first.ours_ns)
        assert 1.5 < pace < 2.5


# ---------------------------------------------------------------- what ssh says


ENTRY = BoardEntry(host="pi@pi5")
SAYS = {
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.": "is not the one you know",
    "No ED25519 host key is known for x.\nHost key verification failed.": "is not known yet",
    "pi@pi5: Permission denied (publickey,password).": "takes none of your keys",
    "ssh: Could not resolve hostname pi5: Name or service not known": "no host is called pi@pi5",
    "ssh: connect to host pi5 port 22: Connection refused": "takes no SSH connections",
    "ssh: connect to host pi5 port 22: No route to host": "can't connect to pi@pi5: ssh: connect to host pi5",
    "Can't open user config file /x: No such file or directory": "can't connect to pi@pi5: Can't open user config",
}


@pytest.mark.parametrize("words", SAYS)
def test_what_ssh_says_becomes_a_sentence_and_a_remedy(words):
    told = ssh.refusal("pi5", ENTRY, 255, words)
    assert SAYS[words] in str(told)
    assert told.remedy


def test_what_the_board_says_is_not_taken_for_what_ssh_says():
    assert "python3 does not start there" in str(ssh.refusal("pi5", ENTRY, 127, "bash: python3: Kommando nicht da"))
    assert "python3 fails there: Fatal Python error" in str(ssh.refusal("pi5", ENTRY, 1, "Fatal Python error"))
    assert "no word" in str(ssh.refusal("pi5", ENTRY, 255, "  \n"))


def test_without_ssh_here(far, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with board_of(far) as board, pytest.raises(UserError, match="there is no ssh here"):
        board.connect()


def test_a_wrong_clock_is_told_beside_the_figures(far, tmp_path, monkeypatch):
    import whichpu
    from whichpu.campaign import linked

    (tmp_path / "sitecustomize.py").write_text(
        "import time\nns, utc = time.perf_counter_ns, time.time_ns\nbase = ns()\n"
        "time.perf_counter_ns = lambda: base + (ns() - base) * 2\ntime.time_ns = lambda: utc() - 172800 * 10**9\n"
    )
    text = f'[boards.pi5]\nhost = "x"\npython = "{sys.executable}"\nlock = "{far.lock}"\n'
    (tmp_path / "whichpu.toml").write_text(text)
    (tmp_path / "bin" / "ssh").write_text(
        (tmp_path / "bin" / "ssh").read_text().replace("exec env -i", f'exec env -i PYTHONPATH="{tmp_path}"')
    )
    monkeypatch.setenv("WHICHPU_TOML", str(tmp_path / "whichpu.toml"))
    monkeypatch.setattr(linked, "PACE_LEAST_S", 0.1)
    model = Path(__file__).parent.parent / "examples" / "apple_stock" / "gru.onnx"
    before = far.files()
    campaign = whichpu.measure(model, on="null@pi5", rounds_most=1, budget_s=1.0, meters="off", loop="python").campaign
    said = {doubt.says for doubt in linked_doubts(campaign)}
    assert any("pi5's clock runs" in words and "too fast" in words for words in said)
    assert any("pi5's time of day is 2 days behind" in words for words in said)
    far.is_left_as(before)
