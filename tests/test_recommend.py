"""From entries to a decision: the pick and its reasons, ties, what would change it, which limit to relax."""

import json
import random
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.recommend import advice, prices, recommend
from whichpu.recommend.asked import amount, limit, limit_of
from whichpu.recommend.flips import limits_with
from whichpu.recommend.relaxing import moved
from whichpu.reports.advice import told
from whichpu.reports.prose import Translator
from whichpu.results import anything, comparison, store
from whichpu.results.entries import METRICS, Entry, Value

STUDIES = Path(__file__).parent / "data" / "studies"
STUDY = sorted(STUDIES.glob("*_performance_*.json"))
PUBLISHED = Path(__file__).parent.parent / "docs" / "schema" / "advice-1.json"
FIGURES = ("latency_median", "throughput", "power", "memory", "score:rmse")


def value(key, at, spread=None, **terms):
    metric = METRICS.get(key)
    low, high = (None, None) if spread is None else (at / (1 + spread), at * (1 + spread))
    unit, better = (metric.unit, metric.better) if metric else ("", "lower")
    return Value(value=float(at), unit=unit, better=better, low=low, high=high, terms=terms, where=key)


def entry(name, values, **more):
    """A contender of model ``m``, each in a file of its own."""
    given = {"model": "m", "file": f"{name}.json", "sha256": name, "tool": "t", "absent": {}} | more
    return Entry(contender=name, values={key: each if isinstance(each, Value) else value(key, *each)
                                         for key, each in values.items()}, **given)  # fmt: skip


def latencies(**given):
    return [entry(name, {"latency_median": at}) for name, at in given.items()]


# ---------------------------------------------------------------- the pick


def test_the_fastest_is_the_pick_and_the_next_the_runner_up():
    found = recommend(latencies(a=(3e6, 0.02), b=(1e6, 0.02), c=(2e6, 0.02)))
    assert (found.pick, found.runner_up, found.feasible, found.pareto) == ("b", "c", True, ["b"])
    assert found.ties == []
    assert [row.contender for row in found.contenders] == ["b", "c", "a"]
    assert found.contenders[0].best == pytest.approx(1.0)


def test_equal_contenders_come_out_tied():
    found = told(recommend(latencies(a=(1.00e6, 0.05), b=(1.01e6, 0.05), c=(2e6, 0.05))))
    assert found.ties == [["a", "b"]]
    assert found.pareto == ["a", "b"]
    assert "tie" in found.reasons[0].text and "b" in found.reasons[0].params["names"]
    chances = {row.contender: row.best for row in found.contenders}
    assert 0.35 < chances["b"] < chances["a"] < 0.7 and chances["c"] < 0.001


def test_a_tie_is_decided_by_the_next_objective():
    entries = [entry("a", {"latency_median": (1e6, 0.05), "power": (5, 0.01)}),
               entry("b", {"latency_median": (1.01e6, 0.05), "power": (3, 0.01)})]  # fmt: skip
    found = recommend(entries, objectives=("latency", "power"))
    assert found.pick == "b" and found.reasons[0].id == "advice.pick-by"
    assert found.pareto == ["b"], "tied on one, shown worse on the other"


def test_a_trade_off_leaves_both_on_the_front():
    entries = [entry("a", {"latency_median": (1e6, 0.01), "power": (9, 0.01)}),
               entry("b", {"latency_median": (2e6, 0.01), "power": (3, 0.01)}),
               entry("c", {"latency_median": (3e6, 0.01), "power": (4, 0.01)})]  # fmt: skip
    found = recommend(entries, objectives=("latency", "power"))
    assert (found.pick, found.pareto) == ("a", ["a", "b"])
    flips = {flip.kind: flip for flip in found.flips}
    assert flips["objective"].winner == "b" and flips["objective"].objective == "power"


def test_other_terms_are_not_ranked_together():
    entries = [entry("a", {"latency_median": value("latency_median", 1e6, 0.01, boundary="compute")}),
               entry("b", {"latency_median": value("latency_median", 2e6, 0.01, boundary="end_to_end")}),
               entry("c", {"latency_median": value("latency_median", 3e6, 0.01, boundary="end_to_end")})]  # fmt: skip
    found = told(recommend(entries))
    assert (found.pick, found.pareto) == ("b", ["b"])
    out = next(row for row in found.contenders if row.contender == "a")
    assert out.out == "apart" and "transfers" in out.why


