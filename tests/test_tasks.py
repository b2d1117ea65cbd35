"""Forecasting: windows, scaling and RMSE in the data's own unit."""

import math
from pathlib import Path

import numpy as np
import pytest
from made import score

from whichpu.errors import UserError
from whichpu.tasks import BadSample, load, prepared

EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"
TASK = """
kind = "forecasting"
metric = "rmse"
unit = "USD"
[data]
csv = "prices.csv"
date = "Date"
column = "Close"
window = 2
from = "2020-01-03"
to = "2020-01-05"
[preprocess]
scale = "relative-to-last"
gain = 10.0
"""


@pytest.fixture
def folder(tmp_path):
    rows = ["Date,Close", "2020-01-01,100", "2020-01-02,110", "2020-01-03,99", "2020-01-04,110", "2020-01-05,121"]
    (tmp_path / "prices.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "task.toml").write_text(TASK)
    return tmp_path


def test_windows_scaling_and_score_by_hand(folder):
    task = load(folder / "task.toml", "any")
    inputs = task.prepare(0)[0]
    assert inputs.shape == (1, 2, 1)
    assert inputs.reshape(-1) == pytest.approx([(100 / 110 - 1) * 10, 0])
    # Forecasting "as today" (0 on the network's scale) misses by 11 each day; +1 forecasts 10 % more than today.
    assert score(task, [np.zeros((3, 1), np.float32)]) == pytest.approx(11)
    assert task.info.naive == pytest.approx(11)
    expected = math.sqrt(((121 - 99) ** 2 + (108.9 - 110) ** 2 + (121 - 121) ** 2) / 3)
    assert score(task, [np.ones((3, 1), np.float32)]) == pytest.approx(expected)
    assert task.evidence({0: 99.0, 1: 111.0, 2: 118.0})["mae"].value() == pytest.approx((0 + 1 + 3) / 3)
    assert [task.name(index) for index in range(3)] == ["2020-01-03", "2020-01-04", "2020-01-05"]


def test_outputs_of_another_size_are_refused(folder):
    with pytest.raises(UserError, match="one number a sample"):
        score(load(folder / "task.toml", "any"), [np.zeros((3, 2), np.float32)])


def test_the_protocol_hash_covers_data_and_pre_processing(folder):
    first = load(folder / "task.toml", "any").info.protocol_sha256
    assert load(folder / "task.toml", "any").info.protocol_sha256 == first
    (folder / "task.toml").write_text(TASK.replace("10.0", "11.0"))
    assert load(folder / "task.toml", "any").info.protocol_sha256 != first
    (folder / "task.toml").write_text(TASK)
    (folder / "prices.csv").write_text((folder / "prices.csv").read_text().replace("121", "122"))
    assert load(folder / "task.toml", "any").info.protocol_sha256 != first


def test_pytorchs_stored_outputs_score_what_the_example_says():
    readme = (EXAMPLE / "README.md").read_text()
    for model in ("gru", "lstm"):
        task = load(EXAMPLE / "task.toml", model)
        assert f"{score(task, task.reference):.4f} USD" in readme
    assert f"{task.info.naive:.4f} USD" in readme


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("forecasting", "fortune-telling"), "names kind = 'fortune-telling'"),
        (('"Close"', '"Open"'), "has no column 'Open'"),
        (("prices.csv", "nothing.csv"), "can't read"),
        (("window = 2", "window = 99"), "has 99 days before it"),
        (("gain = 10.0", "gain = 'much'"), "gain"),
        (("[data]", "[data]\nnonsense = 1"), "nonsense"),
        (("relative-to-last", "min-max"), "min-max"),
        (("= 10.0", "= = 10"), "is not TOML"),
    ],
)
def test_a_task_that_is_wrong_says_where(folder, change, says):
    (folder / "task.toml").write_text(TASK.replace(*change))
    with pytest.raises(UserError, match=says):
        load(folder / "task.toml", "any")


def test_days_without_a_number_are_left_out_and_named(folder):
    (folder / "prices.csv").write_text((folder / "prices.csv").read_text().replace("-04,110", "-04,"))
    task = load(folder / "task.toml", "any")
    assert [index for index, _ in prepared(task)] == [0]  # the 5th has the 4th in its window
    with pytest.raises(BadSample, match="2020-01-04 has no number"):
        task.prepare(1)
    with pytest.raises(BadSample, match="2020-01-05: the window holds no number for 2020-01-04"):
        task.prepare(2)
    (folder / "prices.csv").write_text("Date,Close\n" + "".join(f"2020-01-0{day},x\n" for day in range(1, 6)))
    with pytest.raises(UserError, match="no day can be forecast"):
        load(folder / "task.toml", "any")


def test_parquet_gives_the_same_task_as_csv(folder):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    parquet.write_table(csv.read_csv(folder / "prices.csv"), folder / "prices.parquet")
    (folder / "parquet.toml").write_text(TASK.replace('csv = "prices.csv"', 'parquet = "prices.parquet"'))
    ours, theirs = load(folder / "parquet.toml", "any"), load(folder / "task.toml", "any")
    assert ours.info == theirs.info
    np.testing.assert_array_equal(ours.prepare(1)[0], theirs.prepare(1)[0])
    assert arrow.__version__


def test_calibration_has_days_of_its_own(folder):
    (folder / "task.toml").write_text(TASK + '[calibration]\nfrom = "2020-01-03"\nto = "2020-01-03"\n')
    with pytest.raises(UserError, match="1 samples of the calibration part are scored too, such as 2020-01-03"):
        load(folder / "task.toml", "any")
    later = TASK.replace('from = "2020-01-03"', 'from = "2020-01-04"')
    (folder / "task.toml").write_text(later + '[calibration]\nfrom = "2020-01-03"\nto = "2020-01-03"\n')
    task = load(folder / "task.toml", "any")
    (only,) = task.calibration(100, 0)
    assert only[0].reshape(-1) == pytest.approx([(100 / 110 - 1) * 10, 0])
    (folder / "task.toml").write_text(TASK)
    with pytest.raises(UserError, match="no samples for calibration"):
        next(load(folder / "task.toml", "any").calibration(1, 0))
