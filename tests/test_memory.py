"""Memory against the kernel's own account, seen from outside; and the figures made of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from made import model_file
from onnx import helper
from rich.console import Console

import whichpu
from whichpu.campaign import memory as campaign_memory
from whichpu.reports import memory as reports_memory
from whichpu.reports.html import page
from whichpu.results import store
from whichpu.results.column import unpack
from whichpu.results.memory import EARLIER, NOT_TOLD, curve_of, memory_of
from whichpu.results.schema import Memory, Reading, Result
from whichpu.results.summary import summarize
from whichpu.targets import local
from whichpu.worker import wire

GOLDEN = Path(__file__).parent / "golden" / "campaign-1.json"
SIDE = 5000
WEIGHTS = 4 * SIDE * SIDE
MB = 1_000_000

needs_proc = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of 100 MB of weights, and its input."""
    folder = tmp_path_factory.mktemp("large")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = {"w": np.full((SIDE, SIDE), 0.5, np.float32)}
    path = model_file(folder / "large.onnx", [node], {"x": [1, SIDE]}, {"y": [1, SIDE]}, weights)
    np.savez(folder / "in.npz", input_0=np.ones((3, 1, SIDE), np.float32))
    return path


def of_the_kernel(link):
    """Resident, PSS, own bytes and the peak of a frozen worker, read from outside."""
    link.freeze()
    rollup, status = (Path(f"/proc/{link.pid}/{name}").read_text() for name in ("smaps_rollup", "status"))
    link.thaw()
    kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)}
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    own = sum(value for name, value in kib.items() if name.startswith("Private_"))
    return 1024 * kib["Rss"], 1024 * kib["Pss"], 1024 * own, 1024 * int(peak[1])


@needs_proc
@pytest.mark.parametrize("backend", ["onnxruntime", "null"])
def test_figures_agree_with_the_kernel_within_1_percent(large, backend):
    with local.start(where=backend) as link:
        spec = wire.TensorSpec("x", "float32", [1, SIDE])
        link.ask(wire.Open(backend, "cpu", str(large), "onnx", inputs=[spec]), wire.Opened)
        folder = large.parent
        link.ask(wire.Bind(str(folder / "in.npz"), str(folder / "out.npz")), wire.Bound)
        loaded = link.ask(wire.Warm(limit_ns=0), wire.Warmed).memory
        # The answer, thousands of latencies, takes half a MB after the reading.
        assert loaded.loaded == pytest.approx(of_the_kernel(link)[0], rel=0.01, abs=MB)
        link.ask(wire.Measure(), wire.Block)
        # PSS and own pages change when another process that maps the same libraries starts or ends: not three times.
        tries = [(link.ask(wire.TellMemory(), wire.Memory), of_the_kernel(link)) for _ in range(3)]
        pairs = [
            ((told.measured, told.measured_pss, told.measured_private, told.peak_measuring), seen)
            for told, seen in tries
        ]
        assert any(told == pytest.approx(seen, rel=0.01) for told, seen in pairs), pairs
        told = tries[0][0]
        assert told.missing == {}
    if backend == "null":
        assert told.loaded - told.base < 5 * MB
    else:
        assert told.loaded - told.base == pytest.approx(WEIGHTS, rel=0.35)
        assert told.peak_loading - told.base > 1.8 * WEIGHTS  # the file's copy and the session's, for a moment
        assert told.peak_measuring < told.peak_loading - 0.5 * WEIGHTS  # it was set back


@pytest.fixture(scope="module")
def campaign(large):
    return whichpu.measure(large, on=["onnxruntime:cpu", "null:cpu"], rounds_most=1, budget_s=1.0, seed=7).campaign


@needs_proc
def test_a_campaign_shows_the_loading_peak_of_a_large_model(campaign):
    rows = {row.name: row for row in summarize(campaign)}
    found = rows["onnxruntime:cpu"].memory
    assert found.missing == {}
    assert found.peak_loading.bytes > found.loaded.bytes + 0.5 * WEIGHTS
    assert found.loaded.bytes == pytest.approx(found.base.bytes + found.model.bytes)
    assert rows["null:cpu"].memory.model.bytes < 5 * MB
    curve = curve_of(campaign.results[0])
    assert max(curve.bytes) > found.base.bytes + WEIGHTS
    assert max(curve.bytes) <= 1.01 * found.peak_loading.bytes
    assert [name for name, _ in curve.phases] == ["import", "load", "first"]
    assert curve.at_s == sorted(curve.at_s)
    assert curve.at_s[-1] <= curve.phases[-1][1]


