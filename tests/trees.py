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


PMIC = """\
 3V7_WL_SW_A current(0)=0.00195186A
   3V3_SYS_A current(1)=0.12687090A
   1V8_SYS_A current(2)=0.18835450A
  DDR_VDD2_A current(3)=0.02147046A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.17957110A
    0V8_SW_A current(6)=0.25959740A
  VDD_CORE_A current(7)={core_a}A
   3V3_DAC_A current(17)=0.00000000A
   3V3_ADC_A current(18)=0.00000000A
   0V8_AON_A current(16)=0.00293040A
      HDMI_A current(22)=0.02551890A
 3V7_WL_SW_V volt(8)=3.70720000V
   3V3_SYS_V volt(9)=3.32580900V
   1V8_SYS_V volt(10)=1.80415000V
  DDR_VDD2_V volt(11)=1.11135400V
  DDR_VDDQ_V volt(12)=0.60329610V
   1V1_SYS_V volt(13)=1.11282000V
    0V8_SW_V volt(14)=0.80512740V
  VDD_CORE_V volt(15)=0.76798460V
   3V3_DAC_V volt(20)=3.32142500V
   3V3_ADC_V volt(21)=3.32966700V
   0V8_AON_V volt(19)=0.80175740V
      HDMI_V volt(23)=5.11746000V
     EXT5V_V volt(24)=5.14158000V
      BATT_V volt(25)=3.28033900V"""
"""What a Raspberry Pi 5 prints for ``vcgencmd pmic_read_adc``."""


def powercap(root: Path, zones: dict[str, tuple[str, int]], **files: object) -> Path:
    """RAPL zones: ``powercap(root, {"intel-rapl:0": ("package-0", energy_uj)})``; ``files`` go into each zone."""
    for zone, (name, energy_uj) in zones.items():
        folder = f"sys/class/powercap/{zone}"
        told = {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": 262143328850, "enabled": 0, **files}
        write(root, {f"{folder}/{file}": text for file, text in told.items()})
    write(root, {"sys/class/powercap/intel-rapl/enabled": 1})
    return root


def rapl_laptop(root: Path) -> Path:
    """The laptop's counters: a package with its cores, graphics and memory, the platform, and the package's twin."""
    zones = {
        "intel-rapl:0": ("package-0", 261_000_000_000),
        "intel-rapl:0:0": ("core", 100_000_000_000),
        "intel-rapl:0:1": ("uncore", 1_000_000),
        "intel-rapl:0:2": ("dram", 50_000_000_000),
        "intel-rapl:1": ("psys", 7_000_000_000),
        "intel-rapl-mmio:0": ("package-0", 261_000_000_000),
    }
    return powercap(laptop(root), zones)


def hwmon(root: Path, number: int, name: str, **files: object) -> Path:
    """One hwmon device with these files; returns its folder."""
    folder = f"sys/class/hwmon/hwmon{number}"
    write(root, {f"{folder}/{file}": text for file, text in {"name": name, **files}.items()})
    return root / folder


def raspberry_pmic(root: Path, says: str = PMIC.format(core_a="0.56259000")) -> Path:
    """A Raspberry Pi 5 whose ``vcgencmd`` prints the file ``pmic``; none of its hwmon devices tells power."""
    raspberry(root)
    hwmon(root, 0, "cpu_thermal", temp1_input=61450)
    hwmon(root, 1, "rp1_adc", in1_input=1380, in2_input=2500, in3_input=1400, in4_input=1390, temp1_input=52000)
    hwmon(root, 2, "pwmfan", fan1_input=2950, pwm1=75)
    hwmon(root, 3, "rpi_volt", in0_lcrit_alarm=0)
    write(root, {"usr/bin/vcgencmd": '#!/bin/sh\n[ "$1" = pmic_read_adc ] && cat "${0%/usr/bin/vcgencmd}/pmic"'})
    (root / "usr/bin/vcgencmd").chmod(0o755)
    write(root, {"pmic": says, "dev/vcio": ""})
    return root
