"""Memory of the worker by the kernel's account, on trees made by hand and on this process.

``python test_own_memory.py`` with WHICHPU_WORKER runs it under any interpreter; ``test_zipapp.py`` does so.
"""

import os
import shutil
import sys
import tempfile
import unittest

ARCHIVE = os.environ.get("WHICHPU_WORKER", "")
if ARCHIVE:
    sys.path.insert(0, ARCHIVE)
    import numpy
    from whichpu_worker import memory, meters, serve, wire
    from whichpu_worker.meters import memory as meter
else:
    raise unittest.SkipTest("needs WHICHPU_WORKER, the zipapp's path")

MIB = 1 << 20
ROLLUP = """55d000000000-7ffc00000000 ---p 00000000 00:00 0    [rollup]
Rss:               30000 kB
Pss:               20000 kB
Pss_Dirty:           112 kB
Shared_Clean:      12000 kB
Private_Clean:      1000 kB
Private_Dirty:     17000 kB
Private_Hugetlb:       0 kB
Swap:                  7 kB
"""
ONE_MAP = """00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/python
Size:                328 kB
Rss:                 100 kB
Pss:                  50 kB
Shared_Clean:         90 kB
Private_Clean:         4 kB
Private_Dirty:         6 kB
VmFlags: rd ex mr mw me dw
"""


class Tree(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)

    def put(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)


class OnTrees(Tree):
    def test_the_rollup_is_read(self):
        self.put("proc/self/smaps_rollup", ROLLUP)
        found = memory.Kernel(self.root).footprint()
        self.assertEqual(found, (30000 * 1024, 20000 * 1024, 18000 * 1024))

    def test_before_linux_4_14_all_maps_are_summed_up(self):
        self.put("proc/self/smaps", ONE_MAP * 3)
        self.assertEqual(memory.Kernel(self.root).footprint(), (300 * 1024, 150 * 1024, 30 * 1024))

    def test_without_maps_there_is_rss_and_no_more(self):
        self.put("proc/self/status", "Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  800 kB\n")
        kernel = memory.Kernel(self.root)
        self.assertEqual(kernel.footprint(), (800 * 1024, None, None))
        self.assertEqual(kernel.peak(), 900 * 1024)

    def test_without_all_that_nothing_is_known_and_each_says_why(self):
        os.makedirs(os.path.join(self.root, "proc", "self"))
        account = memory.Account(memory.Kernel(self.root))
        with account.phase("load"):
            pass
        account.loaded()
        told = account.measured()
        for name in ("base", "loaded", "loaded_pss", "peak_loading", "measured", "peak_measuring"):
            self.assertIsNone(getattr(told, name))
        self.assertEqual(
            told.missing,
            {"pss": memory.NO_ACCOUNT, "peak_loading": memory.NO_PEAK, "peak_measuring": memory.NO_PEAK},
        )

    def test_a_peak_that_is_not_set_back_is_told(self):
        self.put("proc/self/status", "VmHWM:\t 90000 kB\nVmRSS:\t  800 kB\n")
        self.assertFalse(memory.Kernel(self.root).reset_peak())
        self.put("proc/self/clear_refs", "")  # the kernel takes it and does nothing
        self.assertFalse(memory.Kernel(self.root).reset_peak())


class Played:
    """A kernel that plays a story: what is resident, what was at most, and whether it can be set back."""

    def __init__(self, resets=True):
        self.now = self.most = 10
        self.resets = resets

    def hold(self, now):
        self.now, self.most = now, max(self.most, now)

    def footprint(self):
        return memory.Footprint(self.now, self.now, self.now)

    def peak(self):
        return self.most

    def reset_peak(self):
        if self.resets:
            self.most = self.now
        return self.resets


def told(kernel, *story):
    """The account of a story: levels held in phases, and ``(between, level)`` for what the harness itself holds."""
    account = memory.Account(kernel, now=iter(range(1000)).__next__)
    for number, levels in enumerate(story):
        if isinstance(levels, int):
            kernel.hold(levels)
            continue
        with account.phase("phase %d" % number):
            for level in levels:
                kernel.hold(level)
    return account


