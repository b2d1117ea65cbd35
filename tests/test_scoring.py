"""Scoring: samples stream through a worker, answers are held against the reference's, unequal protocols are refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

import whichpu
from whichpu.campaign import scoring
from whichpu.campaign.accuracy import Judge
from whichpu.campaign.outputs import Differences, difference
from whichpu.errors import UserError
from whichpu.results import accuracy, regression, scores, store
from whichpu.results.limits import Config
from whichpu.results.schema import Accuracy, Campaign, TaskInfo
from whichpu.stats import bootstrap
from whichpu.stats.evidence import Evidence, Mean, Ratio, RootMean, RootRatio
from whichpu.targets import local
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.tasks import BadSample
from whichpu.tasks.task import Shown
from whichpu.worker import wire

EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"
GOLDEN = Path(__file__).parent / "golden" / "campaign-1.json"
SPECS = [wire.TensorSpec("x", "float32", [4])]


class Numbers:
    """A sample is its index, four times; the null backend gives it back, and the answer is their mean."""

    carry: Mapping[int, int] = {}
    reference = reference_by = None

    def __init__(self, samples: int, bad: tuple[int, ...] = (), nan: tuple[int, ...] = ()) -> None:
        self.info = TaskInfo(
            name="numbers",
            kind="test",
            metric="mae",
            unit="",
            samples=samples,
            protocol_sha256="a" * 64,
            better="lower",
        )
        self.bad, self.nan = bad, nan
        self.threads: set[str] = set()

    def name(self, index: int) -> str:
        return f"number {index}"

    def prepare(self, index: int) -> list[np.ndarray]:
        self.threads.add(threading.current_thread().name)
        if index in self.bad:
            raise BadSample(f"number {index} is unlucky")
        return [np.full(4, np.nan if index in self.nan else index, np.float32)]

    def finish(self, index: int, outputs: list[np.ndarray]) -> float:
        return float(outputs[0].mean())

    def evidence(self, answers: Mapping[int, float]) -> dict[str, Evidence]:
        return {"mae": Mean([abs(answer - index) for index, answer in answers.items()])}

    def same(self, ours: float, theirs: float) -> bool:
        return ours == theirs

    def show(self, index: int, answers: Mapping[str, float]) -> Shown:
        return Shown(sample=self.name(index), truth=str(index), answers={who: str(it) for who, it in answers.items()})


@pytest.fixture
def link():
    with local.start() as worker:
        worker.ask(wire.Open("null", "cpu", "nothing", "*", inputs=SPECS), wire.Opened)
        yield worker


@pytest.fixture
def scorer_of():
    """Makes scorers, and closes them."""
    made = []

    def make(task: Numbers, threads: int = 1) -> scoring.Scorer:
        made.append(scoring.Scorer(task, SPECS, threads))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()


def run(task: Numbers, link: Link, threads: int = 1, **options: object) -> scoring.Scored:
    scorer = scoring.Scorer(task, SPECS, threads)
    try:
        return scorer.run(link, lambda _: 20.0, **options)
    finally:
        scorer.close()


# ---------------------------------------------------------------- streaming


@pytest.mark.parametrize("threads", [1, 3])
def test_every_sample_is_answered_once_and_in_its_place(link, threads):
    task = Numbers(100)
    scored = run(task, link, threads)
    assert scored.answers == {index: float(index) for index in range(100)}
    assert scored.left_out == {}
    assert all(name.startswith("prepare") for name in task.threads)


def test_bad_samples_are_left_out_with_their_sentences_and_the_rest_goes_on(link):
    scored = run(Numbers(40, bad=(0, 1, 2, 17, 39)), link)
    assert sorted(scored.left_out) == [0, 1, 2, 17, 39] and scored.left_out[17] == "number 17 is unlucky"
    assert len(scored.answers) == 35 and scored.answers[38] == 38
    with pytest.raises(UserError, match="no sample of numbers can be used, such as: number 0 is unlucky"):
        run(Numbers(3, bad=(0, 1, 2)), link)


def test_samples_of_another_shape_or_type_are_left_out(link):
    task = Numbers(20)
    task.prepare = lambda index: [np.zeros(5 if index == 3 else 4, "c8" if index == 4 else "f4")]
    scored = run(task, link)
    assert scored.left_out[3] == "number 3 becomes 5 for 'x'; the model takes 4"
    assert scored.left_out[4] == "number 4 becomes complex64; the model takes float32"


def test_no_answer_ends_the_contender(link):
    with pytest.raises(WorkerTrouble, match="4 of 8 values of output 0 are NaN"):
        run(Numbers(20, nan=(7,)), link)


def test_a_dead_worker_ends_the_contender(link):
    link.kill()
    with pytest.raises(WorkerTrouble):
        run(Numbers(20), link)


def test_the_next_samples_are_prepared_before_these_are_finished(link):
    task, events = Numbers(32), []
    prepare, finish = task.prepare, task.finish
    task.prepare = lambda index: (events.append(("prepare", index)), prepare(index))[1]
    task.finish = lambda index, outputs: (events.append(("finish", index)), finish(index, outputs))[1]
    run(task, link)
    assert all(events.index(("finish", index)) > events.index(("prepare", index + 2)) for index in range(30))


def test_what_is_prepared_stays_for_the_next_contender(link, scorer_of, monkeypatch):
    task = Numbers(32)
    scorer = scorer_of(task)
    first = scorer.run(link, lambda _: 20.0)
    task.prepare = lambda index: pytest.fail("prepared again")
    assert scorer.run(link, lambda _: 20.0).answers == first.answers
    monkeypatch.setattr(scoring, "KEPT_BYTES", 200)
    little = scorer_of(Numbers(32))
    little.run(link, lambda _: 20.0)
    assert 0 < little.ready_bytes <= 200
    assert len(list(Path(little.folder.name).iterdir())) == len(little.ready)
    scorer.close()
    assert not Path(scorer.folder.name).exists()


def test_differences_cover_the_first_samples_that_there_is_room_for(link, scorer_of, monkeypatch):
    task = Numbers(64)
    scorer = scorer_of(task)
    whole = scoring.Kept(task)
    scorer.run(link, lambda _: 20.0, keep=whole)
    assert scorer.run(link, lambda _: 20.0, whole).differences.told().samples == 64
    monkeypatch.setattr(scoring, "KEPT_BYTES", 1000)
    some = scoring.Kept(task)
    scorer.run(link, lambda _: 20.0, keep=some)
    found = scorer.run(link, lambda _: 20.0, some).differences.told()
    assert 0 < found.samples < 64 and found.max_abs == 0
    assert sorted(some.first(5)) == list(range(8))


def test_progress_is_told(link, monkeypatch):
    monkeypatch.setattr(scoring, "TOLD_EVERY_S", 0.0)
    heard = []
    run(Numbers(32), link, tell=lambda done, of: heard.append((done, of)))
    assert heard[-1] == (32, 32) and heard == sorted(heard) and len(heard) == 16


# ---------------------------------------------------------------- differences


def test_psnr_and_cosine_of_the_worst_output_by_hand():
    theirs, ours = np.array([[3.0, 4.0]]), np.array([[3.0, 3.0]])
    found = difference([np.ones((1, 2)), ours], [np.ones((1, 2)), theirs])
    assert found.output == 1
    assert found.psnr_db == pytest.approx(10 * np.log10(4**2 / 0.5))
    assert found.cosine == pytest.approx(21 / (5 * np.sqrt(18)))
    same = difference([theirs], [theirs])
    assert same.psnr_db is None and same.cosine == pytest.approx(1)


def test_differences_gathered_by_and_by_are_those_of_all_at_once():
    random = np.random.default_rng(1)
    theirs, ours = [random.random((9, 3)), random.random((9, 2, 2))], [random.random((9, 3)), random.random((9, 2, 2))]
    bit = Differences()
    for first in range(0, 9, 2):
        bit.add([array[first : first + 2] for array in ours], [array[first : first + 2] for array in theirs])
    a, b = msgspec.structs.asdict(bit.told()), msgspec.structs.asdict(difference(ours, theirs))
    assert a == pytest.approx(b)


# ---------------------------------------------------------------- the bootstrap


def paired(ours: list[float], theirs: list[float], **options: object) -> bootstrap.Delta:
    found = bootstrap.paired({"m": Mean(ours)}, {"m": Mean(theirs)}, len(ours), 1, **options)
    return found.deltas["m"]


def test_the_same_answers_differ_by_nothing():
    assert paired([0, 1, 1] * 20, [0, 1, 1] * 20) == bootstrap.Delta(0.0, 0.0, 0.0, 1.0)


def test_a_few_changed_samples_that_point_one_way_show_nothing_and_many_do():
    def lost(count: int) -> bootstrap.Delta:
        return paired([0.0] * count + [1.0] * (500 - count), [1.0] * 500)

    few, many = lost(4), lost(12)  # a sign test: p = 0.125, and 0.0005
    assert few.value == pytest.approx(-0.008) and few.high >= 0 and few.p > 0.05
    assert many.high < 0 and many.p < 0.01
    assert many.low < many.value < many.high


def test_the_interval_is_that_of_the_normal_theory_where_many_samples_changed():
    random = np.random.default_rng(2)
    theirs = random.random(2_000)
    ours = theirs + random.normal(0.01, 0.1, 2_000)
    found = paired(list(ours), list(theirs))
    reach = 1.96 * np.std(ours - theirs) / np.sqrt(2_000)
    assert found.low == pytest.approx(found.value - reach, abs=0.1 * reach)
    assert found.high == pytest.approx(found.value + reach, abs=0.1 * reach)


def test_the_first_draws_are_the_same_however_many_are_made():
    few = np.concatenate(list(bootstrap.choices(30, 5, 40)))
    many = np.concatenate(list(bootstrap.choices(30, 5, 200)))
    assert np.array_equal(few, many[:40]) and (many.sum(axis=1) == 30).all()


def test_slow_evidence_gets_fewer_draws():
    slow = SimpleNamespace(value=lambda weights=None: time.sleep(0.0005) or 1.0)
    found = bootstrap.paired({"m": slow}, {"m": slow}, 3, 1, cap_s=0.0)
    assert found.draws == bootstrap.DRAWS_LEAST


def test_slow_evidence_that_is_drawn_again_is_weighed_once():
    weighed = []
    slow = SimpleNamespace(value=lambda weights=None: float(weighed.append(weights) or len(weighed)))
    known = bootstrap.Remembering(slow)
    (weights,) = bootstrap.choices(50, 1, bootstrap.BLOCK)
    first = [known.value(), *bootstrap.values_of(known, weights)]
    assert [known.value(), *bootstrap.values_of(known, weights)] == first == list(range(1, bootstrap.BLOCK + 2))


def test_one_sample_says_nothing_about_spread_and_no_value_is_no_delta():
    assert paired([1.0], [0.0]) == bootstrap.Delta(1.0)
    assert bootstrap.paired({"m": Mean([])}, {"m": Mean([])}, 0, 1).deltas == {}


@pytest.mark.parametrize("kind", [Mean, RootMean, Ratio, RootRatio])
def test_evidence_weighs_samples_as_if_they_were_repeated(kind):
    random = np.random.default_rng(3)
    columns = [random.random(6) for _ in range(2 if kind in (Ratio, RootRatio) else 1)]
    counts = np.array([2, 0, 1, 1, 0, 3])
    repeated = kind(*(np.repeat(column, counts) for column in columns)).value()
    assert kind(*columns).value(counts.astype(float)) == pytest.approx(repeated)
    assert kind(*columns).values(np.stack([counts, np.ones(6)]).astype(float)) == pytest.approx(
        [repeated, kind(*columns).value()]
    )


# ---------------------------------------------------------------- accuracy


def scored(shift: Mapping[int, float], samples: int = 50) -> scoring.Scored:
    return scoring.Scored({index: index + shift.get(index, 0.0) for index in range(samples)})


def test_accuracy_tells_what_changed_the_costliest_first():
    task = Numbers(50)
    judge = Judge(task, scored({}).answers)
    found = judge.accuracy(scored({3: 1.0, 7: 5.0, 9: -2.0}))
    assert found.values == {"mae": pytest.approx(8 / 50)} and found.deltas["mae"][0] == pytest.approx(8 / 50)
    assert found.agreement == pytest.approx(47 / 50) and found.changed_count == 3
    assert [it.sample for it in found.changed] == ["number 7", "number 9", "number 3"]
    assert (found.changed[0].truth, found.changed[0].reference, found.changed[0].ours) == ("7", "7.0", "12.0")
    assert judge.accuracy(scored({})).deltas["mae"] == (0.0, 0.0, 0.0)


def test_deltas_are_over_the_samples_that_both_answered():
    judge = Judge(Numbers(50), scored({0: 100.0}).answers)
    ours = scored({})
    del ours.answers[0]
    found = judge.accuracy(ours)
    assert found.samples == 49 and found.deltas["mae"] == (0.0, 0.0, 0.0)


def test_another_models_answers_are_not_held_against_the_reference():
    found = Judge(Numbers(50), scored({}).answers).accuracy(scored({1: 1.0}), against_reference=False)
    assert found.values and not found.deltas and found.agreement is None


def campaign(*shifts: Mapping[int, float], **task: object) -> Campaign:
    """One contender for each shift, scored against a reference that is right."""
    made = store.load(GOLDEN)
    numbers = Numbers(50)
    made.task = msgspec.structs.replace(numbers.info, **task)
    judge = Judge(numbers, scored({}).answers)
    own = [result for result in made.results if not result.yardstick][: len(shifts)]
    for result, shift in zip(own, shifts, strict=True):
        result.accuracy = judge.accuracy(scored(shift))
        result.score = result.accuracy.values["mae"]
    made.results = own
    accuracy.settle(made)
    return made


WRONG = dict.fromkeys(range(20), 1.0)


def test_verdicts_of_contenders():
    made = campaign(WRONG, {}, {0: 1.0})
    assert [result.accuracy.verdict for result in made.results] == ["worse", "no-difference", "no-difference"]
    tiny = campaign(dict.fromkeys(range(50), 1e-09))
    tiny.results[0].accuracy.values["mae"] += 1.0  # the reference is off by 1: 1e-9 of that is arithmetic
    accuracy.settle(tiny)
    assert tiny.results[0].accuracy.verdict == "too-small-to-matter"


def test_contenders_are_held_against_each_other_from_what_the_file_keeps():
    made = campaign(WRONG, {})
    again = msgspec.json.decode(msgspec.json.encode(made), type=Campaign)
    (row,) = scores.compare_accuracy(again, again.results[1].name)
    assert (row.metric, row.verdict, row.delta) == ("mae", "worse", pytest.approx(0.4))
    assert 0 < row.delta_low < 0.4 < row.delta_high and row.ratio is None
    assert (row.baseline_value, row.value) == (0.0, pytest.approx(0.4))


def test_metrics_that_are_no_mean_are_held_against_each_other_by_their_draws():
    class Middle:
        def __init__(self, each: list[float]) -> None:
            self.each = np.array(each)

        def value(self, weights: np.ndarray | None = None) -> float:
            counts = np.ones(self.each.size) if weights is None else weights
            return float(np.median(np.repeat(self.each, counts.astype(int))))

    task = Numbers(50)
    task.evidence = lambda answers: {"mae": Middle([abs(it - index) for index, it in answers.items()])}
    judge = Judge(task, None)
    right, wrong = (judge.accuracy(scored(dict.fromkeys(range(50), shift))) for shift in (0.0, 1.0))
    assert right.by_sample.how == "draws"
    found = accuracy.held(wrong, right, "mae")
    assert found.delta.value == 1 and found.delta.low == found.delta.high == 1
    other = msgspec.structs.replace(right, seed=right.seed + 1)
    assert accuracy.held(wrong, other, "mae").no_interval.endswith("drew other samples")


def test_accuracy_is_compared_across_files_and_unequal_protocols_are_refused_by_name():
    protocol = {"data": "f" * 64, "preprocess.resize": "letterbox 384x384", "decode.score_above": "0.01"}
    changed = {**protocol, "preprocess.resize": "stretch 384x384", "decode.score_above": "0.25"}
    then, now = campaign({}, protocol=protocol), campaign(WRONG, protocol=protocol)
    (row,) = scores.across_accuracy([("then", then), ("now", now)])
    assert (row.verdict, row.delta) == ("worse", pytest.approx(0.4))
    other = campaign(WRONG, protocol=changed, protocol_sha256="b" * 64)
    (row,) = scores.across_accuracy([("then", then), ("other", other)])
    assert row.verdict == "not-comparable" and row.delta is None
    assert row.reason == (
        "other protocol: preprocess.resize (letterbox 384x384, then stretch 384x384),"
        " decode.score_above (0.01, then 0.25)"
    )
    verdict = next(it for it in regression.across(other, [("then", then)], Config()) if it.metric == "mae")
    assert verdict.reason == row.reason


def test_other_samples_are_not_compared():
    ours, theirs = (Accuracy(samples=3, values={"mae": 1.0}, answered_sha256=text) for text in "ab")
    assert accuracy.held(ours, theirs, "mae").refused == "other samples (3 answered, then 3)"


def test_a_score_that_fell_within_its_interval_does_not_fail_the_check():
    def verdict(shift: Mapping[int, float]) -> regression.Verdict:
        before, now = campaign({0: 1.0}), campaign(shift)
        return next(it for it in regression.across(now, [("b", before)], Config()) if it.metric == "mae")

    chance = verdict({0: 1.0, 1: 1.0, 2: 1.0})
    assert chance.verdict == "no-difference" and chance.delta_low <= 0 < chance.delta
    assert verdict(WRONG).verdict == "worse"


def test_a_variants_outputs_differ_and_only_its_answers_count():
    from whichpu.results.doubts import differs

    made = campaign({}, WRONG)
    for result in made.results:
        result.variant = "int8"
        result.difference = msgspec.structs.replace(difference([np.ones((1, 1))], [np.ones((1, 1))]), relative=0.5)
    assert [differs(result) for result in made.results] == [False, True]


# ---------------------------------------------------------------- a whole campaign


def test_a_campaign_scores_all_its_contenders(tmp_path):
    path = tmp_path / "c.json"
    options = {"data": EXAMPLE / "task.toml", "budget_s": 0.3, "seed": 7, "output": path}
    on = ["a=onnxruntime:cpu", "b=onnxruntime:cpu", "null:cpu"]
    measured = whichpu.measure(EXAMPLE / "gru.onnx", on=on, rounds_most=1, **options).campaign
    a, b, null = measured.results
    assert measured.reference.samples == 543 and measured.reference.by.startswith("torch")
    assert a.accuracy.samples == 543 and a.score == a.accuracy.values["rmse"] == b.score
    assert a.accuracy.verdict == "no-difference" and a.accuracy.agreement == 1 and null.accuracy is None
    assert a.difference.samples == 543 and a.difference.psnr_db > 100
    assert measured.application.samples == 200
    (row,) = scores.compare_accuracy(measured, "a")
    assert (row.contender, row.verdict, row.delta) == ("b", "no-difference", 0.0)
    gone_on = whichpu.measure(EXAMPLE / "gru.onnx", on=on, rounds_most=2, resume=True, **options).campaign
    assert gone_on.results[0].accuracy == a.accuracy  # known: not scored again


def test_the_reference_is_pytorch_where_it_is_there(tmp_path):
    pytest.importorskip("torch")
    text = (EXAMPLE / "task.toml").read_text().partition("[reference]")[0]
    (tmp_path / "task.toml").write_text(text.replace('"aapl.csv"', f'"{EXAMPLE / "aapl.csv"}"'))
    on, data = ["null:cpu", "onnxruntime:cpu"], tmp_path / "task.toml"
    campaign = whichpu.measure(EXAMPLE / "gru.onnx", on=on, data=data, rounds_most=1, budget_s=0.3).campaign
    assert campaign.reference.by == "PyTorch, eager, CPU, fp32"
    assert campaign.results[1].accuracy.verdict in ("no-difference", "too-small-to-matter")
