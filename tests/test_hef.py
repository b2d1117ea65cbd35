"""HEF files without HailoRT: what is read of them, whichever way they are damaged. The files are of our own writer."""

import json
import random
import struct
import subprocess
import sys

import made_hef as made
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whichpu
from whichpu.api.describing import describe
from whichpu.graphs import compiled
from whichpu.worker import hef, protobuf


@pytest.fixture
def read(tmp_path):
    """What is read of these bytes."""

    def read(data):
        path = tmp_path / "model.hef"
        path.write_bytes(data)
        return hef.read(str(path))

    return read


def only(found):
    (group,) = found.groups
    return group


def names(streams):
    return [stream.name for stream in streams]


# ---------------------------------------------------------------- what is told


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_each_header_version(read, version):
    whole = made.proto(made.group("net", made.core("net", [made.context(made.layer("net/in", (2, 3, 4)))])))
    found = read(made.file(whole, version))
    assert (found.header_version, found.arch, found.chip, found.compiler) == (version, "HAILO8L", "Hailo-8L", "3.31.0")
    assert found.weights_bytes == (None if version == 0 else 64)
    assert found.timestamp == 1_760_000_000


def test_streams_with_shape_type_quantisation_and_the_models_own_names(read):
    group = only(read(made.small()))
    (taken,), (given_,) = group.inputs, group.outputs
    assert (taken.name, taken.shape, taken.order, taken.dtype) == ("small/input_layer1", [4, 4, 3], "NHWC", "uint8")
    assert taken.quantisation == hef.Quantisation(0.5, 3.0, -1.5, 126.0)
    assert taken.originals == ["images"]
    assert (given_.name, given_.originals) == ("small/conv1", ["out"])
    assert (group.name, group.networks, group.contexts) == ("small", ["small/net"], 1)
    assert (group.bottleneck_fps, group.simulated_latency) == (990.5, 1.25)


def test_no_estimate_is_none_and_not_zero(read):
    core = made.core("net", [made.context()], fps=0.0, latency=float("nan"))
    group = only(read(made.file(made.proto(made.group("net", core)))))
    assert (group.bottleneck_fps, group.simulated_latency) == (None, None)


def test_contexts_are_counted_and_what_lies_between_them_is_no_output(read):
    found = read(made.small(contexts=3))
    assert only(found).contexts == 3
    assert found.features == ["multi_context"]
    assert (names(only(found).inputs), names(only(found).outputs)) == (["small/input_layer1"], ["small/conv1"])


def test_what_the_host_computes_gives_the_outputs(read):
    group = only(read(made.small(host=True)))
    (given_,) = group.outputs
    assert (given_.name, given_.shape, given_.order, given_.dtype) == ("small/nms_out", [80, 5, 100], "NMS", "float32")
    (host,) = group.host
    assert host.kind == "NMS"
    assert host.detail.startswith("YOLOv8, 80 classes, at most 100 boxes each")


def test_softmax_and_argmax_on_the_host(read):
    def operator(name, kind, gives):
        pad = made.message(
            made.field(1, gives), made.field(2, name), made.field(3, 6), made.field(6, made.field(5, 10))
        )
        return made.message(
            made.field(1, name), made.field(3, pad), made.field(6, made.field(1, kind) if kind else b"")
        )

    core = made.core("net", [made.context(made.layer("net/out", (1, 1, 10), output=True, pad=1))])
    host = (operator("soft", 1, 2), operator("arg", 0, 3))
    group = only(read(made.file(made.proto(made.group("net", core, host, ((1, 2),))))))
    assert [one.kind for one in group.host] == ["Softmax", "ArgMax"]
    assert [(one.name, one.shape, one.order) for one in group.outputs] == [("soft", [10], "NC"), ("arg", [10], "NC")]


def test_outputs_stand_in_the_compilers_order(read):
    layers = [made.layer(f"net/{name}", (1, 1, 8), output=True, form=made.FLAT) for name in "abc"]
    core = made.core("net", [made.context(*layers)], order=("net/c", "net/a", "net/b"))
    group = only(read(made.file(made.proto(made.group("net", core)))))
    assert names(group.outputs) == ["net/c", "net/a", "net/b"]
    assert group.outputs[0].shape == [8]


def test_layers_that_leave_the_chip_as_one_are_told_apart(read):
    infos = [
        protobuf.Message(made.layer(name, (2, 2, 4), output=True, data_bytes=2)).held[3][0]
        for name in ("net/a", "net/b")
    ]
    muxed = made.mux("net/mux", [made.field(1, bytes(info)) for info in infos])
    group = only(read(made.file(made.proto(made.group("net", made.core("net", [made.context(muxed)]))))))
    assert [(one.name, one.dtype) for one in group.outputs] == [("net/a", "uint16"), ("net/b", "uint16")]


def test_scales_of_each_feature_are_counted(read):
    base = made.message(made.field(1, 1), made.field(3, 1), made.field(5, 2), made.field(12, 1))
    info = made.message(made.field(1, "net/a"), made.field(2, base), made.field(3, made.numeric(scales=(0.25, 0.75))))
    layer = made.message(made.field(1, 1), made.field(3, info))
    group = only(read(made.file(made.proto(made.group("net", made.core("net", [made.context(layer)]))))))
    assert group.outputs[0].quantisation == hef.Quantisation(0.25, 3.0, -1.5, 126.0, per_feature=2)


def test_old_files_where_the_group_is_the_core(read):
    old = made.core("net", [made.context(made.layer("net/in", (2, 2, 3)))])
    group = only(read(made.file(made.proto(old), version=0)))
    assert (group.name, names(group.inputs), group.contexts) == ("net", ["net/in"], 1)


