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

SCORES = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "ap50": "mAP@.5",
    "ap75": "mAP@.75",
    "ap": "mAP@.5:.95",
    "exact": "exact matches",
    "cer": "character error rate",
    "miou": "mIoU",
    "pixel-accuracy": "pixel accuracy",
    "chamfer": "Chamfer distance",
    "chamfer-l1": "Chamfer-L1 distance",
    "rmse": "RMSE",
    "mae": "MAE",
}
"""Metrics of the tasks as people call them; any other by its own name."""

PLAINER = {"’": "'", "–": "-", "µ": "u", "±": "+-", "·": "-", "…": "."}
"""What stands for a character that a terminal of few letters can't show."""