def test_an_estimate_does_not_win_over_measurements():
    entries = [*latencies(a=(2e6, 0.01)), entry("b", {"latency_median": (1e6,)}, estimated=True)]
    assert recommend(entries).pick == "a"
    assert recommend(entries[1:]).reasons[-1].id == "advice.estimated"


def test_the_names_of_two_files_are_told_apart():
    entries = [entry("a", {"latency_median": (2e6, 0.01)}, file=f"{day}.json", sha256=day) for day in ("mon", "tue")]
    assert recommend(entries).ties == [["mon.json: a", "tue.json: a"]]


def test_no_objective_figure_is_said():
    found = told(recommend(latencies(a=(1e6,)), objectives=("energy",)))
    assert (found.pick, found.feasible, found.relax, found.flips) == (None, False, [], [])
    assert found.reasons[0].id == "advice.none-objective"


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("bound", "within", "sure", "message"),
    [(2e6, True, True, "surely"), (1.02e6, True, False, "probably"), (0.98e6, False, False, "out-probably"),
     (0.5e6, False, True, "out-limit")],
)  # fmt: skip
def test_limits_know_of_intervals(bound, within, sure, message):
    found = recommend(latencies(a=(1e6, 0.05)), [limit("median", "most", f"{bound}ns")])
    fit = found.contenders[0].fits[0]
    assert (fit.within, fit.sure, found.feasible) == (within, sure, within)
    assert 0 <= fit.chance <= 1 and (fit.chance > 0.5) == within
    assert any(reason.id.endswith(message) for reason in found.reasons)


def test_an_unknown_figure_can_not_be_shown_to_be_within():
    entries = [entry("a", {"latency_median": (1e6,)}, absent={"power": "the file holds no power"}),
               entry("b", {"latency_median": (2e6,), "power": (3,)})]  # fmt: skip
    limits = [limit("power", "most", "5W")]
    found = told(recommend(entries, limits))
    assert found.pick == "b"
    said = next(reason for reason in found.reasons if reason.id == "advice.out-unknown")
    assert "the file holds no power" in said.text and said.sources[0].file == "a.json"
    assert recommend(entries, limits, allow_unknown=True).pick == "a"
    alone = recommend(entries[:1], limits)
    assert not alone.feasible and alone.relax[0].measure == ["power"]


def test_sure_asks_for_all_of_the_interval():
    entries, limits = latencies(a=(1e6, 0.05), b=(2e6, None), c=(3e6, 0.01)), [limit("median", "most", "3.5ms")]
    assert recommend(entries, limits, sure=True).pick == "a"
    tight = [limit("median", "most", "1.02ms")]
    assert recommend(entries, tight).pick == "a"
    found = recommend(entries, tight, sure=True)
    assert found.pick is None and found.relax[0].changes[0].bound == pytest.approx(1.05e6)


def test_the_smallest_relaxations_stand_first():
    entries = [entry("a", {"latency_median": (10,), "power": (4,)}),
               entry("b", {"latency_median": (4,), "power": (6,)}),
               entry("c", {"latency_median": (5.1,), "power": (5.1,)})]  # fmt: skip
    found = recommend(entries, [limit("median", "most", "5ns"), limit("power", "most", "5W")])
    assert [[(each.metric, each.bound) for each in row.changes] for row in found.relax] == [
        [("latency_median", 5.1), ("power", 5.1)],
        [("power", 6.0)],
        [("latency_median", 10.0)],
    ]


def test_an_accuracy_is_never_an_rmse():
    found = recommend([entry("a", {"latency_median": (1,), "score:rmse": (52,)})], [limit("accuracy", "least", "98%")])
    assert not found.feasible and found.contenders[0].fits[0].within is None


def test_chances_hold_what_the_limits_allow():
    """A contender that is probably over the limit wins where it isn't."""
    found = recommend(latencies(a=(1.01e6, 0.05), b=(1e6, None)), [limit("median", "most", "1ms")])
    assert found.without_interval == ["b"] and found.contenders[0].best is None
    found = recommend(latencies(a=(1.01e6, 0.05), b=(0.99e6, 0.05)), [limit("median", "most", "1ms")])
    total = sum(row.best for row in found.contenders)
    assert 0.5 < total < 1, "that neither keeps the limit is possible too"


