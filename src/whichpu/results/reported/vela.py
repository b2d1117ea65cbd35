"""The summary that Arm's Vela writes for Ethos-U (``*_summary_*.csv``): an estimate of the compiler, no measurement.

Columns: ``ethosu/vela/stats_writer.py`` of the package ``ethos-u-vela`` (Apache-2.0), and files that Vela 5.2 wrote.
``inference_time`` is in seconds, cycles over clock, of what runs on the NPU; ``*_memory_used`` are KiB.
``inferences_per_second`` is only its inverse and so no throughput.
"""

from __future__ import annotations

from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import BYTES
from whichpu.results.reported.figures import Figures, table, told

TOOL = "Vela"
HEADER = "experiment,network,accelerator_configuration,"
DOUBT = "the compiler's estimate from cycles; operators that stay on the CPU are not in it"
AREAS = ("dram", "on_chip_flash", "off_chip_flash")


def recognises(head: str, name: str) -> bool:
    """Is it the header of Vela's summary?"""
    return head.lstrip().startswith(HEADER)


def read(text: str, source: Source) -> Reported:
    """An entry a row, estimated. Raises :class:`UserError`."""
    entries, notes = [], []
    for line, row in table(text):
        figures = Figures(TOOL)
        terms = told(boundary="compute", batch=row.get("batch_size"), statistic="estimate")
        figures.put("latency_mean", row.get("inference_time"), f"line {line}, column inference_time", 1e9, terms)
        scope = {"scope": "SRAM", "statistic": "peak"}
        where = f"line {line}, column sram_memory_used"
        figures.put("device_memory", row.get("sram_memory_used"), where, BYTES["kib"], scope)
        figures.lacks("throughput", "Vela's inferences per second are 1 / inference time, which is no throughput")
        device = row.get("accelerator_configuration") or None
        entries.append(
            figures.entry(
                source,
                row.get("network") or None,
                f"{device or 'Ethos-U'} (Vela's estimate)",
                device=device,
                estimated=True,
                doubts=[DOUBT],
            )
        )
        settings = (f"{name} {row[name]}" for name in ("system_config", "memory_mode") if row.get(name))
        used = (f"{area} {row[f'{area}_memory_used']} KiB" for area in AREAS if row.get(f"{area}_memory_used"))
        notes.append(f"line {line}: {', '.join([*settings, *used])}")
    return Reported(format="vela", tool=TOOL, source=source, entries=entries, notes=notes)
