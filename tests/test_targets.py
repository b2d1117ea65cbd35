"""A target's text, read and written."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.targets.target import Target, parse
from whichpu.worker import wire

RUNTIMES = (
    "onnxruntime", "openvino", "cv2", "torch", "ai_edge_litert.interpreter", "ncnn", "MNN", "tvm", "iree.runtime",
    "executorch", "rknn", "rknnlite", "coremltools", "mxnet", "hailo_platform", "tensorrt",
)  # fmt: skip

word = st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True)


@given(
    backend=word,
    device=word.map(str.lower),
    precision=st.sampled_from(["fp32", "default"]),
    threads=st.none() | st.integers(1, 64),
    options=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(
            lambda name: name not in ("precision", "threads", "python")
        ),
        st.from_regex(r"[a-z0-9./]{1,8}", fullmatch=True),
        max_size=3,
    ),
    board=st.none() | word,
)
def test_what_is_written_is_read_back(backend, device, precision, threads, options, board):
    target = Target(backend=backend, device=device, precision=precision, threads=threads, options=options, board=board)
    assert parse(str(target)) == (None, target)
    assert parse(f"a name={target}") == ("a name", target)


def test_the_device_is_the_cpu_unless_named():
    assert parse("onnxruntime")[1] == Target(backend="onnxruntime", device="cpu")
    assert parse("onnxruntime:cuda")[1].device == "cuda"


def test_an_option_is_no_name():
    name, target = parse("opencv:cpu,engine=new")
    assert name is None
    assert target.options == {"engine": "new"}
    assert parse("opencv,engine=new")[1].options == {"engine": "new"}
    assert parse("cv5=opencv:cpu,engine=new")[0] == "cv5"


def test_an_interpreter_is_found_in_its_environment(tmp_path):
    assert parse(f"null:cpu,python={sys.executable}")[1].python == sys.executable
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert parse(f"null:cpu,python={tmp_path}")[1].python == str(tmp_path / "bin" / "python")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a target"),
        (":cpu", "is not a target"),
        ("onnxruntime:", "is not a target"),
        ("onnxruntime:cpu,", "is not an option"),
        ("onnxruntime:cpu,threads", "is not an option"),
        ("onnxruntime:cpu,threads=0", "not a positive number"),
        ("onnxruntime:cpu,threads=two", "not a positive number"),
        ("onnxruntime:cpu,precision=fp16", "is not known"),
        ("onnxruntime:cpu,graph=all,graph=basic", "stands twice"),
        ("null:cpu,python=/nowhere/at/all", "no Python interpreter"),
    ],
)
def test_what_is_no_target_is_refused_with_words(text, says):
    with pytest.raises(UserError, match=says):
        parse(text)


def test_a_worker_that_dies_after_its_answer_is_its_own_trouble():
    import os
    import signal

    from whichpu.targets import local
    from whichpu.targets.link import WorkerTrouble

    with local.start() as link:
        os.kill(link.pid, signal.SIGKILL)
        os.waitid(os.P_PID, link.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(WorkerTrouble, match="SIGKILL"):
            link.freeze()


def test_a_glance_imports_no_runtime_and_agrees_with_a_look():
    code = (
        "import sys\nfrom whichpu.worker import serve, wire\nfrom whichpu.worker.backends import BACKENDS\n"
        "told = {one.backend for one in serve.glance(wire.Glance(list(BACKENDS))).absent}\n"
        f"print(sorted(set(sys.modules) & set({RUNTIMES!r})))\n"
        "print(all(serve.describe(wire.Describe(name)).why_not for name in told), 'null' in told)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[0] == "[]"
    assert ran.stdout.splitlines()[-1] == "True False"


def test_a_backend_that_fails_at_a_glance_is_asked_alone(monkeypatch):
    from whichpu.worker import serve
    from whichpu.worker.backends import null

    monkeypatch.setattr(null, "why_not", lambda: 1 / 0)
    assert serve.glance(wire.Glance(["null"])).absent == []