def test_files_whose_contexts_stand_in_a_partial_layout(read):
    partial = made.core("net", [made.context(made.layer("net/in", (2, 2, 3)))])
    core = made.message(made.core("net", []), made.field(7, made.field(1, partial)))
    group = only(read(made.file(made.proto(made.group("net", core)))))
    assert (names(group.inputs), group.contexts) == (["net/in"], 1)


@pytest.mark.parametrize(
    ("arch", "device", "runs"),
    [
        (made.HAILO8L, "HAILO8L", True),
        (made.HAILO8L, "HAILO8", True),
        (made.HAILO8P, "HAILO8", True),
        (made.HAILO8P, "HAILO8L", False),
        (made.HAILO15H, "HAILO8", False),
        (made.HAILO8P, "HAILO99", None),
    ],
)
def test_which_devices_take_it(read, arch, device, runs):
    assert read(made.small(arch)).runs_on(device) is runs


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is no HEF"),
        (b"\x01HE", "it is no HEF"),
        (b"\x89PNG" + bytes(60), "it is no HEF: it begins with b'\\x89PNG'"),
        (struct.pack(">III", 0x01484546, 9, 0) + bytes(64), "header version 9; versions 0, 1, 2, 3 are known"),
        (made.small()[:-1], "cut short: its header speaks of 346 bytes, the file has 345"),
        (made.small()[:14], "cut short"),
        (made.file(b""), "holds no network"),
        (made.file(b"\x0f\x00"), "damaged"),
        (made.file(made.field(2, 7)), "damaged: a number where field 2 holds bytes"),
        (made.file(made.proto(made.field(10, 7))), "damaged"),
        (made.file(made.small()[28:40], version=0)[:-1] + b"x", "its checksum (MD5) is another"),
    ],
)
def test_each_damage_in_one_sentence(read, data, says):
    with pytest.raises(hef.HefError) as refused:
        read(data)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nesting_without_end_is_damage(read):
    part = b""
    for _ in range(200):
        part = made.message(made.field(2, made.field(5, part)))
    layer = made.message(made.field(1, 1), made.field(4, made.field(5, part)))
    with pytest.raises(hef.HefError, match="nested too deep"):
        read(made.file(made.proto(made.group("net", made.core("net", [made.context(layer)])))))


WHOLE = {
    "small": made.small(),
    "contexts": made.small(contexts=4),
    "host": made.small(host=True),
    "old": made.file(made.proto(made.core("net", [made.context(made.layer("net/in", (2, 2, 3)))])), version=3),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_truncation_is_told(tmp_path, name):
    path = tmp_path / "model.hef"
    for size in range(len(WHOLE[name])):
        path.write_bytes(WHOLE[name][:size])
        with pytest.raises(hef.HefError):
            hef.read(str(path))


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(WHOLE)),
    seed=st.integers(0, 2**32),
    changes=st.integers(1, 12),
    padding=st.binary(max_size=40),
)
def test_no_change_of_bytes_makes_it_crash(tmp_path_factory, name, seed, changes, padding):
    data, chance = bytearray(WHOLE[name]), random.Random(seed)
    for _ in range(changes):
        data[chance.randrange(12, len(data))] = chance.randrange(256)
    path = tmp_path_factory.mktemp("hef") / "model.hef"
    path.write_bytes(bytes(data) + padding)
    row = describe(path).models[0]
    msgspec.json.encode(row)  # no NaN, no bytes
    assert row.groups or "HEF" in row.refusal


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_a_protobuf(data):
    try:
        message = protobuf.Message(data)
    except (ValueError, IndexError):
        return
    assert all(number >= 0 for number in message.held)


# ---------------------------------------------------------------- whichpu analyze


def ran(*arguments):
    command = [sys.executable, "-m", "whichpu", "analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_compiled_file_is_described_in_words(tmp_path):
    path = tmp_path / "net.hef"
    path.write_bytes(made.small(host=True, contexts=3))
    done = ran(path)
    assert done.returncode == 0, done.stderr
    for says in (
        "compiled for the Hailo-8L by Hailo's Dataflow Compiler 3.31.0 on 2025-10-09",
        "runs on Hailo-8 and Hailo-8L",
        "3 contexts: too large for the chip at once",
        "small/input_layer1  NHWC 4x4x3 uint8, scale 0.5, zero point 3; in the model: images",
        "on the host's CPU after the chip: NMS (YOLOv8, 80 classes",
        "the compiler's own estimate, not measured: 990.5 frames a second",
    ):
        assert says in done.stdout


def test_as_json_and_a_bad_file_beside_a_good_one(tmp_path):
    good, bad = tmp_path / "good.hef", tmp_path / "bad.hef"
    good.write_bytes(made.small())
    bad.write_bytes(made.small()[:99])
    done = ran(good, bad, "--json")
    body = json.loads(done.stdout)
    assert done.returncode == 1
    assert f"Error: {bad}: the HEF is cut short" in done.stderr
    assert body["schema"] == "whichpu.compiled/1"
    assert [row["chip"] for row in body["models"]] == ["Hailo-8L", ""]
    assert body["models"][0]["groups"][0]["inputs"][0]["quantisation"]["scale"] == 0.5


def test_known_by_its_content_and_not_analysed_for_an_npu(tmp_path):
    path = tmp_path / "downloaded"
    path.write_bytes(made.small())
    assert compiled.form_of(path) == "hef"
    assert "is compiled: what the NPU takes is decided" in ran(path, "--npu", "hailo-8l").stderr
    other = tmp_path / "model.onnx"
    other.write_bytes(b"\x08\x08")
    with pytest.raises(whichpu.UserError, match="is not compiled, others here are"):
        describe([path, other])
    assert "can't read" in describe(tmp_path / "gone.hef").models[0].refusal
