"""Which supply rails the boards of NVIDIA's Jetson family measure, and what each holds: facts, for the live meter and
for logs of ``tegrastats`` alike. A board is told by the names of its rails; a rail of an unknown board is just a rail.

AGX Xavier: Product Design Guide DG-09840-001, 5.6.2 (Power Monitor): six supplies, none of them a total. AGX Orin:
three inputs, and VDDQ_VDD2_1V8AO, which VIN_SYS_5V0 feeds, so that a sum of all four would count DRAM twice (Jetson
Linux Developer Guide r36.4.3, Software-Based Power Consumption Modeling, and forums.developer.nvidia.com/t/223111, both
as public power samplers quote them). VDD_IN is "the total power of module", and CV "includes DLA": NVIDIA's answers at
the forum's /t/200883. Thor's VIN is measured before module and carrier board: /t/366461.
"""

from __future__ import annotations

from typing import Dict, Iterable, NamedTuple, Optional, Tuple

SUM = "rails"
"""The name of the sum over a board's rails where none of them is a total."""

NOT_CONNECTED = ("NC", "")
"""Names of inputs to which no rail is wired."""

BEYOND = "not the carrier board or what is plugged into it"


class Rail(NamedTuple):
    """What a rail holds; the fields are those of ``wire.Channel``."""

    scope: str
    covers: str
    part_of: Optional[str] = None
    sums_to: Optional[str] = None


HOLDS: Dict[str, str] = {
    "GPU": "GPU",
    "CPU": "CPU",
    "SOC": "SoC: memory controller, video, the rest of the chip",
    "CV": "DLA and PVA together",
    "VDDRQ": "DRAM",
    "SYS5V": "5 V supply of the rest of the module; " + BEYOND,
    "VDD_GPU_SOC": "GPU and SoC together",
    "VDD_CPU_CV": "CPU, DLA and PVA together: the DLA's power can't be told from the CPU's",
    "VIN_SYS_5V0": "5 V supply of the rest of the module; " + BEYOND,
    "VDDQ_VDD2_1V8AO": "DRAM and what is always on",
    "VDD_CPU_GPU_CV": "CPU, GPU, DLA and PVA together: none of them can be told from the others",
    "VDD_SOC": "SoC: memory controller, video, the rest of the chip",
    "VDD_GPU": "GPU",
    "VDD_CPU": "CPU",
    "VDD_DDR": "DRAM",
    "VDD_WIFI": "Wi-Fi",
    "VDD_SYS_GPU": "GPU",
    "VDD_SYS_CPU": "CPU",
    "VDD_SYS_SOC": "SoC: memory controller, video, the rest of the chip",
    "VDD_SYS_DDR": "DRAM",
    "VDD_4V0_WIFI": "Wi-Fi",
    "VDD_CPU_SOC_MSS": "CPU, SoC and memory subsystem together",
    "POM_5V_GPU": "GPU",
    "POM_5V_CPU": "CPU",
}
"""What rails hold, in words."""

SUMMED: Tuple[Tuple[str, ...], ...] = (
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
)
"""Rails that make up a module together: only where all of them can be read is there a sum."""

WITHIN: Dict[str, Tuple[str, ...]] = {"VIN_SYS_5V0": ("VDDQ_VDD2_1V8AO",)}
"""Rails that feed others, besides the totals."""

THOR = ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")

TOTALS: Dict[str, Tuple[str, str, Tuple[str, ...]]] = {
    "VDD_IN": (
        "module",
        "the whole module; " + BEYOND,
        ("VDD_CPU_GPU_CV", "VDD_SOC", "VDD_GPU", "VDD_CPU", "VDD_DDR", "VDD_WIFI")
        + ("VDD_SYS_GPU", "VDD_SYS_CPU", "VDD_SYS_SOC", "VDD_SYS_DDR", "VDD_4V0_WIFI"),
    ),
    "POM_5V_IN": ("module", "the whole module; " + BEYOND, ("POM_5V_GPU", "POM_5V_CPU")),
    "VIN": ("board", "module and carrier board, with what is plugged into it", THOR),
}
"""Rails that hold a whole: scope, in words, and those below."""


def rails(names: Iterable[str]) -> Dict[str, Rail]:
    """What each of a board's rails is."""
    here = list(names)
    found = {name: Rail("rail", HOLDS.get(name, "one supply rail; what it feeds is not known here")) for name in here}
    for whole in SUMMED:
        if all(name in found for name in whole):
            found.update((name, Rail("rails", HOLDS[name], sums_to=SUM)) for name in whole)
    for total, (scope, covers, parts) in TOTALS.items():
        if total in found and (total != "VIN" or "VDD_CPU_SOC_MSS" in found):
            found[total] = Rail(scope, covers)
            found.update(_parts_of(total, parts, found))
    for feeding, fed in WITHIN.items():
        if feeding in found:
            found.update(_parts_of(feeding, fed, found))
    return found


def _parts_of(whole: str, parts: Iterable[str], found: Dict[str, Rail]) -> Dict[str, Rail]:
    return {name: found[name]._replace(part_of=whole) for name in parts if name in found}
