"""Campaigns on boards over a real OpenSSH server on loopback, with Python 3.8 on the far side."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from conftest import Cli
from made import model_file
from onnx import helper
from sshd import Sshd, served, until

from whichpu.results import fleet, store
from whichpu.results.schema import Campaign

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-board" / "bin" / "python"
BARE = ROOT / ".venv-py38" / "bin" / "python"
EXAMPLE = ROOT / "examples" / "apple_stock"
GRU, TASK = EXAMPLE / "gru.onnx", EXAMPLE / "task.toml"
QUICK = ("--loop", "python", "--meters", "off", "--budget", "1s", "--rounds", 1)
LONG = ("--loop", "python", "--meters", "off", "--budget", "60s", "--width", "0.001%", "--rounds", 2)
SLOW = "null:cpu@pi5,delay=2ms"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="needs .venv-board (make .venv-board/stamp) and Python 3.8")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    yield from served(tmp_path_factory.mktemp("sshd"))


@pytest.fixture
def whichpu(cli: Cli, sshd: Sshd):
    """The command line with a board called pi5; all that it left there, or here, fails the test."""
    boards(cli, sshd.table(PYTHON))
    before = sshd.far.files()
    yield cli
    sshd.far.is_left_as(before)
    clients = [one for one in psutil.process_iter(["cmdline"]) if str(sshd.user_config) in (one.info["cmdline"] or [])]
    assert clients == []
    assert list(cli.temporary.iterdir()) == []


def boards(cli: Cli, *tables: str) -> None:
    path = cli.folder / "whichpu.toml"
    path.write_text("\n".join(tables))
    cli.environment["WHICHPU_TOML"] = str(path)


def rounds(path: Path) -> int:
    """Finished rounds in a campaign file, also while it is written."""
    if not path.exists() or not path.stat().st_size:
        return 0
    return max(len(row["readings"]) for row in json.loads(path.read_bytes())["results"])


def started(cli: Cli, sshd: Sshd, after: int, *options: object, name: str = "out.json") -> subprocess.Popen[str]:
    """A campaign of two rounds, in the midst of the one that comes after so many."""
    process = cli.start("run", GRU, "--on", SLOW, *LONG, *options, "-o", name)

    def measures() -> bool:
        assert process.poll() is None, process.communicate()
        return rounds(cli.folder / name) == after and any(map(runs, sshd.far.workers("delay")))

    try:
        until(measures)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_RUNNING
    except psutil.NoSuchProcess:
        return False


def whole(campaign: Campaign, count: int) -> None:
    """Every round of every contender is there, whole, and none overlaps another."""
    for row in campaign.results:
        assert [reading.round for reading in row.readings] == list(range(count))
        assert len({len(reading.blocks) for reading in row.readings}) == 1
        assert not any(reading.trouble for reading in row.readings)
    spans = sorted(
        (block.began_ns, block.began_ns + block.wall_ns)
        for row in campaign.results
        for reading in row.readings
        for block in reading.blocks
    )
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    if campaign.watched is not None:
        looks = [(look.round, look.turn) for look in campaign.watched.looks]
        assert len(looks) == len(set(looks)), "looks of a round that was lost are there too"


# ---------------------------------------------------------------- measured


def test_a_real_model_by_a_real_runtime_on_python_38_with_the_right_answers(whichpu):
    ran = whichpu("run", GRU, "--on", "onnxruntime@pi5", "--on", "null@pi5", *QUICK, "--data", TASK, "-o", "out.json")
    assert ran.status == 0, ran.err
    campaign = store.load(whichpu.folder / "out.json")
    row = campaign.results[0]
    assert (campaign.board, campaign.machine.python) == ("pi5", "3.8.18")
    assert row.name == "onnxruntime:cpu@pi5"
    assert row.versions["onnxruntime"] == "1.19.2"
    assert row.score == pytest.approx(8.9583478, abs=1e-5)
    assert row.difference.samples == 543
    assert row.difference.max_abs < 1e-5
    assert campaign.linked.lost == 0
    assert abs(campaign.linked.ahead_s) < 1.0
    whole(campaign, 1)


def test_weights_beside_the_model_go_with_it(whichpu):
    rng = np.random.default_rng(0)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = model_file(
        whichpu.folder / "in.onnx", [node], {"x": [1, 64]}, {"y": [1, 64]}, {"w": rng.random((64, 64), np.float32)}
    )
    out = whichpu.folder / "external.onnx"
    onnx.save(onnx.load(path), out, save_as_external_data=True, location="external.bin", size_threshold=0)
    ran = whichpu("run", out, "--on", "onnxruntime@pi5", *QUICK, "-o", "out.json")
    assert ran.status == 0, ran.err
    assert store.load(whichpu.folder / "out.json").results[0].difference.max_abs < 1e-4


def test_a_model_that_stays_goes_no_second_time(cli, sshd):
    boards(cli, sshd.table(PYTHON, keep="true"))

    def sent() -> dict[str, int]:
        assert cli("run", GRU, "--on", "onnxruntime@pi5", *QUICK, "-o", "out.json", "--overwrite").status == 0
        until(lambda: not sshd.far.processes())
        return {path: time for path, time in sshd.far.files().items() if time and "/." not in path.split("board")[-1]}

    first = sent()
    assert sum(path.endswith("gru.onnx") for path in first) == 1
    assert sum(path.endswith(".pyz") for path in first) == 1
    assert sent() == first
    shutil.rmtree(sshd.far.home / ".cache")


def test_nothing_that_a_board_lacks_is_a_bug(whichpu, sshd):
    """Planning ends in words, and leaves nothing."""
    for target, says in (
        ("openvino@pi5", "the Python package 'openvino' is not installed"),
        ("nothing@pi5", "no backend is called 'nothing'"),
        ("onnxruntime@pi5,python=/nowhere", "/nowhere does not start"),
        ("null@pi6", "no board is called 'pi6'"),
    ):
        ran = whichpu("run", GRU, "--on", target, *QUICK, "-o", "out.json", "--overwrite")
        assert ran.status == 1, ran.err
        assert says in ran.err + ran.out
        assert "bug" not in ran.err


def test_out_of_memory_is_a_row_with_the_reason(whichpu, models):
    ran = whichpu("run", models.huge, "--on", "onnxruntime@pi5", *QUICK, "-o", "out.json")
    assert ran.status == 1
    assert store.load(whichpu.folder / "out.json").results[0].status == "out-of-memory"


# ---------------------------------------------------------------- ended in mid-round


def test_ctrl_c_ends_all_and_keeps_the_rounds_before(whichpu, sshd):
    process = started(whichpu, sshd, 1)
    process.send_signal(signal.SIGINT)
    ran = whichpu.end(process)
    assert ran.status == 130
    assert "1 finished round is kept" in ran.err
    whole(store.load(whichpu.folder / "out.json"), 1)


def test_a_killed_whichpu_leaves_nothing_on_the_board(whichpu, sshd):
    process = started(whichpu, sshd, 0)
    process.kill()
    process.communicate()
    until(lambda: not sshd.far.processes())
    shutil.rmtree(whichpu.temporary)  # of what was killed here
    whichpu.temporary.mkdir()


def test_a_worker_that_crashes_is_a_row_and_no_lost_link(whichpu, sshd):
    process = started(whichpu, sshd, 0, "--on", "null:cpu@pi5")
    next(one for one in sshd.far.workers("delay")).kill()
    ran = whichpu.end(process)
    assert ran.status in (0, 1)
    campaign = store.load(whichpu.folder / "out.json")
    assert campaign.results[0].status == "crashed"
    assert "SIGKILL" in campaign.results[0].why
    assert campaign.results[1].status == "measured"
    assert campaign.linked.lost == 0


@pytest.mark.parametrize("which", ["sshd", "ssh"])
def test_a_link_cut_in_mid_round_is_taken_up_again(whichpu, sshd, which):
    process = started(whichpu, sshd, 1, "--on", "null@pi5")
    if which == "sshd":
        assert sshd.cut()
    else:
        psutil.Process(process.pid).children()[0].kill()
    ran = whichpu.end(process)
    assert ran.status == 0, ran.err
    campaign = store.load(whichpu.folder / "out.json")
    assert campaign.linked.lost == 1
    whole(campaign, 2)


def test_a_board_that_does_not_come_back_is_gone_on_with_later(whichpu, sshd):
    boards(whichpu, sshd.table(PYTHON, patience_s=0))
    process = started(whichpu, sshd, 1)
    sshd.stop()
    for one in sshd.far.keepers():  # a reboot
        one.parent().kill()
    ran = whichpu.end(process)
    sshd.start()
    assert ran.status == 1
    assert "Error: the link to pi5 was lost" in ran.err
    assert "did not come back" in ran.err
    assert "Kept: what was measured before is in" in ran.err
    whole(store.load(whichpu.folder / "out.json"), 1)
    ran = whichpu("run", GRU, "--on", SLOW, *LONG, "-o", "out.json", "--resume")
    assert ran.status == 0, ran.err
    whole(store.load(whichpu.folder / "out.json"), 2)


# ---------------------------------------------------------------- no link at all


def refused(cli: Cli, says: str) -> None:
    ran = cli("run", GRU, "--on", "null@pi5", *QUICK, "-o", "out.json")
    assert ran.status == 1
    assert says in ran.err, ran.err
    assert ran.err.count("\n") == 2, "one sentence, and what to try"
    assert not (cli.folder / "out.json").exists()


def test_a_changed_host_key_is_refused_and_nothing_is_sent(whichpu, sshd):
    log = sshd.folder / "log"
    before = log.stat().st_size
    known = sshd.folder / "known"
    text = known.read_text()
    sshd.make_key("other")
    other = (sshd.folder / "other.pub").read_text()
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    for options in ("", '-o", "StrictHostKeyChecking=no", "-o", "NoHostAuthenticationForLocalhost=yes", "'):
        more = f'["{options}-F", "{sshd.user_config}"]'
        boards(whichpu, sshd.table(PYTHON, ssh=more))
        refused(whichpu, "pi5: the host key of board is not the one you know, so nothing was sent")
    known.write_text("")
    config = sshd.user_config.read_text()
    sshd.user_config.write_text(
        f"StrictHostKeyChecking no\nNoHostAuthenticationForLocalhost yes\nLogLevel QUIET\n{config}"
    )
    refused(whichpu, "the host key of board is not known yet")
    assert known.read_text() == ""
    sshd.user_config.write_text(config)
    known.write_text(text)
    assert "Accepted" not in log.read_bytes()[before:].decode()


def test_what_ssh_cannot_do_is_one_sentence(whichpu, sshd):
    sshd.make_key("other")
    (whichpu.folder / "config").write_text(sshd.user_config.read_text().replace("/user\n", "/other\n"))
    config = f'"-F", "{sshd.user_config}"'
    for says, more in (
        ("takes none of your keys", {"ssh": f'["-F", "{whichpu.folder}/config"]'}),
        ("takes no SSH connections", {"ssh": f'[{config}, "-p", "1"]'}),
        ("no host is called nowhere.invalid", {"ssh": "[]", "host": '"nowhere.invalid"'}),
        ("/nowhere/python does not start there", {"python": '"/nowhere/python"'}),
        ("nothing can be kept in /dev/null/whichpu-board", {"folder": '"/dev/null"'}),
        ("the lock /nowhere/lock can't be taken", {"lock": '"/nowhere/lock"'}),
        ("can't connect to board", {"ssh": '["-F", "/nowhere/config"]'}),
    ):
        boards(whichpu, sshd.table(PYTHON, **more))
        refused(whichpu, says)


def test_a_board_without_numpy_is_one_sentence(whichpu, sshd):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", whichpu.folder / "bare"], check=True)
    boards(whichpu, sshd.table(whichpu.folder / "bare" / "bin" / "python"))
    ran = whichpu("run", GRU, "--on", "null@pi5", *QUICK, "-o", "out.json")
    assert ran.status == 1
    assert "has no NumPy, which the worker needs" in ran.err
    assert "-m pip install numpy" in ran.err
    for command in (["boards"], ["devices", "--board", "pi5"], ["doctor", "--board", "pi5"]):
        ran = whichpu(*command)
        assert ran.status == 1, ran.err
        assert "NumPy" in ran.out + ran.err
        assert "bug" not in ran.err


# ---------------------------------------------------------------- several at once


def test_two_campaigns_share_a_board_one_after_the_other(whichpu, sshd):
    first = started(whichpu, sshd, 0, name="first.json")
    second = whichpu.start("run", GRU, "--on", SLOW, *LONG, "-o", "second.json")
    third = whichpu.start("run", GRU, "--on", SLOW, *LONG, "-o", "third.json")
    until(lambda: len(sshd.far.keepers()) == 3)
    third.send_signal(signal.SIGINT)
    assert whichpu.end(third).status == 130
    assert whichpu.end(first).status == 0
    assert whichpu.end(second).status == 0
    campaigns = [store.load(whichpu.folder / f"{name}.json") for name in ("first", "second")]
    ends = [
        [(block.began_ns, block.began_ns + block.wall_ns) for reading in row.readings for block in reading.blocks]
        for campaign in campaigns
        for row in campaign.results
    ]
    assert max(end for _, end in ends[0]) <= min(began for began, _ in ends[1])
    assert campaigns[1].linked.waited_s > campaigns[0].linked.waited_s


def test_two_boards_and_this_machine_are_one_file(cli, sshd, told):
    far = {"folder": f'"{sshd.far.root}/second"', "lock": f'"{sshd.far.root}/lock2"'}
    boards(cli, sshd.table(PYTHON), sshd.table(BARE, "nano", **far))
    before = sshd.far.files()
    targets = ("--on", "onnxruntime@pi5", "--on", "null@nano", "--on", "null")
    ran = cli("run", GRU, *targets, *QUICK, "-o", "out.json")
    assert ran.status == 0, ran.err
    sshd.far.is_left_as(before)
    path = cli.folder / "out.json"
    assert json.loads(path.read_bytes())["schema"] == "whichpu.fleet/1"
    assert [campaign.board for campaign in fleet.load(path).campaigns] == ["pi5", "nano", None]
    assert [campaign.machine.python[:4] for campaign in fleet.load(path).campaigns][:2] == ["3.8.", "3.8."]
    machines = told("show", path, "--json").body()["machines"]
    assert [machine["machine"] for machine in machines] == ["pi5", "nano", "here"]
    for command in (["show", path], ["compare", path], ["report", path, "-o", cli.folder / "page.html"]):
        ran = told(*command)
        assert ran.status == 0, (command, ran.err)
    assert "pi5" in (cli.folder / "page.html").read_text()
    # one of them is gone on with; the others stay as they are
    cli.environment["WHICHPU_TOML"] = str(cli.folder / "whichpu.toml")
    more = [*QUICK[:-1], 2]
    ran = cli("run", GRU, "--on", "onnxruntime@pi5", *more, "-o", "out.json", "--resume")
    assert ran.status == 0, ran.err
    after = {campaign.board: len(campaign.results[0].readings) for campaign in fleet.load(path).campaigns}
    assert after == {"pi5": 2, "nano": 1, None: 1}
    # a board that fails takes nothing from the others
    boards(cli, sshd.table(PYTHON), sshd.table("/nowhere/python", "nano", **far))
    ran = cli("run", GRU, *targets, *[*QUICK[:-1], 3], "-o", "out.json", "--resume")
    assert ran.status == 1
    assert "nano: /nowhere/python does not start there" in ran.err
    assert "Kept: what was measured meanwhile (pi5, here), in out.json" in ran.err
    after = {campaign.board: len(campaign.results[0].readings) for campaign in fleet.load(path).campaigns}
    assert after == {"pi5": 3, "nano": 1, None: 3}
    sshd.far.is_left_as(before)


def test_ctrl_c_ends_all_boards(cli, sshd):
    far = {"folder": f'"{sshd.far.root}/second"', "lock": f'"{sshd.far.root}/lock2"'}
    boards(cli, sshd.table(PYTHON), sshd.table(BARE, "nano", **far))
    before = sshd.far.files()
    process = cli.start("run", GRU, "--on", SLOW, "--on", "null:cpu@nano,delay=2ms", *LONG, "-o", "out.json")
    until(lambda: len(sshd.far.workers("null")) == 2)
    process.send_signal(signal.SIGINT)
    assert cli.end(process).status == 130
    sshd.far.is_left_as(before)
    assert list(cli.temporary.iterdir()) == []