class Accounts(unittest.TestCase):
    def test_peaks_are_those_of_the_phases(self):
        kernel = Played()
        account = told(kernel, [20, 15], [60, 40])
        found = account.loaded()
        self.assertEqual((found.base, found.loaded, found.peak_loading), (10, 40, 60))
        kernel.hold(45)
        kernel.hold(41)
        found = account.measured()
        self.assertEqual((found.measured, found.peak_measuring, found.missing), (41, 45, {}))

    def test_what_the_harness_holds_between_phases_does_not_count(self):
        found = told(Played(), [60, 40], 500, 40, [45]).loaded()
        self.assertEqual(found.peak_loading, 60)

    def test_a_peak_that_another_hides_is_not_known(self):
        kernel = Played(resets=False)
        account = told(kernel, [20, 25], 60, [40])  # the second phase may have held up to 60
        found = account.loaded()
        self.assertIsNone(found.peak_loading)
        kernel.hold(50)
        found = account.measured()
        self.assertIsNone(found.peak_measuring)
        self.assertEqual(found.missing, dict.fromkeys(("peak_loading", "peak_measuring"), memory.NO_RESET))

    def test_a_phase_below_the_peak_of_another_hides_nothing(self):
        self.assertEqual(told(Played(resets=False), [20, 60], [40]).loaded().peak_loading, 60)

    def test_a_new_peak_is_known_without_setting_it_back(self):
        kernel = Played(resets=False)
        account = told(kernel, [20, 60, 50])
        self.assertEqual(account.loaded().peak_loading, 60)
        kernel.hold(70)
        self.assertEqual(account.measured().peak_measuring, 70)

    def test_phases_are_timed_in_order(self):
        account = told(Played(), [20], [30])
        self.assertEqual(account.loaded().phases_ns, {"phase 0": [0, 1], "phase 1": [2, 3]})


@unittest.skipUnless(os.path.exists("/proc/self/clear_refs"), "this kernel tells no pages of processes")
class OnThisProcess(unittest.TestCase):
    def test_a_block_of_known_size_is_seen_and_its_peak_remembered_until_it_is_set_back(self):
        kernel = memory.Kernel()
        before = kernel.footprint()
        self.assertTrue(kernel.reset_peak())
        held = b"x" * (100 * MIB)
        self.assertAlmostEqual((kernel.footprint().rss - before.rss) / MIB, 100, delta=1)
        # Libraries become a process's own, or cease to be, when another that maps them ends or starts.
        self.assertAlmostEqual((kernel.footprint().private - before.private) / MIB, 100, delta=20)
        del held
        self.assertAlmostEqual((kernel.peak() - before.rss) / MIB, 100, delta=2)
        self.assertTrue(kernel.reset_peak())
        self.assertAlmostEqual((kernel.peak() - before.rss) / MIB, 0, delta=2)

    def test_a_worker_tells_of_itself(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        data, outputs = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
        numpy.savez(data, input_0=numpy.ones((40, 512, 1024), numpy.float32))  # 80 MiB; a sample has 2
        worker = serve.Worker()
        spec = wire.TensorSpec("x", "float32", [512, 1024])
        worker.open(wire.Open("null", "cpu", "none", "onnx", inputs=[spec]))
        worker.bind(wire.Bind(data, outputs))
        found = worker.warm(wire.Warm()).memory
        self.assertEqual(list(found.phases_ns), ["import", "load", "first", "warm"])
        self.assertLess(found.peak_loading, found.base + 40 * MIB)  # all samples together are not the model's
        self.assertGreaterEqual(found.peak_loading, found.loaded - MIB)
        held = bytearray(50 * MIB)
        held[:] = b"x" * len(held)
        del held
        found = worker.tell_memory(wire.TellMemory())
        self.assertGreater(found.peak_measuring, found.measured + 40 * MIB)
        self.assertEqual(found.missing, {})


class TheMeter(Tree):
    def channel(self, pids):
        self.around = meters.Around(self.root, pids)
        (found,) = meter.find(self.around)
        return found

    def setUp(self):
        Tree.setUp(self)
        self.page = os.sysconf("SC_PAGE_SIZE")
        for pid, pages in (("self", 5), (41, 1000), (42, 24)):
            self.put("proc/%s/statm" % pid, "9999 %s 3 4 0 6 0\n" % pages)

    def test_pages_of_all_measured_processes_are_summed_up(self):
        self.assertEqual(self.channel([41, 42]).read(), 1024 * self.page)
        self.assertEqual(self.channel([42]).read(), 24 * self.page)

    def test_a_process_that_ended_is_not_zero(self):
        channel = self.channel([41, 42])
        shutil.rmtree(os.path.join(self.root, "proc", "42"))
        with self.assertRaises(meters.Gone):
            channel.read()

    def test_without_a_process_there_is_nothing_to_tell(self):
        with self.assertRaises(meters.Gone):
            self.channel([]).read()

    def test_without_proc_it_is_missing(self):
        (found,) = meter.find(meters.Around(os.path.join(self.root, "nowhere")))
        self.assertEqual((found.kind, found.quantity), ("not-present", "memory"))


if __name__ == "__main__":
    unittest.main()
