"""Campaign files: nothing read is lost, old files stay readable, figures are recomputed from raw readings."""

import json
import math
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results import column, store
from whichpu.results.comparison import compare, fastest
from whichpu.results.latencies import median, opening_ratio, ratio
from whichpu.results.schema import Block, Campaign, Difference, Reading, Result, json_schema
from whichpu.results.summary import figures, summarize

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "campaign-1.json"
PUBLISHED = HERE.parent / "docs" / "schema" / "campaign-1.json"


def reading(number, blocks, opening=1):
    """A reading whose blocks are given as lists of steady latencies in ns; each opens with a slow one."""
    latencies = [latency for block in blocks for latency in ([9_000_000] * opening + block)]
    return Reading(
        round=number,
        load_ns=1000 + number,
        first_ns=500,
        warm_steady=True,
        latencies_ns=column.pack(latencies),
        blocks=[
            Block(
                position=index,
                count=opening + len(block),
                opening=opening,
                began_ns=0,
                wall_ns=2 * sum(block),
                cpu_ns=sum(block),
            )
            for index, block in enumerate(blocks)
        ],
    )


def result(name, rounds, **more):
    readings = [reading(number, blocks) for number, blocks in enumerate(rounds)]
    return Result(name=name, target=name, backend=name, device="cpu", status="measured", readings=readings, **more)


def campaign(*results):
    loaded = store.load(GOLDEN)
    loaded.results = list(results)
    loaded.reference = None
    return loaded


# ---------------------------------------------------------------- packing


@given(st.lists(st.integers(0, 2**40), max_size=200))
def test_latencies_come_back_exactly(values):
    packed = column.pack(values)
    assert column.unpack(packed).tolist() == values
    assert packed.count == len(values)


def test_a_negative_latency_is_refused():
    with pytest.raises(ValueError, match="negative"):
        column.pack([-1])


@pytest.mark.parametrize(
    "broken",
    [
        column.Column(3, "u4-shuffle-zlib-base64", "AAAA"),
        column.Column(3, "u4-shuffle-zlib-base64", "not base64!"),
        column.Column(3, "something-else", ""),
        column.Column(2, "u4-shuffle-zlib-base64", column.pack([1, 2, 3]).data),
    ],
)
def test_damaged_latencies_are_refused(broken):
    with pytest.raises(ValueError, match=r"damaged|unknown"):
        column.unpack(broken)


def test_eight_contenders_of_a_minute_fit_in_20_megabytes():
    # The worst that a campaign stores: 10 us a call, and a round takes a contender no more than 0.65 s
    # (start, load, warm-up, 10 blocks of 1,000 inferences and their openings), so 92 rounds in a minute.
    generator = np.random.default_rng(1)
    blocks = generator.lognormal(math.log(10_000), 0.05, size=(10, 1_000)).astype(np.int64).tolist()
    one_round = len(msgspec.json.encode(reading(91, blocks, opening=200)))
    assert 8 * 92 * one_round < 20e6


# ---------------------------------------------------------------- files


def test_the_golden_file_still_loads_and_keeps_every_byte_of_meaning(tmp_path):
    loaded = store.load(GOLDEN)
    store.save(loaded, tmp_path / "again.json")
    assert_holds(json.loads((tmp_path / "again.json").read_text()), json.loads(GOLDEN.read_text()))


