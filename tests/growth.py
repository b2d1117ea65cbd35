"""How work grows, told without a clock: calls of functions, which are the same on every machine and under any load."""

import sys
from collections.abc import Callable


def calls(work: Callable[[], object]) -> int:
    """Calls that the work makes, of Python's and of C's functions."""
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def linear(prepared: Callable[[int], Callable[[], object]], size: int) -> bool:
    """Ten times the size makes at most twelve times the calls; ``prepared`` gives the work for a size."""
    for warm_up in (size, size):
        prepared(warm_up)()
    return calls(prepared(10 * size)) <= 12 * calls(prepared(size))
