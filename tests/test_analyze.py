"""``whichpu analyze`` on a made-up NPU: the answer, reasons, matrix, checks, pages, and every kind of bad input."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import toy
from regions import network

import whichpu.graphs.analysis as road
from whichpu.api.analysing import analyze
from whichpu.cli import guarded
from whichpu.errors import UserError
from whichpu.graphs import capability, compilers
from whichpu.graphs.analysis import Analysis, TargetAnalysis, analyse
from whichpu.graphs.capability import Verdict
from whichpu.graphs.compilers import Answer
from whichpu.graphs.document import document, json_schema
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import findings
from whichpu.graphs.placement import place
from whichpu.graphs.remedies import Proposal, Site
from whichpu.reports import analysis as words
from whichpu.reports import analysis_html, analysis_picture, model_explorer

HERE = Path(__file__).parent
PUBLISHED = HERE.parent / "docs" / "schema" / "analysis-1.json"
GOLDEN = HERE / "golden"


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Only the toy, and one whose compiler has no fallback."""
    made = {"toy": toy.capability(), "strict": toy.capability(name="strict", title="Strict NPU", hosted=False)}
    monkeypatch.setattr(capability, "tables", lambda: made)


@pytest.fixture
def model(tmp_path):
    return toy.chain(tmp_path / "net.onnx", "Conv", "Relu", "Softmax", "Conv", "Relu")


def said(capfd, *arguments):
    """Exit code, stdout, stderr of a command line."""
    status = guarded(["analyze", *map(str, arguments), "--no-remedies"])
    out, err = capfd.readouterr()
    return status, out, err


def on_toy(*types, answer=None, **more):
    """An analysis of operators in a row, without a file."""
    graph = network([[index - 1] if index else [] for index in range(len(types))], list(types))
    target = toy.target()
    placement = place(graph, target)
    one = TargetAnalysis(target, placement, findings(placement), answer=answer, not_asked="not asked", **more)
    return Analysis(Path("net.onnx"), graph, [one])


# ---------------------------------------------------------------- the answer


def test_the_answer_comes_first(capfd, model):
    status, out, _ = said(capfd, model, "--npu", "toy")
    assert status == 0
    lines = out.strip().splitlines()
    assert lines[0] == "net.onnx on Toy NPU (toycc 1.2; speed=slow)"
    assert lines[1] == (
        "The NPU takes 4 of 5 operators, 100 % of the MACs, in 2 regions; 1 operator runs on the CPU: Softmax."
    )
    assert "cpu: 1 x Softmax: Softmax is not among the operators of toycc 1.2 [Toy guide 1.2; table toy]" in out


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("Relu", "Relu"), "The NPU takes all 2 operators, in 1 region."),
        (("Softmax",), "The NPU takes none of 1 operator; 1 operator runs on the CPU: Softmax."),
        (
            ("Relu", "Gelu", "Softmax", "Softmax"),
            "The NPU takes 1 of 4 operators, in 1 region; 2 operators run on the CPU: 2 x Softmax;"
            " 1 operator is unknown: Gelu.",
        ),
        (
            ("Relu", "LSTM"),
            "toycc stops at 1 operator: LSTM. Nothing compiles so. The NPU would take 1 of 2 operators, in 1 region.",
        ),
    ],
)
def test_the_answer_in_a_sentence(types, expected):
    assert words.headline(on_toy(*types).targets[0]) == expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "unknown"), (1.0, "100 %"), (0.99996, "over 99.9 %"), (0.998, "99.8 %"), (0.5, "50 %"), (0.0, "0 %"),
     (0.0001, "under 0.1 %")],
)  # fmt: skip
def test_a_share_is_never_rounded_up_to_all(value, shown):
    assert words.share(value) == shown


def test_a_limit_names_its_figures(capfd, tmp_path):
    big = toy.chain(tmp_path / "big.onnx", "Conv", "Relu", kernel=33, size=40)
    _, out, _ = said(capfd, big, "--npu", "toy")
    assert "its kernel is 33x33, Toy NPU takes up to 32x32 [kernel_h <= 32 and kernel_w <= 32; Toy guide 1.2;" in out


