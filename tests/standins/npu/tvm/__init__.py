"""A stand-in for TVM 0.18 with Ethos-N: what ``partition_for_ethosn`` and the graph executor need, and no more.

Names and signatures after apache/tvm 0.18: python/tvm/ir/module.py, ir/transform.py (``PassContext``),
relay/build_module.py, relay/frontend/{onnx,tflite}.py, relay/op/contrib/ethosn.py, relay/backend/executor_factory.py,
runtime/module.py, runtime/ndarray.py, contrib/graph_executor.py. Computes Relu and Neg; the "NPU" takes Relu alone.
TVM_STANDIN: ``not built`` (no Ethos-N), ``no driver`` (its compiler alone), ``refuses`` (the driver stack's version).
"""

import contextlib
import json
from types import SimpleNamespace

from . import runtime  # noqa: F401
from .runtime import Device

__version__ = "0.18.0"
CONTEXT = {}
NAMES = {"Relu": "nn.relu", "Neg": "negative", "Erf": "erf", "Add": "add", "Softmax": "nn.softmax"}


@contextlib.contextmanager
def _pass_context(opt_level=2, required_pass=None, disabled_pass=None, instruments=None, config=None):
    CONTEXT.clear()
    CONTEXT.update(config or {})
    yield


transform = SimpleNamespace(PassContext=_pass_context)


def cpu(dev_id=0):
    return Device("cpu", dev_id)


class IRModule:
    """Inputs as ``(name, shape, dtype)`` and operators by ONNX's name; ``npu`` says which of them are for the NPU."""

    def __init__(self, inputs, operators, npu=()):
        self.inputs, self.operators, self.npu = inputs, operators, list(npu) or [False] * len(operators)

    def __getitem__(self, var):
        if var != "main":
            raise ValueError(f"Cannot find global var {var}")
        kinds = [SimpleNamespace(shape=shape, dtype=dtype) for _, shape, dtype in self.inputs]
        names = [name for name, _, _ in self.inputs]
        return SimpleNamespace(
            params=[SimpleNamespace(name_hint=n, type_annotation=kind) for n, kind in zip(names, kinds, strict=True)]
        )

    def astext(self, show_meta_data=True, annotate=None):
        main, functions = [], []
        for index, (operator, taken) in enumerate(zip(self.operators, self.npu, strict=True)):
            called = NAMES[operator]
            if taken:
                functions.append(
                    f'def @tvmgen_default_ethos_n_main_{len(functions)}(%i, Compiler="ethos-n", '
                    f'options="{CONTEXT}") {{\n  {called}(%i) /* ty=Tensor[(1, 8), int8] */\n}}\n'
                )
                called = f"@tvmgen_default_ethos_n_main_{len(functions) - 1}"
            main.append(f"  %{index} = {called}(%x) /* ty=Tensor[(1, 8), int8] */;")
        return "def @main(%x: Tensor[(1, 8), int8]) {\n" + "\n".join(main) + "\n}\n\n" + "\n".join(functions)

    def plain(self):
        return json.dumps({"inputs": self.inputs, "operators": self.operators})
