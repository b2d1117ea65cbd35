"""An engine's tensors by their names: the interface of TensorRT 8.5 and newer, and that of bindings before it.

Sources: ICudaEngine and IExecutionContext of TensorRT's Python wheels 8.6.1, 10.3.0 and 11.4.0.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, Sequence

from . import Refused

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT64": "int64",
}


class Tensors:
    """Set by name: ``set_tensor_address`` and ``execute_async_v3``."""

    interface = "execute_async_v3"

    def __init__(self, trt: Any, engine: Any, context: Any) -> None:
        self.trt, self.engine, self.context = trt, engine, context
        self.names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]

    def is_input(self, name: str) -> bool:
        return bool(self.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT)

    def dtype(self, name: str) -> str:
        return numpy_type(self.engine.get_tensor_dtype(name), name)

    def shape(self, name: str) -> List[int]:
        """As it is once the inputs' shapes are set; -1 for what is not known before the inference."""
        return [int(size) for size in self.context.get_tensor_shape(name)]

    def set_shape(self, name: str, shape: Sequence[int]) -> bool:
        return bool(self.context.set_input_shape(name, tuple(shape)))

    def on_host(self, name: str) -> bool:
        return bool(self.engine.get_tensor_location(name) == self.trt.TensorLocation.HOST)

    def format(self, name: str) -> str:
        return str(self.engine.get_tensor_format(name).name)

    def enqueue(self, addresses: Dict[str, int], stream: int) -> Callable[[], bool]:
        """The call that puts one inference on the stream; False where TensorRT refused."""
        for name, address in addresses.items():
            if not self.context.set_tensor_address(name, address):
                raise Refused("TensorRT does not take the memory for %r" % name)
        return functools.partial(self.context.execute_async_v3, stream)


class Bindings:
    """Set by number: TensorRT 8.4 (JetPack 5.0)."""

    interface = "execute_async_v2"

    def __init__(self, trt: Any, engine: Any, context: Any) -> None:
        self.trt, self.engine, self.context = trt, engine, context
        self.names = [engine.get_binding_name(index) for index in range(engine.num_bindings)]

    def is_input(self, name: str) -> bool:
        return bool(self.engine.binding_is_input(self.names.index(name)))

    def dtype(self, name: str) -> str:
        return numpy_type(self.engine.get_binding_dtype(self.names.index(name)), name)

    def shape(self, name: str) -> List[int]:
        return [int(size) for size in self.context.get_binding_shape(self.names.index(name))]

    def set_shape(self, name: str, shape: Sequence[int]) -> bool:
        return bool(self.context.set_binding_shape(self.names.index(name), tuple(shape)))

    def on_host(self, name: str) -> bool:
        return bool(self.engine.get_location(self.names.index(name)) == self.trt.TensorLocation.HOST)

    def format(self, name: str) -> str:
        return str(self.engine.get_binding_format(self.names.index(name)).name)

    def enqueue(self, addresses: Dict[str, int], stream: int) -> Callable[[], bool]:
        return functools.partial(self.context.execute_async_v2, [addresses[name] for name in self.names], stream)


def tensors_of(trt: Any, engine: Any, context: Any) -> Any:
    """The interface that this TensorRT has."""
    kind: Any = Tensors if hasattr(context, "execute_async_v3") else Bindings
    return kind(trt, engine, context)


def numpy_type(kind: Any, name: str) -> str:
    """NumPy's name of a TensorRT type. Raises :class:`Refused` for one that NumPy lacks."""
    if kind.name not in DTYPES:
        raise Refused("WhichPU can't feed or read %r, which is of TensorRT's type %s" % (name, kind.name))
    return DTYPES[kind.name]