def test_terminal_output_as_it_was(model):
    target = toy.target()
    told = words.plain([replace(analyse(model, [target], ask=False, propose=False), model=Path("net.onnx"))])
    golden = GOLDEN / "analysis.txt"
    if not golden.exists():
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


def test_markdown_as_it_was(model):
    told = words.markdown([replace(analyse(model, [toy.target()], ask=False, propose=False), model=Path("net.onnx"))])
    golden = GOLDEN / "analysis.md"
    if not golden.exists():
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


def test_each_operator_on_demand(capfd, model):
    _, out, _ = said(capfd, model, "--npu", "toy", "--operators")
    assert re.search(r"Softmax2 +Softmax +cpu +– ", out)


def test_remedies_and_estimates_are_labelled():
    figures = place(network([[]], ["Relu"]), toy.target()).figures
    better = replace(figures, regions=2)
    proposal = Proposal("swap", "swap it", "needs-fine-tuning", (Site(("n0",), "here"),), figures, better)
    rough = Estimate("a guess", latency_seconds=(1e-3, 2e-3), speedup=(2.0, 3.0), missing=("energy",))
    told = words.plain([on_toy("Relu", "Softmax", estimate=rough, proposals=[proposal])])
    assert "swap (1 place): swap it. Predicted: regions 1 to 2. Changes the answer: needs fine-tuning." in told
    assert "latency 1.0 ms to 2.0 ms; speed-up 2.0 x to 3.0 x (estimate, not measured)" in told
    assert "not in it: energy" in told


# ---------------------------------------------------------------- several models and targets


def test_a_matrix_comes_first(capfd, model, tmp_path):
    other = toy.chain(tmp_path / "other.onnx", "Relu")
    _, out, _ = said(capfd, model, other, "--npu", "all")
    assert re.search(r"net.onnx +stops at 1 +100 %, 2 in, 1 out", out)
    assert re.search(r"other.onnx +100 %, 1 in, 0 out +100 %, 1 in, 0 out", out)
    assert out.index("models by targets") < out.index("net.onnx on Toy NPU")


def test_one_model_on_all_targets(capfd, model):
    status, out, _ = said(capfd, model, "--all", "--json")
    body = json.loads(out)
    assert status == 0
    assert [row["npu"] for row in body["targets"]] == ["strict", "toy"]


def test_aliases_carry_options(capfd, model):
    _, out, _ = said(capfd, model, "--npu", "Toy_Fast", "--json")
    row = json.loads(out)["targets"][0]
    assert (row["npu"], row["table"], row["options"]) == ("Toy_Fast", "toy", {"speed": "fast"})


def test_targets_are_listed(capfd):
    status, out, _ = said(capfd, "--list")
    assert status == 0
    assert re.search(r"toy +Toy NPU +toycc 1.2 +\d+ +speed=slow\|fast", out)
    _, out, _ = said(capfd, "--list", "--json")
    assert [row["npu"] for row in json.loads(out)["npus"]] == ["strict", "toy"]


# ---------------------------------------------------------------- JSON


