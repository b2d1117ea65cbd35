"""What accuracy figures must not say: values that no metric has, losses by chance, ranges learnt from the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from made_accuracy import forecast
from test_scoring import Numbers

import whichpu
from whichpu.campaign.accuracy import Judge
from whichpu.campaign.outputs import difference
from whichpu.campaign.scoring import Scored
from whichpu.errors import UserError
from whichpu.results import accuracy, store
from whichpu.results.doubts import doubts_of
from whichpu.results.schema import Accuracy, Form, Reference, TaskInfo
from whichpu.stats import bootstrap
from whichpu.stats.evidence import Evidence, Mean, RootMean
from whichpu.tasks import BadSample, load, recurrent

EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"
SHARE = (0.0, 1.0)


def paired(ours: list[float], theirs: list[float], limits: tuple[float, float]) -> bootstrap.Delta:
    found = bootstrap.paired({"m": Mean(ours)}, {"m": Mean(theirs)}, len(ours), 1, limits={"m": limits})
    return found.deltas["m"]


def test_no_interval_reaches_beyond_what_the_metric_can_be() -> None:
    lost = paired([0.0] * 3 + [1.0] * 47, [1.0] * 50, SHARE)
    assert lost.high == 0.0 and lost.low < -0.06
    free = paired([0.0] * 3 + [1.0] * 47, [1.0] * 50, bootstrap.UNLIMITED)
    assert free.high > 0 and (lost.low, lost.p) == (free.low, free.p)
    gained = paired([1.0] * 3 + [0.0] * 47, [0.0] * 50, SHARE)
    assert gained.low == 0.0 and gained.high > 0.06
    inside = [1.0, 0.0] * 50
    assert paired(inside[::-1], inside, SHARE) == paired(inside[::-1], inside, bootstrap.UNLIMITED)


def test_limits_are_known_for_built_in_metrics_only() -> None:
    task = TaskInfo(name="t", kind="forecasting", metric="rmse", unit="", samples=3, protocol_sha256="")
    assert accuracy.limits_of(task)["rmse"] == (0.0, np.inf)
    task = msgspec.structs.replace(task, kind="python")
    assert accuracy.limits_of(task) == {}


def by_draws(each: list[float], seed: int = 1) -> Accuracy:
    """Scored by a metric of which a file keeps the draws only."""
    evidence = RootMean(each)
    drawn = np.concatenate([evidence.values(block) for block in bootstrap.choices(len(each), seed, 2_000)])
    found = Accuracy(samples=len(each), values={"m": evidence.value()}, seed=seed)
    found.by_sample = accuracy.kept(SlowEvidence(), drawn)
    return found


class SlowEvidence:
    def value(self, weights: object = None) -> float:
        return 0.0


@pytest.mark.parametrize(("count", "shown"), [(4, False), (40, True)])
def test_a_few_samples_that_point_one_way_show_nothing_by_draws_either(count: int, shown: bool) -> None:
    theirs = by_draws([1.0] * 500)
    found = accuracy.held(by_draws([0.0] * count + [1.0] * (500 - count)), theirs, "m").delta
    assert found is not None and found.high is not None
    assert (found.high < 0) == shown


def test_the_influence_of_a_sample_is_found_in_the_draws() -> None:
    each = np.ones(300)
    each[7] = 31.0
    drawn = np.concatenate([Mean(each).values(block) for block in bootstrap.choices(300, 5, 2_000)])
    assert bootstrap.influence_from(drawn, 300, 5) == pytest.approx(0.1, rel=0.1)
    drawn[::7] = np.nan
    assert bootstrap.influence_from(drawn, 300, 5) == pytest.approx(0.1, rel=0.15)
    assert bootstrap.influence_from(np.full(40, 2.0), 300, 5) == 0.0


# ---------------------------------------------------------------- data


def arrays(folder: Path, name: str, x: np.ndarray, truth: np.ndarray) -> None:
    np.savez(folder / name, x=x.astype(np.float32), truth=truth.astype(np.float32))


def described(folder: Path, more: str = "") -> Path:
    path = folder / "task.toml"
    path.write_text(f'kind = "regression"\nunit = "V"\n[data]\nnpz = "test.npz"\n{more}')
    return path


def test_copies_of_scored_samples_calibrate_nothing(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    arrays(tmp_path, "test.npz", x, y)
    path = described(tmp_path, '[calibration]\nnpz = "copy.npz"\n')
    arrays(tmp_path, "copy.npz", x, y)
    with pytest.raises(UserError, match="6 of 6 are copies of samples that are scored"):
        list(load(path, "m").calibration(10, 0))
    arrays(tmp_path, "copy.npz", np.concatenate([x[:2], x[:1] + 100]), np.array([0.0, 1.0, 2.0]))
    ((only,),) = load(path, "m").calibration(10, 0)
    assert only.tolist() == [100.0, 101.0]


def test_a_sample_without_numbers_is_left_out_and_ends_nothing(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(6, 2)
    x[3, 1] = np.nan
    arrays(tmp_path, "test.npz", x, np.arange(6.0))
    task = load(described(tmp_path), "m")
    with pytest.raises(BadSample, match=r"sample 3 holds 1 values that are no numbers"):
        task.prepare(3)
    assert task.prepare(2)[0].tolist() == [4.0, 5.0]


def test_steps_without_numbers_are_a_bad_sample(tmp_path: Path) -> None:
    np.save(tmp_path / "steps.npy", np.array([[1.0, np.nan]]))
    with pytest.raises(BadSample, match="no numbers"):
        recurrent.array(tmp_path / "steps.npy", None)


# ---------------------------------------------------------------- the reference


def test_a_campaign_does_not_go_on_against_another_reference(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    options = {"data": EXAMPLE / "task.toml", "budget_s": 0.3, "seed": 7, "output": path, "on": ["opencv:cpu"]}
    whichpu.measure(EXAMPLE / "gru.onnx", rounds_most=1, **options)
    before = store.load(path)
    before.results[0].accuracy = None  # a round that broke off: it is scored again
    before.results[0].difference = difference([np.ones((1, 1))], [np.ones((1, 1))])
    assert before.reference is not None
    was = before.reference.by
    before.reference = msgspec.structs.replace(before.reference, by=f"{was} (because of a file that was not there)")
    store.save(before, path)
    whichpu.measure(EXAMPLE / "gru.onnx", rounds_most=1, resume=True, **options)
    before.reference = msgspec.structs.replace(before.reference, by="PyTorch, eager, CPU, fp32")
    store.save(before, path)
    with pytest.raises(UserError, match="the reference was PyTorch, eager, CPU, fp32, and is now torch"):
        whichpu.measure(EXAMPLE / "gru.onnx", rounds_most=1, resume=True, **options)


def test_samples_count_that_change_the_metric_but_not_the_answer() -> None:
    """Such as a right class that falls out of the first five, when top-5 is the main metric."""

    class TopFive(Numbers):
        def evidence(self, answers: Mapping[int, float]) -> dict[str, Evidence]:
            return {"mae": Mean([abs(answer - round(answer)) * 4 for answer in answers.values()])}

        def same(self, ours: float, theirs: float) -> bool:
            return round(ours) == round(theirs)

    shifts = dict.fromkeys((3, 90, 200, 400), 0.25)
    ours = Scored({index: index + shifts.get(index, 0.0) for index in range(500)})
    ours.answers[100] = 117.0
    told = Judge(TopFive(500), {index: float(index) for index in range(500)}).accuracy(ours)
    assert told.changed_count == 1 and told.p is not None
    delta, low, _ = told.deltas["mae"]
    assert delta == pytest.approx(4 / 500) and low is not None
    assert low <= 0 and told.p > 0.05


def test_an_infinite_answer_is_no_answer_wherever_in_the_data_it_comes() -> None:
    right = {index: float(index) for index in range(50)}
    with pytest.raises(UserError, match="its mae is infinite, the reference's is not"):
        Judge(Numbers(50), right).accuracy(Scored({**right, 40: np.inf}))
    both = Judge(Numbers(50), {**right, 40: np.inf}).accuracy(Scored({**right, 40: np.inf}))
    assert "mae" not in both.values and not both.deltas


def test_a_reference_that_nobody_agrees_with_and_nobody_named_is_asked_about() -> None:
    made = forecast()
    form = Form(format="pt2", file="prices.pt2", sha256="0" * 64, bytes=1, origin="beside")
    made.model.forms.append(form)
    made.reference = Reference(by="PyTorch, eager, CPU, fp32", samples=3)
    for each in made.results:
        each.difference = difference([np.full((1, 2), 2.0)], [np.ones((1, 2))])
    said = [doubt.advice or "" for doubt in doubts_of(made.results[0], made, None)]
    assert any("is prices.pt2 the same network? It gave the reference" in advice for advice in said)
    other = msgspec.structs.replace(made.results[0], name="another")
    made.results.append(other)
    other.difference = difference([np.ones((1, 2))], [np.ones((1, 2))])
    assert not any("prices.pt2" in (doubt.advice or "") for doubt in doubts_of(made.results[0], made, None))
