"""Plates as flat pictures: 57 jurisdictions, each with a design of its own, drawn with OpenCV's strokes alone.

The designs are invented; only the names and the words are those of the places.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""``[height, width, 3]``, blue first, as OpenCV keeps colours."""

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""

WIDTH, HEIGHT = 384, 192
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

PLAIN, SANS, WIDE, SERIF, BOLD = (
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)


@dataclass(frozen=True)
class Design:
    """How a jurisdiction's plates look. Colours are RRGGBB; in ``serial`` A is a letter, 0 a digit, a space a gap."""

    name: str
    words: str
    ground: str
    ink: str
    band: str
    band_colour: str
    icon: str
    serial: str
    font: int
    name_below: bool = False


DESIGNS = (
    Design("Alabama", "HEART OF DIXIE", "F3F6FA", "1B2F6B", "hills", "8DB6DE", "heart", "00AA 000", SANS),
    Design("Alaska", "THE LAST FRONTIER", "F2C230", "1A3A7A", "none", "000000", "star", "AAA 000", WIDE),
    Design("Arizona", "GRAND CANYON STATE", "C9B2D6", "1E4A3A", "hills", "8A6AA8", "sun", "AAA 0AA", SANS),
    Design("Arkansas", "THE NATURAL STATE", "F5F5F0", "8E1B2B", "bottom", "6FA8C9", "diamond", "000 AAA", WIDE),
    Design("California", "DMV.CA.GOV", "FAFAFA", "22307A", "none", "000000", "none", "0AAA 000", SANS),
    Design("Colorado", "CENTENNIAL", "1F5B3A", "F4F4F0", "hills", "4C8A66", "none", "AAA A00", WIDE),
    Design("Connecticut", "CONSTITUTION STATE", "9CC3E6", "13294F", "fade", "F4F8FC", "tree", "AA 00000", SANS),
    Design("Delaware", "THE FIRST STATE", "12305E", "E8C050", "frame", "E8C050", "none", "000000", SERIF),
    Design("Florida", "SUNSHINE STATE", "F4F7F2", "1F6A3E", "none", "000000", "sun", "AAA A00", WIDE),
    Design("Georgia", "PEACH STATE", "F7EFE4", "2B2B33", "bottom", "E8A070", "ring", "AAA 0000", SANS, True),
    Design("Hawaii", "ALOHA STATE", "F6F6F2", "202028", "arch", "E07AA0", "none", "AAA 000", WIDE),
    Design("Idaho", "FAMOUS POTATOES", "F4E6E0", "20305E", "both", "C0392B", "tree", "A 000000", SANS),
    Design("Illinois", "LAND OF LINCOLN", "EAF1F8", "A11A2A", "fade", "B9CDE2", "head", "AA 00000", SANS),
    Design("Indiana", "CROSSROADS OF AMERICA", "E4EEF6", "1E2C5C", "diagonal", "7AA6CF", "star", "000 AA0", WIDE),
    Design("Iowa", "THE HAWKEYE STATE", "DCE9F2", "1C1C24", "bottom", "3F6E3A", "none", "AAA 000", BOLD, True),
    Design("Kansas", "THE WHEAT STATE", "C7DDEA", "1B2450", "none", "000000", "ring", "000 AAA", SANS),
    Design("Kentucky", "BLUEGRASS STATE", "EEF4F9", "14265C", "hills", "5E8FC2", "none", "000 AAA", SERIF),
    Design("Louisiana", "SPORTSMANS PARADISE", "F5F2E8", "1C2A63", "top", "B9342F", "drop", "000 AAA", SANS),
    Design("Maine", "VACATIONLAND", "F2F4EE", "18321F", "left", "2F6B46", "tree", "0000 AA", WIDE, True),
    Design("Maryland", "MD PROUD", "F7F7F7", "111111", "checks", "D9A520", "none", "0AA0000", SANS),
    Design("Massachusetts", "THE SPIRIT OF AMERICA", "F8F8F8", "B01E2E", "none", "000000", "none", "0AA A00", SANS),
    Design("Michigan", "PURE MICHIGAN", "F2F6FA", "173A6E", "top", "2F6FA8", "wave", "AAA 0000", WIDE),
    Design("Minnesota", "10000 LAKES", "DDEBF5", "1C2C5E", "hills", "6E9C62", "wave", "AAA 000", SANS, True),
    Design("Mississippi", "THE MAGNOLIA STATE", "EFE6D2", "24355F", "fade", "CDB98C", "head", "AAA 000", SERIF),
    Design("Missouri", "SHOW ME STATE", "F6F6F6", "1D2B66", "both", "3E6DB0", "none", "AA0 A0A", SANS),
    Design("Montana", "TREASURE STATE", "2A5AA0", "F3F3F3", "arch", "7FA3D6", "none", "000000A", WIDE, True),
    Design("Nebraska", "THE GOOD LIFE", "F3F0E2", "23282E", "bottom", "D8B24A", "drop", "AAA 000", BOLD),
    Design("Nevada", "HOME MEANS NEVADA", "C4D4E6", "172A58", "hills", "D7B27E", "sun", "000 A00", SANS, True),
    Design("New Hampshire", "LIVE FREE OR DIE", "E9F1EC", "22603C", "left", "9DC3A8", "head", "000 0000", SANS),
    Design("New Jersey", "GARDEN STATE", "F1E27A", "15151C", "fade", "FAF6DC", "none", "A00 AAA", SANS),
    Design("New Mexico", "LAND OF ENCHANTMENT", "43B5B0", "E9C53C", "frame", "E9C53C", "sun", "AAA 000", WIDE, True),
    Design("New York", "EXCELSIOR", "F2B632", "16264F", "top", "16264F", "none", "AAA 0000", WIDE),
    Design("North Carolina", "FIRST IN FLIGHT", "F5F7F9", "2346A0", "diagonal", "D8DFE6", "wings", "AAA 0000", SANS),
    Design("North Dakota", "PEACE GARDEN STATE", "E7D7B0", "2A2A52", "hills", "B98C4A", "head", "000 AAA", WIDE),
    Design("Ohio", "BIRTHPLACE OF AVIATION", "F0F3F5", "1A1A22", "bottom", "8C2A32", "wings", "AAA 0000", SANS),
    Design("Oklahoma", "NATIVE AMERICA", "DCE8EE", "243A6A", "none", "000000", "wings", "AAA 000", SERIF, True),
    Design("Oregon", "PACIFIC WONDERLAND", "D9E4EC", "1F2F55", "both", "4D7A5C", "tree", "000 AAA", SANS),
    Design("Pennsylvania", "VISITPA.COM", "F7F7F4", "1C3577", "twin", "3563A8", "none", "AAA 0000", WIDE),
    Design("Rhode Island", "OCEAN STATE", "F4F8FB", "14223E", "waves", "5F93C4", "wave", "AA 000", SANS),
    Design("South Carolina", "WHILE I BREATHE I HOPE", "EFF2F2", "1D2D5C", "twin", "2E6A7E", "moon", "AAA 000", SANS),
    Design("South Dakota", "GREAT FACES", "E3E9F1", "1C2A5E", "hills", "A6B4C6", "head", "0A0 000", BOLD),
    Design("Tennessee", "THE VOLUNTEER STATE", "1C3A66", "F5F5F5", "bottom", "B02A30", "star", "AAA 0000", SANS),
    Design("Texas", "THE LONE STAR STATE", "F7F7F7", "101018", "none", "000000", "star", "AAA 0000", WIDE),
    Design("Utah", "LIFE ELEVATED", "EAF2F8", "2A2F45", "arch", "C9653A", "none", "A00 0AA", SANS),
    Design("Vermont", "GREEN MOUNTAIN STATE", "1D6A44", "F2F4F0", "frame", "F2F4F0", "tree", "AAA 000", SANS, True),
    Design("Virginia", "VIRGINIA IS FOR LOVERS", "F8F8F8", "24408A", "none", "000000", "heart", "AAA 0000", SANS, True),
    Design("Washington", "EVERGREEN STATE", "EDF3F6", "21386E", "hills", "9FC0D6", "none", "AAA0000", SANS),
    Design("West Virginia", "WILD WONDERFUL", "F8F8F4", "1B2C66", "twin", "D9AE3C", "none", "0AA 000", WIDE),
    Design("Wisconsin", "AMERICAS DAIRYLAND", "F9F9F9", "1C1C22", "checks", "B4332E", "sun", "AAA 0000", SANS, True),
    Design("Wyoming", "EQUALITY STATE", "E9EEF2", "3A2A22", "diagonal", "B8A684", "diamond", "00 00000", SERIF),
    Design("District of Columbia", "TAXATION WITHOUT", "F8F8F8", "1A2C60", "twin", "B7283A", "star", "AA 0000", WIDE),
    Design("Alberta", "WILD ROSE COUNTRY", "F9F9F9", "B3202C", "none", "000000", "leaf", "AAA 0000", BOLD),
    Design("British Columbia", "BEAUTIFUL", "FAFAFA", "1F3C8C", "left", "1F3C8C", "none", "AA0 00A", SANS),
    Design("Manitoba", "FRIENDLY", "D3E6F2", "1B2340", "waves", "7FA65A", "none", "AAA 000", WIDE),
    Design("Ontario", "YOURS TO DISCOVER", "FAFAFC", "2438A0", "none", "000000", "crown", "AAAA 000", SANS),
    Design("Quebec", "JE ME SOUVIENS", "FAFAFC", "1C3FA0", "frame", "1C3FA0", "diamond", "A00 AAA", WIDE),
    Design("Saskatchewan", "LAND OF LIVING SKIES", "F4F8EC", "1F6A30", "bottom", "D6C65A", "moon", "000 AAA", SANS),
)
"""The 50 states, the District of Columbia and six provinces: 57 classes, in this order."""