def test_json_has_the_published_shape(capfd, model):
    _, out, _ = said(capfd, model, "--npu", "toy", "--json")
    body = json.loads(out)
    jsonschema.validate(body, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    row = body["targets"][0]
    assert (body["model"], row["npu"], row["regions"], row["host_operators"]) == ("net.onnx", "toy", 2, 1)
    assert (row["operator_share"], row["mac_share"], row["boundary_bytes"]) == (0.8, 1.0, 2048)
    assert row["function_ratio"] == pytest.approx(2 / 3)
    assert [each["placed"] for each in row["operators"]] == ["npu", "npu", "cpu", "npu", "npu"]
    assert row["operators"][2] | {"reason": "", "source": ""} == {
        "name": "Softmax2", "type": "Softmax", "placed": "cpu", "reason": "", "said_by": "table toy", "limit": "",
        "source": "", "region": None, "lowered": ["Softmax"], "within": "", "macs": 0, "parameters": 0,
        "estimated_seconds": None,
    }  # fmt: skip
    assert row["findings"][0]["kind"] == "pipeline-break"


def test_the_schema_is_the_published_one():
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json.loads(json.dumps(json_schema()))


def test_several_models_stand_under_models(capfd, model, tmp_path):
    _, out, _ = said(capfd, model, toy.chain(tmp_path / "b.onnx", "Relu"), "--npu", "toy", "--json")
    body = json.loads(out)
    jsonschema.validate(body, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    assert [each["model"] for each in body["models"]] == ["net.onnx", "b.onnx"]


# ---------------------------------------------------------------- the vendor's compiler


def asked(monkeypatch, verdicts, **more):
    monkeypatch.setattr(compilers, "why_not", lambda target: None)
    monkeypatch.setattr(compilers, "ask", lambda path, graph, target: Answer("toycc 1.3", verdicts, **more))


def test_the_compiler_outranks_the_table(monkeypatch, capfd, model):
    asked(monkeypatch, {2: Verdict("npu", said_by="toycc 1.3"), 3: Verdict("npu", said_by="toycc 1.3")}, regions=1)
    _, out, _ = said(capfd, model, "--npu", "toy", "--json")
    row = json.loads(out)["targets"][0]
    assert (row["regions"], row["host_operators"], row["function_ratio"]) == (1, 0, 0.5)
    assert [each["said_by"] for each in row["operators"]] == [
        "table toy", "table toy", "toycc 1.3", "toycc 1.3", "table toy",
    ]  # fmt: skip
    assert row["compiler"]["disagreements"] == [
        {"name": "Softmax2", "type": "Softmax", "table": "cpu", "compiler": "npu", "compiler_says": "",
         "table_says": "Softmax is not among the operators of toycc 1.2"}
    ]  # fmt: skip


def test_disagreements_are_listed(monkeypatch, capfd, model):
    asked(monkeypatch, {0: Verdict("host", "too hot", said_by="toycc 1.3")})
    _, out, _ = said(capfd, model, "--npu", "toy")
    assert "Conv Conv0: the table says npu, the compiler cpu (too hot)" in out
    assert "which differs from it on 1 operator" in out


def test_a_refusal_of_the_compiler_is_the_answer(monkeypatch, capfd, model):
    asked(monkeypatch, {}, refused="out of memory on chip")
    status, out, _ = said(capfd, model, "--npu", "toy", "--fail-on-fallback")
    assert status == 2
    assert "toycc 1.3 refuses the model: out of memory on chip." in out
    assert "the compiler refuses the model, the table expects no refusal: out of memory on chip" in out
    assert "verdicts on single operators are by table toy" in out


def test_a_compiler_that_can_not_start_is_no_error(monkeypatch, capfd, model):
    monkeypatch.setattr(road.compilers, "why_not", lambda target: "toycc is not installed")
    status, out, _ = said(capfd, model, "--npu", "toy")
    assert status == 0
    assert "The vendor's compiler was not heard: toycc is not installed." in out


# ---------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--min-mac-share", "0.95"], 0),
        (["--min-mac-share", "95%"], 0),
        (["--fail-on-fallback"], 2),
        ([], 0),
    ],
)
def test_checks_set_the_exit_code(capfd, model, options, status):
    assert said(capfd, model, "--npu", "toy", *options)[0] == status


def test_a_share_that_is_too_small_is_named(capfd, tmp_path):
    model = toy.chain(tmp_path / "m.onnx", "Conv", "Relu", "Conv", kernel=33, size=40)
    status, _, err = said(capfd, model, "--npu", "toy", "--min-mac-share", "0.5")
    assert status == 2
    assert "m.onnx on toy: 0 % of the MACs, less than the 50 % asked for" in err


def test_a_model_without_macs_passes(tmp_path):
    assert analyze(toy.chain(tmp_path / "m.onnx", "Relu"), "toy", min_mac_share=0.9).unmet == []


