"""Korean particles by the final sound of the word before them: 은/는, 이/가, 을/를, 과/와, 으로/로.

The rule: a final consonant takes the first form, a vowel the second; 로 also follows ㄹ. A particle goes with the word
before what stands in brackets, not with that. Latin names end as the loanword orthography (외래어 표기법) has it:
single letters by their names, capitals letter by letter, words by their spelling, odd ones by a table.
"""

from __future__ import annotations

import re
import unicodedata

NONE, OTHER, RIEUL = "", "consonant", "ㄹ"

EITHER = {
    "은/는": "은(는)",
    "이/가": "이(가)",
    "을/를": "을(를)",
    "과/와": "과(와)",
    "으로/로": "(으)로",
    "이라면/라면": "(이)라면",
}
"""Particles, and how they are written where the sound is not known."""

DIGITS = (OTHER, RIEUL, NONE, OTHER, NONE, NONE, OTHER, RIEUL, RIEUL, NONE)
"""영 일 이 삼 사 오 육 칠 팔 구."""
LETTERS = {"L": RIEUL, "R": RIEUL, "M": OTHER, "N": OTHER}
"""엘 알 엠 엔; all other letters' names end in a vowel."""
UNITS = {"J": RIEUL, "mJ": RIEUL, "µJ": RIEUL, "nJ": RIEUL, "min": OTHER}
UNITS |= dict.fromkeys(("ns", "µs", "us", "ms", "s", "h", "mW", "W", "kW", "V", "A", "m", "fps", "FPS"), NONE)
UNITS |= dict.fromkeys(("B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "Hz", "kHz", "MHz", "GHz"), NONE)
"""줄, 분, and units that end in a vowel: 밀리초, 와트, 바이트, 헤르츠."""
QUANTITY = re.compile(r"(?:^|[\s~(])[\d.,]+\s?([A-Za-zµ]{1,3})$")

NAMES = {
    "apple": RIEUL,
    "google": RIEUL,
    "mobile": RIEUL,
    "module": RIEUL,
    "edge": NONE,
    "runtime": OTHER,
    "time": OTHER,
    "cache": NONE,
    "device": NONE,
    "inference": NONE,
    "baseline": OTHER,
    "pipeline": OTHER,
    "engine": OTHER,
    "machine": OTHER,
    "one": OTHER,
    "phone": OTHER,
    "vision": OTHER,
    "nano": NONE,
    "core": NONE,
    "score": NONE,
    "map": OTHER,
    "ram": OTHER,
    "vram": OTHER,
    "rom": OTHER,
    "hat": NONE,
    "net": OTHER,
    "unet": OTHER,
    "chip": OTHER,
    "batch": NONE,
    "null": RIEUL,
    "model": RIEUL,
    "small": RIEUL,
    "large": NONE,
    "base": NONE,
    "medium": OTHER,
    "vanilla": NONE,
    "static": OTHER,
    "dynamic": OTHER,
}
"""Words whose end is not heard from their spelling."""


def with_particle(text: str, pair: str) -> str:
    """``text`` and the particle of ``pair`` (``은/는``) that goes with its final sound."""
    sound = final_sound(text)
    if sound is None:
        return text + EITHER[pair]
    after_consonant, after_vowel = pair.split("/")
    closed = sound == OTHER or (sound == RIEUL and pair != "으로/로")
    return text + (after_consonant if closed else after_vowel)


def final_sound(text: str) -> str | None:
    """``NONE`` for a vowel, ``RIEUL``, ``OTHER`` for any other consonant; ``None`` where it is not known."""
    plain = _spoken(text)
    if not plain:
        return None
    last = plain[-1]
    if "가" <= last <= "힣":
        return _of_syllable(last)
    if last.isascii() and last.isdigit():
        return DIGITS[int(last)]
    quantity = QUANTITY.search(plain)
    if quantity is not None and quantity[1] in UNITS:
        return UNITS[quantity[1]]
    if last in "%°" or plain.endswith("°C"):
        return NONE
    return _of_latin(re.split(r"[^A-Za-z]", plain)[-1]) if last.isascii() and last.isalpha() else None


def _spoken(text: str) -> str:
    """What is heard last: without what stands in brackets at the end, and without punctuation."""
    plain = unicodedata.normalize("NFC", text).strip()
    while shorter := re.sub(r"(?<=\S)\s*(\([^()]*\)|\[[^\[\]]*\])$", "", plain):
        if shorter == plain:
            break
        plain = shorter
    return re.sub(r"[^\w%°]+$", "", plain).rstrip("_")


def _of_syllable(syllable: str) -> str:
    final = (ord(syllable) - ord("가")) % 28
    return NONE if final == 0 else RIEUL if final == 8 else OTHER


def _of_latin(word: str) -> str:
    known = NAMES.get(word.lower())
    if known is not None:
        return known
    if word[-1].isupper():
        return LETTERS.get(word[-1], NONE)
    return _of_spelling(re.sub(r".*(?=[A-Z][a-z])", "", word).lower())


def _of_spelling(word: str) -> str:
    """The final sound of a word in small letters, as loanwords are written."""
    if word in NAMES:
        return NAMES[word]
    if not re.search(r"[aeiouy]", word):
        return LETTERS.get(word[-1].upper(), NONE)  # ncnn, tflm: letter by letter
    for ending, sound in ENDINGS:
        if re.search(ending, word):
            return sound
    return NONE


ENDINGS = (
    (r"(l|le)$", RIEUL),
    (r"(m|n|ng|[aeiou](me|ne))$", OTHER),
    (r"([^aeiou]|^)[aeiou][ptk]$", OTHER),
    (r"[^aeiou][aeiou]ck$", OTHER),
    (r"[^aeiou][aeiou]?[eio][c]$", OTHER),
)
"""A stop after a short vowel closes the syllable: 넷, 칩, 록, 스태틱. What isn't here ends in a vowel: 보드, 테스트."""