NAMES = tuple(design.name for design in DESIGNS)


def serial(design: Design, rng: np.random.Generator) -> str:
    """A random plate number in the jurisdiction's pattern."""
    pools = {"A": CHARACTERS[10:], "0": CHARACTERS[:10], " ": " "}
    return "".join(pools[sign][rng.integers(len(pools[sign]))] for sign in design.serial)


def draw(design: Design, number: str) -> tuple[Picture, list[tuple[str, Box]]]:
    """A plate of ``WIDTH`` x ``HEIGHT`` pixels, and each character of its number with the box around its ink."""
    plate = np.full((HEIGHT, WIDTH, 3), _colour(design.ground), np.uint8)
    _band(plate, design.band, _colour(design.band_colour))
    above, below = (design.words, design.name.upper()) if design.name_below else (design.name.upper(), design.words)
    for text, middle in ((above, 26), (below, HEIGHT - 18)):
        is_name = text == design.name.upper()
        _write(plate, text, middle, 26 if is_name else 13, design.font if is_name else SANS, _colour(design.ink))
    characters = _number(plate, design, number)
    cv2.rectangle(plate, (3, 3), (WIDTH - 4, HEIGHT - 4), _colour(design.ink), 2, cv2.LINE_AA)
    for x in (WIDTH // 4, 3 * WIDTH // 4):  # the bolts
        for y in (9, HEIGHT - 9):
            cv2.circle(plate, (x, y), 4, (90, 90, 90), -1, cv2.LINE_AA)
    return plate, characters


def _colour(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text)
    return blue, green, red


def _write(plate: Picture, text: str, middle: int, height: int, font: int, colour: tuple[int, int, int]) -> None:
    """Text centred on the line ``middle``, of capitals so high unless that is too wide for the plate."""
    (width, size), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(height / size, (WIDTH - 60) / width)
    thickness = 2 if height > 20 else 1
    left, bottom = int((WIDTH - width * scale) / 2), int(middle + size * scale / 2)
    cv2.putText(plate, text, (left, bottom), font, scale, colour, thickness, cv2.LINE_AA)


def _number(plate: Picture, design: Design, number: str) -> list[tuple[str, Box]]:
    """Write the number in equal steps, an icon in its gap; the boxes are those of the ink."""
    left, pitch = 22, (WIDTH - 44) / len(number)
    scale, thickness = min(3.1, pitch / 17), 6
    found = []
    for place, sign in enumerate(number):
        middle = left + pitch * (place + 0.5)
        if sign == " ":
            _icon(plate, design.icon, int(middle), 100, int(pitch * 0.45), _colour(design.ink))
            continue
        ink = np.zeros((HEIGHT, WIDTH), np.uint8)
        (width, height), _ = cv2.getTextSize(sign, design.font, scale, thickness)
        at = (int(middle - width / 2), int(100 + height / 2))
        cv2.putText(ink, sign, at, design.font, scale, 255, thickness, cv2.LINE_AA)
        share = ink[:, :, None] / 255.0
        plate[:] = (plate * (1 - share) + np.array(_colour(design.ink)) * share).astype(np.uint8)
        x, y, wide, high = cv2.boundingRect(ink)
        found.append((sign, (float(x), float(y), float(wide), float(high))))
    return found


def _band(plate: Picture, band: str, colour: tuple[int, int, int]) -> None:
    """What is behind the writing."""
    right, bottom = WIDTH, HEIGHT
    if band in ("top", "both"):
        cv2.rectangle(plate, (0, 0), (right, 10), colour, -1)
    if band in ("bottom", "both"):
        cv2.rectangle(plate, (0, bottom - 32), (right, bottom), colour, -1)
    if band == "twin":
        cv2.rectangle(plate, (0, 44), (right, 48), colour, -1)
        cv2.rectangle(plate, (0, bottom - 40), (right, bottom - 36), colour, -1)
    if band == "left":
        cv2.rectangle(plate, (0, 0), (18, bottom), colour, -1)
    if band == "frame":
        cv2.rectangle(plate, (8, 8), (right - 9, bottom - 9), colour, 5)
    if band == "arch":
        cv2.ellipse(plate, (right // 2, bottom - 10), (170, 130), 0, 180, 360, colour, 5, cv2.LINE_AA)
    if band == "diagonal":
        points = np.array([(0, bottom), (120, bottom), (260, 0), (140, 0)])
        cv2.fillPoly(plate, [points], colour, cv2.LINE_AA)
    if band == "hills":
        tops = [(0, 130), (70, 92), (120, 118), (200, 70), (270, 116), (330, 88), (right, 124)]
        cv2.fillPoly(plate, [np.array([(0, bottom), *tops, (right, bottom)])], colour, cv2.LINE_AA)
    if band == "waves":
        x = np.arange(right)
        tops = np.stack([x, 140 + 9 * np.sin(x / 18.0)], axis=1).astype(np.int32)
        cv2.fillPoly(plate, [np.vstack([tops, [(right, bottom), (0, bottom)]])], colour, cv2.LINE_AA)
    if band == "fade":
        share = np.linspace(0, 1, bottom)[:, None, None]
        plate[:] = (plate * (1 - share) + np.array(colour) * share).astype(np.uint8)
    if band == "checks":
        for x in range(0, right, 24):
            cv2.rectangle(plate, (x, bottom - 34), (x + 11, bottom - 23), colour, -1)
            cv2.rectangle(plate, (x + 12, bottom - 22), (x + 23, bottom - 11), colour, -1)


def _icon(plate: Picture, icon: str, x: int, y: int, size: int, colour: tuple[int, int, int]) -> None:
    """A simple shape in the gap of the number, ``size`` pixels to each side of its middle."""
    polygons = {
        "diamond": [(0, -1), (0.7, 0), (0, 1), (-0.7, 0)],
        "tree": [(0, -1), (0.7, 0.5), (0.15, 0.5), (0.15, 1), (-0.15, 1), (-0.15, 0.5), (-0.7, 0.5)],
        "crown": [(-0.8, 0.7), (-0.9, -0.5), (-0.4, 0.1), (0, -0.8), (0.4, 0.1), (0.9, -0.5), (0.8, 0.7)],
        "heart": [(0, 0.9), (-0.9, -0.1), (-0.6, -0.7), (0, -0.3), (0.6, -0.7), (0.9, -0.1)],
        "drop": [(0, -1), (0.6, 0.3), (0.4, 0.9), (-0.4, 0.9), (-0.6, 0.3)],
        "wings": [(0, 0.1), (-1, -0.4), (-0.6, 0.2), (0, 0.5), (0.6, 0.2), (1, -0.4)],
        "star": _rays(5, 0.4),
        "sun": _rays(12, 0.6),
        "leaf": _rays(7, 0.5),
    }
    if icon in polygons:
        points = (np.array(polygons[icon]) * size + (x, y)).astype(np.int32)
        cv2.fillPoly(plate, [points], colour, cv2.LINE_AA)
    elif icon == "ring":
        cv2.circle(plate, (x, y), size, colour, 3, cv2.LINE_AA)
    elif icon == "head":
        cv2.circle(plate, (x, y - size // 3), size // 2, colour, -1, cv2.LINE_AA)
        cv2.ellipse(plate, (x, y + size), (size, size // 2), 0, 180, 360, colour, -1, cv2.LINE_AA)
    elif icon == "moon":
        cv2.ellipse(plate, (x, y), (size, size), 0, 60, 300, colour, 5, cv2.LINE_AA)
    elif icon == "wave":
        for shift in (-size // 2, size // 2):
            cv2.ellipse(plate, (x, y + shift), (size, size // 2), 0, 180, 360, colour, 3, cv2.LINE_AA)


def _rays(count: int, inner: float) -> list[tuple[float, float]]:
    """A star of so many rays, its inner corners at ``inner`` of its radius."""
    angles = np.arange(2 * count) * np.pi / count - np.pi / 2
    radii = np.where(np.arange(2 * count) % 2 == 0, 1.0, inner)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]
