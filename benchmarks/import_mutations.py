"""Damages the sample files of every importer many times: no crash, no hang, no figure that the file doesn't hold.

The mutations and the check are those of tests/test_reported_mutations.py.

Run: python benchmarks/import_mutations.py [--each 1000] [--seed 1]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--each", type=int, default=1000, help="mutations of each sample")
    options.add_argument("--seed", type=int, default=1)
    told = options.parse_args()
    sys.path.insert(0, str(TESTS))
    tests = importlib.import_module("test_reported_mutations")
    began, read = time.perf_counter(), 0
    for path in tests.SAMPLES:
        kept = tests.damage(path, told.each, told.seed)
        read += kept
        print(f"{path.name:45} {kept:6} of {told.each} still read, each figure where it says")
    total = told.each * len(tests.SAMPLES)
    print(f"{total} mutations of {len(tests.SAMPLES)} samples, {read} read, {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
