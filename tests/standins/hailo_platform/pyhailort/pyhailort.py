"""``hailo_platform.pyhailort.pyhailort``, 4.23: what is not among the package's own names."""

STATUSES = {73: "HAILO_DEVICE_IN_USE", 74: "HAILO_OUT_OF_PHYSICAL_DEVICES", 76: "HAILO_INVALID_DRIVER_VERSION"}
"""Of ``hailort.h``."""


def get_status_message(status_code):
    return STATUSES[status_code]
