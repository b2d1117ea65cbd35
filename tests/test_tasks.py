"""Forecasting: windows, scaling and RMSE in the data's own unit."""

import math
from pathlib import Path

import numpy as np
import pytest

from whichpu.errors import UserError
from whichpu.tasks import load

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
    assert task.inputs[0].shape == (3, 1, 2, 1)
    assert task.inputs[0][0].reshape(-1) == pytest.approx([(100 / 110 - 1) * 10, 0])
    # Forecasting "as today" (0 on the network's scale) misses by 11 each day; +1 forecasts 10 % more than today.
    assert task.score([np.zeros((3, 1), np.float32)]) == pytest.approx(11)
    assert task.info.naive == pytest.approx(11)
    expected = math.sqrt(((121 - 99) ** 2 + (108.9 - 110) ** 2 + (121 - 121) ** 2) / 3)
    assert task.score([np.ones((3, 1), np.float32)]) == pytest.approx(expected)


def test_outputs_of_another_size_are_refused(folder):
    with pytest.raises(UserError, match="one number a sample"):
        load(folder / "task.toml", "any").score([np.zeros((3, 2), np.float32)])


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
        assert f"{task.score(task.reference):.4f} USD" in readme
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
