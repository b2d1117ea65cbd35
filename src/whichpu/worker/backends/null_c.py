"""The null backend for the native loop: an empty C function, or a busy wait in C."""

from __future__ import annotations

import ctypes
from typing import List

from .. import native, wire
from . import Arrays, Refused, null


def devices() -> List[str]:
    reason = native.why_not()
    if reason is not None:
        raise Refused(reason)
    return ["cpu"]


def open(job: wire.Open) -> "NullC":
    if "step" in job.options or "work" in job.options:
        raise Refused("the null backend takes its step and its work in Python")
    native.library()
    delay_ns = null.delay_ns(job.options.get("delay", "0ns"))
    return NullC(job.inputs or [], delay_ns, None, null.moves_of(job.options))


class NullC(null.Null):
    def bind(self, arrays: Arrays) -> native.NativeCall:
        self.held = [array.copy() for array in arrays]
        if not self.wait_ns:
            return native.NativeCall(native.library().whichpu_nothing, [], _never)
        wait = ctypes.c_uint64(self.wait_ns)
        return native.NativeCall(native.library().whichpu_wait, [ctypes.addressof(wait)], _never, wait)


def _never(status: int) -> None:
    raise Refused("the null backend reports status %d" % status)
