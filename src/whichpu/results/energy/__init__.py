"""From the readings of meters to joules and watts.

``sensor`` judges one channel's readings, ``metered`` one window of a source, ``figures`` a contender's energy; then
there are its steadiness, ratios and doubts, the scopes of power, and the gauges of what isn't power.
"""

from whichpu.results.energy.figures import (
    EnergyFigures,
    MeterCost,
    common_source,
    energy_figures,
    energy_rounds,
    joules,
    meter_cost,
    net_rounds,
    power_over_time,
    primary,
    primary_figures,
    source_named,
    sustained_power,
    window_shown,
)

__all__ = [
    "EnergyFigures",
    "MeterCost",
    "common_source",
    "energy_figures",
    "energy_rounds",
    "joules",
    "meter_cost",
    "net_rounds",
    "power_over_time",
    "primary",
    "primary_figures",
    "source_named",
    "sustained_power",
    "window_shown",
]
