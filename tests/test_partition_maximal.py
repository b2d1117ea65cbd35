"""The maximal partitioner: connected, convex regions, in linear time, whatever order operators are stored in."""

from growth import linear
from hypothesis import given
from hypothesis import strategies as st
from regions import (
    check_acyclic,
    check_bodies,
    check_connected,
    check_convex,
    check_once,
    network,
    networks,
    renumbered,
    terms,
)

from whichpu.graphs.partition import partition


def found(parents, taken, within=None):
    return partition("maximal", network(parents, within=within), terms(taken))


def test_a_chain_is_one_region():
    assert found([[], [0], [1]], [True] * 3).regions == [[0, 1, 2]]


def test_a_host_operator_cuts_and_is_named():
    cut = found([[], [0], [1]], [True, False, True])
    assert cut.regions == [[0], [2]]
    assert cut.kept_apart == [(0, 1, "n1")]


def test_a_diamond_with_a_host_arm_is_split():
    cut = found([[], [0], [0], [1, 2]], [True, True, False, True])
    assert cut.regions == [[0, 1], [3]]
    assert cut.kept_apart == [(0, 1, "they touch, but merging them would close a cycle through n2")]


def test_a_second_input_joins_what_it_feeds():
    """0 -> host 1 -> 2, and 3 -> 2: operator 3 has nothing to do with 0, and goes with 2."""
    assert found([[], [0], [], [1, 2]], [True, False, True, True]).regions == [[0], [2, 3]]


def test_two_networks_in_one_file_are_two_regions():
    assert found([[], [], [0], [1]], [True] * 4).regions == [[0, 2], [1, 3]]


def test_no_region_spans_two_bodies():
    cut = found([[], [0], [1]], [True] * 3, within=["", "/If/then_branch", "/If/then_branch"])
    assert cut.regions == [[0], [1, 2]]


@given(networks())
def test_regions_hold_together(case):
    parents, taken = case
    regions = found(parents, taken).regions
    check_once(regions, taken)
    check_connected(parents, regions)
    check_convex(parents, regions)
    check_acyclic(parents, regions)


@given(networks(), st.data())
def test_bodies_are_kept_apart(case, data):
    parents, taken = case
    within = data.draw(st.lists(st.sampled_from(["", "/a"]), min_size=len(parents), max_size=len(parents)))
    graph = network(parents, within=within)
    regions = partition("maximal", graph, terms(taken)).regions
    check_once(regions, taken)
    check_bodies(graph, regions)
    check_acyclic(parents, regions)


@given(networks(), st.data())
def test_the_order_of_operators_does_not_matter(case, data):
    parents, taken = case
    order = data.draw(st.permutations(range(len(parents))))
    other, kept = renumbered(parents, order)
    again = found(other, [taken[old] for old in kept])
    back = {frozenset(kept[index] for index in region) for region in again.regions}
    assert back == {frozenset(region) for region in found(parents, taken).regions}


@given(networks())
def test_what_keeps_regions_apart_names_regions(case):
    parents, taken = case
    cut = found(parents, taken)
    for out_of, into, why in cut.kept_apart:
        assert why
        assert out_of != into
        assert {out_of, into} <= set(range(len(cut.regions)))


def test_work_grows_with_the_operators():
    """Residual blocks, every fifth operator on the host."""

    def prepared(count):
        parents = [[index - 1, *([index - 4] if index % 4 == 0 else [])] if index else [] for index in range(count)]
        graph, taken = network(parents), [bool(index % 5) for index in range(count)]
        return lambda: partition("maximal", graph, terms(taken))

    assert linear(prepared, 500)
