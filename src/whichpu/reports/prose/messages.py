"""What can be said: messages by id, in English. Other languages are in the catalogues of ``whichpu/locale``.

A field names how it is shown: ``{ratio:ratio}``, ``{ratio:precise}``, ``{time:figure}`` (``[value, unit]``, with the
source's step and a value whose unit to take, if wished; or what has ``value`` and ``unit``), ``{share:percent}``,
``{delta:points}``, ``{key:metric}``, ``{keys:metrics}``, ``{keys:keys}``, ``{keys:statistics}``, ``{names:list}``,
``{files:files}``, ``{count:number}``, ``{word:label}``, ``{rule:part}`` (a message in a message), ``{items:parts}``,
``{items:then}``; and in Korean which particle follows: ``{contender:은/는}``, ``{names:list,이/가}``.
"""

from __future__ import annotations

MESSAGES: dict[str, str] = {}


def said(id: str, english: str) -> None:
    """Add a message. Babel extracts these calls; the id is the message's context."""
    assert id not in MESSAGES, id
    MESSAGES[id] = english


def label(english: str) -> str:
    """Mark a word as one to be translated."""
    return english


HEADINGS = {
    "speed": label("Speed"),
    "throughput": label("Throughput"),
    "spread": label("Spread of latency"),
    "accuracy": label("Accuracy"),
    "resources": label("Power, energy, memory, loading"),
    "remarks": label("Remarks"),
    "gaps": label("What these files can't say"),
    "guide": label("Selection guide"),
}

STATISTICS = {
    "latency_mean": label("mean"),
    "latency_median": label("median"),
    "latency_min": label("minimum"),
    "latency_max": label("maximum"),
    "latency_p90": "p90",
    "latency_p95": "p95",
    "latency_p99": "p99",
    "latency_p99.9": "p99.9",
}
LATENCY_BY = label("{statistics} latency")
PER_SECOND = label("{number} inferences/s")
THESE_FILES = label("these files")
MORE = label("{count} more")
WORDS = (
    label("boundary"),
    label("percentile definition"),
    label("scenario"),
    label("batch"),
    label("threads"),
    label("scope"),
    label("power scope"),
    label("unit"),
    label("statistic"),
    label("load"),
    label("top-1 accuracy"),
    label("top-5 accuracy"),
    label("exact matches"),
    label("character error rate"),
    label("pixel accuracy"),
    label("Chamfer distance"),
    label("Chamfer-L1 distance"),
    label("accuracy"),
    label("cost"),
    label("at most"),
    label("at least"),
    label("Recommendation"),
)
"""Words that reasons and scores bring along."""

NEEDS = {
    "latency": label("Latency-critical"),
    "throughput": label("Throughput-critical"),
    "steady": label("Steady response times"),
    "accuracy": label("Accuracy-critical"),
    "energy": label("Limited power or energy"),
}

# ---------------------------------------------------------------- who is ahead

said("nothing", "There is nothing to compare: no model has two contenders with figures.")
said(
    "lead.fastest.all",
    "{contender} is the fastest on {models:list} by every statistic of latency in the files: {keys:statistics}.",
)
said("lead.fastest", "{contender} is the fastest on {models:list} by {keys:keys}.")
said("lead.highest", "{contender} has the highest {keys:keys} on {models:list}.")
said("lead.lowest", "{contender} has the lowest {keys:keys} on {models:list}.")
said("lead.smallest", "{contender} has the smallest {keys:keys} on {models:list}.")
said("ahead.fastest", "On {models:list}, {contender} is faster than {names:list} by {keys:keys}.")
said("ahead.highest", "On {models:list}, {contender} has a higher {keys:keys} than {names:list}.")
said("ahead.lowest", "On {models:list}, {contender} has a lower {keys:keys} than {names:list}.")
said("ahead.smallest", "On {models:list}, {contender} has a smaller {keys:keys} than {names:list}.")
said("small", "On {models:list}, {names:list} differ in {keys:keys}, but by too little to matter.")
said("tie.interval", "On {models:list}, {names:list} are tied in {keys:keys}: no difference is shown.")
said("tie.equal", "On {models:list}, {names:list} are equal in {keys:keys}, as reported.")
said(
    "tie.single",
    "On {models:list}, no difference in {keys:keys} is shown between {names:list}: the figures have no interval.",
)

