"""The native loop alone, from the zipapp: standard library and NumPy, Python 3.8+, with a C compiler or without.

``python test_native.py`` runs it under any interpreter without pytest; ``test_zipapp.py`` does so.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ARCHIVE = os.environ.get("WHICHPU_WORKER", "")
if ARCHIVE:
    sys.path.insert(0, ARCHIVE)
    from whichpu_worker import measure, native, serve, wire
    from whichpu_worker.backends import NATIVE, NO_NATIVE, Refused, load_native, null_c
else:
    raise unittest.SkipTest("needs WHICHPU_WORKER, the zipapp's path")

COMPILER = any(shutil.which(name) for name in native.COMPILERS)
NUMBER = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3)
POINTER = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 3)


def explain(status):
    raise Refused("the runtime says %d" % status)


def null(delay="0ns"):
    return null_c.open(wire.Open("null", "cpu", "", "*", options={"delay": delay}, loop="native")).bind([])


@unittest.skipUnless(COMPILER, "no C compiler on this machine")
class Loop(unittest.TestCase):
    def test_every_inference_is_timed_once_and_in_order(self):
        calls = []
        function = NUMBER(lambda a, b, c: calls.append((a, b, c)) or 0)
        call = native.NativeCall(function, [7, 8], explain)
        latencies = measure.timed(call, 100)
        self.assertEqual(len(latencies), 100)
        self.assertTrue(all(type(latency) is int and latency >= 0 for latency in latencies))
        self.assertEqual(calls, [(7, 8, None)] * 100)
        call()
        self.assertEqual(len(calls), 101)

    def test_a_known_delay_is_never_read_shorter(self):
        self.assertGreaterEqual(min(measure.timed(null("200us"), 50)), 200000)

    def test_blocks_are_those_of_the_python_loop(self):
        block = measure.block(null(), wire.Measure(opening_count=7, opening_ns=0, most_count=50, least_count=9))
        self.assertEqual((block.opening, len(block.latencies_ns), block.loop), (7, 57, "native"))
        block = measure.block(null("20us"), wire.Measure(least_count=20, least_ns=5000000))
        self.assertGreaterEqual(block.wall_ns, 5000000)
        block = measure.block(null("2ms"), wire.Measure(least_count=3, least_ns=0, opening_count=2, opening_ns=0))
        self.assertEqual((block.opening, len(block.latencies_ns)), (2, 5))
        self.assertEqual(measure.block(lambda: None, wire.Measure(most_count=5)).loop, "python")

    def test_a_status_ends_the_loop_and_is_explained(self):
        for kind, pointer in ((NUMBER, False), (POINTER, True)):
            calls = []
            function = kind(lambda *_, calls=calls: calls.append(0) or (5 if len(calls) == 3 else 0))
            call = native.NativeCall(function, [], explain, pointer_status=pointer)
            with self.assertRaisesRegex(Refused, "the runtime says 5"):
                measure.timed(call, 10)
            self.assertEqual(len(calls), 3)

    def test_a_status_without_words_is_refused_too(self):
        call = native.NativeCall(NUMBER(lambda *_: -2), [], lambda status: None)
        with self.assertRaisesRegex(Refused, "status -2"):
            call()

    def test_calls_in_turn_end_with_the_first_that_reports(self):
        calls = []
        functions = [POINTER(lambda *given, name=name: calls.append((name, given)) or 0) for name in "ab"]
        functions.append(POINTER(lambda *_: 9 if len(calls) > 4 else 0))
        turns = [(functions[0], [1]), (functions[1], [2, 3, 4]), (functions[2], [])]
        call = native.in_turn(turns, explain, functions)
        call()
        self.assertEqual(calls, [("a", (1, None, None)), ("b", (2, 3, 4))])
        with self.assertRaisesRegex(Refused, "says 9"):
            measure.timed(call, 10)
        self.assertEqual(len(calls), 6)

    def test_memory_is_aligned_and_a_copy(self):
        import numpy

        for array in (numpy.arange(7.0)[::2], numpy.array(3, "int8"), numpy.zeros((0, 4)), numpy.ones((2, 3), "f2")):
            copy = native.aligned(array)
            self.assertEqual((copy.shape, copy.dtype, copy.tolist()), (array.shape, array.dtype, array.tolist()))
            self.assertTrue(copy.flags.c_contiguous and not numpy.shares_memory(copy, array))
            self.assertEqual(copy.size and copy.ctypes.data % native.ALIGNED_BYTES, 0)


class Building(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def opened(self, **environment):
        """What a worker of its own says of null in the native loop, and the loop of a block."""
        settings = dict(os.environ, WHICHPU_CACHE=os.path.join(self.folder, "cache"), TMPDIR=self.folder)
        settings.update(environment)
        requests = [
            wire.Open("null", "cpu", "", "*", inputs=[], loop="native"),
            wire.Bind(os.path.join(self.folder, "in.npz"), os.path.join(self.folder, "out.npz")),
            wire.Measure(most_count=5),
        ]
        import numpy

        numpy.savez(requests[1].inputs)
        lines = "".join(wire.request_line(number, request) for number, request in enumerate(requests))
        ran = subprocess.run(
            [sys.executable, ARCHIVE],
            input=lines,
            stdout=subprocess.PIPE,
            env=settings,
            text=True,
            timeout=60,
        )
        answers = [json.loads(line) for line in ran.stdout.splitlines() if line.strip()][1:]
        return answers[0]["answer"]["effective"].get("loop"), answers[2]["answer"]["loop"]

    @unittest.skipUnless(COMPILER, "no C compiler on this machine")
    def test_it_is_built_once_into_the_cache(self):
        self.assertEqual(self.opened(), (None, "native"))
        made = os.listdir(os.path.join(self.folder, "cache"))
        self.assertEqual(len(made), 1, made)
        self.assertTrue(made[0].startswith("loop-") and made[0].endswith(".so"))
        self.assertEqual(self.opened(PATH=""), (None, "native"))  # no compiler is needed any more

    def test_without_a_compiler_the_python_loop_runs_and_says_why(self):
        says, loop = self.opened(PATH="")
        self.assertEqual(loop, "python")
        self.assertIn("python, because no C compiler (cc, gcc, clang) is here", says)

    def test_a_compiler_that_fails_is_quoted(self):
        for name in native.COMPILERS:
            path = os.path.join(self.folder, name)
            with open(path, "w") as file:
                file.write("#!/bin/sh\necho no rule for this machine; exit 1\n")
            os.chmod(path, 0o755)
        says, loop = self.opened(PATH=self.folder + ":/bin:/usr/bin")
        self.assertEqual(loop, "python")
        self.assertIn("the C compiler says: no rule for this machine", says)

    def test_a_cache_that_cannot_be_written_is_not_the_end(self):
        with open(os.path.join(self.folder, "file"), "w"):
            pass
        says, loop = self.opened(WHICHPU_CACHE=os.path.join(self.folder, "file"))
        self.assertEqual((says, loop), (None, "native") if COMPILER else (says, "python"))

    @unittest.skipUnless(COMPILER, "no C compiler on this machine")
    def test_a_prebuilt_loop_stands_in_for_a_compiler(self):
        with open(native._path(), "rb") as file:
            prebuilt = file.read()
        path, packaged = os.path.join(self.folder, "loop.so"), native._packaged
        native._packaged, before = lambda name: prebuilt if name.endswith(".so") else packaged(name), os.environ["PATH"]
        try:
            os.environ["PATH"] = ""
            native._make(b"", path)
        finally:
            native._packaged, os.environ["PATH"] = packaged, before
        with open(path, "rb") as file:
            self.assertEqual(file.read(), prebuilt)


class Described(unittest.TestCase):
    def test_every_backend_has_one_or_a_reason(self):
        from whichpu_worker.backends import BACKENDS

        self.assertEqual(set(NATIVE) | set(NO_NATIVE), set(BACKENDS))
        self.assertFalse(set(NATIVE) & set(NO_NATIVE))
        for name in NO_NATIVE:
            with self.assertRaisesRegex(Refused, r"C interface|C\+\+"):
                load_native(name)

    def test_the_description_names_devices_or_the_reason(self):
        found = serve.describe(wire.Describe("null"))
        self.assertEqual(found.native, ["cpu"] if native.why_not() is None else [])
        self.assertEqual(found.native_why_not, native.why_not())


if __name__ == "__main__":
    unittest.main()
