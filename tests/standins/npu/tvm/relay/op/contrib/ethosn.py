import os
from enum import Enum

import tvm


class Available(Enum):
    UNAVAILABLE = 0
    SW_ONLY = 1
    SW_AND_HW = 2

    def __bool__(self):
        return self != Available.UNAVAILABLE


def ethosn_available():
    has = {"not built": Available.UNAVAILABLE, "no driver": Available.SW_ONLY}
    return has.get(os.environ.get("TVM_STANDIN", ""), Available.SW_AND_HW)


def partition_for_ethosn(mod, params=None, **opts):
    if os.environ.get("TVM_STANDIN") == "refuses":
        raise ValueError("Driver stack version 5.0.0 is unsupported.")
    if opts != tvm.CONTEXT["relay.ext.ethos-n.options"]:
        raise AssertionError("the options of the pass context and of the call differ")
    return tvm.IRModule(mod.inputs, mod.operators, [operator == "Relu" for operator in mod.operators])
