"""From kernel files to joules, by hand and to the last digit: a laptop's counters, a Raspberry Pi 5's rails.

The whole road but for processes: trees of files, the meters, the sampler with a clock of the test's, packing as in a
campaign file, the host's arithmetic.
"""

from fractions import Fraction

import pytest
from made_metered import without_sensors
from trees import PMIC, powercap, rapl_laptop, raspberry_pmic, write

from whichpu.campaign.metering import packed
from whichpu.results.energy import metered
from whichpu.results.schema import Metered, MeterWindow
from whichpu.worker.meters import Around, Channel, find, sampler

MS = 1_000_000
PACKAGE = "sys/class/powercap/intel-rapl:0/energy_uj"
WRAPS_AT = 262143328850
IDLE, RUNNING = PMIC.format(core_a="0.20000000"), PMIC.format(core_a="0.56259000")


class Stage:
    """A campaign whose windows are played: ``step(index)`` changes the files just before reading ``index``."""

    def __init__(self, root, meter):
        self.root, self.now_ns = root, 0
        self.channels = [channel for channel in find(Around(str(root)), [meter]) if isinstance(channel, Channel)]
        self.campaign = without_sensors()
        self.campaign.metered = Metered(channels=[channel.facts for channel in self.channels])

    def window(self, every_ms, readings, step, count=0):
        """One window from half a step behind the first reading to half a step behind the last but one."""
        began_ns, windows = self.now_ns, self.campaign.metered.windows
        meters = sampler.Sampler(self.channels, Around(str(self.root)), now=lambda: self.now_ns)
        step(0)
        meters.begin([])
        for index in range(1, readings):
            self.now_ns = began_ns + index * every_ms * MS
            step(index)
            meters.sweep()
        meters.end()
        window = MeterWindow(
            round=1,
            position=len(windows),
            began_ns=began_ns + every_ms * MS // 2,
            wall_ns=(readings - 2) * every_ms * MS,
            contender="one" if count else None,
            count=count,
            from_ns=began_ns,
            traces=[packed(trace, trace.channel, began_ns) for trace in meters.sampled.traces],
        )
        windows.append(window)
        self.now_ns += 100 * MS
        return window

    def source(self, key):
        return next(source for source in metered.sources(self.campaign) if source.key == key)

    def joules(self, key, window):
        return metered.piece(self.campaign, self.source(key), window).joules


def counter(root, start_uj, step_uj, file=PACKAGE):
    """Each reading finds a counter ``step_uj(index)`` further on; past its range it begins anew."""
    values = [start_uj]

    def step(index):
        if index:
            values.append(values[-1] + step_uj(index))
        write(root, {file: values[-1] if values[-1] <= WRAPS_AT else values[-1] - WRAPS_AT})

    return step


def test_a_laptops_joules_gross_and_net_by_hand(tmp_path):
    stage = Stage(rapl_laptop(tmp_path), "rapl")
    before = stage.window(5, 42, counter(tmp_path, 10**9, lambda index: 25_000))
    ran = stage.window(5, 42, counter(tmp_path, 2 * 10**9, lambda index: 100_000 + 61 * index), count=8)
    behind = stage.window(5, 42, counter(tmp_path, 3 * 10**9, lambda index: 30_000))
    # Idle: 40 steps of 25 mJ are 1 J in 0.2 s, 5 W; behind it 6 W.
    assert stage.joules("rapl:package-0", before) == 1
    assert stage.joules("rapl:package-0", behind) == Fraction("1.2")
    # Running: half of step 1 (100 061 µJ), steps 2 to 40 (39 x 100 000 + 61 x 819), half of step 41 (102 501 µJ):
    # 50 030.5 + 3 949 959 + 51 250.5 = 4 051 240 µJ.
    source = stage.source("rapl:package-0")
    piece = metered.piece(stage.campaign, source, ran)
    assert piece.joules == Fraction("4.05124")
    assert piece.gross_j == Fraction("0.506405")
    assert piece.watts == Fraction("20.2562")
    idle_w = metered.idle_watts(stage.campaign, source, ran)
    assert idle_w == Fraction("5.5")
    # Net: 4.05124 J less 5.5 W x 0.2 s, over 8 inferences.
    assert (piece.joules - idle_w * ran.wall_ns / 10**9) / ran.count == Fraction("0.368905")


def test_a_counter_that_wraps_in_mid_window_loses_nothing(tmp_path):
    stage = Stage(rapl_laptop(tmp_path), "rapl")
    ran = stage.window(5, 42, counter(tmp_path, 262143000000, lambda index: 100_000 + 61 * index), count=8)
    values = metered.read_in(ran, 0).values
    assert (values[3], values[4]) == (262143300366, 71760), "it did wrap: 300 366 + 100 244 - 328 850 = 71 760"
    assert stage.joules("rapl:package-0", ran) == Fraction("4.05124")


