import tvm

TYPES = {1: "float32", 3: "int8"}


def from_onnx(model, shape=None, dtype="float32", opset=None, freeze_params=True, convert_config=None):
    lacks = sorted({node.op_type for node in model.graph.node} - set(tvm.NAMES))
    if lacks:
        raise NotImplementedError(f"The following operators are not supported for frontend ONNX: {', '.join(lacks)}")
    inputs = [(value.name, _sizes(value), TYPES[value.type.tensor_type.elem_type]) for value in model.graph.input]
    return tvm.IRModule(inputs, [node.op_type for node in model.graph.node]), {}


def from_tflite(model, shape_dict=None, dtype_dict=None, op_converter=None):
    return tvm.IRModule([("input", [1, 8], "int8")], ["Relu"]), {}


def _sizes(value):
    return [size.dim_value for size in value.type.tensor_type.shape.dim]
