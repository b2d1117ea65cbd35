"""Memory of this process by the kernel's own account: what is resident now, and the most since some moment.

Resident, shared and own pages come from ``/proc/self/smaps_rollup`` (Linux 4.14; before that ``smaps`` is summed up),
which walks the page tables: exact, and some milliseconds for a large process, so never while something is timed. The
peak is ``VmHWM`` of ``/proc/self/status``, which Linux 4.0 and later set back to the present when 5 is written to
``/proc/self/clear_refs``; ``VmRSS`` and ``VmHWM`` may lag behind by some pages a CPU.
https://man7.org/linux/man-pages/man5/proc_pid_status.5.html, proc_pid_smaps.5, proc_pid_clear_refs.5; for PSS and the
peak's reset: https://www.kernel.org/doc/html/latest/filesystems/proc.html
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, NamedTuple, Optional

from . import wire

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SLACK_BYTES = 1 << 20
"""A peak that was set back lies no further than this above what is resident."""

FIELD = re.compile(r"^(Rss|Pss|Private_Clean|Private_Dirty|Private_Hugetlb):\s+(\d+) kB$", re.MULTILINE)

NO_ACCOUNT = "this system has no /proc/self/smaps"
NO_RESET = "the kernel doesn't let the peak be set back, and it was higher before"
NO_PEAK = "this system tells no peak of resident memory"


class Footprint(NamedTuple):
    """Bytes resident (RSS), with shared pages in parts (PSS), and pages that no other process has (USS)."""

    rss: Optional[int]
    pss: Optional[int]
    private: Optional[int]


class Kernel:
    """What the kernel tells of this process, below ``root``."""

    def __init__(self, root: str = "/") -> None:
        self.folder = os.path.join(root, "proc", "self")

    def footprint(self) -> Footprint:
        """What is resident now; what isn't told is ``None``."""
        text = self._text("smaps_rollup") or self._text("smaps") or ""
        sums: Dict[str, int] = {}
        for name, kib in FIELD.findall(text):
            sums[name] = sums.get(name, 0) + 1024 * int(kib)
        if "Rss" not in sums:
            return Footprint(self._status("VmRSS"), None, None)
        private = [size for name, size in sums.items() if name.startswith("Private")]
        return Footprint(sums["Rss"], sums.get("Pss"), sum(private) if private else None)

    def peak(self) -> Optional[int]:
        """The most bytes that were resident since the start, or since the peak was set back."""
        told = self._status("VmHWM")
        if told is None and resource is not None and not os.path.isdir(self.folder):
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            told = most if sys.platform == "darwin" else 1024 * most  # macOS counts bytes
        return told

    def reset_peak(self) -> bool:
        """Set the peak back to what is resident now; did it take?"""
        try:
            file = os.open(os.path.join(self.folder, "clear_refs"), os.O_WRONLY)  # nobody may read it
            try:
                os.write(file, b"5")
            finally:
                os.close(file)
        except OSError:
            return False
        peak, now = self._status("VmHWM"), self._status("VmRSS")
        return peak is not None and now is not None and peak - now <= SLACK_BYTES

    def _status(self, key: str) -> Optional[int]:
        found = re.search(r"^%s:\s+(\d+) kB$" % key, self._text("status") or "", re.MULTILINE)
        return 1024 * int(found.group(1)) if found else None

    def _text(self, name: str) -> Optional[str]:
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None


class Peak:
    """The most that was resident in some stretches of time, without what came between them."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.before = self.most = self.hidden = 0
        self.told = False

    def begin(self) -> None:
        """A stretch begins."""
        self.before = 0 if self.kernel.reset_peak() else self.kernel.peak() or 0

    def end(self) -> None:
        """It ends. Where the peak can't be set back, an earlier and higher one hides that of the stretch."""
        peak = self.kernel.peak()
        if peak is None:
            return
        self.told = True
        if peak > self.before:
            self.most = max(self.most, peak)
        else:
            self.hidden = max(self.hidden, peak)

    def missing(self) -> Optional[str]:
        """Why the peak isn't known, if so."""
        return (NO_RESET if self.hidden > self.most else None) if self.told else NO_PEAK

    def bytes(self) -> Optional[int]:
        return None if self.missing() else self.most


class Account:
    """The memory of one model, from before its runtime is imported until it was measured.

    Nothing of this may stand between two clock reads.
    """

    def __init__(self, kernel: Optional[Kernel] = None, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self.kernel = kernel or Kernel()
        self.now = now
        self.loading, self.measuring = Peak(self.kernel), Peak(self.kernel)
        self.told = wire.Memory(base=self.kernel.footprint().rss)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Something that belongs to loading; what runs between phases is ours and counts nowhere."""
        self.loading.begin()
        began_ns = self.now()
        yield
        self.told.phases_ns[name] = [began_ns, self.now()]
        self.loading.end()

    def imported(self) -> None:
        """The runtime is imported."""
        self.told.imported = self.kernel.footprint().rss

    def loaded(self) -> wire.Memory:
        """The model is loaded and warm; measuring comes next."""
        told, found = self.told, self.kernel.footprint()
        told.loaded, told.loaded_pss, told.loaded_private = found
        told.peak_loading = _at_least(self.loading.bytes(), found.rss)
        self._note("pss", NO_ACCOUNT if found.pss is None else None)
        self._note("peak_loading", self.loading.missing())
        self.measuring = Peak(self.kernel)
        self.measuring.begin()
        return told

    def measured(self) -> wire.Memory:
        """The blocks are over."""
        self.measuring.end()
        told, found = self.told, self.kernel.footprint()
        told.measured, told.measured_pss, told.measured_private = found
        told.peak_measuring = _at_least(self.measuring.bytes(), found.rss)
        self._note("peak_measuring", self.measuring.missing())
        return told

    def _note(self, name: str, missing: Optional[str]) -> None:
        if missing is not None:
            self.told.missing[name] = missing


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc): what the harness used is not the model's."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass


def _at_least(peak: Optional[int], now: Optional[int]) -> Optional[int]:
    """``VmHWM`` lags behind; what is resident at the end belongs to the peak."""
    return None if peak is None else max(peak, now or 0)