# ---------------------------------------------------------------- figures and ratios

said("figures", "On {model}, {key:metric} is {items:parts}.")
said("part.figure", "{figure:figure} with {name}")
said("ratios.lower", "On {model}, relative to {contender}, {key:metric} is {items:parts}.")
said("part.times.lower", "{ratio:ratio} times as high with {name}")
said(
    "part.times.lower.interval",
    "{ratio:precise} times as high with {name} (95 % interval {low:precise} to {high:precise})",
)
said("ratios.higher", "On {model}, the {key:metric} of {contender} is {items:parts}.")
said("part.times.higher", "{ratio:ratio} times that of {name}")
said(
    "part.times.higher.interval",
    "{ratio:precise} times that of {name} (95 % interval {low:precise} to {high:precise})",
)
said("part.more", "{count:number} more")
said("order.fastest", "By the reported figures, {key:metric} on {model} is shortest with {items:then}.")
said("order.highest", "By the reported figures, {key:metric} on {model} is highest with {items:then}.")
said("order.lowest", "By the reported figures, {key:metric} on {model} is lowest with {items:then}.")
said("order.smallest", "By the reported figures, {key:metric} on {model} is smallest with {items:then}.")
said("order.fastest.shown", "On {model}, {key:metric} is shortest with {items:then}; each step is shown.")
said("order.highest.shown", "On {model}, {key:metric} is highest with {items:then}; each step is shown.")
said("order.lowest.shown", "On {model}, {key:metric} is lowest with {items:then}; each step is shown.")
said("order.smallest.shown", "On {model}, {key:metric} is smallest with {items:then}; each step is shown.")
said("part.order", "{names:list} ({figure:figure})")
said(
    "order.caveat",
    "Where a step of these orders has no interval, the files don't show whether it is more than chance.",
)

# ---------------------------------------------------------------- accuracy

said(
    "score.lower",
    "By the reported figures, {key:metric} is higher (worse) with {contender} than with {names:list}: {items:parts}.",
)
said(
    "score.higher",
    "By the reported figures, {key:metric} is lower (worse) with {contender} than with {names:list}: {items:parts}.",
)
said(
    "score.lower.open",
    "{key:metric} is higher with {contender} than with {names:list}, {items:parts}; no difference is shown.",
)
said(
    "score.higher.open",
    "{key:metric} is lower with {contender} than with {names:list}, {items:parts}; no difference is shown.",
)
said("score.lower.shown", "{key:metric} is higher (worse) with {contender} than with {names:list}: {items:parts}.")
said("score.higher.shown", "{key:metric} is lower (worse) with {contender} than with {names:list}: {items:parts}.")
said("part.points", "by {delta:points} percentage points on {model}")
said("part.delta", "by {delta:figure} on {model}")
said("part.delta.relative", "by {delta:figure} ({share:percent}) on {model}")
said(
    "score.caveat", "Where scores have no interval, the files don't show whether such differences are more than chance."
)
said("score.most", "The difference is largest on {model}.")
said(
    "score.most.unknown",
    "The difference is largest on {model}. The file doesn't tell in which precision {contender} ran; if it is"
    " quantised, {model} may be the more sensitive to quantisation. Its fp32 form, scored on the same data, would"
    " tell.",
)
said(
    "score.most.quantised",
    "The difference is largest on {model}. {contender} ran in {precision}: {model} may be the more sensitive to that."
    " Its fp32 form, scored on the same data, would tell.",
)

# ---------------------------------------------------------------- remarks

