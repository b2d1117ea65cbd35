import os

import tvm

TEXT = """def @main(%x: Tensor[(1, 8), int8]) -> Tensor[(1, 8), int8] {{
  %0 = @tvmgen_default_ethos_n_main_0(%x) /* ty=Tensor[(1, 8), int8] */;
  nn.softmax(%0) /* ty=Tensor[(1, 8), int8] */
}}

def @tvmgen_default_ethos_n_main_0(%i: Tensor[(1, 8), int8], Compiler="ethos-n", variant="{options}") {{
  nn.relu(%i)
}}
"""


def ethosn_available():
    return os.environ.get("TVM_STANDIN") != "not built"


def partition_for_ethosn(mod, params=None, **opts):
    if os.environ.get("TVM_STANDIN") == "refuses":
        raise ValueError("Driver stack version 5.0.0 is unsupported.")
    options = tvm.CONTEXT["relay.ext.ethos-n.options"]
    assert opts == options
    return type("IRModule", (), {"astext": lambda self, show_meta_data=True: TEXT.format(options=options)})()
