"""Words for statuses and verdicts, the same in every report."""

STATUS = {
    "pending": "not measured yet",
    "measured": "measured",
    "refused": "refused",
    "crashed": "crashed",
    "hung": "hung",
    "out-of-memory": "out of memory",
    "bad-output": "bad output",
    "not-here": "not here",
    "bug": "a bug of WhichPU",
}
VERDICTS = {
    "faster": "faster",
    "slower": "slower",
    "no-difference": "no difference shown",
    "too-small-to-matter": "too small to matter",
    "better": "better",
    "worse": "worse",
    "not-comparable": "not comparable",
}
METRICS = {
    "latency_median": "",
    "energy_per_inference": "energy per inference, gross",
    "energy_per_inference_net": "energy per inference, net of idle",
    "memory_peak": "most memory resident",
}
"""What is compared; latency goes without saying."""

PLAINER = {"’": "'", "–": "-", "µ": "u", "±": "+-", "·": "-", "…": "."}
"""What stands for a character that a terminal of few letters can't show."""
