"""ONNX Runtime's grouping: Kahn's order with a border."""

from hypothesis import given
from hypothesis import strategies as st
from regions import check_acyclic, check_bodies, check_once, network, networks, renumbered, terms

from whichpu.graphs.partition import partition


def found(parents, taken, within=None, types=None, **options):
    return partition("capability", network(parents, within=within, types=types), terms(taken, **options))


def test_a_chain_is_one_group():
    assert found([[], [0], [1]], [True] * 3).regions == [[0, 1, 2]]


def test_what_is_not_taken_on_the_border_closes_the_group():
    assert found([[], [0], [1]], [True, False, True]).regions == [[0], [2]]


def test_members_need_not_be_connected():
    """Two branches of one input: ONNX Runtime gives both to the provider in one partition."""
    assert found([[], []], [True, True]).regions == [[0, 1]]


def test_an_operator_beside_the_group_is_passed_freely():
    """1 is not taken and takes nothing of the group: 2, behind it, still joins 0's group."""
    assert found([[], [], [0, 1]], [True, False, True]).regions == [[0, 2]]


def test_a_diamond_with_a_host_arm_is_two_groups():
    cut = found([[], [0], [0], [1, 2]], [True, True, False, True])
    assert cut.regions == [[0, 1], [3]]


def test_a_lone_conversion_is_left_where_the_provider_says_so():
    types = ["Op", "Erf", "QuantizeLinear", "Erf"]
    parents, taken = [[], [0], [1], [2]], [True, False, True, False]
    assert found(parents, taken, types=types).regions == [[0], [2]]
    cut = found(parents, taken, types=types, drop_lone_conversions=True)
    assert cut.regions == [[0]]
    assert "single Quantize" in cut.left[2]


@given(networks())
def test_groups_hold_together(case):
    parents, taken = case
    regions = found(parents, taken).regions
    check_once(regions, taken)
    check_acyclic(parents, regions)


@given(networks(), st.data())
def test_bodies_are_kept_apart(case, data):
    parents, taken = case
    within = data.draw(st.lists(st.sampled_from(["", "/a"]), min_size=len(parents), max_size=len(parents)))
    regions = found(parents, taken, within=within).regions
    check_once(regions, taken)
    check_acyclic(parents, regions)
    check_bodies(network(parents, within=within), regions)


@given(networks(), st.randoms(use_true_random=False))
def test_the_order_of_operators_does_not_matter(case, random):
    parents, taken = case
    order = list(range(len(parents)))
    random.shuffle(order)
    again, old = renumbered(parents, order)
    first = found(parents, taken).regions
    second = found(again, [taken[index] for index in old]).regions
    assert {frozenset(region) for region in first} == {frozenset(old[index] for index in region) for region in second}
