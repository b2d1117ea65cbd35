"""What is mistyped is answered with what it was near to."""

import io
import pathlib

import pytest
from rich.console import Console

from whichpu.api.boards import Visited
from whichpu.campaign.reach import describe
from whichpu.campaign.wishes import Wishes
from whichpu.commands.defaults import of_run
from whichpu.commands.run import run
from whichpu.errors import UserError
from whichpu.reports import boards
from whichpu.results.anything import opened, refuse_joint
from whichpu.targets.board import Board
from whichpu.targets.inventory import BoardEntry
from whichpu.worker.backends import no_option


def of_toml(text, tmp_path, monkeypatch):
    (tmp_path / "whichpu.toml").write_text(f"[run]\n{text}\n")
    monkeypatch.setenv("WHICHPU_TOML", str(tmp_path / "whichpu.toml"))
    return of_run(run, ["run"])["run"]


def test_a_backend():
    with pytest.raises(UserError, match="no backend is called 'onnxrutime'") as trouble:
        describe(Wishes(on=("onnxrutime:cpu",)))
    assert trouble.value.remedy.startswith("did you mean onnxruntime? there are: ")


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [("thread", "did you mean threads=?"), ("enginee", "did you mean engine=?"), ("zzz", "leave it out; docs/")],
)
def test_an_option_of_a_target(typed, remedy):
    refused = no_option("opencv", typed, {"engine": ""})
    assert str(refused) == f"opencv has no option '{typed}'; it takes: engine"
    assert refused.remedy.startswith(remedy)


def test_one_text_does_for_an_option_that_may_be_repeated(tmp_path, monkeypatch):
    found = of_toml('on = "null:cpu"\nform = "a.tflite"\nbudget = 3', tmp_path, monkeypatch)
    assert found == {"on": ["null:cpu"], "form": [str(tmp_path / "a.tflite")], "budget": "3"}


def test_a_list_of_lists(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="on in \\[run\\] is a list of lists"):
        of_toml('on = [["null:cpu"]]', tmp_path, monkeypatch)


def test_a_board_that_is_not_reached_stands_below_the_table():
    gone = Visited(name="gone", host="me@gone", why_not="gone: no host is called me@gone", remedy="see your ssh config")
    there = Visited(name="pi5", host="pi", reached=True, machine="Pi", python="3.11", usable=["null:cpu@pi5"])
    stream = io.StringIO()
    boards.show([gone, there], Console(file=stream, width=100))
    text = stream.getvalue()
    assert "gone (me@gone): not reached: no host is called me@gone\n  Try: see your ssh config\n" in text
    assert "nothing yet: whichpu devices --board pi5" in text and text.index("pi5") < text.index("gone")


def test_contenders_at_once_are_not_compared():
    files = opened([pathlib.Path(__file__).parent / "golden" / "together-1.json"])
    with pytest.raises(UserError, match=r"together-1\.json tells what contenders did at once") as trouble:
        refuse_joint(files)
    assert "whichpu show" in trouble.value.remedy
    refuse_joint([])


@pytest.mark.parametrize(
    ("python", "interpreter"),
    [
        ("python3", "python3"),
        ("/usr/bin/python3.11", "/usr/bin/python3.11"),
        ("~/hailo", "~/hailo/bin/python"),
        ("~/.venv-python/", "~/.venv-python/bin/python"),
    ],
)
def test_a_remedy_for_a_board_names_an_interpreter_that_can_be_typed(python, interpreter):
    assert Board("pi5", BoardEntry(host="pi", python=python)).python == interpreter
