"""What the columns of a meter's table hold, by their names and units.

Headers as they were seen:

- Nordic PPK2 ``Timestamp(ms),Current(uA),D0,D1,...`` (github.com/NordicSemiconductor/pc-nrfconnect-ppk, its export);
- Joulescope ``#time,current,voltage,power,charge,energy`` and ``#time (s),current (A),voltage (V)``, all SI
  (github.com/jetperch/pyjoulescope_ui, statistics recording and CSV export);
- Monsoon ``Time(ms),Main(mA),Main Voltage(V),``, whose times are seconds none the less (github.com/msoon/PyMonsoon,
  ``sampleEngine.py``);
- FNIRSI FNB58 ``timestamp sample_in_packet voltage_V current_A ...`` (the logger fnirsi-usb-power-data-logger).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from whichpu.errors import UserError

UW = {"W": Decimal(10**6), "mW": Decimal(10**3), "uW": Decimal(1), "nW": Decimal("0.001"), "kW": Decimal(10**9)}
UJ = {"J": Decimal(10**6), "mJ": Decimal(10**3), "uJ": Decimal(1), "Ws": Decimal(10**6), "mWs": Decimal(10**3),
      "Wh": Decimal(36 * 10**8), "mWh": Decimal(36 * 10**5), "kWh": Decimal(36 * 10**11)}  # fmt: skip
V = {"V": Decimal(1), "mV": Decimal("0.001"), "uV": Decimal("0.000001")}
A = {"A": Decimal(1), "mA": Decimal("0.001"), "uA": Decimal("0.000001"), "nA": Decimal("0.000000001")}
NS = {"s": Decimal(10**9), "ms": Decimal(10**6), "us": Decimal(10**3), "ns": Decimal(1)}
UNITS: dict[str, dict[str, Decimal]] = {"power": UW, "energy": UJ, "voltage": V, "current": A, "time": NS}
"""Quantities, their units, and how much of our own unit one is: µW, µJ, V, A, ns."""

WORDS = {"power": "power", "energy": "energy", "voltage": "voltage", "current": "current", "volt": "voltage",
         "time": "time", "timestamp": "time", "elapsed": "time", "date": "date", "datetime": "time"}  # fmt: skip
SPELLED = {"watts": ("power", "W"), "watt": ("power", "W"), "milliwatts": ("power", "mW"), "volts": ("voltage", "V"),
           "millivolts": ("voltage", "mV"), "amps": ("current", "A"), "milliamps": ("current", "mA"),
           "joules": ("energy", "J"), "seconds": ("time", "s"), "milliseconds": ("time", "ms")}  # fmt: skip
NOT_MEANS = {"min", "max", "peak", "limit", "std", "rms"}
"""A column of one of these is no reading of the quantity itself."""

JOULESCOPE = ("time", "current", "voltage", "power", "charge", "energy")
JOULESCOPE_UNITS = {"time": "s", "current": "A", "voltage": "V", "power": "W", "energy": "J"}
MONSOON = re.compile(r"Time\(ms\),(?:(?:Main|USB|Aux)\(mA\),)+.*Voltage\(V\)")


@dataclass(frozen=True)
class Column:
    """One column that is used: its place, its name, what it holds and in which unit (``None``: none said)."""

    index: int
    name: str
    quantity: str
    unit: str | None


def whole(value: Decimal) -> int:
    """The nearest whole number, half to even."""
    return int(value.to_integral_value(rounding=ROUND_HALF_EVEN))


def understood(names: Sequence[str], told: Mapping[str, str]) -> list[Column]:
    """Columns that can be used. Where ``told`` says what columns hold, only those and the time are.

    Raises :class:`UserError` for names that aren't there and units that don't exist.
    """
    for name in told:
        if names.count(name) != 1:
            count = "no column" if name not in names else "more than one column"
            raise UserError(f"{count} is named {name!r}", f"the columns: {listed(names)}")
    taken = [_told(names.index(name), name, text) for name, text in told.items()]
    guesses = guessed(names)
    if any(column.quantity != "time" for column in taken):
        guesses = [column for column in guesses if column.quantity in ("time", "date")]
    if any(column.quantity == "time" for column in taken):
        guesses = [column for column in guesses if column.quantity not in ("time", "date")]
    named = {column.index for column in taken}
    columns = taken + [column for column in guesses if column.index not in named]
    return sorted((column for column in columns if column.quantity != "skip"), key=lambda column: column.index)


def guessed(names: Sequence[str]) -> list[Column]:
    """What the names say; columns that say nothing known are left out."""
    if tuple(name.lower() for name in names[: len(JOULESCOPE)]) == JOULESCOPE:
        return [
            Column(index, name, name.lower(), JOULESCOPE_UNITS[name.lower()])
            for index, name in enumerate(names[: len(JOULESCOPE)])
            if name.lower() in JOULESCOPE_UNITS
        ]
    columns = [column for index, name in enumerate(names) if (column := _guess(index, name)) is not None]
    if MONSOON.match(",".join(names)):
        return [Column(one.index, one.name, "time", "s") if one.quantity == "time" else one for one in columns]
    return columns


def listed(names: Sequence[str]) -> str:
    """Column names as they are told to the user."""
    return ", ".join(repr(name) for name in names)


def _told(index: int, name: str, text: str) -> Column:
    quantity, _, unit = text.partition(":")
    if quantity == "skip" and not unit:
        return Column(index, name, "skip", None)
    units = UNITS.get(quantity)
    if units is None:
        raise UserError(f"--column {name}={text}: no quantity {quantity!r}", f"one of: {', '.join([*UNITS, 'skip'])}")
    known = _unit(unit)
    if unit and (known is None or known[0] != quantity):
        raise UserError(f"--column {name}={text}: {quantity} has no unit {unit!r}", f"one of: {', '.join(units)}")
    if not unit and quantity != "time":
        raise UserError(f"--column {name}={text} names no unit", f"--column {name}={quantity}:{next(iter(units))}")
    return Column(index, name, quantity, known[1] if known else None)


def _guess(index: int, name: str) -> Column | None:
    """``Main Voltage (V)``, ``power_mW``, ``Current(uA)``, ``watts``; ``None`` where it says nothing known."""
    bracket = re.search(r"[(\[]\s*([^)\]]*?)\s*[)\]]\s*$", name)
    base = name[: bracket.start()] if bracket else name
    words = [word for word in re.split(r"[^A-Za-zµμ]+", base) if word]
    if NOT_MEANS & {word.lower() for word in words}:
        return None
    named = [WORDS[word.lower()] for word in words if word.lower() in WORDS]
    said = _unit(bracket[1]) if bracket else _unit(words[-1]) if len(words) > 1 else None
    # A single letter without brackets is a unit only where the name says the quantity: "voltage_V", not "port A".
    if said and (bracket or len(said[1]) > 1 or said[0] in named):
        return Column(index, name, *said)
    if bracket and bracket[1] and not _zone_like(bracket[1]):
        return None  # a unit that isn't known: GHz, %, °C
    for word in reversed(words):
        if word.lower() in SPELLED:
            return Column(index, name, *SPELLED[word.lower()])
        if word.lower() in WORDS:
            return Column(index, name, WORDS[word.lower()], None)
    return None


def _zone_like(text: str) -> bool:
    return re.fullmatch(r"UTC|GMT|local|UTC?[+-]\d.*|ISO ?8601", text, re.IGNORECASE) is not None


def _unit(text: str) -> tuple[str, str] | None:
    """The quantity and the unit that a text names."""
    plain = text.strip().replace("µ", "u").replace("μ", "u")
    plain = {"sec": "s", "S": "s", "MS": "ms", "ma": "mA", "mw": "mW", "mv": "mV", "w": "W", "v": "V"}.get(plain, plain)
    return next(((quantity, plain) for quantity, units in UNITS.items() if plain in units), None)
