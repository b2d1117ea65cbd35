"""The assignment of models to units as a mixed-integer linear program, solved exactly by SciPy's HiGHS.

Each model runs on one unit by one contender: binary variables. A unit's load is the sum over its models of rate times
time per inference, and stays within its capacity. Power: a unit whose idle power is known draws it, and for the share
of time that a model runs what that model draws beyond it. Of a unit whose idle power is not known the largest power of
its models is taken, which it can't exceed while it runs one at a time; the sum where it runs several side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whichpu.recommend.offers import Offer
from whichpu.recommend.plans import Plan, Unit

Row = npt.NDArray[np.float64]
SLIGHTLY = 1e-9
"""By which share a second goal may give way on the first: rounding, nothing else."""


class Solution(NamedTuple):
    """The offers that were taken, and the values of the goal and of all variables."""

    taken: list[Offer]
    goal: float
    values: Row


class Program:
    """The program of a plan. Variables: one per offer, one per unit (its power, where idle power is not known), the
    largest load share of a unit, the factor on each capacity, the excess of power, the rate of each offer."""

    def __init__(self, offers: Sequence[Offer], plan: Plan) -> None:
        self.offers, self.plan = list(offers), plan
        self.units = sorted(plan.units, key=lambda each: each.name)
        self.models = sorted(plan.models, key=lambda each: each.name)
        taken, units = len(self.offers), len(self.units)
        self.power_at, self.share_at, self.excess_at = taken, taken + units, taken + units + 1
        self.over_at = self.excess_at + 1
        self.size = self.over_at + units
        self.rows: list[tuple[Row, float, float]] = []
        self._each_model_once()
        self._capacities()
        self._powers()

    # ------------------------------------------------------------ rows

    def row(self, entries: Sequence[tuple[int, float]]) -> Row:
        """A row of the program."""
        found = np.zeros(self.size)
        for at, value in entries:
            found[at] += value
        return found

    def load(self, unit: Unit) -> Row:
        """The load of a unit."""
        return self.row([(at, each.load) for at, each in self._of(unit)])

    def _of(self, unit: Unit) -> list[tuple[int, Offer]]:
        return [(at, each) for at, each in enumerate(self.offers) if each.unit == unit]

    def power(self) -> tuple[Row, float]:
        """The power of all units: a row, and what is drawn whatever is taken."""
        entries = [(self.power_at + at, 1.0) for at, unit in enumerate(self.units) if unit.idle_w is None]
        for at, each in enumerate(self.offers):
            if each.unit.idle_w is not None and each.power_w is not None:
                entries.append((at, max(0.0, each.power_w - each.unit.idle_w) * each.load))
        return self.row(entries), sum(unit.idle_w or 0.0 for unit in self.units)

    def share(self) -> Row:
        """The largest share of its capacity that a unit is loaded to."""
        return self.row([(self.share_at, 1.0)])

    def _each_model_once(self) -> None:
        for need in self.models:
            mine = [(at, 1.0) for at, each in enumerate(self.offers) if each.need == need]
            self.rows.append((self.row(mine), 1.0, 1.0))

    def _capacities(self) -> None:
        for at, unit in enumerate(self.units):
            load = self.load(unit)
            over = self.row([(self.over_at + at, -1.0)])
            self.rows.append((load + over, -np.inf, unit.capacity))
            self.rows.append((load - unit.capacity * self.share(), -np.inf, 0.0))

    def _powers(self) -> None:
        for number, unit in enumerate(self.units):
            if unit.idle_w is not None:
                continue
            mine = [(at, -each.power_w) for at, each in self._of(unit) if each.power_w is not None]
            for group in [mine] if unit.capacity > 1 else [[one] for one in mine]:
                self.rows.append((self.row([(self.power_at + number, 1.0), *group]), 0.0, np.inf))
        if self.plan.max_power_w is not None:
            row, always = self.power()
            excess = self.row([(self.excess_at, -1.0)])
            self.rows.append((row + excess, -np.inf, self.plan.max_power_w - always))

    # ------------------------------------------------------------ solved

    def solved(self, goal: Row, free: Sequence[int] = (), extra: Sequence[tuple[Row, float]] = ()) -> Solution | None:
        """The smallest ``goal`` (a row of the program); ``None`` where nothing fits. Limits give way only by variables
        that are ``free``; ``extra`` are more rows, each with the most that it may be."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        if not self.offers:
            return None
        upper = np.full(self.size, np.inf)
        upper[: len(self.offers)] = 1
        upper[self.excess_at :] = 0
        upper[list(free)] = np.inf
        rows = [*self.rows, *((row, -np.inf, most) for row, most in extra)]
        matrix, lows, highs = (np.array([each[part] for each in rows]) for part in range(3))
        found = milp(
            goal,
            integrality=np.arange(self.size) < len(self.offers),
            bounds=Bounds(np.zeros(self.size), upper),
            constraints=LinearConstraint(matrix, lows, highs),
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            return None
        taken = [each for at, each in enumerate(self.offers) if found.x[at] > 0.5]
        return Solution(taken, float(goal @ found.x), found.x)

    def best(self, first: Row, second: Row) -> Solution | None:
        """The smallest ``first`` goal, and of those that have it the smallest ``second``."""
        found = self.solved(first)
        if found is None:
            return None
        most = found.goal + SLIGHTLY * max(1.0, abs(found.goal))
        return self.solved(second, extra=[(first, most)]) or found
