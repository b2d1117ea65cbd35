"""Relay dumps: read as one graph, counted as reports count them, and never a traceback whatever the text."""

import gzip
from pathlib import Path

import pytest
from growth import linear
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.graphs.readers import read, relay

DUMP = Path(__file__).parent / "data" / "npu" / "relay_yolov8.txt.gz"
TEXT = gzip.decompress(DUMP.read_bytes()).decode()
SMALL = """#[version = "0.0.5"]
def @main(%x: Tensor[(1, 8, 8, 16), int8] /* ty=Tensor[(1, 8, 8, 16), int8] */) -> Tensor[(1, 8, 8, 16), int8] {
  %0 = @npu_0(%x) /* ty=(Tensor[(1, 8, 8, 16), int8], Tensor[(1, 8, 8, 16), int8]) */;
  %1 = %0.0;
  %2 = %0.1;
  let %y = add(%1, %2) /* ty=Tensor[(1, 8, 8, 16), int8] span=sum:0:0 */;
  nn.relu(%y)
}

def @npu_0(%a: Tensor[(1, 8, 8, 16), int8], Compiler="ethos-n", Primitive=1) -> (Tensor[(1, 8, 8, 16), int8],) {
  %3 = fn (%b: Tensor[(1, 8, 8, 16), int8], Composite="ethos-n.qnn_leaky_relu") -> Tensor[(1, 8, 8, 16), int8] {
    %4 = qnn.dequantize(%b, 0.5f /* ty=float32 */, 2 /* ty=int32 */) /* ty=Tensor[(1, 8, 8, 16), float32] */;
    %5 = nn.leaky_relu(%4, alpha=0.1f) /* ty=Tensor[(1, 8, 8, 16), float32] */;
    qnn.quantize(%5, 0.25f, -104, out_dtype="int8") /* ty=Tensor[(1, 8, 8, 16), int8] */
  };
  %6 = %3(%a) /* ty=Tensor[(1, 8, 8, 16), int8] */;
  %7 = clip(%6, a_min=-128f, a_max=1e-05f) /* ty=Tensor[(1, 8, 8, 16), int8] */;
  (%6, %7)
}
"""


def test_functions_are_inlined_and_marked():
    graph = relay.graph_of(SMALL, "small")
    types = [operator.type for operator in graph.operators]
    assert types == ["qnn.dequantize", "nn.leaky_relu", "qnn.quantize", "clip", "add", "nn.relu"]
    leaky, add = graph.operators[1], graph.operators[4]
    assert leaky.attributes["function"] == "npu_0"
    assert leaky.attributes["composite"] == "ethos-n.qnn_leaky_relu"
    assert "function" not in add.attributes
    assert add.name == "sum"
    assert [parent.type for parent in graph.parents(add)] == ["qnn.quantize", "clip"]
    assert add.outputs[0].shape == (1, 8, 8, 16)
    assert graph.operators[3].attributes["a_max"] == pytest.approx(1e-5)
    assert graph.notes == ["the module is partitioned already: 2 functions, 1 for ethos-n"]


def test_a_real_dump_has_the_counts_that_tvm_gave(tmp_path):
    """The calls that TVM 0.14 counted in the module it printed."""
    file = tmp_path / "dump.txt"
    file.write_bytes(DUMP.read_bytes())
    graph = read(file)
    counts = relay.counts(TEXT)
    assert (counts.functions, counts.npu_functions) == (17, 16)
    assert counts.calls["qnn.conv2d"] == 64
    assert counts.calls["clip"] == 57
    assert counts.names["nn.convolution_"] == 754
    assert counts.names["nn.relu_"] == 683
    assert counts.composites["ethos-n.qnn_conv2d"] == 64
    assert sum(counts.calls.values()) == len(graph.operators)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no function @main"),
        ("hello", "a function"),
        ("def @main() { %0 = add(%1); %0 }", "%1 is not defined"),
        ("def @main(%x: float32) { if (%x) { %x } }", "control flow"),
        ("def @main(%x: float32) { @main(%x) }", "functions call each other without end"),
        ("def @main(%x: float32) { " + "(" * 500, "nests too deep"),
        ("def @main(%x: float32) { (%x, %x).7 }", "no element 7"),
        ("def @main(%x: float32) { add(%x, \x00) }", "line 1"),
    ],
)
def test_what_is_no_relay_text_is_refused_by_line(text, says):
    with pytest.raises(UserError) as refusal:
        relay.graph_of(text, "dump.txt")
    assert says in str(refusal.value)


def test_functions_that_double_end():
    """Thirty functions that each call the next twice: 2^30 calls if nothing stopped them."""
    body = "".join(f"def @f{i}(%x: float32) {{ add(@f{i + 1}(%x), @f{i + 1}(%x)) }}\n" for i in range(30))
    text = f"def @main(%x: float32) {{ @f0(%x) }}\n{body}def @f30(%x: float32) {{ add(%x, %x) }}\n"
    with pytest.raises(UserError, match="over and over"):
        relay.graph_of(text, "dump.txt")


@given(st.data())
def test_a_broken_dump_is_read_or_refused(data):
    text = SMALL
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.text('(){}[]%@"=;,.0123abf/* \n', max_size=6)) + text[at + cut :]
    try:
        assert relay.graph_of(text, "dump.txt").operators is not None
    except UserError:
        pass
    relay.counts(text)


@pytest.mark.parametrize("at", range(0, len(TEXT), len(TEXT) // 12))
def test_a_dump_cut_short_is_refused_or_read(at):
    try:
        relay.graph_of(TEXT[:at], "dump.txt")
    except UserError:
        pass


def test_a_long_dump_takes_linear_work():
    def prepared(lines):
        chain = "".join(
            f"  %{i + 1} = clip(%{i}, a_min=0f, a_max=6f) /* ty=Tensor[(1, 8), int8] span=a/b_{i}:0:0 */;\n"
            for i in range(1, lines)
        )
        head = "def @main(%x: Tensor[(1, 8), int8]) {\n  %1 = clip(%x, a_min=0f, a_max=6f);\n"
        text = f"{head}{chain}  %{lines}\n}}\n"
        assert len(relay.graph_of(text, "long").operators) == lines
        return lambda: relay.graph_of(text, "long")

    assert linear(prepared, 500)
