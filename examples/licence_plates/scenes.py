"""Photographs of plates, drawn: perspective, light, frame, dirt, blur and noise over a made-up street or car.

Every picture is a function of a random generator alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from designs import DESIGNS, HEIGHT, WIDTH, Box, Picture, draw, serial

Matrix = npt.NDArray[np.float64]
SCENE = (360, 480)
"""Height and width of a street's picture."""
CLOSE_UP = (144, 256)
"""Height and width of a plate's picture."""


@dataclass(frozen=True)
class Plate:
    """A plate in a picture: its jurisdiction's index, its box and its characters' boxes, in the picture's pixels."""

    state: int
    number: str
    box: Box
    characters: list[tuple[str, Box]]


def street(rng: np.random.Generator) -> tuple[Picture, list[Plate]]:
    """A street with cars, and their plates: 52 to 150 pixels wide, one picture in sixteen without any."""
    picture = _background(rng)
    count = int(rng.choice([0, 1, 2], p=[1 / 16, 10 / 16, 5 / 16]))
    plates = []
    for place in range(count):
        share = SCENE[1] / count
        width = rng.uniform(52, min(150, share * 0.5))
        centre = (share * (place + rng.uniform(0.35, 0.65)), rng.uniform(0.45, 0.88) * SCENE[0])
        _car(picture, centre, width, rng)
        plates.append(_mount(picture, int(rng.integers(len(DESIGNS))), centre, width, rng))
    return _photograph(picture, rng), plates


def close_up(rng: np.random.Generator, state: int) -> tuple[Picture, Plate]:
    """A plate of that jurisdiction, as cut out of a larger picture around its box."""
    picture = np.full((*CLOSE_UP, 3), rng.integers(20, 230, 3), np.uint8)
    _clutter(picture, rng, 6)
    width = rng.uniform(0.76, 0.90) * CLOSE_UP[1]
    centre = (CLOSE_UP[1] / 2 + rng.uniform(-5, 5), CLOSE_UP[0] / 2 + rng.uniform(-4, 4))
    plate = _mount(picture, state, centre, width, rng)
    return _photograph(picture, rng), plate


def _mount(picture: Picture, state: int, centre: tuple[float, float], width: float, rng: np.random.Generator) -> Plate:
    """Draw a plate into the picture, as seen from somewhere."""
    number = serial(DESIGNS[state], rng)
    flat, characters = draw(DESIGNS[state], number)
    _wear(flat, rng)
    to_picture = _perspective(centre, width, rng)
    shrink = min(1.0, 1.3 * width / WIDTH)  # warping samples points: what is to become small is averaged first
    small = cv2.resize(flat, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    seen = to_picture @ np.diag([WIDTH / small.shape[1], HEIGHT / small.shape[0], 1.0])
    size = (picture.shape[1], picture.shape[0])
    warped = cv2.warpPerspective(small, seen, size, flags=cv2.INTER_LINEAR)
    share = cv2.warpPerspective(np.full(small.shape[:2], 1.0, np.float32), seen, size)[:, :, None]
    picture[:] = (picture * (1 - share) + warped * share).astype(np.uint8)
    box = _around((0, 0, WIDTH, HEIGHT), to_picture, size)
    return Plate(state, number.replace(" ", ""), box, [(s, _around(b, to_picture, size)) for s, b in characters])


def _perspective(centre: tuple[float, float], width: float, rng: np.random.Generator) -> Matrix:
    """From the flat plate's pixels to the picture's: turned by up to 35° sideways, 20° up or down, 7° in itself."""
    yaw, pitch, roll = np.radians([rng.uniform(-35, 35), rng.uniform(-20, 20), rng.uniform(-7, 7)])
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    corners = np.array([(-1, -0.5, 0), (1, -0.5, 0), (1, 0.5, 0), (-1, 0.5, 0)]) @ (turn_z @ turn_x @ turn_y).T
    seen = corners[:, :2] / (1 + corners[:, 2:] / rng.uniform(4, 9))
    seen *= width / np.ptp(seen[:, 0])
    seen += np.array(centre) - (seen.min(axis=0) + seen.max(axis=0)) / 2
    flat = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(flat, seen.astype(np.float32)), dtype=np.float64)


def _around(box: tuple[float, float, float, float], matrix: Matrix, size: tuple[int, int]) -> Box:
    """The upright box around a transformed one, cut at the picture's edges."""
    x, y, width, height = box
    corners = np.array([[(x, y), (x + width, y), (x + width, y + height), (x, y + height)]], np.float64)
    moved = np.clip(cv2.perspectiveTransform(corners, matrix)[0], 0, size)
    left, top = moved.min(axis=0)
    right, bottom = moved.max(axis=0)
    return tuple(round(float(value), 2) for value in (left, top, right - left, bottom - top))  # type: ignore[return-value]


