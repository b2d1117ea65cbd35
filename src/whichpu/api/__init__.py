"""The Python API: every command without a terminal."""

from whichpu.api.analysing import Analysed, analyze
from whichpu.api.bisecting import bisect
from whichpu.api.checking import Checked, check
from whichpu.api.exporting import Exported, export, frame
from whichpu.api.measuring import Measurement, Pathlike, load, measure
from whichpu.api.reproducing import reproduce
from whichpu.api.scenarios import ScenarioMeasurement, scenario
from whichpu.api.together import Together, together
from whichpu.results.bisection import Bisection
from whichpu.results.comparison import Comparison, compare
from whichpu.results.regression import Verdict
from whichpu.results.scenarios import Row, ScenarioRun, Summary
from whichpu.results.schema import Campaign
from whichpu.results.summary import Figures, summarize

__all__ = [
    "Analysed",
    "Bisection",
    "Campaign",
    "Checked",
    "Comparison",
    "Exported",
    "Figures",
    "Measurement",
    "Pathlike",
    "Row",
    "ScenarioMeasurement",
    "ScenarioRun",
    "Summary",
    "Together",
    "Verdict",
    "analyze",
    "bisect",
    "check",
    "compare",
    "export",
    "frame",
    "load",
    "measure",
    "reproduce",
    "scenario",
    "summarize",
    "together",
]
