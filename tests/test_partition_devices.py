"""The partitioners of devices without a host on the chip: TensorRT's DLA rule, Hailo's one part between two cuts."""

from hypothesis import given
from hypothesis import strategies as st
from regions import check_acyclic, check_connected, check_convex, check_once, network, networks, renumbered, terms

from whichpu.graphs.partition import Terms, partition


def test_a_dla_layer_behind_a_gpu_layer_is_another_loadable():
    found = partition("dla", network([[], [0], [1]]), terms([True, False, True]))
    assert found.regions == [[0], [2]]
    assert found.kept_apart == [(0, 1, "n1")]


def test_loadables_past_the_cores_limit_run_on_the_gpu():
    chain = [[index - 1] if index else [] for index in range(7)]
    taken = [index % 2 == 0 for index in range(7)]
    found = partition("dla", network(chain), terms(taken, loadables=2, cores="1"))
    assert found.regions == [[0], [2]]
    assert found.left.keys() == {4, 6}
    assert "one of 4 loadables, and a DLA core holds 2" in found.left[4]
    assert found.kept_apart == [(0, 1, "n1")]
    assert len(partition("dla", network(chain), terms(taken, loadables=2, cores="2")).regions) == 4


@given(networks())
def test_loadables_are_convex_connected_and_whole(drawn):
    parents, taken = drawn
    found = partition("dla", network(parents), terms(taken, loadables=3))
    check_once(found.regions, taken, found.left)
    check_convex(parents, found.regions)
    check_acyclic(parents, found.regions)
    check_connected(parents, found.regions)


def test_the_chip_ends_before_the_first_operator_that_is_not_taken():
    found = partition("whole", network([[], [0], [1], [2], [1]]), terms([False, True, True, False, True]))
    assert found.regions == [[1, 2, 4]]  # n0 runs before the start node, n3 behind an end node
    assert found.left == {}
    behind = partition("whole", network([[], [0], [1], [2]]), terms([True, False, True, True]))
    assert behind.regions == [[0]]
    assert behind.left[2] == behind.left[3]
    assert "'n1'" in behind.left[2]


def test_an_operator_the_sources_do_not_tell_of_cuts_nothing():
    graph = network([[], [0], [1]])
    found = partition("whole", graph, Terms([True, False, True], lambda _: False, {}, [False, True, False]))
    assert (found.regions, found.left) == ([[0, 2]], {})


@given(networks(), st.randoms(use_true_random=False))
def test_the_chips_part_is_one_convex_region_whatever_the_order(drawn, random):
    parents, taken = drawn
    found = partition("whole", network(parents), terms(taken))
    check_once(found.regions, taken, found.left)
    check_convex(parents, found.regions)
    assert len(found.regions) <= 1
    order = list(range(len(parents)))
    random.shuffle(order)
    moved, old = renumbered(parents, order)
    again = partition("whole", network(moved), terms([taken[index] for index in old]))
    inside = [index for region in found.regions for index in region]
    assert sorted(old[index] for region in again.regions for index in region) == inside


def test_what_the_sources_do_not_tell_of_starts_no_chip():
    given = Terms([False, False, True], lambda operator: False, {}, [True, False, False])
    found = partition("whole", network([[], [0], [1]]), given)
    assert (found.regions, found.left) == ([[2]], {})


def test_the_edge_tpus_section_holds_no_body():
    found = partition("leading", network([[], [0]], within=["", "/if/then_branch"]), terms([True, True]))
    assert found.regions == [[0]]
    assert "body" in found.left[1]