def test_what_is_unknown_does_not_pass(tmp_path):
    found = analyze(toy.chain(tmp_path / "m.onnx", "Relu", "Custom"), "toy", fail_on_fallback=True)
    assert len(found.unmet) == 1


# ---------------------------------------------------------------- bad input


def test_a_file_that_can_not_be_read_is_named_and_the_others_go_on(capfd, model, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    status, out, err = said(capfd, broken, model, "--npu", "toy")
    assert status == 1
    assert "The NPU takes 4 of 5" in out
    assert "broken.onnx" in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["MODEL", "--npu", "toyy"], "did you mean toy?"),
        (["MODEL", "--npu", "toy:size=3"], "its options: speed"),
        (["MODEL", "--npu", "toy:speed=9"], "one of slow, fast"),
        (["MODEL", "--npu", "toy", "--min-mac-share", "much"], "write it as 0.95 or 95%"),
        (["MODEL", "--npu", "toy", "--shape", "x=ax3"], "is not a shape"),
        (["MODEL", "--npu", "toy:measured=gone.csv"], "there is no file 'gone.csv'"),
        (["FOLDER", "--npu", "toy"], "is a folder, not a model file"),
        (["MODEL", "--npu", "toy", "-o", "page.pdf"], "name it FILE.html, FILE.md or FILE.json"),
        (["MODEL", "--npu", "toy", "-o", "nowhere/page.html"], "mkdir -p nowhere"),
        (["MODEL", "--npu", "toy", "--model-explorer", "MODEL"], "name a folder"),
        (["MODEL"], "give a target"),
        (["--npu", "toy"], "give a model"),
        (["gone.onnx", "--npu", "toy"], "there is no file gone.onnx"),
        (["MODEL", "--npu", "toy", "-o", "MODEL"], "could be of any kind"),
    ],
)
def test_mistakes_are_named(capfd, model, arguments, words):
    status, out, err = said(capfd, *({"MODEL": model, "FOLDER": model.parent}.get(text, text) for text in arguments))
    assert status == 1
    assert words in err
    assert "Traceback" not in out + err


def test_no_page_over_a_file_of_another_kind(capfd, model, tmp_path):
    page = tmp_path / "notes.md"
    page.write_text("# My notes\n")
    status, _, _ = said(capfd, model, "--npu", "toy", "-o", page)
    assert (status, page.read_text()) == (1, "# My notes\n")


def test_a_dynamic_input_takes_its_sizes(capfd, tmp_path):
    model = toy.chain(tmp_path / "m.onnx", "Conv", "Relu", first="batch")
    _, out, _ = said(capfd, model, "--npu", "toy", "--shape", "x=2x4x8x8", "--json")
    assert json.loads(out)["targets"][0]["macs"] == 2 * 4 * 4 * 9 * 64


# ---------------------------------------------------------------- pages


def test_pages_are_written(capfd, model, tmp_path):
    for name, beginning in (("p.html", "<!doctype html>"), ("p.md", "# What the NPU takes"), ("p.json", "{")):
        for _ in range(2):  # a page of its own kind may be replaced
            assert said(capfd, model, "--npu", "toy", "-o", tmp_path / name)[0] == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(beginning)


def test_the_page_stands_alone_and_is_escaped():
    hostile = on_toy("Relu", "Softmax")
    hostile.graph.operators[1].name = "<script>alert(1)</script>"
    page = analysis_html.page([hostile])
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert "&lt;script&gt;" in page


def test_the_picture_colours_by_unit(model):
    drawn, _ = analysis_picture.drawing(on_toy("Relu", "Softmax", "Relu", "LSTM", "Gelu").targets[0].placement)
    for fate, count in (("accelerator", 2), ("host", 1), ("refused", 1), ("unknown", 1)):
        assert drawn.count(f'class="unit {fate}"') == count
    assert drawn.count('class="line crossing"') == 4


