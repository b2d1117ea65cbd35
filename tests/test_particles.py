"""Korean particles by the final sound of what stands before them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.reports.prose.particles import EITHER, final_sound, with_particle

TABLE = {
    # name: 은/는, 이/가, 을/를, 과/와, 으로/로
    "TensorRT": "는가를와로",
    "TensorRT (GPU)": "는가를와로",
    "TensorRT(GPU)": "는가를와로",
    "ONNX Runtime": "은이을과으로",
    "ONNX Runtime (GPU)": "은이을과으로",
    "Hailo-8L": "은이을과로",
    "Hailo-8": "은이을과로",
    "OpenVINO": "는가를와로",
    "OpenCV DNN": "은이을과으로",
    "PyTorch": "는가를와로",
    "LiteRT": "는가를와로",
    "ncnn": "은이을과으로",
    "MNN": "은이을과으로",
    "RKNN": "은이을과으로",
    "Core ML": "은이을과로",
    "Vela": "는가를와로",
    "CPU": "는가를와로",
    "GPU": "는가를와로",
    "NPU": "는가를와로",
    "DLA": "는가를와로",
    "Jetson": "은이을과으로",
    "Jetson AGX Xavier": "는가를와로",
    "Hexagon": "은이을과으로",
    "Snapdragon": "은이을과으로",
    "GRU_Apple": "은이을과로",
    "LSTM_Apple": "은이을과로",
    "ResNet": "은이을과으로",
    "ResNet18": "은이을과로",
    "ResNet50": "은이을과으로",
    "VGG16": "은이을과으로",
    "YOLOv3": "은이을과으로",
    "YOLOv7": "은이을과로",
    "YOLOv7-tiny": "는가를와로",
    "AlexNet": "은이을과으로",
    "Inception": "은이을과으로",
    "onnxruntime:cpu": "는가를와로",
    "onnxruntime:cpu [int8]": "는가를와로",
    "fp32": "는가를와로",
    "fp16": "은이을과으로",
    "int8": "은이을과로",
    "RMSE": "는가를와로",
    "p99": "는가를와로",
    "p95": "는가를와로",
    "report.json": "은이을과으로",
    "task.toml": "은이을과로",
    "0": "은이을과으로",
    "1": "은이을과로",
    "2": "는가를와로",
    "3": "은이을과으로",
    "6": "은이을과으로",
    "7": "은이을과로",
    "8": "은이을과로",
    "9": "는가를와로",
    "10": "은이을과으로",
    "0.5": "는가를와로",
    "18.4배": "는가를와로",
    "1.326 ms": "는가를와로",
    "71 µs": "는가를와로",
    "12.5 W": "는가를와로",
    "3.2 mJ": "은이을과로",
    "5 J": "은이을과로",
    "1.39 GB": "는가를와로",
    "17.9 %": "는가를와로",
    "0.80%p": "는가를와로",
    "65 °C": "는가를와로",
    "초당 764.05회": "는가를와로",
    "지연 시간": "은이을과으로",
    "처리량": "은이을과으로",
    "표준편차": "는가를와로",
    "정확도": "는가를와로",
    "모델": "은이을과로",
    "절차(데이터, 전처리, 지표)": "는가를와로",
    "값": "은이을과으로",
    "이하": "는가를와로",
    "이상": "은이을과으로",
    "(GPU)": "는가를와로",
}
PAIRS = ("은/는", "이/가", "을/를", "과/와", "으로/로")


@pytest.mark.parametrize("name", TABLE)
def test_particles_of_a_name(name):
    assert "".join(with_particle(name, pair).removeprefix(name) for pair in PAIRS) == TABLE[name]


def test_an_unknown_sound_takes_both_forms():
    assert with_particle("模型", "은/는") == "模型은(는)"
    assert with_particle("", "으로/로") == "(으)로"
    assert with_particle("???", "이/가") == "???이(가)"


def test_conditions_agree_too():
    assert with_particle("70 W 이하", "이라면/라면") == "70 W 이하라면"
    assert with_particle("30 이상", "이라면/라면") == "30 이상이라면"


@given(st.text(max_size=30), st.sampled_from(sorted(EITHER)))
def test_any_text_keeps_its_letters(text, pair):
    shown = with_particle(text, pair)
    assert shown.startswith(text)
    assert shown.removeprefix(text) in (*pair.split("/"), EITHER[pair])


@given(st.integers(0, 11171))
def test_a_syllable_sounds_as_it_is_written(number):
    syllable = chr(ord("가") + number)
    assert final_sound(syllable) == ("" if number % 28 == 0 else "ㄹ" if number % 28 == 8 else "consonant")
