"""The native loop: ``loop.c``, built where it runs, and the calls that it makes.

Its library comes from the cache, else from a compiler of this machine, else from a prebuilt ``loop-MACHINE.so`` beside
this file. Without any of them :func:`why_not` says so, and the Python loop runs.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pkgutil
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy

from .backends import Refused

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O2", "-shared", "-fPIC", "-Wall")
PATIENCE_S = 60
ALIGNED_BYTES = 64
"""A cache line; the widest vector loads."""


class NoLoop(Refused):
    """There is no native loop here; the message says why."""


class NativeCall:
    """One inference as one C call: ``function(*arguments)`` with up to three pointers.

    ``explain`` gets a status that is not zero and raises :class:`Refused` with the runtime's words. ``keep`` is
    whatever the pointers point into. Called, it runs one inference; :meth:`timed` runs many in the C loop.
    """

    def __init__(
        self,
        function: Any,
        arguments: Sequence[Any],
        explain: Callable[[int], None],
        keep: Any = None,
        pointer_status: bool = False,
    ) -> None:
        loop = library()
        self.loop = loop.whichpu_timed_pointer if pointer_status else loop.whichpu_timed_number
        self.function = address(function)
        self.arguments = [address(argument) for argument in arguments] + [None] * (3 - len(arguments))
        self.explain = explain
        self.keep = keep

    def __call__(self) -> None:
        self.timed(1)

    def timed(self, count: int) -> List[int]:
        """Latencies in ns of ``count`` inferences, in order. Raises what ``explain`` makes of an error."""
        latencies = numpy.zeros(count, "uint64")
        status = self.loop(self.function, *self.arguments, count, latencies.ctypes.data)
        if status:
            self.explain(status)
            raise Refused("the runtime reports status %d" % status)
        found: List[int] = latencies.tolist()
        return found


def in_turn(calls: Sequence[Tuple[Any, Sequence[Any]]], explain: Callable[[int], None], keep: Any) -> NativeCall:
    """An inference that takes several calls, each ``(function, arguments)`` with a pointer for its status."""
    table = (ctypes.c_void_p * (4 * len(calls) + 4))()
    for index, (function, arguments) in enumerate(calls):
        for offset, value in enumerate([function, *arguments]):
            table[4 * index + offset] = address(value)
    function = library().whichpu_in_turn
    return NativeCall(function, [ctypes.addressof(table)], explain, (table, keep), pointer_status=True)


def why_not() -> Optional[str]:
    """Why no native loop runs here; ``None`` when one does. Builds it on first use."""
    try:
        library()
    except NoLoop as problem:
        return str(problem)
    return None


@functools.lru_cache(maxsize=None)
def library() -> Any:
    """The loop's library, loaded. Raises :class:`NoLoop`."""
    if ctypes is None:
        raise NoLoop("this Python has no ctypes")
    try:
        loaded = ctypes.CDLL(_path())
        for name, status in (("pointer", ctypes.c_void_p), ("number", ctypes.c_int)):
            loop = getattr(loaded, "whichpu_timed_" + name)
            loop.restype = status
            loop.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64, ctypes.c_void_p]
        return loaded
    except (OSError, AttributeError) as problem:
        raise NoLoop("the native loop does not load: %s" % problem) from problem


def address(value: Any) -> Optional[int]:
    """The address in a number, a ctypes pointer or a ctypes function."""
    if value is None or isinstance(value, int):
        return value
    found: Optional[int] = ctypes.cast(value, ctypes.c_void_p).value
    return found


def aligned(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    """A copy in memory that begins on a cache line, as runtimes allocate theirs."""
    source = numpy.asarray(array)
    memory = numpy.zeros(source.nbytes + ALIGNED_BYTES, "uint8")
    begin = -memory.ctypes.data % ALIGNED_BYTES
    copy = memory[begin : begin + source.nbytes].view(source.dtype).reshape(source.shape)
    copy[...] = source
    return copy


# ---------------------------------------------------------------- building


def _path() -> str:
    """The library in the cache, put there if need be. Raises :class:`NoLoop`."""
    if os.name != "posix":
        raise NoLoop("the native loop is not made for %s" % platform.system())
    source = _packaged("loop.c")
    if source is None:
        raise NoLoop("loop.c is not beside the worker")
    place = " ".join([sysconfig.get_platform(), str(sys.maxsize), *platform.libc_ver(), *FLAGS])
    key = hashlib.sha256(source + place.encode()).hexdigest()[:16]
    said = []
    for folder in _folders():
        path = os.path.join(folder, "loop-%s-%s.so" % (platform.machine(), key))
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if os.stat(folder).st_uid != os.getuid():
                raise NoLoop("%s is not ours" % folder)  # what others own could hold a library of theirs
            if not os.path.exists(path):
                _make(source, path)
            return path
        except (OSError, NoLoop) as problem:
            said.append(str(problem))
    raise NoLoop("; ".join(dict.fromkeys(said)))


def _folders() -> List[str]:
    """The same places as the host's: the cache folder, then one of ours below the temporary one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.environ.get("WHICHPU_CACHE") or os.path.join(base, "whichpu")
    return [os.path.abspath(cache), os.path.join(tempfile.gettempdir(), "whichpu-%d" % os.getuid())]


def _make(source: bytes, path: str) -> None:
    """Build, or unpack what is prebuilt, into ``path``, atomically. Raises :class:`NoLoop`."""
    compiler = next((found for found in map(shutil.which, COMPILERS) if found), None)
    with tempfile.TemporaryDirectory(prefix="whichpu-", dir=os.path.dirname(path)) as folder:
        made = os.path.join(folder, "loop.so")
        problem = "no C compiler (%s) is here" % ", ".join(COMPILERS)
        built = False
        if compiler:
            built, problem = _compile(compiler, source, folder, made)
        if not built:
            prebuilt = _packaged("loop-%s.so" % platform.machine())
            if prebuilt is None:
                raise NoLoop("%s, and no prebuilt loop for %s is packaged" % (problem, platform.machine()))
            with open(made, "wb") as file:
                file.write(prebuilt)
        os.replace(made, path)


def _compile(compiler: str, source: bytes, folder: str, made: str) -> Tuple[bool, str]:
    """Whether it worked, and the compiler's words when not."""
    with open(os.path.join(folder, "loop.c"), "wb") as file:
        file.write(source)
    try:
        ran = subprocess.run(
            [compiler, *FLAGS, "-o", made, file.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return False, "the C compiler does not run: %s" % problem
    words = ran.stdout.decode("utf-8", "replace").strip().splitlines()
    return ran.returncode == 0, "the C compiler says: %s" % (words[-1] if words else ran.returncode)


def _packaged(name: str) -> Optional[bytes]:
    """A file beside this one, in a zipapp too."""
    try:
        return pkgutil.get_data(__package__ or "", name)
    except OSError:
        return None
