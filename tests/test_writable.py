"""Where a result may be written, from Python too: never over what is read, and only over its own kind."""

import re

import pytest

import whichpu
from whichpu import UserError, api
from whichpu.results import store
from whichpu.results.writable import writable

NULL = "null:cpu,delay=1ms"
CAMPAIGN = '{"schema":"whichpu.campaign/1"'
SCENARIO = '{\n  "schema": "whichpu.scenario/1"'


@pytest.fixture
def model(models, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(models.mlp.read_bytes())
    return path


@pytest.mark.parametrize("how", [{"overwrite": True}, {"resume": True}, {}])
def test_measure_spares_what_it_reads(model, how):
    before = model.read_bytes()
    link = model.with_name("link")
    link.hardlink_to(model)
    old, form = model.with_name("old.onnx"), model.with_name("form.tflite")
    for path in (old, form):
        path.write_bytes(b"spare me")
    for output in (model, link, str(model), old, form):
        with pytest.raises(UserError, match="would replace"):
            whichpu.measure(model, NULL, against=old, forms=[form], output=output, **how)
    assert model.read_bytes() == before and old.read_bytes() == form.read_bytes() == b"spare me"


def test_overwrite_replaces_its_own_kind_only(model):
    path = model.with_name("out.json")
    for text, measure, kind in (
        (SCENARIO, lambda: whichpu.measure(model, NULL, output=path, overwrite=True), "campaign"),
        (CAMPAIGN, lambda: whichpu.scenario("Offline", model, NULL, output=path, overwrite=True), "scenario"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=f"is not a {kind} file"):
            measure()
        assert path.read_text() == text


def test_check_spares_what_it_reads(model, campaign_file):
    old = model.with_name("old.json")
    old.write_bytes(campaign_file.read_bytes())
    again = model.with_name("x-again.json")
    again.write_bytes(campaign_file.read_bytes())
    for output, baseline, words in (
        (old, old, "old.json would replace"),
        (model, old, "m.onnx would replace"),
        (model.with_name("x.json"), again, "x-again.json would replace"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            api.check(model, baseline=baseline, against=model, on=NULL, output=output, overwrite=True)
    assert store.load(old).finished == store.load(again).finished == store.load(campaign_file).finished


def test_what_can_be_done_with_a_file_that_is_there(tmp_path):
    path = tmp_path / "out.json"
    path.write_text(CAMPAIGN)
    for resume, remedy in ((None, "overwrite"), (False, "resume (--resume) goes on with it, overwrite")):
        with pytest.raises(UserError, match="exists") as told:
            writable(path, "campaign", "m.json", [], overwrite=False, resume=resume)
        assert told.value.remedy is not None and told.value.remedy.startswith(remedy)
    assert writable(path, "campaign", "m.json", [None, tmp_path / "absent"], overwrite=True) == path
    assert writable(path, "campaign", "m.json", [], overwrite=False, resume=True) == path
    with pytest.raises(UserError, match="replaces it") as told:
        writable(path, "campaign", "m.json", [], overwrite=True, resume=True)
    with pytest.raises(UserError, match="to go on with"):
        writable(tmp_path / "no.json", "campaign", "m.json", [], overwrite=False, resume=True)
