"""Small trees of /proc and /sys files, as five machines would show them."""

from __future__ import annotations

from pathlib import Path

CPU = "sys/devices/system/cpu"
GOLDEN = Path(__file__).parent / "golden" / "campaign-1.json"


def write(root: Path, files: dict[str, object]) -> None:
    """Write files below a root, in the kernel's way: a line each."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def clock(root: Path, cpus: range, **khz: object) -> None:
    """Set cpufreq files of CPUs: ``clock(root, range(4), scaling_cur_freq=1200000)``."""
    for cpu in cpus:
        write(root, {f"{CPU}/cpu{cpu}/cpufreq/{name}": value for name, value in khz.items()})


def stat(root: Path, cpus: int, busy: int = 100, idle: int = 1000, iowait: int = 0, steal: int = 0) -> None:
    """/proc/stat with so many jiffies on each CPU."""
    lines = [f"cpu  {cpus * busy} 0 0 {cpus * idle} {cpus * iowait} 0 0 {cpus * steal} 0 0"]
    lines += [f"cpu{cpu} {busy} 0 0 {idle} {iowait} 0 0 {steal} 0 0" for cpu in range(cpus)]
    write(root, {"proc/stat": "\n".join([*lines, "intr 1 2 3", "ctxt 5000", "procs_running 2"])})


def laptop(root: Path) -> Path:
    """intel_pstate, two cores of two threads, on battery."""
    clock(
        root,
        range(4),
        scaling_cur_freq=3400000,
        scaling_max_freq=4200000,
        cpuinfo_max_freq=4200000,
        cpuinfo_min_freq=400000,
        scaling_governor="powersave",
        scaling_available_governors="performance powersave",
    )
    for cpu in range(4):
        write(
            root,
            {
                f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count": 7,
                f"{CPU}/cpu{cpu}/thermal_throttle/package_throttle_count": 30,
                f"{CPU}/cpu{cpu}/topology/thread_siblings_list": "0,2" if cpu % 2 == 0 else "1,3",
            },
        )
    write(
        root,
        {
            f"{CPU}/intel_pstate/no_turbo": 0,
            f"{CPU}/isolated": "",
            "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
            "sys/class/thermal/thermal_zone0/temp": 71000,
            "sys/class/thermal/thermal_zone0/trip_point_0_type": "passive",
            "sys/class/thermal/thermal_zone0/trip_point_0_temp": 0,
            "sys/class/hwmon/hwmon4/name": "coretemp",
            "sys/class/hwmon/hwmon4/temp1_label": "Package id 0",
            "sys/class/hwmon/hwmon4/temp1_input": 72000,
            "sys/class/hwmon/hwmon4/temp1_crit": 100000,
            "sys/class/power_supply/AC/type": "Mains",
            "sys/class/power_supply/AC/online": 0,
            "sys/class/power_supply/BAT0/type": "Battery",
            "sys/class/power_supply/hidpp_battery_0/type": "Battery",
            "sys/class/power_supply/hidpp_battery_0/scope": "Device",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
            "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
            "proc/loadavg": "0.50 0.40 0.30 2/812 4242",
            "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=0",
            "proc/meminfo": "MemTotal: 16000000 kB\nSwapTotal:       2097148 kB\nSwapFree:        1048572 kB",
            "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu tsc",
            "proc/77/comm": "irqbalance",
        },
    )
    stat(root, 4)
    return root


def desktop(root: Path) -> Path:
    """AMD, acpi-cpufreq with boost off, performance, k10temp."""
    clock(
        root,
        range(2),
        scaling_cur_freq=3600000,
        scaling_max_freq=3600000,
        cpuinfo_max_freq=3600000,
        cpuinfo_min_freq=2200000,
        scaling_governor="performance",
        scaling_available_governors="conservative ondemand userspace powersave performance schedutil",
    )
    write(
        root,
        {
            f"{CPU}/cpufreq/boost": 0,
            f"{CPU}/cpu0/topology/thread_siblings_list": "0",
            f"{CPU}/cpu1/topology/thread_siblings_list": "1",
            "sys/class/hwmon/hwmon1/name": "nvme",
            "sys/class/hwmon/hwmon1/temp1_input": 65000,
            "sys/class/hwmon/hwmon2/name": "k10temp",
            "sys/class/hwmon/hwmon2/temp1_input": 48500,
            "sys/class/hwmon/hwmon2/temp1_label": "Tctl",
            "proc/loadavg": "0.00 0.00 0.00 1/300 1",
        },
    )
    stat(root, 2)
    return root


def raspberry(root: Path, flags: str = "0") -> Path:
    """A Raspberry Pi 5: cpufreq-dt, one thermal zone, the firmware's bits."""
    clock(
        root,
        range(4),
        scaling_cur_freq=2400000,
        scaling_max_freq=2400000,
        cpuinfo_max_freq=2400000,
        cpuinfo_min_freq=1500000,
        scaling_governor="ondemand",
        scaling_available_governors="conservative ondemand userspace powersave performance schedutil",
    )
    write(
        root,
        {
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0",
            "sys/devices/platform/soc/soc:firmware/get_throttled": flags,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": 61450,
            "sys/class/thermal/thermal_zone0/trip_point_0_type": "critical",
            "sys/class/thermal/thermal_zone0/trip_point_0_temp": 110000,
            "sys/class/thermal/thermal_zone0/trip_point_1_type": "active",
            "sys/class/thermal/thermal_zone0/trip_point_1_temp": 50000,
            "proc/loadavg": "0.10 0.20 0.30 1/200 99",
        },
    )
    stat(root, 4)
    return root


