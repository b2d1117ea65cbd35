"""Building is told: how long it took, whether now or earlier, and what was made."""

from whichpu.reports import built
from whichpu.results.schema import Result
from whichpu.worker.wire import Built


def result(name, made):
    return Result(name=name, target=name, backend="iree", device="cpu", built=made)


def test_builds_are_told_in_one_sentence():
    made = Built(2_500_000_000, {"model.vmfb": 1_250_000}, {"target": "host"})
    earlier = Built(61_000_000_000, was_there=True)
    (said,) = built.sentences([result("a", made), result("b", None), result("c", earlier)])
    assert "a in 2.50 s and c in 61.0 s (by an earlier run)" in said
    assert built.sentences([result("b", None)]) == []


def test_a_build_in_the_report_names_what_it_made():
    made = Built(2_500_000_000, {"model.vmfb": 1_250_000}, {"target": "host"})
    assert built.words(made) == "in 2.50 s; model.vmfb 1.25 MB; target: host"
    assert built.words(None) is None
