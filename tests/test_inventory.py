"""``whichpu.toml``: found, read, and refused in one sentence where it is wrong."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.targets import inventory
from whichpu.targets.inventory import BoardEntry

WHOLE = """\
[boards.pi5]
host = "pi@raspberrypi.local"
python = "~/hailo/bin/python"
env = { HAILO_MONITOR = "1" }
folder = "/data"
keep = true
lock = "/run/lock/whichpu"
ssh = ["-p", "2222"]
patience_s = 10

[run]
budget = "20s"
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.delenv(inventory.NAMED, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def write(text: str, folder: str = ".") -> Path:
        path = tmp_path / folder / inventory.NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_everything_that_can_be_said_of_a_board(there):
    there(WHOLE)
    known = inventory.load()
    assert known.board("pi5") == BoardEntry(
        host="pi@raspberrypi.local",
        python="~/hailo/bin/python",
        env={"HAILO_MONITOR": "1"},
        folder="/data",
        keep=True,
        lock="/run/lock/whichpu",
        ssh=["-p", "2222"],
        patience_s=10.0,
    )
    assert known.run == {"budget": "20s"}


def test_the_file_that_is_named_then_the_nearest_then_the_users_own(there, monkeypatch, tmp_path):
    assert inventory.find() is None
    own = there('[boards.a]\nhost = "own"', "config/whichpu")
    assert inventory.find() == own
    above = there('[boards.a]\nhost = "above"')
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert inventory.find() == above
    near = there('[boards.a]\nhost = "near"', "deep")
    assert inventory.load().board("a").host == "near"
    assert inventory.find() == near
    monkeypatch.setenv(inventory.NAMED, str(above))
    assert inventory.load().board("a").host == "above"


def test_a_board_that_is_not_there_names_what_is_close(there):
    there('[boards.jetson]\nhost = "j"')
    with pytest.raises(UserError, match="no board is called 'jetsn'") as told:
        inventory.load().board("jetsn")
    assert "did you mean jetson?" in told.value.remedy
    (there("")).unlink()
    with pytest.raises(UserError, match="no board is called 'pi5'") as told:
        inventory.load().board("pi5")
    assert "[boards.pi5] with host =" in told.value.remedy


WRONG = {
    "boards = 3": "holds tables, one a board",
    "[boards]\npi5 = 3": "holds tables, one a board",
    "[[boards]]\nhost = 'a'": "holds tables, one a board",
    "[boards.a]": "host",
    "[boards.a]\nhost = 3": "Expected `str`",
    "[boards.a]\nhost = ''": "'' is no host",
    "[boards.a]\nhost = ' '": "' ' is no host",
    "[boards.a]\nhost = '-oProxyCommand=rm'": "is no host",
    '[boards.a]\nhost = "a\\u0000b"': "no command line takes",
    "[boards.a]\nhost = 'a'\nkeeep = true": "keeep",
    "[boards.a]\nhost = 'a'\nkeep = 'yes'": "Expected `bool`",
    "[boards.a]\nhost = 'a'\nfolder = ''": "folder is empty",
    "[boards.a]\nhost = 'a'\npython = ''": "python is empty",
    "[boards.a]\nhost = 'a'\nlock = ''": "lock is empty",
    "[boards.a]\nhost = 'a'\nssh = '-p 22'": "Expected `array`",
    "[boards.a]\nhost = 'a'\nssh = ['-p', 22]": "Expected `str`",
    '[boards.a]\nhost = "a"\nssh = ["a\\nb"]': "no command line takes",
    "[boards.a]\nhost = 'a'\nenv = { A = 1 }": "Expected `str`",
    "[boards.a]\nhost = 'a'\nenv = { 'A=B' = '1' }": "'A=B' is no environment variable",
    "[boards.a]\nhost = 'a'\npatience_s = nan": "is no time",
    "[boards.a]\nhost = 'a'\npatience_s = inf": "is no time",
    "[boards.a]\nhost = 'a'\npatience_s = -1": "is no time",
    "[boards.a\nhost = 'a'": "is no TOML",
    "host = 'a'": "no key 'host'",
    "run = 3": "run is not a table",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_one_sentence_that_names_the_file(there, text):
    path = there(text)
    with pytest.raises(UserError) as told:
        inventory.load()
    assert WRONG[text] in str(told.value)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_cannot_be_read(there, monkeypatch, tmp_path):
    for name in ("nowhere.toml", "."):
        monkeypatch.setenv(inventory.NAMED, str(tmp_path / name))
        with pytest.raises(UserError, match="can't read"):
            inventory.load()
    path = there("")
    path.write_bytes(b"\xff\xfe[boards.a]")
    monkeypatch.setenv(inventory.NAMED, str(path))
    with pytest.raises(UserError, match="is no TOML"):
        inventory.load()


scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
value = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
key = st.sampled_from([*BoardEntry.__struct_fields__, "other"])


def toml(value: object) -> str:
    if value is None:
        return "2020-01-01"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in text if not 0xD800 <= ord(letter) < 0xE000) + '"'


@given(st.dictionaries(key, value, max_size=5))
def test_whatever_a_boards_table_holds_it_is_read_or_refused(table):
    text = "[boards.a]\n" + "".join(f"{name} = {toml(inner)}\n" for name, inner in table.items())
    read(text.encode())


@given(st.binary(max_size=60))
def test_whatever_the_file_holds_it_is_read_or_refused(data):
    read(data)
    read(b"[boards.a]\n" + data)


def read(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(UserError):
            inventory.load(Path(file.name))
