"""TVM's own partitioner: AnnotateTarget, MergeCompilerRegions with its restriction sets, light regions pulled back.

Source: apache/tvm v0.18.0, src/relay/transforms/annotate_target.cc and merge_compiler_regions.cc,
src/relay/backend/contrib/ethosn/inline_partitions.cc. Regions start as single operators, the host's too. They are
visited parents first, depth first from the outputs. A region may not take in a parent that it also hangs on by way of
another target: such parents are its restriction set. TVM walks parents in the order of their addresses; here it is
the order of the inputs, so that the answer is always the same.

A tuple (what a concatenation takes, what a network of several outputs gives) is a node of its own: on the accelerator
only if all its members are. Where it is handed out of its region it is taken apart again (partition_graph.cc,
FlattenTupleOutputs), so that what only the tuple held together falls into regions of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.partition import Partition, Terms
from whichpu.graphs.partition.between import kept_apart

Side = tuple[bool, str]
"""Taken by the accelerator, and the body it stands in; regions join within one side."""
LIGHT = (
    "TVM pulls regions back to the host that hold no convolution, pooling, resize, mean, sigmoid or dense layer "
    "(option inline=no keeps them)"
)


def partition(graph: Graph, terms: Terms) -> Partition:
    """Regions as TVM's passes form them; options ``inline`` (yes, no)."""
    given = _given(graph, terms)
    if given is not None:
        return given
    nodes = _Nodes(graph, terms.taken)
    regions = _Merger(nodes).regions()
    left: dict[int, str] = {}
    kept: list[list[int]] = []
    pulls = terms.options.get("inline", "yes") == "yes"
    for region in regions:
        if pulls and not any(terms.heavy(graph.operators[index]) for index in region):
            left |= dict.fromkeys(region, LIGHT)
        else:
            kept.append(region)
    return Partition(kept, left, kept_apart(graph, kept))


def _given(graph: Graph, terms: Terms) -> Partition | None:
    """Regions that a partitioned Relay dump has already; None for other graphs."""
    groups: dict[str, list[int]] = {}
    for operator in graph.operators:
        if "function" in operator.attributes and terms.taken[operator.index]:
            groups.setdefault(str(operator.attributes["function"]), []).append(operator.index)
    if not any("function" in operator.attributes for operator in graph.operators):
        return None
    inside = {index for group in groups.values() for index in group}
    says = "the dump has it in the host's function"
    left = {index: says for index, taken in enumerate(terms.taken) if taken and index not in inside}
    regions = list(groups.values())
    return Partition(regions, left, kept_apart(graph, regions))


class _Nodes:
    """Operators and tuples as one list: the side of each, and its parents in the order of its inputs."""

    def __init__(self, graph: Graph, taken: Sequence[bool]) -> None:
        self.sides: list[Side] = [(bool(taken[one.index]), one.within) for one in graph.operators]
        self.parents: list[list[int]] = [[] for _ in graph.operators]
        self.count = len(graph.operators)
        for operator in graph.operators:
            self._join(operator)
        self.roots = self._outputs(graph)

    def _join(self, operator: Operator) -> None:
        sizes = operator.attributes.get("tuples", ())
        inputs = operator.inputs
        own = self.parents[operator.index]
        for size in sizes:
            fields, inputs = inputs[:size], inputs[size:]
            own.append(self._tuple([tensor for tensor in fields if tensor is not None], operator.within))
        own += [index for index in map(_producer, inputs) if index is not None]

    def _tuple(self, fields: Sequence[Tensor], within: str) -> int:
        makers = [_producer(tensor) for tensor in fields]
        whole = bool(makers) and all(maker is not None and self.sides[maker][0] for maker in makers)
        self.sides.append((whole, within))
        self.parents.append([maker for maker in makers if maker is not None])
        return len(self.sides) - 1

    def _outputs(self, graph: Graph) -> list[int]:
        """Where the walk starts: the network's outputs, then whatever nothing takes (bodies of control flow)."""
        made = [tensor for tensor in graph.outputs if tensor.producer is not None]
        first = [self._tuple(graph.outputs, "")] if len(graph.outputs) > 1 else []
        first += [tensor.producer.index for tensor in made if tensor.producer is not None]
        loose = [one for one in graph.operators if not any(tensor.consumers for tensor in one.outputs)]
        return first + [one.index for one in sorted(loose, key=lambda one: (one.within, one.name, one.index))]

    def walk(self) -> Iterable[int]:
        """Parents before children, depth first in the order of the inputs, from the outputs."""
        seen = [0] * len(self.sides)  # 1: entered, 2: left
        stack = self.roots[::-1]
        while stack:
            node = stack[-1]
            if seen[node] == 2:
                stack.pop()
            elif seen[node] == 1:
                seen[node] = 2
                stack.pop()
                yield node
            else:
                seen[node] = 1
                stack += [parent for parent in reversed(self.parents[node]) if not seen[parent]]


