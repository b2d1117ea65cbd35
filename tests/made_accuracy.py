"""Campaigns with accuracy, made up but lifelike: a detector whose bf16 and int8 forms lose, a forecast, all alike."""

from __future__ import annotations

from urllib.parse import quote

from made_metered import Made, result

from whichpu.results.schema import (
    Accuracy,
    Campaign,
    Changed,
    Difference,
    Form,
    ModelInfo,
    Reference,
    Result,
    Settings,
    TaskInfo,
)
from whichpu.worker.wire import Machine, Precision, TensorSpec

PICTURE = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180"><rect width="320" height="180" fill="#c8d4de"/>'
    '<rect x="90" y="60" width="120" height="70" fill="none" stroke="#2d8f3c" stroke-width="3"/></svg>'
)

PROTOCOL = {
    "kind": "detection",
    "data.sha256": "0f27" * 16,
    "preprocess.resize.size": "384, 384",
    "preprocess.resize.how": "letterbox",
    "decode.score_above": "0.01",
}
FRAMES = [f"frame-{number:03}.jpg" for number in range(6)]


def detector() -> Campaign:
    """The int8 form is the fastest and loses 1.2 points (0.4 to 2.0); bf16 answers otherwise, and no loss is shown."""
    task = TaskInfo(
        name="streets", kind="detection", metric="ap50", unit="", samples=40, protocol_sha256="ab" * 32,
        protocol=PROTOCOL, better="higher", others=["ap"], notes=["frame-039.jpg: a box lies outside the picture"],
    )  # fmt: skip
    left_out = ["frame-017.jpg is no picture that OpenCV can decode, or it is damaged"]
    changed = [
        Changed(sample=name, truth="1 plate", reference="1 plate (0.81)", ours="nothing", picture=PICTURE)
        for name in FRAMES[:3]
    ]
    whole = _answered({"ap50": 0.851, "ap": 0.507}, {"ap50": (0.0, 0.0, 0.0), "ap": (0.0, 0.0, 0.0)}, left_out)
    int8 = _answered(
        {"ap50": 0.839, "ap": 0.490}, {"ap50": (-0.012, -0.020, -0.004), "ap": (-0.017, -0.025, -0.009)}, left_out,
        verdict="worse", changed=changed, count=5, p=0.002,
    )  # fmt: skip
    bf16 = _answered(
        {"ap50": 0.848, "ap": 0.506}, {"ap50": (-0.003, -0.009, 0.003), "ap": (-0.001, -0.004, 0.002)}, left_out,
        changed=changed[:1], count=1, p=0.4,
    )  # fmt: skip
    refused = Result(
        name="ncnn:cpu [int8]", target="ncnn:cpu", backend="ncnn", device="cpu", status="refused", variant="int8",
        why="the converter leaves out QuantizeLinear",
    )  # fmt: skip
    return _campaign(
        "detector",
        task,
        0.851,
        [
            contender("onnxruntime:cpu [int8]", 900_000, int8, 2.1e-2, ran="int8", variant="int8"),
            contender("openvino:cpu,precision=default", 1_100_000, bf16, 4e-3, ran="bf16"),
            contender("onnxruntime:cpu", 2_100_000, whole, 0.0),
            contender("opencv:cpu", 6_100_000, whole, 3e-7),
            refused,
        ],
    )


def forecast() -> Campaign:
    """A series whose forecasts one runtime makes worse by a little."""
    task = TaskInfo(
        name="prices", kind="forecasting", metric="rmse", unit="USD", samples=543, protocol_sha256="cd" * 32,
        protocol={"kind": "forecasting"}, better="lower", others=["mae"], naive=8.84, naive_says="same as yesterday",
    )  # fmt: skip
    shown = [Changed(sample="2012-09-21", truth="700.1 USD", reference="693.2 USD", ours="671.9 USD", picture=PICTURE)]
    same = _answered({"rmse": 8.9583, "mae": 6.3424}, {"rmse": (1.2e-8, -1e-7, 1e-7), "mae": (0.0, 0.0, 0.0)})
    int8 = _answered(
        {"rmse": 9.3083, "mae": 6.6}, {"rmse": (0.35, 0.21, 0.49), "mae": (0.26, 0.1, 0.4)}, verdict="worse",
        changed=shown, count=200, p=0.001, samples=543,
    )  # fmt: skip
    same.samples = 543
    rows = [
        contender("onnxruntime:cpu", 80_000, same, 7e-7),
        contender("onnxruntime:cpu [int8]", 95_000, int8, 0.1, "int8", "int8"),
    ]
    return _campaign("gru", task, 8.9583, rows)


def alike() -> Campaign:
    """All contenders give the reference's answers."""
    task = TaskInfo(
        name="digits", kind="classification", metric="top1", unit="share", samples=500, protocol_sha256="ef" * 32,
        protocol={"kind": "classification"}, better="higher",
    )  # fmt: skip
    answers = [_answered({"top1": 0.986}, {"top1": (0.0, 0.0, 0.0)}, samples=500) for _ in range(2)]
    rows = [contender("onnxruntime:cpu", 20_000, answers[0], 0.0), contender("opencv:cpu", 60_000, answers[1], 4e-7)]
    return _campaign("mnist", task, 0.986, rows)


def _answered(
    values: dict[str, float],
    deltas: dict[str, tuple[float, float | None, float | None]],
    left_out: list[str] | None = None,
    verdict: str = "no-difference",
    changed: list[Changed] | None = None,
    count: int = 0,
    p: float = 1.0,
    samples: int = 39,
) -> Accuracy:
    left_out = left_out or []
    return Accuracy(
        samples=samples, values=values, deltas=deltas, verdict=verdict, agreement=1 - count / samples,
        changed=changed or [], changed_count=count, left_out=left_out, left_out_count=len(left_out), draws=2000, p=p,
    )  # fmt: skip


def contender(
    name: str, latency_ns: int, answered: Accuracy, relative: float, ran: str = "fp32", variant: str | None = None
) -> Result:
    made = result(name, Made(latency_ns, 10.0), rounds=5)
    made.target, made.variant, made.precision = name.partition(" ")[0], variant, Precision(ran, "the graph's types")
    made.accuracy, made.score = answered, next(iter(answered.values.values()))
    made.difference = Difference(
        max_abs=relative, mean_abs=relative / 10, relative=relative, samples=answered.samples, output=0,
        psnr_db=48.2 if relative else None, cosine=1 - relative**2,
    )  # fmt: skip
    return made


def _campaign(model: str, task: TaskInfo, score: float, results: list[Result]) -> Campaign:
    machine = Machine("h", "Linux 6", "x86_64", "3.11", "2.0", "A CPU", 4, 4, None, None, None, None, False, 1, 40)
    settings = Settings(seed=7, threads=1, cpus=[], budget_s=60, half_width=0.02, matters=0.02, rounds_least=5,
                        rounds_most=None, blocks=10, timeout_s=9, data="task.toml")  # fmt: skip
    form = Form(format="onnx", file=f"{model}.onnx", sha256="f" * 64, bytes=1234, origin="given")
    info = ModelInfo(name=model, sha256="f" * 64, inputs=[TensorSpec("x", "float32", [1, 1, 8, 8])], forms=[form])
    return Campaign(
        whichpu="0.1.0", created="2026-11-20T11:00:00+00:00", finished="2026-11-20T12:00:00+00:00", model=info,
        machine=machine, settings=settings, task=task, results=results,
        reference=Reference(by="torch 2.13.0 (eager, CPU, fp32)", samples=task.samples, score=score),
    )  # fmt: skip
