"""The command line: what it prints, in which shape, and with which exit code."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from whichpu import __version__
from whichpu.commands import options, output
from whichpu.commands.run import kept
from whichpu.errors import UserError
from whichpu.results import store

if TYPE_CHECKING:
    from conftest import Cli, Inside, Ran

HEAVY = ("altair", "cv2", "msgspec", "numpy", "onnx", "onnxruntime", "openvino", "psutil", "scipy", "torch")
VERDICTS = {"faster", "slower", "no-difference", "too-small-to-matter", "better", "worse", "not-comparable"}
Told = Callable[..., "Ran"]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from whichpu.cli import guarded; status = guarded(['--help']);"
        f"print(status, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 []"
    for command in ("devices", "run", "show", "compare", "report", "check"):
        assert command in ran.stdout


@pytest.mark.parametrize("command", ["devices", "run", "show", "compare", "report", "check"])
def test_every_command_has_help_and_json(told: Told, command: str) -> None:
    ran = told(command, "--help")
    assert ran.status == 0 and "--json" in ran.out and not ran.err


def test_version(cli: Cli) -> None:
    ran = cli("--version")
    assert ran == (0, f"whichpu {__version__}\n", "")


def test_no_command_shows_the_help_and_no_empty_error(told: Told) -> None:
    ran = told()
    assert ran.status == 1 and "Usage" in ran.out and not ran.err


def test_typing_errors_are_sentences(told: Told) -> None:
    for arguments, words in (
        (("rnu",), "Did you mean 'run'?"),
        (("run",), "Missing argument"),
        (("run", "x.onnx", "--bugdet", "1s"), "No such option: --bugdet"),
        (("run", "x.onnx", "--threads", "many"), "--threads"),
        (("compare",), "Missing argument"),
    ):
        ran = told(*arguments)
        assert ran.status == 1 and words in ran.err and "--help" in ran.err and "Traceback" not in ran.err


def test_devices_json(inside: Inside) -> None:
    targets = inside("devices", "--json").body()["targets"]
    by_name = {entry["target"]: entry for entry in targets}
    for entry in targets:
        assert set(entry) >= {"target", "usable", "why_not", "remedy", "versions", "precisions", "meters"}
        assert entry["usable"] is (entry["why_not"] is None)
        assert entry["usable"] or (entry["why_not"] and not entry["precisions"])
    assert by_name["null:cpu"]["usable"] and by_name["onnxruntime:cpu"]["versions"]["onnxruntime"]


def test_devices_in_another_interpreter(told: Told, tmp_path: Path) -> None:
    targets = {
        entry["target"] for entry in json.loads(told("devices", "--json", "--python", sys.executable).out)["targets"]
    }
    assert {"null:cpu", f"null:cpu,python={sys.executable}"} <= targets
    ran = told("devices", "--python", tmp_path)
    assert ran.status == 1 and f"no Python interpreter at {tmp_path}" in ran.err and "python3 -m venv" in ran.err


def test_run_json_and_names(cli: Cli, models: SimpleNamespace) -> None:
    wishes = ("--on", "a=null:cpu", "--on", "b=null:cpu,delay=1ms", "--budget", "1s", "--rounds", 2, "--json")
    first, second = cli("run", models.mlp, *wishes), cli("run", models.mlp, *wishes)
    assert first.status == second.status == 0
    body = first.body()
    assert set(body) == {"path", "summaries"} and body["path"] == "mlp.whichpu.json"
    assert second.body()["path"] == "mlp-2.whichpu.json"  # never over an earlier one
    rows = {row["name"]: row for row in body["summaries"]}
    assert set(rows) == {"a", "b"} and rows["b"]["target"] == "null:cpu,delay=1ms"
    assert rows["b"]["median_ns"] >= 1e6 > rows["a"]["median_ns"]
    for path in ("mlp.whichpu.json", "mlp-2.whichpu.json"):
        campaign = store.load(cli.folder / path)
        assert campaign.finished and [len(result.readings) for result in campaign.results] == [2, 2]
    assert not list(cli.temporary.iterdir())


def test_run_in_words(inside: Inside, models: SimpleNamespace) -> None:
    ran = inside("run", models.mlp, "--on", "onnxruntime:cpu", "--budget", "1s", "--rounds", 1, "-o", "x.json")
    assert ran.status == 0 and "onnxruntime:cpu" in ran.out and "whichpu report x.json" in ran.out
    assert not ran.err  # no progress bar where nobody looks


def test_show(told: Told, campaign_file: Path) -> None:
    body = json.loads(told("show", campaign_file, "--json").out)
    assert set(body) == {"path", "summaries"} and body["path"] == str(campaign_file)
    assert {row["name"] for row in body["summaries"]} == {"a", "b", "null:cpu"}
    words = told("show", campaign_file)
    assert words.status == 0 and "fastest" in words.out and "\x1b" not in words.out


def test_compare(told: Told, campaign_file: Path) -> None:
    ran = told("compare", campaign_file, "--baseline", "a", "--json")
    body = json.loads(ran.out)
    assert ran.status == 0 and set(body) == {"comparisons"}
    (row,) = [row for row in body["comparisons"] if row["metric"] == "latency_median"]
    of_scores = ["baseline_value", "value", "delta", "delta_low", "delta_high", "unit", "caveats"]
    of_all = ["model", "metric", "baseline", "contender", "ratio", "low", "high", "verdict", "reason"]
    assert list(row) == [*of_all, *of_scores] and not any(row[name] for name in of_scores)
    assert (row["baseline"], row["contender"], row["verdict"] in VERDICTS) == ("a", "b", True)
    assert row["low"] < row["ratio"] < row["high"]
    assert "baseline" in told("compare", campaign_file).out


def test_compare_across_files_refuses_by_name(told: Told, campaign_file: Path) -> None:
    rows = json.loads(told("compare", campaign_file, campaign_file, "--json").out)["comparisons"]
    assert {row["verdict"] for row in rows} <= VERDICTS
    assert [row for row in rows if row["verdict"] == "not-comparable" and "two campaigns" in row["reason"]]
    words = told("compare", campaign_file, campaign_file, "--baseline", "a").out
    assert f"{campaign_file.name}: b" in "".join(words.split("\n"))


def test_compare_with_a_baseline_that_is_not_there(told: Told, campaign_file: Path) -> None:
    ran = told("compare", campaign_file, "--baseline", "c")
    assert ran.status == 1 and "no contender is called 'c'" in ran.err and "a, b, null:cpu" in ran.err


def test_report(told: Told, campaign_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = told("report", campaign_file, "-o", page, "--json")
    assert ran.status == 0 and json.loads(ran.out)["path"] == str(page)
    assert "onnxruntime" in page.read_text(encoding="utf-8")
    ran = told("report", campaign_file, "-o", tmp_path / "nowhere" / "page.html")
    assert ran.status == 1 and "can't write" in ran.err


def test_no_command_writes_over_what_it_reads(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    model, data = tmp_path / "m.onnx", tmp_path / "d.npz"
    model.write_bytes(models.mlp.read_bytes())
    np.savez(data, x=np.zeros((1, 1, 16), np.float32))
    (tmp_path / "link.onnx").hardlink_to(model)
    before = model.read_bytes(), data.read_bytes()
    run = ("run", model, "--on", "null:cpu", "--budget", "1s", "--rounds", 1, "--data", data, "--form", model)
    for name in ("m.onnx", "link.onnx", "d.npz"):
        for more in ((), ("--overwrite",), ("--resume",)):
            ran = told(*run, "-o", tmp_path / name, *more)
            assert ran.status == 1 and "which this command reads" in ran.err and "-o FILE" in ran.err
    assert (model.read_bytes(), data.read_bytes()) == before


def test_overwrite_replaces_campaigns_only(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    run = ("run", models.mlp, "--on", "null:cpu", "--budget", "1s", "--rounds", 1, "-o", path, "--overwrite")
    path.write_text('{"my": "settings"}')
    ran = told(*run)
    assert ran.status == 1 and "is not a campaign file" in ran.err and path.read_text() == '{"my": "settings"}'
    for replaced in ("", '{\n  "schema": "whichpu.campaign/1",\n  "cut', '{"schema":"whichpu.campaign/9"}'):
        path.write_text(replaced)
        told(*run)
        assert store.load(path).model.name == "mlp"
    ran = told(*run[:-2], "/dev/null", "--overwrite")
    assert ran.status == 1 and "is not a campaign file" in ran.err and not Path("/dev/null").is_file()


def test_report_replaces_pages_only(told: Told, campaign_file: Path, tmp_path: Path) -> None:
    campaign, page = tmp_path / "two.json", tmp_path / "page.html"
    campaign.write_bytes(campaign_file.read_bytes())
    ran = told("report", campaign_file, campaign, "-o", campaign)
    assert ran.status == 1 and "which this command reads" in ran.err
    ran = told("report", campaign_file, "-o", campaign)
    assert ran.status == 1 and "is not an HTML page" in ran.err
    assert campaign.read_bytes() == campaign_file.read_bytes()
    for old in ("", "<!DOCTYPE html>\n", "\ufeff <html lang=en>"):
        page.write_text(old, encoding="utf-8")
        assert told("report", campaign_file, "-o", page).status == 0
        assert page.stat().st_size > 10_000


def test_campaigns_that_start_together_get_files_of_their_own(cli: Cli, models: SimpleNamespace) -> None:
    run = ("run", models.mlp, "--on", "null:cpu", "--budget", "1s", "--rounds", 1, "--json")
    ran = [cli.end(process) for process in [cli.start(*run) for _ in range(4)]]
    assert {one.body()["path"] for one in ran} == {"mlp.whichpu.json", *(f"mlp-{n}.whichpu.json" for n in (2, 3, 4))}
    assert all(store.load(cli.folder / one.body()["path"]).finished for one in ran)


def test_a_run_that_fails_leaves_no_empty_file(inside: Inside, models: SimpleNamespace) -> None:
    (inside.folder / "mlp.whichpu.json").write_text("mine")
    for wishes in (("--budget", "banana"), ("--on", "nothing"), ("--data", "absent.npz")):
        assert inside("run", models.mlp, *wishes).status == 1
    assert inside("run", "absent.onnx").status == 1
    assert [path.name for path in inside.folder.glob("*.json")] == ["mlp.whichpu.json"]
    assert (inside.folder / "mlp.whichpu.json").read_text() == "mine"


def test_ctrl_c_before_the_first_save_leaves_no_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Path] = []

    def stopped() -> None:
        with (
            output.destination(None, str(tmp_path / "m.whichpu.json")) as path,
            output.interruptible(lambda: kept(path)),
        ):
            assert path.exists() and output.free(path).name == "m-2.whichpu.json"
            made.append(path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not made[0].exists() and "nothing was measured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "letters"),
    [
        *itertools.product(["show", "compare", "show --json", "run --help"], ["latin-1", "ascii"]),
        ("devices", "ascii"),  # it imports every runtime
    ],
)
def test_a_terminal_of_few_letters(cli: Cli, campaign_file: Path, command: str, letters: str) -> None:
    name, *more = command.split()
    files = [str(campaign_file)] if name in ("show", "compare") else []
    few = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = cli.environment | (few if letters == "ascii" else {"PYTHONIOENCODING": letters})
    whichpu = [sys.executable, "-m", "whichpu", name, *files, *more]
    ran = subprocess.run(whichpu, env=environment, capture_output=True, check=False)
    assert ran.returncode == 0 and not ran.stderr
    text = ran.stdout.decode("utf-8" if "--json" in more else letters)
    if command == "show":
        assert re.search(r"latency in (u|\xb5|n)s", text) and "+---" in text and "?" not in text


def test_a_stdout_that_is_closed(cli: Cli, campaign_file: Path) -> None:
    for command in ("show", "show --json", "compare", "nothing"):
        line = f"{shlex.quote(sys.executable)} -m whichpu {command} {shlex.quote(str(campaign_file))} >&-"
        ran = subprocess.run(["bash", "-c", line], env=cli.environment, capture_output=True, text=True, check=False)
        assert ran.returncode == (1 if command == "nothing" else 0), ran
        assert ("No such command" in ran.stderr) if command == "nothing" else not ran.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(cli: Cli, shell: str) -> None:
    ran = cli("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert ran.status == 0 and "_WHICHPU_COMPLETE" in ran.out


def test_completion_completes(cli: Cli) -> None:
    def completed(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_WHICHPU_COMPLETE": "complete_bash"}
        return cli(**words).out.split()

    assert completed("whichpu comp") == ["compare"]
    assert completed("whichpu run x.onnx --on onnx") == ["onnxruntime:cpu"]


def test_a_reader_that_leaves_is_no_error(cli: Cli, campaign_file: Path) -> None:
    for more in ((), ("--json",)):
        process = cli.start("show", campaign_file, *more)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait(60) == 0
        process.stderr.close()


@pytest.mark.parametrize(
    ("text", "found"), [("60s", 60.0), ("2m", 120.0), ("1.5h", 5400.0), ("7", 7.0), ("50 ms", 0.05), ("3min", 180.0)]
)
def test_seconds(text: str, found: float) -> None:
    assert options.seconds(text) == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "s", "-1s", "0s", "1d", "1s2", "nan", "inf", "1e3s"])
def test_not_seconds(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        options.seconds(text)


@pytest.mark.parametrize("text", ["", "2", "0%", "100%", "-1%", "two%", "nan%"])
def test_not_a_share(text: str) -> None:
    with pytest.raises(UserError, match="is not a percentage"):
        options.share(text)


@pytest.mark.parametrize("text", ["", "a", "0,", "1-", "3-1", "-1", "99999"])
def test_not_cpus(text: str) -> None:
    with pytest.raises(UserError, match="--cpus"):
        options.cpu_list(text)
