"""Sentences over verdicts: what the share-price study states, nothing that the verdicts don't carry, two languages."""

import json
import re
import string
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from hypothesis import given, settings
from hypothesis import strategies as st

import whichpu
from whichpu.errors import UserError
from whichpu.reports.prose import LANGUAGES, Text, Translator, told
from whichpu.reports.prose.messages import MESSAGES
from whichpu.reports.prose.translator import catalogue
from whichpu.results import nway, reported
from whichpu.results.comparison import Comparison
from whichpu.results.entries import METRICS, Entry, Value

HERE = Path(__file__).parent
STUDIES = HERE / "data" / "studies"
FILES = sorted(STUDIES.glob("*_performance_*.json"))
GOLDEN = HERE / "golden" / "prose"
ROOT = Path(whichpu.__file__).parent
TRT, ORT, HAILO = "TensorRT (GPU)", "ONNX Runtime (GPU)", "Hailo-8L"


@pytest.fixture(scope="module")
def entries():
    return [entry for path in FILES for entry in reported.read(path).entries]


@pytest.fixture(scope="module")
def texts(entries):
    return {language: Text(entries, language=language) for language in LANGUAGES}


def sentences(text):
    return [sentence for section in text.sections for sentence in section.sentences]


# ---------------------------------------------------------------- the share-price study


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_study_reads_as_it_did(texts, language):
    """After a wanted change: look at the text, then write it to the golden file."""
    golden = GOLDEN / f"share_price.{language}.md"
    assert texts[language].markdown == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_ratio_of_the_study_is_said(texts, language):
    expected = json.loads((STUDIES / "expected_comparison.json").read_text())
    said = texts[language].markdown
    times = re.findall(r"\d+\.\d(?= times|배)", said)
    for group in ("ratios_mean_latency", "ratios_throughput"):
        for model, ratios in expected[group].items():
            for ratio in ratios.values():
                assert f"{ratio:.1f}" in times, (group, model, ratio)


def test_the_statements_of_the_study(texts):
    said = texts["en"].markdown
    assert f"{TRT} is the fastest on GRU_Apple and LSTM_Apple by every statistic of latency" in said
    assert f"{ORT} and {TRT} are equal in RMSE" in said
    assert f"RMSE is higher (worse) with {HAILO}" in said
    assert "The difference is largest on LSTM_Apple" in said and "quantisation" in said
    assert "is about 0 %" in said and "over-sized" in said
    assert f"GRU_Apple is smallest with {TRT} (0.003 ms), then {ORT} (0.013 ms), then {HAILO} (0.031 ms)" in said
    assert f"LSTM_Apple is smallest with {TRT} (0.002 ms), then {HAILO} (0.015 ms), then {ORT} (0.069 ms)" in said
    assert f"Energy per inference can't be compared on GRU_Apple and LSTM_Apple: there is no power of {HAILO}" in said


def test_single_figures_are_never_said_to_be_shown(texts):
    """RMSE, spread and power have no interval in these files."""
    for each in sentences(texts["en"]):
        if any(source.key in ("score:rmse", "latency_std", "power") for source in each.sources):
            assert not each.id.startswith(("lead", "ahead")) and not each.id.endswith(".shown"), each.id


# ---------------------------------------------------------------- never more than the verdicts

KEYS = ("latency_mean", "latency_p99", "latency_std", "throughput", "power", "energy", "score:rmse", "score:accuracy")
VERDICTS = ("faster", "slower", "better", "worse", "no-difference", "too-small-to-matter", "not-comparable")
AHEAD, BEHIND = ("faster", "better"), ("slower", "worse")


@st.composite
def results(draw):
    """Entries, and any verdicts on them: also ones that contradict each other and the figures."""
    names = draw(st.lists(st.sampled_from(["TensorRT", "ncnn", "Hailo-8L", "a (b)"]), min_size=2, unique=True))
    models = draw(st.lists(st.sampled_from(["m", "GRU_Apple"]), min_size=1, unique=True))
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    value = st.sampled_from([0.5, 1.0, 1.0004, 2.0, 5e6])
    found = [
        Entry(model=model, contender=name, file=f"{name}.json", sha256=name, tool="t",
              estimated=draw(st.booleans()), precision=draw(st.sampled_from([None, "int8", "fp32"])),
              values={key: _value(key, draw(value), draw(st.booleans())) for key in keys if draw(st.integers(0, 4))})
        for model in models for name in names
    ]  # fmt: skip
    rows = [
        Comparison(model=model, metric=key, baseline=base, contender=name, reason=draw(st.sampled_from(REASONS)),
                   verdict=draw(st.sampled_from(VERDICTS)), ratio=draw(st.sampled_from([None, 0.5, 2.0])))
        for model in models for key in keys for name, base in permutations(names, 2) if draw(st.integers(0, 3))
    ]  # fmt: skip
    return found, rows


REASONS = (
    "r",
    nway.OVERLAP,
    nway.SINGLE,
    "other boundary (a; the baseline's is b)",
    "trtexec 10 times transfers, 11 does not",
)


