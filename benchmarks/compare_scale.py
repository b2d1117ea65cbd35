"""How long does `whichpu compare` take for 10,000 imported results?

Results are made from the form of the share-price study (latencies, throughput, RMSE, power), imported with
`whichpu import`, and compared by the command line in a process of its own: 10,000 contenders of one model, 100 models
of 100 contenders, the same with `--json`, and 10,000 files of one result each. Goal: under 5 s each.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import page

RESULTS = 10_000
GOAL_S = 5.0
WHICHPU = (sys.executable, "-m", "whichpu")


def main() -> int:
    """Time, print and write the page; 0 where each took less than the goal."""
    options, facts = page.parser(__doc__ or "").parse_args(), page.Facts()
    rows, slowest_s = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(Path(folder)):
            wall_s, cpu_s, printed = timed(command)
            slowest_s = max(slowest_s, wall_s)
            rows.append((name, f"{wall_s:.2f}", f"{cpu_s:.2f}", f"{printed:,}"))
    lines = [f"# {RESULTS:,} imported results compared", "", __doc__ or "", *facts.lines(), ""]
    lines += [*page.table(("what", "seconds", "CPU seconds", "lines printed"), rows), ""]
    lines += [f"{'Passed' if slowest_s < GOAL_S else 'Not passed'}: the slowest took {slowest_s:.2f} s."]
    page.show(lines, options.output)
    return 0 if slowest_s < GOAL_S else 2


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Files of results, and what is timed on them."""
    one, many = folder / "one.json", folder / "many.json"
    imported(folder, {"GRU": RESULTS}, one)
    imported(folder, {f"model {number}": 100 for number in range(RESULTS // 100)}, many)
    yield "one model, 10,000 contenders", ["compare", str(one)]
    yield "one model, 10,000 contenders, JSON", ["compare", str(one), "--json"]
    yield "100 models of 100 contenders", ["compare", str(many)]
    yield "100 models of 100 contenders, JSON", ["compare", str(many), "--json"]
    single = folder / "files"
    single.mkdir()
    for number in range(RESULTS):
        (single / f"{number}.json").write_text(json.dumps(study(f"platform {number}", {"GRU": 1})))
    yield "10,000 files of one result", ["compare", *map(str, sorted(single.iterdir()))]


def imported(folder: Path, sizes: dict[str, int], output: Path) -> None:
    """Import a made-up study."""
    made = folder / f"made-{output.name}"
    platforms = [study(f"platform {number}", dict.fromkeys(sizes, 1)) for number in range(max(sizes.values()))]
    made.write_text(json.dumps({"platforms": platforms}))
    subprocess.run([*WHICHPU, "import", str(made), "-o", str(output), "--json"], check=True, stdout=subprocess.DEVNULL)


def study(platform: str, models: dict[str, int]) -> dict[str, object]:
    """The share-price study's form."""
    return {"platform": platform, "models": {name: figures(random.Random(f"{platform} {name}")) for name in models}}


def figures(chance: random.Random) -> dict[str, object]:
    """Figures of one contender."""
    mean = chance.uniform(0.05, 5.0)
    names = {"mean": 1.0, "median": 0.98, "min": 0.9, "max": 1.6, "std": 0.1, "p95": 1.2, "p99": 1.4}
    return {
        "latency_ms": {name: round(mean * factor, 3) for name, factor in names.items()},
        "throughput_fps": round(1000 / mean, 2),
        "rmse": round(chance.uniform(50, 60), 3),
        "avg_gpu_power_watts": round(chance.uniform(20, 90), 2),
    }


def timed(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds, CPU seconds and lines of one command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run([*WHICHPU, *arguments], check=True, capture_output=True)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s, ran.stdout.count(b"\n")


if __name__ == "__main__":
    sys.exit(main())