@pytest.mark.parametrize("text", ["5ms", "5000us", "0.005s", "5e6ns", "5 ms"])
def test_units_are_read_exactly(text):
    assert amount(text, "latency_p99") == 5e6


@pytest.mark.parametrize("text", ["", "p99", "p99 = 5ms", "p99 <= 5", "p99 <= -5ms", "power <= 5ms", "p99 <= nan ms"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="is no"):
        limit_of(text)


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="no figure is called 'rsme'"):
        recommend(latencies(a=(1,)), [limit_of("rsme <= 60")])
    with pytest.raises(UserError, match="no model"):
        recommend(latencies(a=(1,)), model="n")
    with pytest.raises(UserError, match="no objective"):
        recommend([entry("a", {"utilisation": (0.5,)})], objectives=("utilisation",))


def test_a_score_is_limited_in_its_own_unit():
    def rated(key, at, unit, better):
        return entry(key, {f"score:{key}": Value(value=at, unit=unit, better=better)})

    share, percent, plain = (rated(*each) for each in (
        ("accuracy", 0.99, "share", "higher"), ("mape", 4.0, "%", "lower"), ("rmse", 50.0, "", "lower")
    ))  # fmt: skip
    with pytest.raises(UserError, match="more than all"):
        recommend([share], [limit("accuracy", "least", "98")])
    with pytest.raises(UserError, match="not in percent"):
        recommend([plain], [limit("rmse", "most", "60%")])
    fit = told(recommend([percent], [limit("mape", "most", "5%")], objectives=("mape",)))
    assert fit.pick == "mape" and fit.limits[0].bound == 5


# ---------------------------------------------------------------- prices


def test_prices_of_contenders_and_devices(tmp_path):
    table = tmp_path / "prices.toml"
    table.write_text('currency = "EUR"\n[prices]\n"b*" = 70\n"Orin" = 500\n"a [int8]" = 900\n')
    entries = [entry("a [int8]", {"latency_median": (1e6, 0.01)}, device="Orin"),
               entry("a", {"latency_median": (2e6, 0.01)}, device="orin"),
               entry("box", {"latency_median": (3e6, 0.01)}), entry("c", {"latency_median": (4e6, 0.01)})]  # fmt: skip
    found = recommend(entries, [limit("cost", "most", "600")], prices=prices.read(table))
    assert found.pick == "a"
    costs = {row.contender: row.fits[0].value for row in found.contenders}
    assert costs == {"a [int8]": 900, "a": 500, "box": 70, "c": None}
    flip = next(flip for flip in found.flips if flip.kind == "price" and flip.winner == "a [int8]")
    assert flip.price == 900
    assert "advice.within-exactly" in {reason.id for reason in told(found).reasons}  # a price has no interval
    cheap = told(recommend(entries, objectives=("cost",), prices=prices.read(table)))
    assert cheap.pick == "box"
    assert {source.file for reason in cheap.reasons[:1] for source in reason.sources} == {"prices.toml"}
    assert any(flip.kind == "price" and flip.winner == "a" and flip.price == 70 for flip in cheap.flips)


@pytest.mark.parametrize(
    "text", ["", "[prices]\n", "prices = 3", '[prices]\na = "x"', "[prices]\na = -1", "x = 1", "["]
)
def test_a_bad_table_of_prices_is_refused(tmp_path, text):
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(UserError, match=r"prices\.toml"):
        prices.read(tmp_path / "prices.toml")


# ---------------------------------------------------------------- whatever the figures


@st.composite
def cases(draw):
    number, spread = st.integers(1, 12), st.sampled_from([None, 0.01, 0.3])
    names = "abcdef"[: draw(st.integers(1, 6))]
    entries = [
        entry(name, {key: (draw(number), draw(spread)) for key in FIGURES if draw(st.integers(0, 5))}) for name in names
    ]
    bounds = st.tuples(st.sampled_from(FIGURES), st.sampled_from(["most", "least"]), st.integers(1, 12))
    given = draw(st.lists(bounds, max_size=3, unique_by=lambda each: each[:2]))
    limits = [advice.Limit(key, side, float(bound)) for key, side, bound in given]
    objectives = draw(st.lists(st.sampled_from(FIGURES), min_size=1, max_size=3, unique=True))
    known = {key for each in entries for key in each.values}
    limits = [each for each in limits if each.metric in known or each.metric != "score:rmse"]
    objectives = [key for key in objectives if key in known or key != "score:rmse"] or ["power"]
    return entries, limits, objectives, {"allow_unknown": draw(st.booleans()), "sure": draw(st.booleans())}


