"""A stand-in for HailoRT's Python package, 4.23: ``control`` for meters, ``inference`` for the backend.

Tests set ``modules``: what each device is, by its id; in another process ``HAILO_STANDIN`` tells it.
"""

from .control import (
    Control,
    Device,
    DvmTypes,
    HailoRTException,
    HailoRTFirmwareControlFailedException,
    HailoRTUnsupportedOpcodeException,
    Module,
    PowerMeasurementTypes,
    modules,
)
from .inference import (
    HEF,
    AsyncInferJob,
    ConfiguredInferModel,
    ConfiguredNetwork,
    ConfigureParams,
    FormatOrder,
    FormatType,
    HailoPowerMode,
    HailoSchedulingAlgorithm,
    HailoStreamInterface,
    InferModel,
    InferVStreams,
    InputVStreamParams,
    OutputVStreamParams,
    VDevice,
)

__version__ = "4.23.0"

__all__ = [
    "HEF",
    "AsyncInferJob",
    "ConfigureParams",
    "ConfiguredInferModel",
    "ConfiguredNetwork",
    "Control",
    "Device",
    "DvmTypes",
    "FormatOrder",
    "FormatType",
    "HailoPowerMode",
    "HailoRTException",
    "HailoRTFirmwareControlFailedException",
    "HailoRTUnsupportedOpcodeException",
    "HailoSchedulingAlgorithm",
    "HailoStreamInterface",
    "InferModel",
    "InferVStreams",
    "InputVStreamParams",
    "Module",
    "OutputVStreamParams",
    "PowerMeasurementTypes",
    "VDevice",
    "modules",
]