@needs_proc
def test_load_and_first_inference_hold_no_reading_of_memory(campaign):
    for result in campaign.results:
        for reading in result.readings:
            begin, end = reading.memory.phases_ns["load"]
            assert reading.load_ns <= end - begin
            begin, end = reading.memory.phases_ns["first"]
            assert reading.first_ns <= end - begin


@needs_proc
def test_the_page_and_the_terminal_show_it(campaign):
    html = page([("large.json", campaign)])
    assert "Memory on the host" in html
    assert "Memory while loading: onnxruntime:cpu peak" in html
    screen = Console(record=True, width=200)
    reports_memory.show(summarize(campaign), screen)
    text = screen.export_text()
    assert "peak while loading" in text
    row = next(line for line in text.splitlines() if "onnxruntime:cpu" in line)
    loaded, model, peak, _ = map(float, row.split()[1:])
    assert peak > loaded > model > WEIGHTS / MB


# ---------------------------------------------------------------- figures of readings made by hand


def result(*memories, **more):
    readings = [Reading(round=number, memory=memory) for number, memory in enumerate(memories)]
    return Result(name="a", target="a", backend="a", device="cpu", readings=readings, **more)


def test_medians_over_rounds_with_least_and_most():
    found = memory_of(result(*(Memory(base=10, loaded=loaded) for loaded in (50, 90, 60))))
    assert (found.loaded.bytes, found.loaded.least, found.loaded.most, found.loaded.rounds) == (60.0, 50, 90, 3)
    assert (found.model.bytes, found.model.least, found.model.most) == (50.0, 40, 80)


def test_what_is_not_known_has_its_reason_and_is_never_zero():
    found = memory_of(result(Memory(loaded=50, missing={"pss": "no smaps", "peak_measuring": "hidden"})))
    assert found.model is None and found.pss is None and found.private is None
    assert found.missing["pss"] == found.missing["private"] == "no smaps"
    assert found.missing["peak_measuring"] == "hidden"
    assert found.missing["peak_loading"] == NOT_TOLD
    assert "loaded" not in found.missing
    assert memory_of(result(None)) is None


def test_an_earlier_file_shows_what_it_has():
    rows = summarize(store.load(GOLDEN))
    known = reports_memory.known(rows)
    assert known and all(row.memory.loaded is not None for row in known)
    assert known[0].memory.missing["peak_loading"] == EARLIER
    assert reports_memory.told(known) == [("loaded", "loaded")]
    assert any(EARLIER in line for line in reports_memory.sentences(rows))


def account(**more):
    return wire.Memory(phases_ns={"import": [1000, 2000], "load": [2500, 4000], "first": [9000, 9500]}, **more)


def test_the_curve_holds_the_phases_and_nothing_between_them():
    at_ns = [900, 1000, 1900, 2300, 2500, 3900, 5000, 8000, 9100, 9600]
    trace = wire.Trace(0, at_ns, [4096 * number for number in range(10)])
    kept = campaign_memory.loaded(account(), wire.Sampled([trace], 10, 0))
    assert unpack(kept.curve_at_ns).tolist() == [0, 900, 1500, 2900, 8100]
    assert unpack(kept.curve).tolist() == [1, 2, 4, 5, 8]
    assert kept.phases_ns == {"import": (0, 1000), "load": (1500, 3000), "first": (8000, 8500)}
    curve = curve_of(result(kept))
    assert curve.at_s == pytest.approx([0, 0.9e-6, 1.0e-6, 2.4e-6, 2.6e-6])
    assert curve.bytes == [4096, 8192, 16384, 20480, 32768]
    assert [name for name, _ in curve.phases] == ["import", "load", "first"]
    assert [end for _, end in curve.phases] == pytest.approx([1.0e-6, 2.5e-6, 3.0e-6])


def test_a_curve_that_was_not_read_says_why():
    gone = wire.Sampled([wire.Trace(0, [], [], "a measured process ended")], 1, 0)
    assert campaign_memory.loaded(account(), gone).missing == {"curve": "a measured process ended"}
    nothing = campaign_memory.loaded(account(), wire.Sampled([], 0, 0))
    assert nothing.missing == {"curve": campaign_memory.NOT_READ}
    assert campaign_memory.loaded(account(), None).missing == {}  # a later round: nothing was to be read
    assert curve_of(result(nothing)) is None