CASES = settings(max_examples=60, deadline=None)


@CASES
@given(cases())
def test_the_pick_is_feasible_and_on_the_front(case):
    entries, limits, objectives, more = case
    found = recommend(entries, limits, objectives, **more)
    rows = {row.contender: row for row in found.contenders}
    assert found.feasible == any(row.ranked for row in rows.values()) == (found.pick is not None)
    if found.pick is None:
        assert found.pareto == [] and not any(row.ranked for row in rows.values())
        return
    assert found.pick in found.pareto and found.runner_up != found.pick
    for fit in rows[found.pick].fits:
        assert fit.within or (fit.within is None and more["allow_unknown"])
        assert not (more["sure"] and fit.within and fit.sure is not True)
    assert all(rows[name].ranked for name in found.pareto)


@CASES
@given(cases(), st.randoms(use_true_random=False))
def test_order_and_units_change_nothing(case, shuffler: random.Random):
    entries, limits, objectives, more = case
    found = recommend(entries, limits, objectives, **more)
    mixed = entries[:]
    shuffler.shuffle(mixed)
    assert recommend(mixed, limits, objectives, **more) == found
    bigger = recommend([scaled(each) for each in entries], [times(each) for each in limits], objectives, **more)
    assert (bigger.pick, bigger.pareto, bigger.ties) == (found.pick, found.pareto, found.ties)
    assert [row.contender for row in bigger.relax] == [row.contender for row in found.relax]


BY = 1024.0


def scaled(each):
    """The same figures in a unit that is smaller."""
    return msgspec.structs.replace(
        each,
        values={
            key: msgspec.structs.replace(
                one, value=one.value * BY, low=one.low and one.low * BY, high=one.high and one.high * BY
            )
            for key, one in each.values.items()
        },
    )


def times(each):
    return msgspec.structs.replace(each, bound=each.bound * BY)


@CASES
@given(cases())
def test_relaxations_let_in_what_they_say(case):
    entries, limits, objectives, more = case
    found = recommend(entries, limits, objectives, **more)
    for row in found.relax:
        if row.measure:
            continue
        again = recommend(entries, moved(limits, row.changes), objectives, **more)
        assert again.feasible and {each.contender: each for each in again.contenders}[row.contender].feasible
        if len(row.changes) == 1:
            change = row.changes[0]
            less = change.bound + (change.old - change.bound) * 1e-6
            nearly = moved(limits, [msgspec.structs.replace(change, bound=less)])
            assert not recommend(entries, nearly, objectives, **more).feasible, "it is the smallest"


@CASES
@given(cases())
def test_flips_make_another_win(case):
    entries, limits, objectives, more = case
    found = recommend(entries, limits, objectives, **more)
    for flip in found.flips:
        assert flip.winner != found.pick
        if flip.kind == "limit":
            again = recommend(entries, moved(limits, [flip.limit]), objectives, **more)
        elif flip.kind == "objective":
            again = recommend(entries, limits, [flip.objective, *objectives], **more)
        else:
            continue
        assert again.pick == flip.winner


@CASES
@given(cases(), st.sampled_from(["en", "ko"]))
def test_every_sentence_is_traced_to_the_files(case, language):
    entries, limits, objectives, more = case
    found = told(recommend(entries, limits, objectives, **more), language)
    sentences = [*found.reasons, *(row.reason for row in (*found.relax, *found.flips))]
    assert sentences
    for reason in sentences:
        traced(reason, entries, limits)


def traced(reason, entries, limits):
    """A sentence has its words, its sources are in the files, and its figures are theirs or the user's."""
    assert reason.text and "{" not in reason.text and reason.sources
    files = {(each.file, each.model, each.contender): each for each in entries}
    known = [each.bound for each in limits]
    for source in reason.sources:
        of = files[source.file, source.model, source.contender]
        assert (source.key in of.values) == bool(source.where)
        if source.key in of.values:
            figure = of.values[source.key]
            known += [each for each in (figure.value, figure.low, figure.high) if each is not None]
    for name, each in reason.params.items():
        if isinstance(each, list) and len(each) > 1 and isinstance(each[0], float):
            exact = name != "bound"
            assert any(abs(each[0] - one) <= (0 if exact else 1.1e-2 * abs(one)) for one in known), (reason, known)