@pytest.mark.parametrize(("count", "drawn"), [(30, True), (300, True), (3000, False)])
def test_a_large_network_is_drawn_in_larger_pieces(count, drawn):
    """Every third operator on the host: rows of two, then too many regions to see."""
    placement = on_toy(*["Softmax" if at % 3 == 0 else "Relu" for at in range(count)]).targets[0].placement
    assert (analysis_picture.drawing(placement) is not None) == drawn
    assert analysis_picture.band(placement).count("<rect") <= 600


def test_a_whole_network_is_one_box():
    placement = on_toy(*["Relu"] * 3000).targets[0].placement
    drawn, _ = analysis_picture.drawing(placement)
    assert drawn.count("<rect") == 1


def test_model_explorer_node_data(capfd, model, tmp_path):
    """The shape that Model Explorer's `Custom node data` guide publishes."""
    folder = tmp_path / "explorer"
    assert said(capfd, model, "--npu", "toy", "--model-explorer", folder)[0] == 0
    body = json.loads((folder / "net.toy.json").read_text(encoding="utf-8"))
    results = body["results"]
    assert results["t2"] == {"value": "cpu", "bgColor": model_explorer.COLOURS["host"], "textColor": "#1f2328"}
    assert len(results) == 5


def test_from_python(model):
    found = analyze(model, ["toy"], min_mac_share=0.5)
    assert (found.unmet, found.refusals) == ([], [])
    assert found.document().targets[0].regions == 2
    assert document(found.analyses).model == "net.onnx"


# ---------------------------------------------------------------- what to do next, and faults of ours


def test_next_step(monkeypatch, tmp_path):
    def told(*types, **more):
        found = on_toy(*types, **more)
        return words.next_step(found, found.targets[0])

    better = replace(place(network([[]], ["Relu"]), toy.target()).figures, regions=2)
    swap = Proposal("swap", "swap it", "exact", (Site(("n0",), "here"),), replace(better, regions=1), better)
    assert told("Relu", "Softmax", proposals=[swap]) == (
        "`whichpu fix net.onnx --npu toy --apply swap -o OUT.onnx`: regions 1 to 2."
    )
    lossy = replace(swap, effect="needs-fine-tuning")
    assert told("Relu", "Softmax", proposals=[lossy]).endswith(
        "regions 1 to 2 (changes the answer: needs fine-tuning)."
    )
    other = Proposal("way", "Another way", "exact", (Site((), "toy:speed=fast"),), better, better, writes=False)
    assert told("Relu", "Softmax", proposals=[other]).startswith("Another way: toy:speed=fast: ")
    train = replace(other, after=None, why_not="not made yet")
    assert told("Relu", "Softmax", proposals=[train]) == "Another way: toy:speed=fast."
    assert told("Relu") == "measure it on the device; nothing keeps it off the NPU."
    assert told("Relu", "Gelu") == "compile it with toycc to know: the sources of the table do not tell."
    assert "limits" in told("Relu", "Softmax")


def test_long_sections_are_cut_in_the_terminal_only():
    many = on_toy("Relu", *(kind for number in range(12) for kind in (f"Odd{number}", "Relu")))
    told = words.plain([many])
    assert "  and 4 more: --operators, or -o FILE.html, has all" in told
    assert "Odd11" not in told.partition("why not")[2].partition("figures")[0]
    assert "Odd11" in words.markdown([many])


def test_no_macs_are_known_to_be_none(tmp_path):
    found = analyze(toy.chain(tmp_path / "m.onnx", "Relu"), "all")
    told = words.plain(found.analyses)
    assert re.search(r"toy +no MACs +100 %", told)
    assert "share of MACs no MACs" in told


def test_a_file_that_can_not_be_read_is_told_once(capfd, tmp_path):
    _, out, err = said(capfd, toy.chain(tmp_path / "open.onnx", "Relu", first="n"), tmp_path / "gone.onnx", "--npu",
                       "toy", "--shape", "nope=1x4x8x8")  # fmt: skip
    assert err.count("open.onnx") == 1
    assert err.count("gone.onnx") == 1
    assert "open.onnx" not in out and "gone.onnx" not in out


