import pathlib


class GraphExecutorFactoryModule:
    def __init__(self, ir_mod):
        self.ir_mod = ir_mod

    def export_library(self, file_name, fcompile=None, addons=None, **kwargs):
        pathlib.Path(file_name).write_text(self.ir_mod.plain())


def build(
    ir_mod,
    target=None,
    target_host=None,
    executor="graph",
    runtime="cpp",
    workspace_memory_pools=None,
    constant_memory_pools=None,
    params=None,
    mod_name="default",
):
    if target != "llvm":
        raise ValueError(f"Target kind '{target}' is not defined")
    return GraphExecutorFactoryModule(ir_mod)