def test_packages_of_a_server_add_up(tmp_path):
    powercap(tmp_path, {"intel-rapl:0": ("package-0", 1), "intel-rapl:1": ("package-1", 1)})
    stage = Stage(tmp_path, "rapl")
    one = counter(tmp_path, 10**9, lambda index: 100_000)
    other = counter(tmp_path, 10**6, lambda index: 50_001, file=PACKAGE.replace("rapl:0", "rapl:1"))
    ran = stage.window(5, 42, lambda index: (one(index), other(index)), count=1)
    assert stage.joules("rapl:packages", ran) == Fraction("6.00004")  # 40 x (100 000 + 50 001) µJ
    assert stage.joules("rapl:package-1", ran) == Fraction("2.00004")


def test_a_counter_that_vanishes_or_sticks_gives_no_joules_and_the_others_go_on(tmp_path):
    stage = Stage(rapl_laptop(tmp_path), "rapl")
    platform = PACKAGE.replace("rapl:0", "rapl:1")
    one = counter(tmp_path, 10**9, lambda index: 100_000)
    other = counter(tmp_path, 10**9, lambda index: 150_000, file=platform)

    def step(index):
        one(index)
        other(index) if index < 20 else (tmp_path / platform).unlink(missing_ok=True)

    ran = stage.window(5, 42, step, count=8)
    assert stage.joules("rapl:package-0", ran) == 4
    with pytest.raises(metered.Refused, match="it can't be read any more: No such file"):
        stage.joules("rapl:psys", ran)
    with pytest.raises(metered.Refused, match="it doesn't measure"):
        stage.joules("rapl:package-0/core", ran)


def test_a_counter_that_sticks_in_mid_window_gives_no_joules(tmp_path):
    stage = Stage(rapl_laptop(tmp_path), "rapl")
    stage.window(5, 42, counter(tmp_path, 10**9, lambda index: 100_000), count=8)
    stuck = stage.window(5, 42, counter(tmp_path, 2 * 10**9, lambda index: 100_000 if index < 10 else 0), count=8)
    with pytest.raises(metered.Refused, match="it sticks"):
        stage.joules("rapl:package-0", stuck)


def rails(root, said):
    return lambda index: write(root, {"pmic": said(index)})


def test_a_raspberry_pis_joules_gross_and_net_by_hand(tmp_path):
    stage = Stage(raspberry_pmic(tmp_path), "raspberry")
    busy = PMIC.format(core_a="3.00000000")
    stage.window(50, 42, rails(tmp_path, lambda index: IDLE))
    ran = stage.window(50, 42, rails(tmp_path, lambda index: RUNNING if index <= 10 else busy), count=16)
    stage.window(50, 42, rails(tmp_path, lambda index: IDLE))
    # Of all rails but the core: 1.33464608031766 W. The core at 0.7679846 V: 0.15359692 W idle, 0.432060456114 W, and
    # 2.3039538 W; in whole µW 1 488 243, 1 766 707 and 3 638 600. Straight between the readings at 500 and 550 ms:
    # from 25 to 2025 ms 0.5 s of the lower and 1.5 s of the higher one.
    piece = metered.piece(stage.campaign, stage.source("raspberry:PMIC"), ran)
    assert piece.joules == Fraction("6.3412535")  # 0.883 353 5 + 5.457 9
    assert piece.gross_j == Fraction("6.3412535") / 16
    idle_w = metered.idle_watts(stage.campaign, stage.source("raspberry:PMIC"), ran)
    assert idle_w == Fraction("1.488243")
    assert piece.joules - 2 * idle_w == Fraction("3.3647675")


def test_too_short_a_window_for_the_pi_says_how_long_it_must_be(tmp_path):
    stage = Stage(raspberry_pmic(tmp_path), "raspberry")
    ran = stage.window(50, 22, rails(tmp_path, lambda index: RUNNING if index % 2 else IDLE), count=1)
    with pytest.raises(metered.Refused, match=r"holds 10 periods .* give --meter-window 2\.0s"):
        stage.joules("raspberry:PMIC", ran)


def test_a_pi_that_tells_one_value_for_ever_gives_no_joules(tmp_path):
    stage = Stage(raspberry_pmic(tmp_path), "raspberry")
    stage.window(50, 42, rails(tmp_path, lambda index: RUNNING))
    ran = stage.window(50, 42, rails(tmp_path, lambda index: RUNNING), count=1)
    with pytest.raises(metered.Refused, match="in every reading, idle and running alike: it doesn't measure"):
        stage.joules("raspberry:PMIC", ran)