@pytest.mark.parametrize("part", ["place", "findings"])
def test_a_bug_on_one_target_ends_no_other(monkeypatch, capfd, model, part):
    real = getattr(road, part)

    def fails(first, *more):
        target = more[0] if part == "place" else first.target
        if target.capability.name == "strict":
            raise KeyError("left out")
        return real(first, *more)

    monkeypatch.setattr(road, part, fails)
    status, out, err = said(capfd, model, "--npu", "strict", "--npu", "toy")
    assert status == 3
    assert "The NPU takes 4 of 5 operators" in out
    assert "It could not be analysed: a bug in WhichPU, not your mistake (KeyError: 'left out')" in out
    log = Path(re.search(r"paste (\S+)", err)[1])
    assert "in fails" in log.read_text(encoding="utf-8")
    log.unlink()
    assert "Traceback" not in out + err


def test_a_bug_in_one_model_ends_no_other(monkeypatch, capfd, model, tmp_path):
    other = toy.chain(tmp_path / "other.onnx", "Relu")
    real = road.read
    monkeypatch.setattr(road, "read", lambda path, shapes: 1 / 0 if path == model else real(path, shapes))
    status, out, err = said(capfd, model, other, "--npu", "toy")
    assert status == 3
    assert "The NPU takes all 1 operators" in out
    assert "net.onnx: a bug in WhichPU" in err
    Path(re.search(r"paste (\S+)", err)[1]).unlink()


@pytest.mark.parametrize("part", ["ask", "propose"])
def test_a_bug_beside_the_answer_keeps_the_answer(monkeypatch, model, part):
    def fails(*_):
        raise RuntimeError("oops")

    monkeypatch.setattr(compilers, "why_not", lambda target: None)
    monkeypatch.setattr(compilers, "ask", fails if part == "ask" else lambda *_: Answer("toycc", {}))
    if part == "propose":
        monkeypatch.setattr(road.remedies, "propose", fails)
    found = analyse(model, [toy.target()])
    assert [str(bug) for bug in found.bugs] == ["oops"]
    assert "a bug in WhichPU, not your mistake (RuntimeError: oops)" in words.plain([found])
    assert "The NPU takes 4 of 5" in words.plain([found])


def test_a_full_disk_is_no_bug(monkeypatch, model):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(road, "place", fails)
    with pytest.raises(OSError, match="No space"):
        analyse(model, [toy.target()])


def test_models_of_one_name_are_told_apart(capfd, tmp_path):
    for folder in ("a/one", "b/one", "b/two"):
        (tmp_path / folder).mkdir(parents=True)
        toy.chain(tmp_path / folder / "m.onnx", "Relu")
    _, out, _ = said(capfd, *(tmp_path / folder / "m.onnx" for folder in ("a/one", "b/one", "b/two")), "--npu", "toy")
    for name in ("a/one/m.onnx", "b/one/m.onnx", "two/m.onnx"):
        assert re.search(rf"^{name} on Toy", out, re.MULTILINE)


def test_a_list_of_the_compilers_is_no_figure():
    found = on_toy("Relu", answer=Answer("toycc", {}, figures={"layers_on_npu": 1, "layers": ["Relu NPU"]}),
                   estimate=Estimate("a guess", latency_seconds=(1e-3, 2e-3)))  # fmt: skip
    told = words.plain([found])
    assert "toycc's own estimate: layers on npu 1\n" in told


def test_many_targets_that_read_no_such_file_take_one_line(monkeypatch, model):
    def refuses(graph, target):
        if target.text == "toy":
            return place(graph, target)
        raise UserError(f"{target.text} reads no such model", "give another")

    monkeypatch.setattr(road, "place", refuses)
    targets = [replace(toy.target(), text=name) for name in ("toy", *(f"odd{number}" for number in range(9)))]
    told = words.plain([analyse(model, targets, ask=False)])
    told = " ".join(told.split())
    assert told.count("reads no such model") == 1
    assert "could not be analysed on odd0, odd1," in told
    assert "The first: odd0 reads no such model; give another" in told
