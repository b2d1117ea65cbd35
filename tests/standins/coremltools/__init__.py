"""A stand-in for coremltools 9.0 on macOS: names and signatures of the package (its Linux wheel was read).

A model file is JSON here: ``{"inputs": {name: shape}, "outputs": {name: shape}, "plan": [[kind, device], ...]}``; its
first output is its first input doubled.
"""

import enum

from . import models

__version__ = "9.0"


class ComputeUnit(enum.Enum):
    ALL = 1
    CPU_AND_GPU = 2
    CPU_ONLY = 3
    CPU_AND_NE = 4


models.MLModel.__init__.__defaults__ = (False, None, False, ComputeUnit.ALL, None, None, None)