# ---------------------------------------------------------------- real files


def test_the_share_price_study():
    found = told(recommend(anything.entries(STUDY)))
    assert (found.pick, found.runner_up, found.feasible) == ("TensorRT (GPU)", "ONNX Runtime (GPU)", True)
    assert [each.model for each in found.models] == ["GRU_Apple", "LSTM_Apple"]
    assert found.pareto == ["TensorRT (GPU)"]
    assert "no interval" in found.models[0].reasons[1].text, "a probability would be made up"


def test_the_study_under_a_power_limit():
    entries = anything.entries(STUDY)
    found = told(recommend(entries, [limit("power", "most", "60W")], model="GRU_Apple"))
    assert found.pick == "ONNX Runtime (GPU)"
    text = " ".join(reason.text for reason in found.reasons)
    assert "Hailo-8L can't be shown to keep the limit on mean power" in text
    assert [(flip.kind, flip.winner) for flip in found.flips] == [("limit", "TensorRT (GPU)")]
    assert recommend(entries, limits_with_flip(found), model="GRU_Apple").pick == "TensorRT (GPU)"
    nothing = recommend(entries, [limit("power", "most", "5W")], model="GRU_Apple")
    assert [(row.contender, row.measure) for row in nothing.relax] == [
        ("ONNX Runtime (GPU)", []), ("Hailo-8L", ["power"]),
    ]  # fmt: skip


def limits_with_flip(found):
    from whichpu.recommend.decision import Asked

    return limits_with(Asked(limits=tuple(found.limits)), found.flips[0])


def test_a_relaxation_can_be_typed_in():
    """What a sentence says is rounded to the side that lets in."""
    entries, limits = anything.entries(STUDY), [limit("rmse", "most", "50"), limit("p99", "most", "1us")]
    row = recommend(entries, limits, model="GRU_Apple").relax[0]
    for change in row.reason.params["changes"]:
        exact = next(each.bound for each in row.changes if each.metric == change["key"])
        assert exact <= change["bound"][0] <= exact * 1.001


def test_a_campaign_is_judged_by_its_rounds(campaign_file):
    campaign = store.load(campaign_file)
    files = anything.opened([campaign_file])
    found = recommend(files[0].entries, campaigns=anything.campaigns(files))
    (verdict,) = comparison.compare(campaign, found.pick)
    assert verdict.verdict in ("slower", "no-difference", "too-small-to-matter")
    assert bool(found.ties) == (verdict.verdict != "slower")
    chances = {row.contender: row.best for row in found.contenders}
    assert chances == pytest.approx(comparison.probability_of_best(campaign), abs=1e-9)


# ---------------------------------------------------------------- the command


def test_the_command_prints_the_published_shape(inside):
    ran = inside("recommend", *STUDY, "--max-power", "60W", "--objective", "latency,throughput", "--json")
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert schema == json.loads(json.dumps(advice.json_schema()))
    jsonschema.validate(ran.body(), schema)
    assert ran.status == 2, "nothing fits for one of the models"
    body = inside("recommend", *STUDY, "--json", "--model", "GRU_Apple").body()
    assert {"pick", "runner_up", "feasible", "reasons", "pareto", "ties", "relax", "flips"} <= body.keys()
    assert body["pick"] in body["pareto"]


def test_the_command_speaks_korean(inside):
    ran = inside("recommend", *STUDY, "--max-p99", "0.1ms", "--language", "ko")
    assert ran.status == 0 and "추천: TensorRT (GPU)" in ran.out and "제외했습니다" in ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--max-p99", "5"], "5ms"), (["--objective", "speed"], "speed"), (["--limit", "p99"], "is no limit"),
     (["--model", "x"], "GRU_Apple"), (["--language", "xx"], "en, ko"), (["--prices", "none.toml"], "can't read")],
)  # fmt: skip
def test_mistakes_are_named(inside, arguments, says):
    ran = inside("recommend", *STUDY, *arguments)
    assert ran.status == 1 and says in ran.err


def test_all_messages_are_in_the_catalogue():
    from whichpu.reports.prose.messages import MESSAGES
    from whichpu.reports.prose.translator import catalogue

    mine = {(id, text) for id, text in MESSAGES.items() if id.startswith(("advice.", "assign."))}
    assert len(mine) > 40 and mine <= catalogue("ko").keys()
    assert Translator("ko").label("at most") == "이하"
