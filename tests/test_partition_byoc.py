"""TVM's region merge: its own test graphs, restriction sets, tuples, light regions; and what holds for all regions."""

import pytest
from growth import linear
from hypothesis import given
from hypothesis import strategies as st
from regions import check_acyclic, check_bodies, check_convex, check_once, network, networks, terms

from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.partition import partition


def found(parents, taken, **options):
    heavy = options.pop("heavy", {"Op"})
    return partition("byoc", network(parents), terms(taken, heavy=heavy, **options))


def test_tvms_first_graph():
    """O1 -> O2, O1 -> X, O2 + X -> O3: the host's X keeps O3 out of the region of O1 and O2."""
    cut = found([[], [0], [0], [1, 2]], [True, True, False, True])
    assert cut.regions == [[0, 1], [3]]


def test_tvms_second_graph():
    parents = [[], [], [0, 1], [], [3], [2, 4], [5], [5], [6, 7], [8]]
    taken = [True, True, True, False, False, True, False, True, True, True]
    assert found(parents, taken).regions == [[0, 1, 2, 5, 7], [8, 9]]


def test_sixty_convolutions_and_host_activations():
    """60 of 61 functions on the NPU, 98.4 %, with every other operator on the host."""
    parents = [[index - 1] if index else [] for index in range(120)]
    cut = found(parents, [index % 2 == 0 for index in range(120)])
    assert len(cut.regions) == 60
    assert round(60 / 61, 3) == 0.984


@pytest.mark.parametrize(
    ("types", "inlined"),
    [(["reshape"], True), (["reshape", "clip", "reshape", "clip"], True), (["nn.max_pool2d", "reshape"], False)],
)
def test_light_regions_are_pulled_back(types, inlined):
    parents = [[index - 1] if index else [] for index in range(len(types))]
    graph = network(parents, types=types)
    cut = partition("byoc", graph, terms([True] * len(types), heavy={"nn.max_pool2d"}))
    assert (not cut.regions) == inlined
    assert set(cut.left) == (set(range(len(types))) if inlined else set())
    kept = partition("byoc", graph, terms([True] * len(types), heavy={"nn.max_pool2d"}, inline="no"))
    assert kept.regions == [list(range(len(types)))]


def concatenated(taken_arms, taken_concat):
    """Two arms on inputs of their own, and a concatenation of them."""
    entries = [Tensor(f"in{i}", "int8", (1, 4)) for i in range(2)]
    arms = [Operator(i, f"arm{i}", "Op", [entries[i]], [Tensor(f"a{i}", "int8", (1, 4))]) for i in range(2)]
    out = Tensor("out", "int8", (1, 8))
    inputs = [arm.outputs[0] for arm in arms]
    concat = Operator(2, "concat", "Op", inputs, [out], {"tuples": (2,)})
    graph = Graph("net", "relay", [*arms, concat], entries, [out]).connect()
    return partition("byoc", graph, terms([*taken_arms, taken_concat], heavy={"Op"})).regions


def test_a_tuple_joins_its_arms_only_where_all_are_taken():
    assert concatenated([True, True], True) == [[0, 1, 2]]
    assert concatenated([True, False], True) == [[0], [2]], "a mixed tuple is the host's"


def test_a_tuple_handed_to_the_host_holds_nothing_together():
    """MergeCompilerRegions joins both arms through it; FlattenTupleOutputs takes it apart again."""
    assert concatenated([True, True], False) == [[0], [1]]


def test_outputs_of_the_network_stay_apart():
    entry = Tensor("in", "int8", (1, 4))
    ends = [Operator(i, f"n{i}", "Op", [entry], [Tensor(f"t{i}", "int8", (1, 4))]) for i in range(2)]
    graph = Graph("net", "relay", ends, [entry], [end.outputs[0] for end in ends]).connect()
    assert partition("byoc", graph, terms([True, True], heavy={"Op"})).regions == [[0], [1]]


@given(networks())
def test_regions_hold_together(case):
    parents, taken = case
    cut = found(parents, taken)
    check_once(cut.regions, taken, cut.left)


@given(networks())
def test_regions_are_convex_and_close_no_cycle(case):
    parents, taken = case
    regions = found(parents, taken).regions
    check_convex(parents, regions)
    check_acyclic(parents, regions)


@given(networks(), st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter(case, random):
    """The same network with its operators stored in another order: the walk follows edges alone."""
    parents, taken = case
    graph = network(parents)
    names = {name(graph, region) for region in found(parents, taken).regions}
    left, kept = set(range(len(parents))), []
    while left:
        kept.append(random.choice(sorted(index for index in left if not left & set(parents[index]))))
        left.discard(kept[-1])
    again = network(parents)
    again.operators = [again.operators[old] for old in kept]
    for tensor in (*again.inputs, *(tensor for one in again.operators for tensor in one.outputs)):
        tensor.producer, tensor.consumers = None, []
    again.connect()
    cut = partition("byoc", again, terms([taken[old] for old in kept], heavy={"Op"}))
    assert {name(again, region) for region in cut.regions} == names


def name(graph, region):
    return frozenset(graph.operators[index].name for index in region)


@given(networks(), st.data())
def test_no_region_spans_two_bodies(case, data):
    parents, taken = case
    within = data.draw(st.lists(st.sampled_from(["", "/If/then_branch"]), min_size=len(taken), max_size=len(taken)))
    graph = network(parents, within=within)
    check_bodies(graph, partition("byoc", graph, terms(taken, heavy={"Op"})).regions)


def test_a_deep_network_takes_linear_work():
    """A residual chain whose every third operator is the host's."""

    def prepared(count):
        parents = [[index - 1, index - 3] if index > 2 else [index - 1] if index else [] for index in range(count)]
        taken = [index % 3 != 2 for index in range(count)]
        graph = network(parents)
        return lambda: partition("byoc", graph, terms(taken, heavy={"Op"}))

    assert linear(prepared, 500)
