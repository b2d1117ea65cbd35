"""What the doctor found, for the terminal: troubles first, each with why it matters and the command to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichpu.reports import units
from whichpu.reports.tables import print_item, safe
from whichpu.results.doctor import Examination, Finding, Noise

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = {"trouble": "Trouble", "note": "Worth knowing"}


def show(found: Examination, screen: Console) -> None:
    """Print findings, the clock and the noise, in lines that fit the terminal."""
    machine = found.machine
    cpus = "1 CPU" if len(found.cpus) == 1 else f"{len(found.cpus)} CPUs"
    screen.print(f"\n[bold]{safe(machine.cpu_model or 'an unnamed CPU')}[/bold], {cpus}, {safe(machine.system)}")
    kinds: dict[str, list[Finding]] = {}
    for finding in found.findings:
        kinds.setdefault(finding.severity, []).append(finding)
    for severity, heading in HEADINGS.items():
        if kinds.get(severity):
            screen.print(f"\n[bold]{heading}[/bold]")
        for finding in kinds.get(severity, []):
            print_item(screen, _sentence(finding.says), indent=2)
            if finding.why:
                print_item(screen, f"Why: {finding.why}.", indent=4)
            if finding.command:
                print_item(screen, f"Try: {finding.command}", indent=4)
    if kinds.get("good"):
        screen.print("\n[bold]Good[/bold]")
        print_item(screen, _sentence("; ".join(finding.says for finding in kinds["good"])), indent=2)
    if kinds.get("not-readable"):
        screen.print("\n[bold]Not readable here[/bold]")
        unread = "; ".join(f"{finding.says} ({finding.why})" for finding in kinds["not-readable"])
        print_item(screen, _sentence(unread), indent=2)
    screen.print("\n[bold]Measured[/bold]")
    print_item(screen, _clock(found), indent=2)
    print_item(screen, _noise(found.noise, found.noise_missing), indent=2)
    screen.print(f"\n{_conclusion(len(kinds.get('trouble', [])))}", markup=False)


def _clock(found: Examination) -> str:
    return (
        f"Clock: its step is {found.clock_resolution_ns} ns, reading it takes {found.clock_cost_ns} ns (perf_counter)."
    )


def _noise(noise: Noise | None, missing: str | None) -> str:
    if noise is None:
        return f"Noise: not measured ({missing})."
    return (
        f"Noise: a fixed busy loop of {units.time(noise.median_ns)} (null backend, one process,"
        f" {noise.blocks} blocks in {noise.seconds:g} s): nine in ten block medians within ±{100 * noise.spread:.1f} %,"
        f" the slowest block {100 * noise.worst:+.1f} %, p99 {units.digits(noise.p99)} times the median."
        " A model is not this loop: one that waits for memory is noisier."
    )


def _conclusion(troubles: int) -> str:
    if not troubles:
        return "Nothing here stands in the way of a quiet measurement."
    them = "1 thing" if troubles == 1 else f"{troubles} things"
    return f"{them} will make figures noisier, or true of other conditions than you think."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
