"""The worker alone: standard library and NumPy, Python 3.8+, run from the zipapp.

``python test_worker.py worker.pyz`` runs it under any interpreter without pytest; ``test_zipapp.py`` does so.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ARCHIVE = os.environ.get("WHICHPU_WORKER", "")
if ARCHIVE:
    sys.path.insert(0, ARCHIVE)
    import numpy
    from whichpu_worker import machine, measure, serve, wire
    from whichpu_worker.backends import BACKENDS, load, null
else:
    raise unittest.SkipTest("needs WHICHPU_WORKER, the zipapp's path")


class Process:
    """A worker process and the few words a test says to it."""

    def __init__(self, *arguments, **settings):
        self.process = subprocess.Popen(
            [sys.executable, *settings.pop("before", []), ARCHIVE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            **settings,
        )
        self.hello = json.loads(next(line for line in self.process.stdout if line.strip()))["answer"]

    def ask(self, request):
        self.process.stdin.write(wire.request_line(1, request))
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.stdin = None
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


class Loop(unittest.TestCase):
    def test_every_inference_is_timed_once_and_in_order(self):
        calls = []
        latencies = measure.timed(lambda: calls.append(len(calls)), 100)
        self.assertEqual(len(latencies), 100)
        self.assertEqual(calls, list(range(100)))
        self.assertTrue(all(latency >= 0 for latency in latencies))

    def test_a_known_delay_is_never_read_shorter(self):
        wait = null.Null([], null.delay_ns("200us")).bind([])
        self.assertGreaterEqual(min(measure.timed(wait, 50)), 200000)

    def test_block_is_long_enough_in_count_and_time(self):
        slow = null.Null([], null.delay_ns("2ms")).bind([])
        block = measure.block(slow, wire.Measure(least_count=20, least_ns=1000))
        self.assertGreaterEqual(len(block.latencies_ns) - block.opening, 20)
        quick = null.Null([], null.delay_ns("20us")).bind([])
        block = measure.block(quick, wire.Measure(least_count=20, least_ns=5000000))
        self.assertGreaterEqual(block.wall_ns, 5000000)

    def test_a_clock_that_stands_still_ends_at_the_most(self):
        clock, measure.clock = measure.clock, lambda: 0
        try:
            self.assertEqual(len(measure.timed_at_least(lambda: None, 2, 1000, 30)), 30)
        finally:
            measure.clock = clock

    def test_block_marks_its_opening(self):
        block = measure.block(lambda: None, wire.Measure(opening_count=7, opening_ns=0, most_count=50, least_count=9))
        self.assertEqual(block.opening, 7)
        self.assertEqual(len(block.latencies_ns), 57)

    def test_block_is_bounded(self):
        block = measure.block(lambda: None, wire.Measure(most_count=30))
        self.assertEqual(len(block.latencies_ns), 60)

    def test_warm_up_ends_when_steady_and_says_when_it_never_was(self):
        steady = measure.warm(null.Null([], null.delay_ns("100us")).bind([]), wire.Warm(tolerance=10.0))
        self.assertTrue(steady.steady)
        delays = iter(range(1, 10000))

        def slower_each_time():
            null._wait(next(delays) * 20000)()

        never = measure.warm(slower_each_time, wire.Warm(limit_ns=30000000, tolerance=0.01))
        self.assertFalse(never.steady)
        self.assertGreaterEqual(never.wall_ns, 30000000)

    def test_collector_rests_in_a_block_and_works_after_a_crash(self):
        import gc

        seen = []
        measure.block(lambda: seen.append(gc.isenabled()), wire.Measure(most_count=5))
        self.assertEqual(set(seen), {False})
        self.assertTrue(gc.isenabled())
        with self.assertRaises(ZeroDivisionError):
            measure.block(lambda: 1 // 0, wire.Measure())
        self.assertTrue(gc.isenabled())


class Wire(unittest.TestCase):
    def test_requests_come_back_as_they_went(self):
        spec = wire.TensorSpec("x", "float32", [1, 60, 1])
        requests = [
            wire.Describe("null"),
            wire.Open("null", "cpu", "m.onnx", "onnx", "default", 3, {"delay": "1ms"}, [spec]),
            wire.Bind("a", "b", 4),
            wire.Warm(5, 0.5),
            wire.Measure(1, 2, 3, 4, 5),
            wire.Infer("a", "b"),
            wire.Infer("a", "b", {1: 0, 2: 3}),
            wire.Close(),
        ]
        for number, request in enumerate(requests):
            self.assertEqual(wire.request_from(wire.request_line(number, request)), (number, request))

    def test_what_is_no_request_is_refused(self):
        for line in (
            "",
            "nonsense",
            "[]",
            "{}",
            '{"id": 1, "request": "fly"}',
            '{"id":1,"request":"open","with":{"a":1}}',
        ):
            with self.assertRaises(wire.WireError):
                wire.request_from(line)
        with self.assertRaises(wire.WireError):
            wire.request_line(1, object())


class Machine(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()

    def put(self, path, text):
        whole = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w") as file:
            file.write(text)

    def test_a_board_as_found(self):
        self.put("proc/cpuinfo", "processor : 0\nmodel name\t: Some CPU 3000\nflags\t\t: sse avx2\n")
        self.put("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:  1000 kB\n")
        self.put("proc/loadavg", "0.50 0.40 0.30 1/100 999\n")
        self.put("etc/os-release", 'NAME="X"\nPRETTY_NAME="Some Linux 12"\n')
        self.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
        found = machine.look(self.root)
        self.assertEqual(found.cpu_model, "Some CPU 3000")
        self.assertEqual(found.memory_total_bytes, 2048000)
        self.assertEqual(found.memory_available_bytes, 1024000)
        self.assertEqual(found.load_average_1min, 0.5)
        self.assertEqual(found.governor, "powersave")
        self.assertTrue(found.system.startswith("Some Linux 12"))

    def test_what_is_not_there_is_none(self):
        found = machine.look(self.root)
        for value in (found.governor, found.memory_total_bytes, found.memory_available_bytes, found.load_average_1min):
            self.assertIsNone(value)
        self.assertIsNone(machine.rss_bytes(self.root))

    def test_a_cgroup_bounds_the_memory(self):
        self.put("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:  1000 kB\n")
        self.put("sys/fs/cgroup/memory.max", "700000\n")
        self.put("sys/fs/cgroup/memory.current", "200000\n")
        self.assertEqual(machine.memory_available(self.root), 500000)
        self.put("sys/fs/cgroup/memory.max", "max\n")
        self.assertEqual(machine.memory_available(self.root), 1024000)

    def test_an_arm_board_names_itself(self):
        self.put("proc/cpuinfo", "processor : 0\nFeatures : fp asimd\n")
        self.put("proc/device-tree/model", "Raspberry Pi 5 Model B\0")
        self.assertEqual(machine.cpu_model(self.root), "Raspberry Pi 5 Model B")
        self.assertEqual(machine.cpu_flags(self.root), ["fp", "asimd"])

    def test_the_clock_has_a_step_and_a_cost(self):
        resolution_ns, cost_ns = machine.clock_of()
        self.assertGreaterEqual(resolution_ns, 1)
        self.assertGreaterEqual(cost_ns, 0)


class Resident(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.inputs, self.outputs = os.path.join(self.folder, "in.npz"), os.path.join(self.folder, "out.npz")
        numpy.savez(self.inputs, input_0=numpy.arange(12, dtype="float32").reshape(3, 2, 2))

    def opened(self, *arguments, **settings):
        worker = Process(*arguments, **settings)
        self.addCleanup(worker.process.kill)
        specs = [wire.TensorSpec("x", "float32", [2, 2])]
        answer = worker.ask(wire.Open("null", "cpu", "", "*", inputs=specs))
        self.assertIn("answer", answer)
        return worker

    def test_it_greets_with_its_protocol_and_backends(self):
        worker = self.opened()
        self.assertEqual(worker.hello["protocol"], wire.PROTOCOL)
        self.assertEqual(worker.hello["backends"], list(BACKENDS))
        self.assertEqual(worker.hello["pid"], worker.process.pid)

    def test_the_whole_journey(self):
        worker = self.opened()
        self.assertGreaterEqual(worker.ask(wire.Bind(self.inputs, self.outputs))["answer"]["first_ns"], 0)
        with numpy.load(self.outputs) as found:
            self.assertEqual(found["output_0"].tolist(), [[0, 1], [2, 3]])
        self.assertIn("answer", worker.ask(wire.Warm()))
        block = worker.ask(wire.Measure())["answer"]
        self.assertGreater(len(block["latencies_ns"]), 20)
        self.assertEqual(worker.ask(wire.Infer(self.inputs, self.outputs))["answer"]["samples"], 3)
        with numpy.load(self.outputs) as found:
            self.assertEqual(found["output_0"].shape, (3, 2, 2))
        self.assertIn("answer", worker.ask(wire.Close()))
        status, _ = worker.end()
        self.assertEqual(status, 0)

    def test_a_sequence_feeds_its_state_back(self):
        numpy.savez(self.inputs, input_0=numpy.float32([[1], [2], [3]]), input_1=numpy.zeros((1, 1, 1), "float32"))
        worker = Process()
        self.addCleanup(worker.process.kill)
        specs = [wire.TensorSpec("x", "float32", [1]), wire.TensorSpec("state", "float32", [1, 1])]
        worker.ask(wire.Open("null", "cpu", "", "*", inputs=specs))  # gives back what it was given
        self.assertEqual(worker.ask(wire.Infer(self.inputs, self.outputs, {0: 1}))["answer"]["samples"], 3)
        with numpy.load(self.outputs) as found:
            self.assertEqual(found["output_0"].ravel().tolist(), [1, 2, 3])
            self.assertEqual(found["output_1"].tolist(), [[[0]], [[1]], [[2]]])
        for carry, words in (
            ({0: 2}, "fed back to input 2; there are inputs 0 to 1"),
            ({2: 1}, "output 2 is to be fed back; the model gives 2"),
            ({0: 1, 1: 1}, "fed back to one input"),
            ({0: 1, 1: 0}, "nothing says how many steps"),
        ):
            self.assertIn(words, worker.ask(wire.Infer(self.inputs, self.outputs, carry))["failure"]["message"])
        numpy.savez(self.inputs, input_0=numpy.zeros((3, 1), "float32"), input_1=numpy.zeros((3, 2), "int32"))
        failure = worker.ask(wire.Infer(self.inputs, self.outputs, {0: 1}))["failure"]
        self.assertIn("output 0 is float32[1]; input 1, which it is fed back to, takes int32[2]", failure["message"])

    def test_every_error_is_an_answer_and_the_worker_stays(self):
        worker = self.opened()
        cases = [
            (wire.Measure(), "bad-request", "no inputs are bound"),
            (wire.Open("nothing", "cpu", "", "*"), "refused", "no backend is called"),
            (wire.Open("null", "cpu", "", "*", options={"delay": "soon"}), "refused", "is not a time"),
            (wire.Open("null", "cpu", "", "*", options={"dely": "1ms"}), "refused", "it takes: d2h, delay"),
            (wire.Bind(self.inputs, self.outputs), "bad-request", "no model is open"),
        ]
        for request, kind, words in cases:
            failure = worker.ask(request)["failure"]
            self.assertEqual(failure["kind"], kind)
            self.assertIn(words, failure["message"])
            self.assertIn("Traceback", failure["traceback"])
        worker.process.stdin.write("nonsense\n")
        worker.process.stdin.flush()
        self.assertEqual(json.loads(worker.process.stdout.readline())["failure"]["kind"], "bad-request")
        self.assertIn("answer", worker.ask(wire.Describe("null")))

    def test_missing_runtimes_say_how_to_get_them(self):
        worker = self.opened()
        for backend in BACKENDS:
            answer = worker.ask(wire.Describe(backend))["answer"]
            if not answer["usable"]:
                self.assertTrue(answer["why_not"], backend)
                self.assertTrue(answer["remedy"], backend)

    def test_prints_of_libraries_never_reach_the_wire(self):
        # A start-up file stands in for a vendor's library: it prints from Python, from C and from a thread.
        noisy = os.path.join(self.folder, "sitecustomize.py")
        with open(noisy, "w") as file:
            file.write(
                "import os, sys, threading, time, atexit\n"
                "def shout():\n"
                "    while True:\n"
                "        os.write(1, b'from C\\n'); print('from Python', flush=True); time.sleep(0.001)\n"
                "def later():\n"
                "    time.sleep(0.5); shout()\n"
                "threading.Thread(target=later, daemon=True).start()\n"
            )
        worker = self.opened(env=dict(os.environ, PYTHONPATH=self.folder))
        worker.ask(wire.Bind(self.inputs, self.outputs))
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            self.assertIn("answer", worker.ask(wire.Measure(most_count=100)))
        _, said = worker.end()
        self.assertIn("from C", said)
        self.assertIn("from Python", said)

    def test_a_library_cannot_eat_the_requests(self):
        worker = self.opened()
        self.assertEqual(os.readlink("/proc/%d/fd/0" % worker.process.pid), os.devnull)

    @unittest.skipUnless(hasattr(os, "sched_setaffinity"), "no CPU affinity on this system")
    def test_it_can_be_pinned(self):
        cpu = min(os.sched_getaffinity(0))
        worker = self.opened("--cpus", str(cpu))
        self.assertEqual(os.sched_getaffinity(worker.process.pid), {cpu})
        self.assertEqual(worker.hello["machine"]["cpus_usable"], 1)

    def test_it_ends_when_its_stdin_closes(self):
        self.assertEqual(self.opened().end()[0], 0)

    @unittest.skipUnless(sys.platform == "linux", "parent-death signals are Linux's")
    def test_a_frozen_worker_dies_with_its_host(self):
        host = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import subprocess, sys, os, signal, time\n"
                "w = subprocess.Popen([sys.executable, sys.argv[1]], stdin=-1, stdout=-1, start_new_session=True)\n"
                "w.stdout.readline(); os.kill(w.pid, signal.SIGSTOP); print(w.pid, flush=True); time.sleep(60)",
                ARCHIVE,
            ],
            stdout=subprocess.PIPE,
        )
        pid = int(host.stdout.readline())
        host.kill()
        host.communicate()
        for _ in range(200):
            try:
                with open("/proc/%d/stat" % pid) as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except OSError:
                return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        self.fail("the frozen worker outlived its host")


class Imports(unittest.TestCase):
    def test_it_imports_nothing_but_numpy_and_the_standard_library(self):
        code = "import sys; sys.path.insert(0, %r); import whichpu_worker.serve\n" % ARCHIVE
        code += "print('\\n'.join(sorted({name.split('.')[0] for name in sys.modules})))"
        names = subprocess.check_output([sys.executable, "-I", "-c", code], universal_newlines=True).split()
        for runtime in (
            "onnxruntime",
            "openvino",
            "cv2",
            "torch",
            "ai_edge_litert",
            "ncnn",
            "MNN",
            "msgspec",
            "whichpu",
        ):
            self.assertNotIn(runtime, names)

    def test_every_backend_in_the_table_keeps_the_contract(self):
        for name in BACKENDS:
            backend = load(name)
            for needed in ("FORMATS", "OPTIONS", "why_not", "versions", "offers", "open"):
                self.assertTrue(hasattr(backend, needed), "%s has no %s" % (name, needed))


class Failures(unittest.TestCase):
    def test_running_out_of_memory_has_a_name_of_its_own(self):
        self.assertEqual(serve.failure_of(MemoryError()).kind, "out-of-memory")
        self.assertEqual(serve.failure_of(RuntimeError("std::bad_alloc")).kind, "out-of-memory")
        self.assertEqual(serve.failure_of(RuntimeError("unknown operator")).kind, "refused")


if __name__ == "__main__":
    unittest.main()
