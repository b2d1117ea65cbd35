"""What the words of a decision report mean."""

from __future__ import annotations

from whichpu.reports.prose.messages import label

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        label("latency"),
        label("One inference. From where to where it is timed, its boundary, is compared where files tell it."),
    ),
    (label("p99"), label("The latency that 99 % of the inferences don't exceed.")),
    (label("throughput"), label("Completed inferences over wall time; never one over the latency.")),
    (
        label("energy per inference"),
        label("Joules for one inference. Watts and joules of different scope (board, module, chip) are not compared."),
    ),
    (
        label("95 % interval"),
        label("Where the figure lies with 95 % confidence. A single figure from a file has none."),
    ),
    (
        label("no difference shown"),
        label("The evidence does not carry a ranking. It doesn't say that both are equal."),
    ),
    (
        label("not comparable"),
        label("The two figures don't mean the same, or one is missing; the rule that forbids it is named."),
    ),
    (label("Pareto front"), label("Contenders that nobody is shown to beat in all objectives.")),
    (label("estimated"), label("By a compiler or a model of the hardware, not measured.")),
    (label("–"), label("Unknown, never zero; the letter beside it leads to the reason.")),
)  # fmt: skip
"""Terms and what they mean, by their English words."""
