"""Damaged files of other tools: never a crash, never a hang, never a figure that the file doesn't hold.

More than 10,000 mutations and truncations over all importers; ``benchmarks/import_mutations.py`` does any number of
other ones. A failure names the seed and the number that repeat it. ``traced`` looks up each figure in the damaged file.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from pathlib import Path

import pytest
from traced import is_there

from whichpu.errors import UserError
from whichpu.results.entries import METRICS
from whichpu.results.importers import decoded
from whichpu.results.reported import FORMATS, Reported, parsed

DATA = Path(__file__).parent / "data"
SAMPLES = sorted(
    path
    for folder in ("reported", "studies")
    for path in (DATA / folder).iterdir()
    if path.name not in ("README.md", "expected_comparison.json")
)
MUTATIONS = 200
"""Of each sample: more than 10,000 in all."""
SLOW_S = 10.0
"""No damaged sample takes this long, by far."""

WORDS = (
    b"NaN", b"Infinity", b"-Infinity", b"null", b"-1", b"0", b"1e999", b"-0.0", b"1e308", b"9" * 400, b"", b"[]", b"{}",
    b'"', b"\\", b"\x00", b"\xff\xfe", b"\n", b"\r\n", b",", b";", b"|", b"N/A", b"true", b"\xe2\x80\xa6", b"1_000",
    b"0x1f", b"]]]]", b"[[[[", b"&a [*a]", b"? [a]: b", b"- ", b": ", b"}", b"{", b"1,5", "٣".encode(), b"\xef\xbb\xbf",
)  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A file cut off, or with up to three places changed."""
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    for _ in range(chance.randint(1, 3)):
        data = chance.choice((flipped, dropped, doubled, worded, renumbered, swapped))(data, chance) or b" "
    return data


def flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def dropped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice((1, 3, 20, 200)) :]


def doubled(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at : at + chance.choice((1, 5, 80))] * 2 + data[at:]


def worded(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.choice(WORDS) + data[at + chance.choice((0, 1, 4)) :]


def renumbered(data: bytes, chance: random.Random) -> bytes:
    """Another thing in the place of some number."""
    places = [at for at, byte in enumerate(data) if 48 <= byte < 58]
    if not places:
        return data
    start = end = chance.choice(places)
    while end < len(data) and (48 <= data[end] < 58 or data[end] in b".eE-"):
        end += 1
    return data[:start] + chance.choice(WORDS) + data[end:]


def swapped(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def checked(data: bytes, name: str) -> Reported | None:
    """What a file holds, if it can be read: fast, every figure in it, and one of its quantity."""
    began = time.perf_counter()
    try:
        found = parsed(data, name)
    except UserError:
        found = None
    assert time.perf_counter() - began < SLOW_S, "hangs"
    if found is None:
        return None
    text = decoded(data)
    for entry in found.entries:
        for metric, value in entry.values.items():
            assert math.isfinite(value.value), (entry.contender, metric, value)
            assert metric not in METRICS or METRICS[metric].unit == value.unit
            assert metric == "temperature" or value.value >= 0 or metric.startswith("score:"), (metric, value)
            assert value.where, (entry.contender, metric, value)
            assert is_there(metric, value, text), (entry.contender, metric, value)
        assert not set(entry.values) & set(entry.absent), entry.contender
    return found


def decoded_as_read(data: bytes) -> str:
    from whichpu.results.importers import decoded

    return decoded(data)


def damage(path: Path, count: int, seed: int = 0) -> int:
    """Damages a sample ``count`` times; returns how many of them still held figures."""
    data, read = path.read_bytes(), 0
    for number in range(count):
        chance = random.Random(f"{path.name} {seed} {number}")
        broken = damaged(data, chance)
        try:
            read += checked(broken, path.name) is not None
        except Exception as problem:
            raise AssertionError(f"{path.name}, seed {seed}, mutation {number}: {problem!r}") from problem
    return read


def test_enough() -> None:
    assert MUTATIONS * len(SAMPLES) >= 10_000


def test_every_format_has_a_sample() -> None:
    found = {parsed(path.read_bytes(), path.name).format for path in SAMPLES if readable(path)}
    assert found == set(FORMATS)


def readable(path: Path) -> bool:
    try:
        parsed(path.read_bytes(), path.name)
    except UserError:
        return False
    return True


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_sample_whole(path: Path) -> None:
    """Every figure of the sample itself is where it says."""
    if path.name == "hailortcli_pipeline.csv":  # refused: it has no unit
        assert checked(path.read_bytes(), path.name) is None
    else:
        assert checked(path.read_bytes(), path.name) is not None


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_damaged(path: Path) -> None:
    damage(path, MUTATIONS)


def test_checker_can_fail() -> None:
    """A figure that isn't where it says, or is another statistic, is found out."""
    path = DATA / "reported" / "hyperfine.json"
    found = parsed(path.read_bytes(), path.name)
    value = found.entries[0].values["latency_mean"]
    text = path.read_text()
    assert is_there("latency_mean", value, text)
    assert not is_there("latency_max", value, text)
    assert not is_there("latency_mean", value, text.replace("0.0029129520000000003", "0.0129129520000000003"))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == found.source.sha256