said(
    "idle",
    "The utilisation of the device is about 0 % with {names:list} on {models:list}: by this figure it is over-sized for"
    " them. A sensor that samples seldom also reads 0 % of work this short.",
)
said("estimate", "The figures of {contender} on {models:list} are estimates by {tool}, not measurements.")
said("doubt", "To be borne in mind of {contender} on {model}: {items:parts}.")
said("part.doubt", "“{doubt}”")

# ---------------------------------------------------------------- what can't be said

said(
    "gap.energy",
    "Energy per inference can't be compared on {models:list}: there is no power of {names:list} in {files:files}.",
)
said(
    "gap.energy.mean",
    "Energy per inference can't be compared on {models:list}: only mean power of {names:list} is in {files:files}.",
)
said(
    "measure.energy",
    "Power during inference with {names:list}, of one scope for all, would tell: `whichpu run` reads the meters within"
    " reach, `whichpu join` takes the log of a bench meter.",
)
said("gap.absent", "On {models:list}, {names:list} can't be compared in {keys:keys}: {file} doesn't hold it.")
said("gap.refused", "On {models:list}, {names:list} are not comparable in {keys:keys}: {rule:part}.")
said("rule.transfers", "{one} times transfers, {other} does not")
said("rule.model", "the models are not the same")
said("rule.estimate", "{one} is estimated by {other}, not measured")
said("rule.protocol", "the scores came about by different protocols")
said("rule.samples", "the samples are not the same")
said("rule.round", "one round, or none in common, says nothing about spread")
said("rule.other", "they differ in {term:label} ({one}; {other})")
said("rule.quoted", "“{reason}”")
said("gap.terms", "Not told in {files:files}: {items:parts}. Figures that differ in this are not comparable.")
said("term.boundary", "what a latency holds (with or without transfers)")
said("term.scenario", "whether one inference ran after the other")
said("term.percentile", "how percentiles are defined")
said("term.batch", "the batch size")
said("term.protocol", "how scores came about (data, pre-processing, metric)")
said("term.scope", "what the power covers")
said(
    "gap.single",
    "Single figures without intervals in {files:files}: how much they scatter when measured again is not known.",
)
said(
    "gap.apart",
    "Not measured side by side in {files:files}: what the machines did meanwhile is in no figure.",
)
said(
    "measure.together",
    "All contenders in one `whichpu run`, with the same inputs, boundary and scoring, would settle this.",
)

# ---------------------------------------------------------------- the guide

said("guide.shown", "{need:label}: {names:list} on {models:list}, shown to be the best by {keys:keys}.")
said("guide.tie", "{need:label}: {names:list} alike on {models:list}; they are tied in {keys:keys}.")
said("guide.equal", "{need:label}: {names:list} alike on {models:list}, equal in {keys:keys} as reported.")
said(
    "guide.close",
    "{need:label}: {names:list} alike on {models:list}; their reported {keys:keys} differs by under 0.1 %.",
)
said(
    "guide.reported",
    "{need:label}: {names:list} on {models:list} by the reported {keys:keys}; no interval shows the difference.",
)
said(
    "guide.reported.equal",
    "{need:label}: {names:list} alike on {models:list} by the reported {keys:keys}; no interval shows the difference to"
    " the others.",
)
said("guide.open", "{need:label}: not decided on {models:list}; the verdicts on {keys:keys} single out no contender.")
said("guide.unknown", "{need:label}: can't be said on {models:list}; there is no power or energy of {names:list}.")
said("guide.faster", "Of these, {contender} is the fastest on {models:list}.")
said("guide.mixed", "Several needs at once: {contender} on {models:list}, shown to be the best by {keys:keys}.")
said(
    "guide.mixed.accurate",
    "Several needs at once: {contender} on {models:list}, shown to be the best by {keys:keys}; in {scores:keys} no"
    " other is reported to be better.",
)
said(
    "guide.weigh",
    "Several needs at once: no contender is ahead in all of them on {models:list}; `whichpu recommend` weighs them by"
    " limits and objectives.",
)