def jetson(root: Path, mode: int = 1) -> Path:
    """A Jetson AGX Orin: schedutil, power modes, over-current counters, a sensor that is off."""
    clock(
        root,
        range(4),
        scaling_cur_freq=1113600,
        scaling_max_freq=1113600,
        cpuinfo_max_freq=2201600,
        cpuinfo_min_freq=115200,
        scaling_governor="schedutil",
        scaling_available_governors="conservative ondemand userspace performance schedutil",
    )
    modes = ["< POWER_MODEL ID=0 NAME=MAXN >", "CPU_ONLINE CORE_0 1", "< POWER_MODEL ID=1 NAME=MODE_15W >"]
    write(
        root,
        {
            "etc/nvpmodel.conf": "\n".join([*modes, "< POWER_MODEL ID=2 NAME=MODE_30W >", "< PM_CONFIG DEFAULT=2 >"]),
            "var/lib/nvpmodel/status": f"pmode:{mode:04} fmode:quiet",
            "sys/class/hwmon/hwmon3/name": "soctherm_oc",
            "sys/class/hwmon/hwmon3/oc1_event_cnt": 0,
            "sys/class/hwmon/hwmon3/oc3_event_cnt": 15,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": 52343,
            "sys/class/thermal/thermal_zone0/trip_point_0_type": "passive",
            "sys/class/thermal/thermal_zone0/trip_point_0_temp": 99000,
            "sys/class/thermal/thermal_zone1/type": "cv0-thermal",
            "sys/class/thermal/thermal_zone1/temp": -256000,
            "proc/loadavg": "0.10 0.20 0.30 1/200 99",
        },
    )
    stat(root, 4)
    return root


def virtual(root: Path) -> Path:
    """A virtual machine: no cpufreq, no sensors, a nominal clock, stolen time, a quota."""
    text = "processor\t: {0}\ncpu MHz\t\t: 2596.098\nflags\t\t: fpu tsc hypervisor\n"
    write(
        root,
        {
            "proc/cpuinfo": "\n".join(text.format(cpu) for cpu in range(2)),
            "proc/loadavg": "1.00 1.00 1.00 3/100 7",
            "sys/class/dmi/id/sys_vendor": "QEMU",
            "sys/class/dmi/id/product_name": "Standard PC",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock",
            "sys/devices/system/clocksource/clocksource0/available_clocksource": "kvm-clock tsc acpi_pm",
            "sys/fs/cgroup/cpu.max": "150000 100000",
            "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 12",
        },
    )
    stat(root, 2, steal=50)
    return root
