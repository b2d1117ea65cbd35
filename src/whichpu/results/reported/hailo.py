"""``hailortcli`` of HailoRT: ``run`` and ``benchmark`` as CSV and text, ``run2`` as JSON and text.

Columns, keys and labels: github.com/hailo-ai/hailort (MIT), ``hailort/hailortcli/``: ``infer_stats_printer.cpp``,
``benchmark_command.cpp``, ``run2/network_live_track.cpp``, ``run2/measurement_live_track.cpp``. Every latency is a mean
in ms. HW latency is of the device alone and stands in an entry of its own, beside the rate of ``hw_only`` mode; the
overall latency, the streaming rate and the power (read while streaming) are of host and device together.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import POWERS_W, json_of, number
from whichpu.results.reported.figures import Figures, stem, table, told, whole

TOOL = "hailortcli"
RUN = "net_name,status,status_description,fps,"
BENCHMARK = "net_name,fps,hw_only_fps,"
PIPELINE = "net_name,vstream_name,param_type,"
JSON = re.compile(r'"inference_mode"\s*:.*"network_groups"\s*:', re.S)
TEXT = re.compile(
    r"^FPS     \(hw_only\)|^> Inference result:|^Running (?:streaming|hw_only) inference \("
    r"|^Measuring FPS (?:and Power )?in (?:hw_only|streaming) mode",
    re.M,
)
LIVE = re.compile(r"^(\S+): +((?:fps|hw latency|overall latency): [^\n]*)$", re.M)

MODE = re.compile(r"^Running (streaming|hw_only) inference \((.*)\):", re.M)
GROUP = re.compile(r"^\s*Network(?: group)?: (\S+)\s*$")
PROGRESS = re.compile(r"^Network ([^/\s]+)/\S+: 100%")
LABELS = {
    "FPS": "fps",
    "HW Latency": "hw",
    "Overall Latency": "overall",
    "Frames count": "frames",
    "Average power consumption": "power",
    "Average chip temperature": "temperature",
}
SUMMARY = (
    (re.compile(r"^FPS     \(hw_only\)\s*= (\S+)"), "hw_fps"),
    (re.compile(r"^\s+\(streaming\)\s*= (\S+)"), "fps"),
    (re.compile(r"^Latency \(hw\)\s*= (\S+) ms"), "hw"),
    (re.compile(r"^\s+\(overall\)\s*= (\S+) ms"), "overall"),
    (re.compile(r"^\s*Power in streaming mode \(average\)\s*= (\S+ \S+)"), "power"),
)
LIVE_LABELS = {"fps": "fps", "hw latency": "hw", "overall latency": "overall"}
ALONE = "the device alone"
NOT_OVERALL = "hailortcli measured the latency of the device alone; --measure-overall-latency measures the host's"


class Cell(NamedTuple):
    """What the file says, and where."""

    told: object
    where: str


Told = dict[str, Cell]
"""What a file tells of one network: fps, hw_fps, hw and overall (ms), power (W), temperature (°C), frames."""


def recognises(head: str, name: str) -> bool:
    """Does ``hailortcli`` write like this?"""
    first = head.lstrip()
    if first.startswith((RUN, BENCHMARK, PIPELINE)):
        return True
    return bool(JSON.search(head)) if first.startswith("{") else bool(TEXT.search(head) or LIVE.search(head))


def read(text: str, source: Source) -> Reported:
    """Up to two entries a network: host and device together, and the device alone. Raises :class:`UserError`."""
    first = text.lstrip()
    if first.startswith(PIPELINE):
        raise UserError(
            "tells how long HailoRT's own elements take, in no unit that it names, and not what the network takes",
            "give the file of hailortcli run --csv, benchmark --csv or run2 --json",
        )
    if first.startswith("{"):
        return _json(text, source)
    if first.startswith((RUN, BENCHMARK)):
        return _csv(text, source)
    return _text(text, source)


# ---------------------------------------------------------------- forms


def _csv(text: str, source: Source) -> Reported:
    columns = {"fps": "fps", "hw_only_fps": "hw_fps", "num_of_frames": "frames", "hw_latency": "hw"}
    columns |= {"overall_latency": "overall", "average_power": "power", "average_temp": "temperature"}
    is_benchmark = text.lstrip().startswith(BENCHMARK)
    entries, failures = [], []
    for number_, row in table(text):
        found = {key: Cell(row[name], f"line {number_}, column {name}") for name, key in columns.items() if name in row}
        failed = "" if row.get("status", "0") == "0" else row.get("status_description") or f"status {row['status']}"
        failures += [failed] if failed else []
        entries += _entries(found, row.get("net_name") or None, source, "streaming" if is_benchmark else None, failed)
    if failures and not any(entry.values for entry in entries):
        raise UserError(f"holds failed runs only: {failures[0]}", "run hailortcli again")
    return Reported(format="hailortcli", tool=TOOL, source=source, entries=entries)


def _json(text: str, source: Source) -> Reported:
    body = json_of(text, floats=str)
    groups, devices = (_list(body.get(key)) for key in ("network_groups", "devices"))
    shared: Told = {}
    if len(devices) == 1:  # with several, nothing says which one a network ran on
        for key in ("power", "temperature"):
            measured = devices[0].get(key)
            if isinstance(measured, dict):
                shared[key] = Cell(measured.get("average"), f"devices[0].{key}.average")
    entries = []
    for index, group in enumerate(groups):
        keys = {"FPS": "fps", "hw_latency": "hw", "overall_latency": "overall"}
        found = {
            key: Cell(group[name], f"network_groups[{index}].{name}") for name, key in keys.items() if name in group
        }
        mode = body.get("inference_mode")
        lone = shared if len(groups) == 1 else {}  # power of a device that several networks shared is no network's
        name = stem(group.get("full_hef_path")) or group.get("name")
        entries += _entries(found | lone, name and str(name), source, mode and str(mode))
    return Reported(format="hailortcli", tool=TOOL, source=source, entries=entries)


def _list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(text: str, source: Source) -> Reported:
    mode = MODE.search(text)
    lines = list(enumerate(text.splitlines(), 1))
    if not mode and not any(pattern.search(line) for _, line in lines for pattern, _ in SUMMARY):
        return _live(lines, source)
    networks: dict[str, Told] = {}
    name = next((found[1] for _, line in lines if (found := PROGRESS.search(line))), "")
    for number_, line in lines:
        group = GROUP.match(line)
        name = group[1] if group else name
        for key, value in _labelled(line):
            networks.setdefault(name, {})[key] = Cell(value, f"line {number_}")
    shown = stem(mode[2]) if mode and len(networks) == 1 else None
    scenario = mode[1] if mode else "streaming"
    entries = [one for name, found in networks.items() for one in _entries(found, shown or name, source, scenario)]
    return Reported(format="hailortcli", tool=TOOL, source=source, entries=entries)


def _labelled(line: str) -> list[tuple[str, str]]:
    label, colon, value = line.strip().partition(": ")
    if colon and label in LABELS:
        return [(LABELS[label], value.removesuffix(" ms"))]
    return [(key, found[1]) for pattern, key in SUMMARY if (found := pattern.search(line))]


def _live(lines: list[tuple[int, str]], source: Source) -> Reported:
    """Of ``run2``, which prints its lines again and again: the last ones hold the means of the whole run."""
    last = {said[1]: (at, said[2]) for at, line in lines if (said := LIVE.match(line))}
    entries = []
    for name, (at, words) in last.items():
        parts = (part.partition(": ") for part in words.split(" | "))
        found = {LIVE_LABELS[label]: Cell(value.removesuffix(" ms"), f"line {at}") for label, _, value in parts
                 if label in LIVE_LABELS}  # fmt: skip
        entries += _entries(found, name, source, None)
    return Reported(format="hailortcli", tool=TOOL, source=source, entries=entries)


# ---------------------------------------------------------------- entries


def _entries(found: Told, model: str | None, source: Source, mode: str | None, failed: str = "") -> list[Entry]:
    host, device = Figures(TOOL), Figures(TOOL)
    alone, inside, outside = mode == "hw_only", {"boundary": ALONE}, {"boundary": "end_to_end"}
    frames = whole(found["frames"].told) if "frames" in found else None
    if "fps" in found:
        figures, terms = (device, inside) if alone else (host, outside if mode else {})
        figures.put("throughput", *found["fps"], terms=terms | told(scenario=mode), count=frames)
    if "hw_fps" in found:
        device.put("throughput", *found["hw_fps"], terms=inside | {"scenario": "hw_only"})
    if "overall" in found:
        host.put("latency_mean", *found["overall"], scale=1e6, terms=outside)
    if "hw" in found:
        device.put("latency_mean", *found["hw"], scale=1e6, terms=inside)
        host.lacks("latency_mean", NOT_OVERALL)
    _measured(found, device if alone else host)
    whole_, part = (_entry(one, model, source, label, failed) for one, label in ((host, ""), (device, " (hw_only)")))
    return [one for one in (whole_, part) if one.values] or [whole_]


def _measured(found: Told, figures: Figures) -> None:
    """Power and temperature, whose units may stand beside them; CSV has W and °C."""
    terms = {"statistic": "mean"}
    if "power" in found:
        value, unit = _with_unit(found["power"].told)
        scale = POWERS_W.get(unit.lower() or "w")
        if scale is None:
            figures.lacks("power", f"the file gives it in {unit!r}")
        else:
            figures.put("power", value, found["power"].where, scale, {**terms, "scope": "npu"})
    if "temperature" in found:
        value, unit = _with_unit(found["temperature"].told)
        if unit.lower() in ("", "c", "°c", "celsius"):
            figures.put("temperature", value, found["temperature"].where, 1.0, terms | {"scope": "npu"})


def _with_unit(told_: object) -> tuple[str, str]:
    """``1.40 W``, ``45.30C``, ``1.4``: the number and the unit."""
    text = str(told_ or "").strip()
    found = re.fullmatch(r"([-+.\deE]+?)\s*([A-Za-z°]*)", text)
    return (found[1], found[2]) if found and number(found[1]) is not None else (text, "")


def _entry(figures: Figures, model: str | None, source: Source, label: str, failed: str) -> Entry:
    entry = figures.entry(source, model, "HailoRT", device="Hailo")
    absent = dict.fromkeys(entry.absent, f"the run failed: {failed}") if failed else entry.absent
    return msgspec.structs.replace(entry, contender=entry.contender + label, absent=absent)
