"""Reports of accuracy: shares in percent and changes in points, what is lost said first, changed samples shown."""

from __future__ import annotations

import base64
import io
from urllib.parse import quote, unquote

import made_accuracy
import pytest
from test_report_html import HOSTILE, Checker

from whichpu.reports import accuracy, charts, html, terminal, units
from whichpu.reports import regression as pages
from whichpu.results import regression
from whichpu.results.comparison import Comparison
from whichpu.results.schema import Campaign, Changed
from whichpu.results.summary import summarize
from whichpu.tasks import drawing


def page(made: Campaign) -> Checker:
    return Checker(html.page([("a.json", made)]))


def answered(made: Campaign, name: str = "onnxruntime:cpu [int8]"):
    return next(result for result in made.results if result.name == name).accuracy


def test_shares_are_percent_and_changes_points() -> None:
    assert units.score(0.9863, "share") == "98.63" and units.score(9.25, "USD") == "9.250"
    assert units.score_delta(-0.012, "share") == "-1.20" and units.score_delta(0.25, "USD") == "+0.25"
    assert units.score_delta(1e-9, "share") == "+1.0e-07", "what is not 0 is not shown as 0"
    assert units.score_delta(0.0, "share") == "0" and units.score_range(0.0, 0.0, "share") == "0"
    assert units.score(None, "share") == units.score_range(None, 0.1, "share") == units.UNKNOWN


def test_the_head_says_what_speed_costs() -> None:
    said = " ".join(html.headline(made_accuracy.detector()))
    assert "onnxruntime:cpu [int8] loses 1.20 points (0.40 to 2.00) of mAP@.5 against the reference." in said
    assert "The fastest without a loss shown is openvino:cpu,precision=default." in said
    assert "raises RMSE by 0.35 USD (0.21 to 0.49) against the reference." in " ".join(
        html.headline(made_accuracy.forecast())
    )
    assert not any("Mind" in line for line in html.headline(made_accuracy.alike()))


def test_equal_losses_are_told_in_one_sentence_and_many_are_counted() -> None:
    made = made_accuracy.detector()
    lost = [made_accuracy.contender(f"e{number}:cpu", 950_000 + number, answered(made), 0.02) for number in range(2)]
    made.results[1:1] = lost
    said = accuracy.losses(made, summarize(made))
    assert said[0] == (
        "Mind that onnxruntime:cpu [int8], e0:cpu and e1:cpu lose 1.20 points (0.40 to 2.00) of mAP@.5 against the"
        " reference."
    )
    for number in range(5):
        told = made_accuracy.detector().results[0]
        told.name, told.accuracy.deltas["ap50"] = f"d{number}:cpu", (-0.1 * number - 0.1, -0.9, -0.05)
        made.results.append(told)
    said = accuracy.losses(made, summarize(made))
    assert len(said) == 5 and said[3].startswith("Worse too: d") and said[3].count("d") >= 3


def test_the_fastest_that_often_answers_otherwise_is_named_though_no_loss_is_shown() -> None:
    made = made_accuracy.detector()
    told = answered(made)
    told.verdict, told.deltas = "no-difference", {"ap50": (-0.012, -0.044, 0.022)}
    said = " ".join(html.headline(made))
    assert "gives another answer than the reference to 5 of 39 samples" in said
    assert "no difference of mAP@.5 is shown (-4.40 to +2.20 points)" in said and "loses" not in said


def test_terminal_tells_each_contender_and_each_metric() -> None:
    said = terminal.plain(made_accuracy.detector())
    row = next(line for line in said.splitlines() if line.startswith(" onnxruntime:cpu [int8]") and "worse" in line)
    assert row.split()[-8:] == ["49.00", "-1.20", "-2.00", "to", "-0.40", "worse", "87.18", "%"]
    for words in ("mAP@.5 (%)", "mAP@.5:.95 (%)", "change (points)", "PSNR (dB)", "0.999559", "torch 2.13.0"):
        assert words in said
    assert "Its mAP@.5 is 85.10 %." in said and "0.851" not in said
    assert "Left out: 1 sample: frame-017.jpg is no picture" in said
    assert "About the data: frame-039.jpg: a box lies outside the picture." in said
    assert "such as frame-000.jpg, frame-001.jpg and frame-002.jpg." in said


def test_where_all_agree_one_sentence_says_so() -> None:
    made = made_accuracy.alike()
    for said in (terminal.plain(made), page(made).text):
        assert "All 2 contenders give the reference's answer to every one of 500 samples." in said
    assert "What changed" not in page(made).text and "What is lost" not in page(made).text


def test_samples_left_out_by_some_only_name_them() -> None:
    made = made_accuracy.detector()
    told = answered(made)
    told.left_out, told.left_out_count = [f"{number}.jpg can't be read" for number in range(10)], 25
    said = accuracy.sentences(made, summarize(made))
    assert (
        "Left out for onnxruntime:cpu [int8]: 25 samples: 0.jpg can't be read; 1.jpg can't be read;"
        " 2.jpg can't be read; and 22 more." in said
    )


def test_page_shows_table_chart_changed_samples_and_protocol() -> None:
    parsed = page(made_accuracy.detector())
    for words in ("-1.20", "-2.00 to -0.40, worse", "5 others", "1 other", "points, 95 % interval", "What is lost"):
        assert words in parsed.text
    assert "preprocess.resize.how" in parsed.text and "letterbox" in parsed.text and "ab" * 32 in parsed.text
    pictures = [value for key, value in parsed.attributes if key == "src"]
    assert pictures == [made_accuracy.PICTURE] * 4
    assert "ncnn:cpu [int8]" in parsed.text and "the converter leaves out QuantizeLinear" in parsed.text