def _wear(plate: Picture, rng: np.random.Generator) -> None:
    """A dealer's frame around some plates, dirt and scratches on others."""
    if rng.random() < 0.4:
        grey, edge = int(rng.integers(10, 200)), int(rng.integers(5, 12))
        cv2.rectangle(plate, (0, 0), (WIDTH - 1, HEIGHT - 1), (grey, grey, grey), 2 * edge)
    if rng.random() < 0.5:
        noise = cv2.resize(rng.random((12, 24)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        share = np.clip((noise - 0.62) * rng.uniform(0.5, 1.8), 0, 0.6)[:, :, None]
        plate[:] = (plate * (1 - share) + np.array((60, 75, 85)) * share).astype(np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        ends = rng.integers((0, 0), (WIDTH, HEIGHT), (2, 2))
        cv2.line(plate, ends[0].tolist(), ends[1].tolist(), [int(rng.integers(90, 200))] * 3, 1, cv2.LINE_AA)


def _background(rng: np.random.Generator) -> Picture:
    """Sky, houses, a road, and things without a name."""
    height, width = SCENE
    horizon = int(rng.uniform(0.25, 0.5) * height)
    picture = np.zeros((height, width, 3), np.uint8)
    sky = np.linspace(rng.uniform(40, 250, 3), rng.uniform(40, 250, 3), horizon)
    picture[:horizon] = sky[:, None].astype(np.uint8)
    picture[horizon:] = rng.integers(40, 130)
    for _ in range(int(rng.integers(2, 7))):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, horizon))
        right, bottom = left + int(rng.integers(30, 160)), horizon + int(rng.integers(0, 30))
        cv2.rectangle(picture, (left, top), (right, bottom), rng.integers(30, 230, 3).tolist(), -1)
        for x in range(left + 6, right - 8, 16):
            for y in range(top + 6, bottom - 8, 18):
                cv2.rectangle(picture, (x, y), (x + 8, y + 10), rng.integers(20, 240, 3).tolist(), -1)
    for x in range(-40, width, 90):
        foot = (int(x + rng.integers(0, 40)), height)
        cv2.line(picture, foot, (width // 2, horizon), (190, 190, 190), 2, cv2.LINE_AA)
    _clutter(picture, rng, 10)
    return picture


def _clutter(picture: Picture, rng: np.random.Generator, count: int) -> None:
    """Rectangles, discs, lines and signs with a word: none of them a plate."""
    height, width = picture.shape[:2]
    for _ in range(count):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        size, colour = int(rng.integers(6, 46)), rng.integers(0, 256, 3).tolist()
        kind = int(rng.integers(4))
        if kind == 0:
            cv2.rectangle(picture, (x, y), (x + size, y + int(size * rng.uniform(0.3, 2))), colour, -1)
        elif kind == 1:
            cv2.circle(picture, (x, y), size // 2, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.line(picture, (x, y), (x + 2 * size - 40, y + size), colour, 2, cv2.LINE_AA)
        else:
            word = "".join(rng.choice(list("AEHLMNORSTUX"), int(rng.integers(2, 6))))
            cv2.putText(picture, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size / 60, colour, 1, cv2.LINE_AA)


def _car(picture: Picture, centre: tuple[float, float], width: float, rng: np.random.Generator) -> None:
    """The back of a car around where its plate will be."""
    x, y = centre
    paint, glass = rng.integers(10, 245, 3).tolist(), rng.integers(10, 120, 3).tolist()
    half, up, down = width * rng.uniform(1.2, 1.8), width * rng.uniform(0.8, 1.4), width * rng.uniform(0.35, 0.7)
    left, right = int(x - half), int(x + half)
    cv2.rectangle(picture, (left, int(y - up)), (right, int(y + down)), paint, -1)
    roof = [(left + 0.25 * half, y - 1.7 * up), (right - 0.25 * half, y - 1.7 * up), (right, y - up), (left, y - up)]
    cv2.fillPoly(picture, [np.array(roof, np.int32)], glass, cv2.LINE_AA)
    for side in (left, right):
        lamp = int(0.18 * half)
        cv2.rectangle(picture, (side - lamp, int(y - 0.7 * up)), (side + lamp, int(y - 0.3 * up)), (30, 30, 190), -1)
        cv2.circle(picture, (side, int(y + down)), int(0.25 * half), (25, 25, 25), -1, cv2.LINE_AA)
    bumper = int(y + 0.6 * down)
    cv2.line(picture, (left, bumper), (right, bumper), [int(rng.integers(20, 200))] * 3, 3, cv2.LINE_AA)


def _photograph(picture: Picture, rng: np.random.Generator) -> Picture:
    """Uneven light, a shadow, blur of focus or motion, noise."""
    height, width = picture.shape[:2]
    seen = picture.astype(np.float32)
    across = np.linspace(rng.uniform(0.6, 1.25), rng.uniform(0.6, 1.25), width, dtype=np.float32)
    down = np.linspace(rng.uniform(0.8, 1.1), rng.uniform(0.8, 1.1), height, dtype=np.float32)
    seen *= (across[None, :] * down[:, None])[:, :, None]
    if rng.random() < 0.3:
        shadow = np.ones((height, width), np.float32)
        cv2.fillPoly(
            shadow, [rng.integers((-60, -60), (width + 60, height + 60), (4, 2))], float(rng.uniform(0.45, 0.8))
        )
        seen *= cv2.GaussianBlur(shadow, (0, 0), 3)[:, :, None]
    if rng.random() < 0.3:
        length = int(rng.integers(2, 6))
        seen = cv2.blur(seen, (length, 1) if rng.random() < 0.7 else (1, length))
    else:
        seen = cv2.GaussianBlur(seen, (0, 0), float(rng.uniform(0.2, 1.1)))
    seen += rng.normal(0, rng.uniform(1, 9), seen.shape).astype(np.float32)
    return np.clip(255 * (np.clip(seen, 0, 255) / 255) ** rng.uniform(0.75, 1.35), 0, 255).astype(np.uint8)