def _producer(tensor: Tensor | None) -> int | None:
    return tensor.producer.index if tensor is not None and tensor.producer is not None else None


class _Merger:
    """MergeCompilerRegions. ``restricted`` holds, for a region, those it may not take in.

    A region whose consumers have all been visited can't be asked for again, so restriction sets drop it: they stay
    as small as the network is wide.
    """

    def __init__(self, nodes: _Nodes) -> None:
        self.nodes = nodes
        count = len(nodes.sides)
        self.leader = list(range(count))
        self.restricted: dict[int, set[int]] = {}
        self.waiting = [0] * count
        """Consumers of a region that have not been visited."""
        self.members: dict[int, list[int]] = {}
        for own in nodes.parents:
            for parent in own:
                self.waiting[parent] += 1

    def lead(self, node: int) -> int:
        leader = self.leader
        while leader[node] != node:
            leader[node] = node = leader[leader[node]]
        return node

    def regions(self) -> list[list[int]]:
        """Operators of each accelerator region, sorted."""
        for node in self.nodes.walk():
            self._visit(node)
        found = [self.members[node] for node in self.members if self.nodes.sides[node][0]]
        return sorted(part for region in found for part in self._parts(region))

    def _parts(self, region: list[int]) -> list[list[int]]:
        """The region without tuples that leave it: what still hangs together."""
        count, parents = self.nodes.count, self.nodes.parents
        inside = set(region)
        held = {parent for node in region if node < count for parent in parents[node] if parent in inside}
        kept = [node for node in region if node < count or node in held]
        if len(kept) == len(region):
            return [sorted(node for node in region if node < count)]
        leader = {node: node for node in kept}

        def lead(node: int) -> int:
            while leader[node] != node:
                leader[node] = node = leader[leader[node]]
            return node

        for node in kept:
            for parent in parents[node]:
                if parent in leader:
                    leader[lead(parent)] = lead(node)
        parts: dict[int, list[int]] = {}
        for node in sorted(kept):
            if node < count:
                parts.setdefault(lead(node), []).append(node)
        return list(parts.values())

    def _visit(self, node: int) -> None:
        own = self.nodes.parents[node]
        above = list(dict.fromkeys(self.lead(parent) for parent in own))
        for parent in own:
            self.waiting[self.lead(parent)] -= 1
        held: set[int] = set()
        for region in above:
            held |= {self.lead(each) for each in self.restricted[region]}
        self.members[node] = [node]
        for region in above:
            if self.nodes.sides[region] != self.nodes.sides[node]:
                held.add(region)
            elif region not in held:
                self._take(region, node)
        self.restricted[node] = {each for each in map(self.lead, held) if self.waiting[each]}
        for region in above:
            if not self.waiting[region]:
                self.restricted[region] = set()

    def _take(self, region: int, node: int) -> None:
        """Merge a parent region into the node's; its name stands for the node's from here on."""
        self.leader[region] = node
        self.waiting[node] += self.waiting[region]
        self.waiting[region] = 0
        larger, smaller = sorted((self.members.pop(region), self.members[node]), key=len, reverse=True)
        larger += smaller  # so that members of a long chain are not moved at each step
        self.members[node] = larger
