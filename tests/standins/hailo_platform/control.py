"""Control of devices: names and signatures of ``hailo_platform.pyhailort.pyhailort``, v4.23.

``Device.scan``, ``Device(device_id=None)``, ``Device.control``, ``Device.release``, and the calls of ``Control`` that
the meter uses. Tests set ``modules``: what each device is, by its id.
"""

import json
import os
from enum import IntEnum
from types import SimpleNamespace


class HailoRTException(Exception):
    pass


class HailoRTStatusException(Exception):
    """Of the bindings: its text is the number of the status."""


class HailoRTUnsupportedOpcodeException(HailoRTException):
    pass


class HailoRTFirmwareControlFailedException(HailoRTException):
    pass


class DvmTypes:
    AUTO = 2147483647
    VDD_CORE = 0
    OVERCURRENT_PROTECTION = 9


class PowerMeasurementTypes:
    AUTO = 2147483647
    POWER = 2


class Module:
    """What a test says of one device. ``watts`` and ``temperatures`` are told in turn, the last for ever."""

    def __init__(
        self, watts=(), temperatures=((40.0, 41.5),), current_monitoring=True, in_use=False, arch="HAILO8L", mhz=400
    ):
        self.arch = arch
        self.mhz = mhz
        self.watts = list(watts)
        self.temperatures = list(temperatures)
        self.current_monitoring = current_monitoring
        self.in_use = in_use
        self.asked = []


class DeviceArchitectureTypes(IntEnum):
    HAILO8_A0 = 0
    HAILO8 = 1
    HAILO8L = 2
    HAILO15H = 3
    HAILO15L = 4
    HAILO15M = 5
    HAILO10H = 6

    def __str__(self):
        return self.name


modules = {
    name: Module(**facts)
    for name, facts in json.loads(os.environ.get("HAILO_STANDIN", "{}")).get("devices", {}).items()
}


class Control:
    def __init__(self, module):
        self._module = module

    def power_measurement(self, dvm=DvmTypes.AUTO, measurement_type=PowerMeasurementTypes.AUTO):
        self._module.asked.append("power")
        if not self._module.watts:
            raise HailoRTUnsupportedOpcodeException(
                "HailoRT has failed because an unsupported opcode was sent to device"
            )
        return self._module.watts.pop(0) if len(self._module.watts) > 1 else self._module.watts[0]

    def get_chip_temperature(self):
        self._module.asked.append("temperature")
        told = self._module.temperatures
        if not told:
            raise HailoRTFirmwareControlFailedException("libhailort control operation failed")
        ts0, ts1 = told.pop(0) if len(told) > 1 else told[0]
        return SimpleNamespace(ts0_temperature=ts0, ts1_temperature=ts1, sample_count=7)

    def get_extended_device_information(self):
        return SimpleNamespace(
            supported_features=SimpleNamespace(current_monitoring=self._module.current_monitoring),
            neural_network_core_clock_rate=self._module.mhz * 1_000_000,
        )

    def identify(self):
        arch = DeviceArchitectureTypes[self._module.arch]
        return SimpleNamespace(device_architecture=arch, firmware_version="4.23.0 (release,app)")


class Device:
    @classmethod
    def scan(cls):
        return list(modules)

    def __init__(self, device_id=None):
        if device_id is None:
            device_id = Device.scan()[0]
        if modules[device_id].in_use:
            raise HailoRTStatusException("73")  # as it is there: nothing wraps this call
        self._device_id = device_id
        self._control_object = Control(modules[device_id])

    @property
    def device_id(self):
        return self._device_id

    @property
    def control(self):
        return self._control_object

    def release(self):
        self._control_object = None
