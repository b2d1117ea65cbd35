"""What is built is whole or absent, is built once, and is built anew where something else would come out."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from whichpu.campaign.building import _key
from whichpu.targets.target import Target
from whichpu.worker import building, wire
from whichpu.worker.backends import Refused
from whichpu.worker.wire import TensorSpec


class Backend(SimpleNamespace):
    """Builds a file of four bytes, and counts how often."""

    count = 0

    @property
    def OPTIONS(self):
        return {}

    def why_not(self):
        return None

    def build(self, job, folder):
        self.count += 1
        (Path(folder) / "engine").write_text("made")
        return {"by": "a test"}


@pytest.fixture
def backend(monkeypatch):
    one = Backend()
    monkeypatch.setattr(building, "load", lambda name: one)
    return one


def asked(folder):
    return wire.Build(wire.Open("toy", "cpu", "m.onnx", "onnx"), str(folder / "built" / "abc"))


def names(folder):
    return sorted(path.name for path in (folder / "built").iterdir())


def test_it_is_built_once(backend, tmp_path):
    first, second = building.build(asked(tmp_path)), building.build(asked(tmp_path))
    assert (first.was_there, second.was_there, backend.count) == (False, True, 1)
    assert (second.wall_ns, second.files) == (first.wall_ns, {"engine": 4})
    assert names(tmp_path) == ["abc"]


@pytest.mark.parametrize("name", ["engine", "built.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_what_is_not_whole_is_built_anew(backend, tmp_path, name, damage):
    building.build(asked(tmp_path))
    damage(tmp_path / "built" / "abc" / name)
    assert not building.build(asked(tmp_path)).was_there
    assert building.build(asked(tmp_path)).was_there and backend.count == 2


def test_another_builder_was_quicker(backend, tmp_path, monkeypatch):
    theirs = Backend()

    def slow(job, folder):
        monkeypatch.setattr(building, "load", lambda name: theirs)
        building.build(asked(tmp_path))
        return Backend.build(backend, job, folder)

    monkeypatch.setattr(backend, "build", slow, raising=False)
    assert not building.build(asked(tmp_path)).was_there
    assert names(tmp_path) == ["abc"]


def test_a_builder_that_fails_leaves_nothing(backend, tmp_path, monkeypatch):
    def fails(job, folder):
        raise Refused("no")

    monkeypatch.setattr(backend, "build", fails, raising=False)
    with pytest.raises(Refused):
        building.build(asked(tmp_path))
    assert names(tmp_path) == []


def test_what_killed_builders_left_is_taken_away(backend, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number, age_s in ((ended.pid, 2 * building.IDLE_S), (os.getpid(), 2 * building.IDLE_S), (ended.pid, 0)):
        left = tmp_path / "built" / f"making-{number}-{age_s:g}"
        left.mkdir(parents=True)
        os.utime(left, (time.time() - age_s,) * 2)
    building.build(asked(tmp_path))
    kept = {f"making-{os.getpid()}-{2 * building.IDLE_S:g}", f"making-{ended.pid}-0", "abc"}
    assert set(names(tmp_path)) == kept


def test_other_samples_build_something_else(tmp_path):
    samples = tmp_path / "samples.txt"
    machine = SimpleNamespace(hostname="h", architecture="a", cpu_model="c")
    model = SimpleNamespace(inputs=[TensorSpec("x", "float32", [1])])
    plan = SimpleNamespace(campaign=SimpleNamespace(machine=machine, model=model))
    result = SimpleNamespace(form_sha256="f", threads=1, versions={})

    def key(**options):
        target = Target(backend="rknn", device="npu", options=options)
        return _key(plan, SimpleNamespace(target=target, result=result, run_options=["cores"]))

    samples.write_text("a.npy")
    first = key(dataset=str(samples))
    assert first == key(dataset=str(samples)) == key(dataset=str(samples), cores="0")
    samples.write_text("b.npy")
    assert first != key(dataset=str(samples)) != key()
