"""The documentation against the code: links, options, doubts, statuses, backends."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
import typer

from whichpu import cli
from whichpu.reports.words import STATUS, VERDICTS
from whichpu.results import schema
from whichpu.stats.verdicts import Verdict
from whichpu.worker.backends import BACKENDS, load

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
OF_OTHERS = {"cpuset-cpus", "no-deps", "strict", "query-gpu", "pid"}
"""Options of Docker, pip, mypy and nvidia-smi that the pages show."""


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page, heading):
    """The text below a heading, up to the next of any level."""
    return re.split(r"^#+ ", page.read_text(encoding="utf-8").split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]


def first_cells(table):
    """What stands in code in the first column of a table."""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def options_of_the_command_line():
    group = typer.main.get_command(cli.app)
    commands = [group, *group.commands.values()]
    parameters = [parameter for command in commands for parameter in command.params]
    names = [name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)]
    return {name[2:] for name in names if name.startswith("--")} | {"help"}


def options_of_the_scripts():
    """What the scripts of benchmarks/ take: the texts that their parsers are given."""
    texts = [script.read_text(encoding="utf-8") for script in (ROOT / "benchmarks").rglob("*.py")]
    return {name for text in texts for name in re.findall(r"""["']--([a-z][a-z0-9-]+)["']""", text)}


def doubts_in_the_code():
    """Every ``Doubt(kind=...)`` in the sources."""
    kinds = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Doubt":
                kinds |= {word.value.value for word in node.keywords if word.arg == "kind"}
    return kinds


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_index():
    linked = set(LINK.findall((DOCS / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_exist(page):
    known = options_of_the_command_line() | OF_OTHERS
    if page.parent.name == "benchmarks":
        known |= options_of_the_scripts()
    assert set(OPTION.findall(page.read_text(encoding="utf-8"))) <= known


def test_every_option_of_run_is_described():
    run = typer.main.get_command(cli.app).commands["run"]
    described = set(OPTION.findall((DOCS / "measure.md").read_text(encoding="utf-8")))
    described |= {"output"} if "-o FILE" in (DOCS / "measure.md").read_text(encoding="utf-8") else set()
    for parameter in run.params:
        names = {name[2:] for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")}
        assert not names or names & described, parameter.name


def test_doubts_are_described():
    kinds = doubts_in_the_code()
    assert "unequal-terms" in kinds  # the search finds them
    assert first_cells(section(DOCS / "read-the-figures.md", "## Doubts")) == kinds


def test_statuses_are_described():
    page = DOCS / "troubleshooting.md"
    assert first_cells(section(page, "## A contender's status")) == set(get_args(schema.Status)) == set(STATUS)
    assert all(words in page.read_text(encoding="utf-8") for words in STATUS.values())


def test_verdicts_are_described():
    text = section(DOCS / "read-the-figures.md", "## Verdicts")
    assert first_cells(text) == set(VERDICTS.values())
    assert all(f"`{word}`" in text for word in get_args(Verdict))


def test_backends_are_named():
    table = section(DOCS / "support.md", "## Runtimes and devices")
    named = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")}
    assert named >= set(BACKENDS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}:" in readme for name in BACKENDS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_options_of_backends_are_described(backend):
    text = (DOCS / "measure.md").read_text(encoding="utf-8")
    row = next((line for line in text.splitlines() if line.startswith(f"| {backend} |")), "")
    assert all(f"`{option}=" in row for option in load(backend).OPTIONS)


def test_readme_shows_how_to_try_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("demo", "test"):
        assert re.search(rf"^make {name}\b", readme, re.MULTILINE)
        assert re.search(rf"^{name}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_package_index_is_promised(page):
    """WhichPU is on no package index yet: it is installed from a clone."""
    assert not re.search(r"pip install [^\n]*\bwhichpu\b", page.read_text(encoding="utf-8"))
