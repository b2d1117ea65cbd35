"""A stand-in for TVM 0.18: ``transform.PassContext``, ``relay.frontend``, ``relay.op.contrib.ethosn``.

Signatures: ``PassContext(opt_level, config)``; ``from_onnx(model)`` and ``from_tflite(model)`` give a module and
parameters; ``ethosn_available()``; ``partition_for_ethosn(mod, params=None, **opts)``;
``IRModule.astext(show_meta_data)``.
"""

import contextlib
from types import SimpleNamespace

__version__ = "0.18.0"
CONTEXT = {}


@contextlib.contextmanager
def _pass_context(opt_level=2, required_pass=None, disabled_pass=None, instruments=None, config=None):
    CONTEXT.update(config or {})
    yield


transform = SimpleNamespace(PassContext=_pass_context)