def test_pages_without_pictures_may_load_none() -> None:
    rule = "default-src 'none'; style-src 'unsafe-inline'"
    for made, expected in ((made_accuracy.alike(), rule), (made_accuracy.detector(), f"{rule}; img-src data:")):
        assert expected in [value for key, value in page(made).attributes if key == "content"]


@pytest.mark.parametrize("uri", ["http://example.org/a.png", "data:text/html,<p>", 'x" onerror="alert(1)', "", HOSTILE])
def test_a_picture_that_is_none_is_left_out(uri: str) -> None:
    made = made_accuracy.detector()
    for result in made.results:
        if result.accuracy:
            result.accuracy.changed = [
                Changed(sample=HOSTILE, truth=HOSTILE, reference=HOSTILE, ours=HOSTILE, picture=uri)
            ]
    parsed = page(made)
    assert "img" not in parsed.tags and "script" not in parsed.tags
    assert not [key for key, _ in parsed.attributes if key.startswith("on")]
    assert 'alert("x")' in parsed.text


def test_jpeg_pictures_are_shown() -> None:
    made = made_accuracy.detector()
    uri = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8").decode()
    answered(made).changed = [Changed(sample="a", truth="b", reference="b", ours="c", picture=uri)]
    assert ("src", uri) in page(made).attributes


def test_changes_that_are_arithmetic_look_small() -> None:
    made = made_accuracy.forecast()
    made.results = made.results[:1]
    words, least = accuracy.axis(made.task, made)
    assert words == "change of RMSE from the reference’s, USD" and least == pytest.approx(8.9583e-3)
    drawn = charts.deltas(accuracy.deltas(made, summarize(made)), words, least)
    assert "0.008" in Checker(drawn).words, "a mark of the axis"


def test_a_file_without_intervals_is_shown_with_dashes() -> None:
    made = made_accuracy.detector()
    for result in made.results:
        if result.accuracy:
            result.accuracy.deltas, result.accuracy.verdict, result.accuracy.agreement = {}, None, None
            result.difference = None
    assert "there is no reference’s score" in page(made).text
    assert "mAP@.5 (%)" in terminal.plain(made)
    assert accuracy.deltas(made, summarize(made)) == [] and accuracy.losses(made, summarize(made)) == []


def test_a_score_from_before_accuracy_is_told_in_percent_too() -> None:
    made = made_accuracy.alike()
    for result in made.results:
        result.accuracy, result.score = None, 0.984
    for said in (terminal.plain(made), page(made).text):
        assert "98.40" in said and "-0.20" in said and "share" not in said


def test_the_doubt_speaks_of_points() -> None:
    rows = summarize(made_accuracy.detector())
    said = [doubt.says for row in rows for doubt in row.doubts if doubt.kind == "less-accurate"]
    assert said == ["its ap50 is 83.9 %, -1.2 points from the reference's (95 % interval -2 to -0.4)"]


def test_a_series_is_drawn_with_its_forecasts_and_their_values() -> None:
    drawn = drawing.series([1.0, 2.0, 3.0], {"truth": 3.5, "reference": 3.4, "ours <x>": 9.0})
    assert drawn.startswith("data:image/svg+xml,") and accuracy.PICTURE.match(drawn)
    svg = unquote(drawn.partition(",")[2])
    parsed = Checker(svg)
    assert parsed.tags.count("circle") == 6, "a dot each, and one in the key"
    assert "truth 3.5" in parsed.text and "ours <x> 9" in parsed.text
    heights = [float(value) for key, value in parsed.attributes if key == "cy"][:3]
    assert heights[2] < heights[0] < heights[1], "larger is higher"


def test_a_flat_series_is_drawn_too() -> None:
    assert quote("nan") not in drawing.series([2.0, 2.0], {"truth": 2.0}).lower()


def verdict(unit: str, before: float, after: float, *delta: float) -> regression.Verdict:
    told = dict(zip(("delta", "delta_low", "delta_high"), delta, strict=False))
    return regression.Verdict(model="m", contender="a:cpu", metric="top1", baseline="old", verdict="worse", unit=unit,
                              before=before, after=after, allowed=0.01, side_by_side=True, **told)  # fmt: skip


def test_check_tells_points_too() -> None:
    row = verdict("share", 0.986, 0.974, -0.012, -0.02, -0.004)
    assert "top-1 accuracy 97.40 %, was 98.60 % (-1.20 points, -2.00 to -0.40): worse (allowed: 1 %)" in pages.sentence(
        row
    )
    table = pages.markdown([row]).splitlines()[-1]
    assert "| 98.60 % | 97.40 % | -1.20 points | -2.00 to -0.40 |" in table
    assert "top-1 accuracy 9.5000, was 9.0000: worse" in pages.sentence(verdict("USD", 9.0, 9.5))


def test_compare_tells_points_too() -> None:
    from rich.console import Console

    row = Comparison(model="m", metric="ap50", baseline="a:cpu", contender="b:cpu", reason="p = 0.5", unit="share",
                     verdict="worse", baseline_value=0.851, value=0.839, delta=-0.012, delta_low=-0.02,
                     delta_high=-0.004)  # fmt: skip
    stream = io.StringIO()
    terminal.comparisons([row], Console(file=stream, width=200))
    for words in ("mAP@.5", "its own (%)", "delta (points)", "83.90", "-1.20", "-2.00 to -0.40"):
        assert words in stream.getvalue()
