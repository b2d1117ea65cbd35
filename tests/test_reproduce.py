"""Studies read again: their printed figures follow, misprints are found, and nothing is claimed without its figures."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import made_metered
import pytest

from whichpu import UserError, api, studies
from whichpu.results import anything
from whichpu.studies import ethos_n, licence_plates, share_price

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
VERDICTS = {"agrees", "differs", "needs hardware", "can't be checked"}


@pytest.fixture(scope="module")
def reproduced():
    """Each study once."""
    return {name: api.reproduce(name) for name in studies.STUDIES}


def verdicts(study):
    return {statement.says: statement.verdict for statement in study.statements}


@pytest.mark.parametrize("name", studies.STUDIES)
def test_every_statement_has_a_verdict_and_its_reason(reproduced, name):
    study = reproduced[name]
    assert study.name == name and study.title and study.tables and study.ways
    assert len(verdicts(study)) == len(study.statements) > 3
    for statement in study.statements:
        assert statement.verdict in VERDICTS and statement.because
        assert statement.verdict != "can't be checked" or statement.because.startswith("needs ")
    for table in study.tables:
        assert all(len(row) == len(table.heads) for row in table.rows)


def test_figures_are_the_reference_ones():
    if not REFERENCE.is_dir():
        pytest.skip("the reference figures aren't here")
    for path in studies.DATA.glob("*.json"):
        assert path.read_bytes() == (REFERENCE / path.name).read_bytes()


# ---------------------------------------------------------------- share price


def test_share_price_gives_every_printed_ratio_and_statement(reproduced):
    found = reproduced["share-price"].statements
    expected = json.loads((studies.DATA / "expected_comparison.json").read_text())
    printed = [number for key in share_price.RATIOS for each in expected[key].values() for number in each.values()]
    assert [float(each.says.rsplit(": ", 1)[1]) for each in found[: len(printed)]] == printed
    assert {each.verdict for each in found[: len(printed)]} == {"agrees"}
    assert found[0].because == "1,326 / 72 µs = 18.417"
    said = " ".join(each.says for each in found)
    for statement in expected["statements"]:
        assert all(word in said for word in statement.replace("(", " ").replace(")", " ").replace(":", " ").split()[:6])


def test_share_price_does_not_agree_with_what_its_files_do_not_say(reproduced):
    found = verdicts(reproduced["share-price"])
    assert found["the cause: quantisation sensitivity"] == "can't be checked"
    assert found["the GPU is over-sized for these models"] == "can't be checked"
    assert found["GPU utilisation about 0%"] == "agrees"
    assert found["the figures themselves, measured again"] == "needs hardware"


def test_share_price_differs_when_the_figures_do(tmp_path, monkeypatch):
    changed = [Path(shutil.copy(path, tmp_path)) for path in share_price.FILES]
    tensorrt = next(path for path in changed if "tensorrt" in path.name)
    text = tensorrt.read_text()
    assert '"mean": 0.072' in text
    tensorrt.write_text(text.replace('"mean": 0.072', '"mean": 0.272').replace('"std": 0.003', '"std": 0.03'))
    monkeypatch.setattr(share_price, "FILES", changed)
    found = share_price.reproduce(SimpleNamespace(own=[])).statements
    wrong = [each for each in found if each.verdict == "differs"]
    assert [each.says.split(":")[0] for each in wrong] == [
        "mean latency of GRU_Apple, Hailo-8L over TensorRT (GPU)",
        "mean latency of GRU_Apple, ONNX Runtime (GPU) over TensorRT (GPU)",
        "fastest on every latency statistic of both models",
        "smallest std",
    ]
    assert wrong[0].because == "1.326 / 0.272 ms = 4.875, -13.52 from the printed one"
    assert "mean latency of GRU_Apple: ONNX Runtime (GPU)" in wrong[2].because


def test_share_price_shows_a_run_of_ones_own(tmp_path):
    made_metered.campaign(tmp_path / "own.json")
    study = share_price.reproduce(SimpleNamespace(own=[str(tmp_path / "own.json")]))
    table = study.tables[-1]
    assert "our own run (own.json)" in table.title
    assert [row[0] for row in table.rows] == list(made_metered.CONTENDERS)
    assert "Our own run of lstm" in study.notes[-1]


# ---------------------------------------------------------------- the others


def test_expected_ranges_are_held_against_what_was_measured(reproduced):
    found = {each.says: each for each in reproduced["rtx3070ti-vs-hailo8l"].statements}
    assert found["TensorRT (GPU), GRU_Apple: mean latency 0.07 to 0.2 ms"].verdict == "agrees"
    slower = found["Hailo-8L, LSTM_Apple: mean latency 1 to 5 ms"]
    assert (slower.verdict, slower.because) == ("differs", "measured: 0.999 ms, 0.1 % below its lower end")
    power = found["Hailo-8L, GRU_Apple: mean power 1 to 5 W"]
    assert (power.verdict, power.because) == ("can't be checked", "needs that figure: the file holds no power")
    assert len(found) == 5 * 2 * 2


def test_licence_plates_deltas_are_computed_and_the_misprint_is_flagged(reproduced):
    entries = anything.entries([studies.DATA / "licence_plate_runtimes.json"])
    deltas = licence_plates.deltas(entries)
    assert deltas["YOLOv7 (characters)", "OpenCV DNN"] == pytest.approx(-0.80)
    assert deltas["ResNet50 (state)", "ONNX Runtime"] == pytest.approx(-2.06)
    study = reproduced["licence-plates"]
    wrong = [each for each in study.statements if each.verdict == "differs"]
    assert len(wrong) == 1 and "YOLOv7 (characters), OpenCV DNN: 0.9900" in wrong[0].says
    assert "-0.80 points" in wrong[0].because and "misprint" in wrong[0].because
    assert [row[-1] for row in study.tables[0].rows].count("misprint?") == 1
    assert "TensorRT" in next(each.says for each in study.statements if each.verdict == "needs hardware")


def test_jetson_claims_nothing_that_was_not_measured(reproduced):
    study = reproduced["jetson-gpu-vs-dla"]
    agreed = [each.says for each in study.statements if each.verdict == "agrees"]
    assert agreed == ["power efficiency = throughput / power", "energy efficiency = throughput / energy"]
    assert all("Xavier" in each.because for each in study.statements if each.verdict == "needs hardware")
    assert {cell for row in study.tables[0].rows for cell in row[1:]} == {"–"}


def test_ethos_n_arithmetic_and_analysis(reproduced):
    found = {each.says: each for each in reproduced["ethos-n78"].statements}
    assert found["Level 2 ReLU: 104 of 105 functions on the NPU, 99.0 %"].verdict == "agrees"
    assert found["Level 2 LeakyReLU: failed to compile"].verdict == "can't be checked"
    pattern = found["LeakyReLU comes as qnn.dequantize, nn.leaky_relu, qnn.quantize"]
    assert (pattern.verdict, pattern.because[:26]) == ("agrees", "27 such triples by TFLite ")
    fewer = found["LeakyReLU is cut into fewer functions than ReLU (46 against 105)"]
    assert fewer.verdict == "can't be checked" and "of ours it is by 0 of 6 routes" in fewer.because
    remedy = found["remedy: replace LeakyReLU by ReLU"]
    assert remedy.verdict == "can't be checked" and "of ours, that with ReLU" in remedy.because
    assert any("n/(n+1)" in note for note in reproduced["ethos-n78"].notes)


def test_ethos_n_without_the_example_checks_its_arithmetic_only():
    study = ethos_n.reproduce(SimpleNamespace(examples=None))
    found = verdicts(study)
    assert found["Level 3 ReLU: 101 of 105 functions on the NPU, 96.2 %"] == "agrees"
    assert found["remedy: replace LeakyReLU by ReLU"] == "can't be checked"
    assert len(study.tables) == 1


def test_a_wrong_share_is_found():
    row = {"model": "m", "functions": 105, "npu": 104, "cpu": 1, "npu_share_percent": 98.0}
    statement = next(iter(ethos_n._functions([row])))
    assert (statement.verdict, statement.because) == ("differs", "99.05 %")


# ---------------------------------------------------------------- the command


def test_the_command_lists_and_tells(told):
    listed = told("reproduce", "--list")
    assert all(name in listed.out for name in studies.STUDIES)
    ran = told("reproduce", "rtx3070ti-vs-hailo8l")
    assert ran.status == 0 and "20 statements: 13 agree, 5 differ, 2 can't be checked." in ran.out


def test_the_command_as_json(cli):
    body = cli("reproduce", "licence-plates", "--json").body()
    assert {"name", "title", "tables", "statements", "notes", "ways"} == set(body)
    assert {each["verdict"] for each in body["statements"]} <= VERDICTS
    assert [each["name"] for each in cli("reproduce", "--list", "--json").body()["studies"]] == list(studies.STUDIES)


def test_mistakes_are_sentences(told, tmp_path):
    (tmp_path / "share-price-gru.whichpu.json").touch()
    for arguments, words in (
        ((), "no study was named"),
        (("nothing",), "no study is called 'nothing'"),
        (("ethos-n78", "--run"), "is not measured by"),
        (("share-price", "--run", "-o", tmp_path / "no"), "there is no folder"),
        (("share-price", "--run", "-o", tmp_path), "share-price-gru.whichpu.json exists"),
    ):
        ran = told("reproduce", *arguments)
        assert ran.status == 1 and words in ran.err


def test_a_failing_example_is_a_sentence(tmp_path):
    script = tmp_path / ethos_n.SCRIPT
    script.parent.mkdir()
    script.write_text("raise SystemExit('no luck')")
    with pytest.raises(UserError, match="no luck"):
        ethos_n.analysed(str(tmp_path))
