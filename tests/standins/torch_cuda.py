"""A stand-in for ``torch.cuda`` of PyTorch 2.13 on a machine without a GPU: its names and signatures, on CPU tensors.

Signatures are those of the installed wheel's own Python files (torch/cuda/__init__.py, streams.py, graphs.py,
memory.py), which a test compares. A captured graph is the function that ran while capturing, run again by ``replay``.
Time on the device is counted in marks: each ``Event`` is 1 ms after the one before.
"""

import contextlib

CAPABILITY, ARCHITECTURES = (9, 0), ["sm_80", "sm_90", "compute_90"]
log = []


def is_available():
    return True


def synchronize(device=None):
    log.append("synchronize")


def get_device_name(device=None):
    return "stand-in GPU"


def get_device_capability(device=None):
    return CAPABILITY


def get_arch_list():
    return ARCHITECTURES


def memory_allocated(device=None):
    return 4096


class Stream:
    def __init__(self, device=None, priority=0, **kwargs):
        self.device = device

    def wait_stream(self, stream):
        log.append("wait_stream")

    def synchronize(self):
        log.append("wait")


_current = Stream()


def current_stream(device=None):
    return _current


@contextlib.contextmanager
def stream(stream):
    log.append("side stream")
    yield


class Event:
    marks = 0

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        self.timed, self.at_ms = enable_timing, 0

    def record(self, stream=None):
        Event.marks += 1
        self.at_ms = Event.marks

    def elapsed_time(self, end_event):
        assert self.timed
        return float(end_event.at_ms - self.at_ms)


class CUDAGraph:
    def __init__(self, keep_graph=False):
        self.again = None

    def replay(self):
        log.append("replay")
        self.again()


class graph:
    """While it is entered everything that ``captures`` gives is taken to be captured."""

    captures = None

    def __init__(
        self,
        cuda_graph,
        pool=None,
        stream=None,
        capture_error_mode="global",
        enable_annotations=False,
        check_input_liveness=False,
    ):
        self.cuda_graph = cuda_graph

    def __enter__(self):
        log.append("capture")

    def __exit__(self, exc_type, exc_value, traceback):
        self.cuda_graph.again = graph.captures
