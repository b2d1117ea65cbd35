def from_onnx(model, shape=None, dtype="float32", opset=None, freeze_params=True, convert_config=None):
    return [node.op_type for node in model.graph.node], {}


def from_tflite(model, shape_dict=None, dtype_dict=None, op_converter=None):
    return ["tflite"], {}