def _value(key, value, interval):
    better = "higher" if key in ("throughput", "score:accuracy") else "lower"
    unit = METRICS[key].unit if key in METRICS else "share" if key == "score:accuracy" else ""
    low, high = (value * 0.9, value * 1.1) if interval else (None, None)
    return Value(value=value, unit=unit, better=better, low=low, high=high)


class Shown:
    """What rows show, found plainly."""

    def __init__(self, entries, rows):
        self.entries = {(entry.model, entry.contender): entry for entry in entries}
        self.rows = rows

    def words(self, model, key, one, other):
        mine = [
            r.verdict for r in self.rows if (r.model, r.metric, r.contender, r.baseline) == (model, key, one, other)
        ]
        back = [
            r.verdict for r in self.rows if (r.model, r.metric, r.contender, r.baseline) == (model, key, other, one)
        ]
        turned = {"faster": "slower", "slower": "faster", "better": "worse", "worse": "better"}
        return mine + [turned.get(word, word) for word in back]

    def is_ahead(self, model, key, one, other):
        words = self.words(model, key, one, other)
        return bool(words) and all(word in AHEAD for word in words)

    def tied(self, model, key, one, other):
        words = self.words(model, key, one, other)
        return bool(words) and all(word == "no-difference" for word in words)

    def having(self, model, key):
        return [name for (there, name), entry in self.entries.items() if there == model and key in entry.values]

    def leads(self, model, key, name):
        others = [other for other in self.having(model, key) if other != name]
        return bool(others) and all(self.is_ahead(model, key, name, other) for other in others)

    def value(self, model, name, key):
        return self.entries[model, name].values[key].value


def carried(sentence, shown):
    """Do the verdicts carry what a sentence claims?"""
    id, params = sentence.id, sentence.params
    names, pairs = params.get("names", []), list(permutations(params.get("names", []), 2))
    where = [(model, key) for model in params.get("models", []) for key in params.get("keys", [])]
    if id.startswith("lead.") or id.startswith("guide.mixed"):
        return all(shown.leads(model, key, params["contender"]) for model, key in where)
    if id == "guide.shown":
        return len(names) == 1 and all(shown.leads(model, key, names[0]) for model, key in where)
    if id == "guide.faster":
        return all(any(shown.leads(model, key, params["contender"]) for key in KEYS) for model in params["models"])
    if id.startswith("ahead."):
        return all(shown.is_ahead(*at, params["contender"], name) for at in where for name in names)
    if id.startswith("tie.") or id == "guide.tie":
        same = id != "tie.equal" or all(
            shown.value(at[0], one, at[1]) == shown.value(at[0], other, at[1]) for at in where for one, other in pairs
        )
        return same and all(shown.tied(*at, one, other) for at in where for one, other in pairs)
    if id == "guide.equal":
        return len({shown.value(model, name, key) for model, key in where for name in names}) == len(where) or all(
            len({shown.value(model, name, key) for name in names}) == 1 for model, key in where
        )
    if id == "small":
        return all("too-small-to-matter" in shown.words(*at, *pair) for at in where for pair in pairs)
    if id.startswith("ratios."):
        at = (params["model"], params["key"])
        return all(shown.is_ahead(*at, params["contender"], item["params"]["name"]) for item in params["items"])
    if id.startswith("order.") and id != "order.caveat":
        at = (params["model"], params["key"])
        order = [name for item in params["items"] for name in item["params"]["names"]]
        steps = [(one, other) for one, other in pairwise(order)]
        if id.endswith(".shown"):
            return all(shown.is_ahead(*at, one, other) for one, other in steps)
        return all("not-comparable" not in shown.words(*at, *step) for step in steps) and not any(
            shown.is_ahead(*at, other, one) for one, other in steps
        )
    if id.startswith("score.") and id.endswith(".shown"):
        models = {item["params"]["model"] for item in params["items"]}
        return all(any(shown.is_ahead(m, params["key"], name, params["contender"]) for name in names) for m in models)
    return True


@settings(max_examples=50, deadline=None)
@given(results())
def test_the_text_never_says_more_than_the_verdicts(found):
    entries, rows = found
    shown = Shown(entries, rows)
    for section in told(entries, rows):
        for each in section.sentences:
            assert carried(each, shown), each
            for language in LANGUAGES:
                said = Translator(language).text(each.id, **each.params)
                assert not re.search(r"[{}]|None|\bnan\b", said), said
                if re.search(r"\bfastest\b|가장 빠", said):
                    assert each.id in ("lead.fastest", "lead.fastest.all", "guide.faster"), said


@settings(max_examples=30, deadline=None)
@given(results())
def test_every_sentence_rests_on_figures_that_are_there_or_known_to_be_absent(found):
    entries, rows = found
    known = {(entry.file, entry.model, entry.contender): entry for entry in entries}
    for section in told(entries, rows):
        for each in section.sentences:
            assert each.sources or each.id == "nothing", each
            held = [known[source.file, source.model, source.contender] for source in each.sources]
            values = {v.value for entry in held for v in entry.values.values()}
            for item in each.params.get("items", []):
                figure = item["params"].get("figure")
                assert figure is None or figure[0] in values, each


