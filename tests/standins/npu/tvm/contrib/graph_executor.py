class GraphModule:
    def __init__(self, module):
        self.module = module

    def set_input(self, key=None, value=None, **params):
        if key is not None:
            found = self.module["get_input"](key)
            if found is None:
                raise RuntimeError(f"Could not find '{key}' in graph's inputs")
            found.copyfrom(value)
        for name, array in params.items():
            self.set_input(name, array)

    def run(self, **input_dict):
        self.set_input(**input_dict)
        self.module["run"]()

    def get_num_outputs(self):
        return self.module["get_num_outputs"]()

    def get_output(self, index, out=None):
        return self.module["get_output"](index)

    def __getitem__(self, key):
        return self.module[key]