def assert_holds(new, old):
    """Everything in ``old`` is in ``new``; fields that came later may stand beside it."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert_holds(new[key], value)
    elif isinstance(old, list):
        assert len(new) == len(old)
        for now, then in zip(new, old, strict=True):
            assert_holds(now, then)
    else:
        assert new == old


def test_figures_of_the_golden_file_stay_what_they_were():
    loaded = store.load(GOLDEN)
    now = json.loads(msgspec.json.encode(summarize(loaded)))
    then = json.loads((HERE / "golden" / "campaign-1.figures.json").read_text())
    assert [row["name"] for row in now] == [row["name"] for row in then]
    for new, old in zip(now, then, strict=True):
        for name, value in old.items():
            assert new[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name


def test_the_published_schema_is_the_one_in_the_code():
    assert json.loads(PUBLISHED.read_text()) == json_schema()


def test_files_keep_the_published_schema():
    jsonschema.validate(json.loads(GOLDEN.read_text()), json.loads(PUBLISHED.read_text()))


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "kept.json"
    loaded = store.load(GOLDEN)
    store.save(loaded, path)
    before = path.read_bytes()
    tmp_path.chmod(0o500)
    try:
        if (tmp_path / "probe").parent.stat().st_uid == 0:  # root writes anywhere: make the rename fail instead
            path.unlink()
            path.mkdir()
            (path / "inside").write_text("x")
            with pytest.raises(UserError, match="can't write"):
                store.save(loaded, path)
            assert (path / "inside").read_text() == "x"
        else:
            with pytest.raises(UserError, match="can't write"):
                store.save(loaded, path)
            assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["kept.json"]
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a campaign file"),
        ("[1, 2]", "is not a campaign file"),
        ('{"a": 1}', "is not a campaign file"),
        ('{"schema": "whichpu.campaign/9"}', "this WhichPU reads whichpu.campaign/1"),
        ('{"schema": "whichpu.campaign/1"}', "is damaged"),
    ],
)
def test_other_files_are_refused_with_words(tmp_path, text, says):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        store.load(path)


# ---------------------------------------------------------------- figures


def test_figures_by_hand():
    row = figures(result("a", [[[100, 200, 300], [400, 400, 400]], [[200, 200, 200], [200, 200, 200]]]), campaign())
    # Round medians: sqrt(200 * 400) and 200; the figure is their geometric mean.
    assert row.median_ns == pytest.approx(math.sqrt(math.sqrt(200 * 400) * 200))
    assert (row.count, row.rounds) == (12, 2)
    assert (row.min_ns, row.max_ns) == (100, 400)
    assert row.mean_ns == pytest.approx((600 + 1200 + 1200) / 12)
    assert row.std_ns == pytest.approx(np.std([100, 200, 300, *[400] * 3, *[200] * 6], ddof=1))
    assert row.throughput_per_s == pytest.approx(12 / (2 * 3000) * 1e9)
    assert row.cores_used == 0.5
    assert row.load_ns == 1000.5
    assert row.p95_ns is None
    assert row.missing["p95"] == "p95 needs 200 inferences, 12 were measured"
    assert row.opening_ratio == pytest.approx(np.median([45_000, 22_500, 45_000, 45_000]))


def test_openings_are_kept_but_do_not_count():
    found = result("a", [[[100] * 30]])
    assert median(found).value == pytest.approx(100)
    assert column.unpack(found.readings[0].latencies_ns).max() == 9_000_000
    assert opening_ratio(found.readings) == 90_000


def test_unknown_is_not_zero():
    empty = Result(name="a", target="a", backend="a", device="cpu", status="refused", why="it says no")
    row = json.loads(msgspec.json.encode(figures(empty, campaign())))
    numbers = {key: value for key, value in row.items() if key.endswith(("_ns", "_per_s", "_used"))}
    assert numbers
    assert set(numbers.values()) == {None}


def test_ratio_uses_only_rounds_that_both_ran_in():
    slow = result("slow", [[[200] * 5]] * 4)
    quick = result("quick", [[[100] * 5]] * 3)
    estimate, logs = ratio(slow, quick)
    assert estimate.value == pytest.approx(2)
    assert len(logs) == 3


def test_scores_are_held_against_the_reference():
    held = store.load(GOLDEN)
    held.reference = msgspec.structs.replace(held.reference, score=8.0)
    assert figures(result("a", [[[100] * 5]], score=8.5), held).score_delta == 0.5


# ---------------------------------------------------------------- comparisons


def noisy(name, base, seed, rounds=6):
    generator = np.random.default_rng(seed)
    return result(name, [[(base * generator.normal(1, 0.003, 20)).astype(int).tolist()] * 3 for _ in range(rounds)])


def test_a_clear_difference_a_tie_and_one_too_small_are_told_apart():
    rows = compare(campaign(noisy("a", 1e6, 1), noisy("b", 1.3e6, 2), noisy("c", 1.012e6, 3)), baseline="a")
    words = {row.contender: row.verdict for row in rows}
    assert words == {"b": "slower", "c": "too-small-to-matter"}
    back = compare(campaign(noisy("a", 1e6, 1), noisy("b", 1.3e6, 2)), baseline="b")
    assert [row.verdict for row in back] == ["faster"]


def test_one_round_is_not_judged_however_large():
    rows = compare(campaign(noisy("a", 1e6, 1, rounds=1), noisy("b", 9e6, 2, rounds=1)))
    assert [(row.verdict, row.reason) for row in rows] == [("not-comparable", "one round says nothing about spread")]


def test_what_was_not_measured_is_not_comparable_and_says_why():
    absent = Result(name="b", target="b", backend="b", device="cpu", status="refused", why="no such operator")
    (row,) = compare(campaign(noisy("a", 1e6, 1), absent))
    assert (row.verdict, row.reason, row.ratio) == ("not-comparable", "no such operator", None)


def test_yardsticks_are_nobodys_rival():
    null = noisy("null", 60, 4)
    null.yardstick = True
    held = campaign(null, noisy("a", 1e6, 1), noisy("b", 2e6, 2))
    assert {row.baseline for row in compare(held)} == {"a"}
    assert [row.contender for row in compare(held)] == ["b"]
    assert fastest([held.results[1], held.results[2]]).name == "a"


def test_a_contender_that_died_is_nobodys_baseline_and_one_never_compared_is_not_ranked():
    dead, alive, refused = noisy("dead", 1e6, 1), noisy("alive", 2e6, 2), noisy("refused", 5e5, 3)
    dead.status, refused.status = "crashed", "refused"
    held = campaign(dead, alive, refused)
    rows = {row.contender: row for row in compare(held)}
    assert {row.baseline for row in rows.values()} == {"alive"}
    assert rows["dead"].verdict == "faster"
    assert rows["refused"].ratio is None


def test_the_fastest_is_found_in_common_rounds_when_the_machine_slowed_down_after_the_others_stopped():
    def rounds(base, count):
        return [
            [[round(base * (1.1 if number > 4 else 1.0)) + number + step for step in range(20)]]
            for number in range(count)
        ]

    first, early, out = (
        result("first", rounds(1e6, 12)),
        result("early", rounds(1.015e6, 5)),
        result("out", rounds(2e6, 5)),
    )
    assert median(early).value < median(first).value  # it only ran while the machine was quick
    assert fastest([early, out, first]) is first
    rows = {row.contender: row for row in compare(campaign(early, out, first))}
    assert {row.baseline for row in rows.values()} == {"first"}
    assert rows["early"].ratio == pytest.approx(1.015, abs=1e-3)


def test_contenders_that_share_no_round_are_ranked_by_their_medians():
    late = Result(
        name="late", target="late", backend="x", device="cpu", status="measured",
        readings=[reading(number, [[500_000 + number]]) for number in (7, 8)],
    )  # fmt: skip
    assert fastest([noisy("a", 1e6, 1), late]) is late


def test_rounds_too_short_for_a_percentile_take_no_part_in_it():
    generator = np.random.default_rng(3)

    def blocks(count):
        return [[round(value) for value in 1e6 * np.exp(generator.normal(0, 0.1, count))]]

    whole = result("a", [blocks(400) for _ in range(5)])
    before = figures(whole, campaign(whole))
    whole.readings.append(reading(5, blocks(20)))  # it crashed in mid-round
    after = figures(whole, campaign(whole))
    assert after.rounds == 6
    assert after.p99_ns == before.p99_ns
    short = result("b", [blocks(20) for _ in range(60)])
    row = figures(short, campaign(short))
    assert row.p99_ns is None
    assert row.missing["p99"] == "p99 needs 1000 inferences in rounds of 67 or more, 0 were measured"
    assert row.p95_ns is not None


def test_a_round_of_opening_inferences_alone_is_no_round():
    held = noisy("a", 1e6, 1)
    held.readings.append(reading(9, [[]]))
    row = figures(held, campaign(held))
    assert row.rounds == 6
    assert row.p95_ns is not None or "p95" in row.missing


def test_a_chosen_baseline_and_the_fastest_have_families_of_their_own():
    held = campaign(noisy("a", 1e6, 1), noisy("b", 1.3e6, 2), noisy("c", 1.6e6, 3))
    assert "corrected for 3 comparisons" in compare(held)[0].reason
    assert "corrected for 2 comparisons" in compare(held, baseline="a")[0].reason


def test_a_baseline_without_figures_is_refused_by_name():
    with pytest.raises(UserError, match="no contender is called 'x'"):
        compare(campaign(noisy("a", 1e6, 1)), baseline="x")


# ---------------------------------------------------------------- doubts


def kinds(found, held=None):
    return [doubt.kind for doubt in figures(found, held or campaign()).doubts]


def test_outputs_that_differ_are_doubted():
    apart = Difference(max_abs=0.01, mean_abs=0.001, relative=0.01, samples=5)
    close = Difference(max_abs=1e-7, mean_abs=1e-8, relative=1e-6, samples=5)
    assert "outputs-differ" in kinds(result("a", [[[10_000] * 5]] * 4, difference=apart))
    assert "outputs-differ" not in kinds(result("a", [[[10_000] * 5]] * 4, difference=close))


def test_few_rounds_are_doubted():
    assert "few-rounds" in kinds(result("a", [[[10_000] * 5]]))
    assert "few-rounds" not in kinds(result("a", [[[10_000] * 5]] * 4))


def test_a_machine_that_pushes_the_process_aside_is_doubted():
    found = result("a", [[[10_000_000] * 20]] * 4)
    assert "other-load" not in kinds(found)
    for held in found.readings:
        held.blocks = [msgspec.structs.replace(block, switches_involuntary=200) for block in held.blocks]
    assert "other-load" in kinds(found)


def test_warm_up_that_never_settles_is_doubted():
    found = result("a", [[[10_000] * 5]] * 4)
    for held in found.readings:
        held.warm_steady = False
    assert "never-steady" in kinds(found)


def test_a_coarse_clock_is_doubted():
    held = campaign()
    held.machine.clock_resolution_ns = 1000
    assert "coarse-clock" in kinds(result("a", [[[10_000] * 5]] * 4), held)


def test_a_campaign_needs_no_target_to_be_read():
    assert isinstance(msgspec.json.decode(GOLDEN.read_bytes(), type=Campaign), Campaign)