@given(results())
@settings(max_examples=30, deadline=None)
def test_the_order_of_files_says_nothing(found):
    """Which file comes first changes no claim."""

    def claims(entries):
        kinds = ("lead", "guide.shown", "guide.mixed")
        return {
            (each.id, each.params.get("contender"), model, key)
            for section in told(entries, rows)
            for each in section.sentences
            if each.id.startswith(kinds)
            for model in each.params["models"]
            for key in each.params["keys"]
        }

    entries, rows = found
    assert {claim[1:] for claim in claims(entries)} == {claim[1:] for claim in claims(entries[::-1])}


def test_verdicts_that_disagree_say_nothing():
    value = {"latency_mean": Value(value=1.0, unit="ns")}
    entries = [Entry(model="m", contender=name, file="f", sha256="s", tool="t", values=value) for name in "ab"]
    rows = [
        Comparison(model="m", metric="latency_mean", baseline=base, contender=name, reason="r", verdict="faster")
        for name, base in (("a", "b"), ("b", "a"))
    ]
    ids = {each.id for section in told(entries, rows) for each in section.sentences}
    assert not any(id.startswith(("lead", "ahead", "tie", "guide.shown")) for id in ids)


# ---------------------------------------------------------------- what is refused, and single contenders


def test_a_single_contender_is_not_compared(entries):
    said = Text([entries[0]]).markdown
    assert "nothing to compare" in said


def test_refusals_are_said_by_their_rule_in_both_languages():
    def entry(name, boundary):
        terms = {"boundary": boundary}
        return Entry(
            model="m", contender=name, file=f"{name}.json", sha256=name, tool=name,
            values={"latency_mean": Value(value=1e6, unit="ns", terms=terms, low=9e5, high=11e5)},
        )  # fmt: skip

    entries = [entry("alpha", "end_to_end"), entry("beta", "compute")]
    assert "alpha times transfers, beta does not" in Text(entries).markdown
    korean = Text(entries, language="ko").markdown
    assert "alpha는 데이터 전송 시간을 포함하고, beta는 포함하지 않음" in korean
    assert "빠릅니다" not in korean


# ---------------------------------------------------------------- the catalogue


def fields(template):
    return sorted(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_every_message_is_translated_with_the_same_fields(language):
    there = catalogue(language)
    for id, english in MESSAGES.items():
        assert (id, english) in there, f"not translated, or its English changed: {id}; run `make catalogue`"
        left_out = set(fields(english)) - set(fields(there[id, english]))
        assert left_out <= {"why"}, id  # a reason that comes in English
        assert set(fields(there[id, english])) <= set(fields(english)), id


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_every_label_in_the_sources_is_translated(language):
    keywords = {"label": None, "_": None, "Metric": (3,)}
    there = catalogue(language)
    methods = [("reports/**.py", "python"), ("results/entries.py", "python"), ("reports/templates/**.j2", "jinja2")]
    for file, line, message, *_ in extract_from_dir(ROOT, methods, keywords=keywords):
        texts = [message] if isinstance(message, str) else list(message)
        for text in texts:
            assert (None, text) in there, f"{file}:{line}: {text!r} is not translated; run `make catalogue`"


def test_an_unknown_language_is_refused():
    with pytest.raises(UserError, match="no texts in 'de'"):
        Translator("de")


def test_figures_as_finely_as_their_source():
    english, korean = Translator("en"), Translator("ko")
    assert english.figure(72_000, "ns", 1000, 1.326e6) == "0.072 ms"
    assert english.figure(13942.9, "1/s", 0.01) == "13,942.90 inferences/s"
    assert korean.figure(13942.9, "1/s", 0.01) == "초당 13,942.90회"
    assert english.figure(0.998, "share", 0.0001) == "99.80 %"
    assert [english.ratio(each) for each in (18.4167, 1.0512, 136.7, 0.4)] == ["18.4", "1.05", "137", "0.40"]
    assert korean.names(["TensorRT", "ncnn"]) == "TensorRT와 ncnn"
    assert english.names(list("abcdefghi")) == "a, b, c, d, e, f and 3 more"


# ---------------------------------------------------------------- the command


def test_compare_tells_it_in_korean(inside):
    ran = inside("compare", *FILES, "--prose", "--language", "ko")
    assert ran.status == 0, ran.err
    assert "선택 가이드" in ran.out and "TensorRT (GPU)는" in ran.out


def test_compare_tells_it_as_json_with_sources(inside):
    body = inside("compare", *FILES, "--prose", "--json").body()
    assert body["comparisons"] and body["language"] == "en"
    found = [each for section in body["prose"] for each in section["sentences"]]
    names = {path.name for path in FILES}
    assert all(each["text"] and each["sources"] for each in found)
    assert {source["file"] for each in found for source in each["sources"]} == names


def test_compare_refuses_an_unknown_language(inside):
    ran = inside("compare", *FILES, "--prose", "--language", "de")
    assert ran.status == 1 and "choose one of: en, ko" in ran.err
