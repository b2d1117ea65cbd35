"""All meters from the zipapp, under this Python and under 3.8: run as ``test_worker.py`` is."""

import os
import sys
import tempfile
import unittest

ARCHIVE = os.environ.get("WHICHPU_WORKER", "")
if ARCHIVE:
    sys.path.insert(0, ARCHIVE)
    from whichpu_worker import wire
    from whichpu_worker.meters import METERS, QUANTITIES, SCOPES, UNITS, Around, Channel, find, sampler
else:
    raise unittest.SkipTest("needs WHICHPU_WORKER, the zipapp's path")


def channels(found):
    return [channel for channel in found if isinstance(channel, Channel)]


def missing(found):
    return [lack for lack in found if isinstance(lack, wire.Missing)]


class Meters(unittest.TestCase):
    def check(self, found):
        self.assertEqual([lack for lack in missing(found) if "broke:" in lack.says], [])
        for channel in channels(found):
            facts = channel.facts
            self.assertIn(facts.meter, METERS)
            self.assertIn(facts.quantity, QUANTITIES)
            self.assertIn(facts.scope, SCOPES)
            self.assertIn(facts.unit, UNITS)
        names = [(channel.facts.meter, channel.facts.name) for channel in channels(found)]
        self.assertEqual(len(names), len(set(names)))

    def test_no_meter_breaks_on_this_machine_nor_on_an_empty_one(self):
        self.check(find(Around(pids=[os.getpid()])))
        with tempfile.TemporaryDirectory() as root:
            found = find(Around(root))
            self.check(found)
            self.assertEqual([channel for channel in channels(found) if channel.facts.quantity == "energy"], [])

    def test_a_counter_is_read_raw_until_it_vanishes(self):
        with tempfile.TemporaryDirectory() as root:
            zone = os.path.join(root, "sys", "class", "powercap", "intel-rapl:0")
            os.makedirs(zone)
            for name, text in (("name", "package-0"), ("energy_uj", "61"), ("max_energy_range_uj", "262143328850")):
                with open(os.path.join(zone, name), "w") as file:
                    file.write(text + "\n")
            around = Around(root)
            meters = sampler.Sampler(channels(find(around, ["rapl"])), around, now=lambda: 0)
            meters.begin([])
            os.remove(os.path.join(zone, "energy_uj"))
            meters.end()
        (trace,) = meters.sampled.traces
        self.assertEqual(trace.values, [61])
        self.assertIn("No such file", trace.trouble)


if __name__ == "__main__":
    unittest.main()
