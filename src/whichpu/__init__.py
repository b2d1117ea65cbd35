"""Which processing unit and which runtime should this trained model ship on?

``whichpu.measure("model.onnx")`` measures a model on every runtime within reach; ``whichpu.load("file.json")``
reads what ``whichpu run`` wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichpu.errors import UserError

if TYPE_CHECKING:
    from whichpu.api import Measurement, ScenarioMeasurement, load, measure, scenario

__version__ = "0.1.0"
__all__ = ["Measurement", "ScenarioMeasurement", "UserError", "__version__", "load", "measure", "scenario"]


def __getattr__(name: str) -> Any:
    """Load the API on first use, so that ``whichpu --help`` stays quick."""
    if name in __all__:
        from whichpu import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
