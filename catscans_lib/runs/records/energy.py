"""How much energy the machine drew meanwhile: processors by Linux's RAPL counters, NVIDIA's GPUs by their power.

It is that of the whole machine: runs side by side share it. What cannot be read is not there, which is not zero.
"""

import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
INTERVAL_S = (
    10.0  # a counter of a busy processor starts again after minutes to an hour; two starts in between would be lost
)


@dataclass
class Meter:
    """Measures from `with` to its end.

    Attributes
    ----------
    joules : dict of str to float
        `cpu` (packages and their memory) and `gpu`, each only where it could be read from beginning to end.
    """

    powercap: Path = POWERCAP
    interval_s: float = INTERVAL_S
    joules: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> "Meter":
        self._counters, self._watts, self._at = _counters(self.powercap), _watts(), time.monotonic()
        self.joules |= ({"cpu": 0.0} if self._counters else {}) | ({} if self._watts is None else {"gpu": 0.0})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        if self.joules:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self.joules:
            self._thread.join()
            self._add()

    def _sample(self) -> None:
        while not self._ended.wait(self.interval_s):
            self._add()

    def _add(self) -> None:
        """Add what was drawn since the last sample; a part that can no longer be read is dropped."""
        counters, watts, now = _counters(self.powercap), _watts() if "gpu" in self.joules else None, time.monotonic()
        if counters.keys() != self._counters.keys():
            self.joules.pop("cpu", None)
        if "cpu" in self.joules:
            self.joules["cpu"] += sum(_drawn_uj(self._counters[zone], counters[zone]) for zone in counters) / 1e6
        if watts is None:
            self.joules.pop("gpu", None)
        if "gpu" in self.joules:
            self.joules["gpu"] += (self._watts + watts) / 2 * (now - self._at)
        self._counters, self._watts, self._at = counters, watts, now


def _drawn_uj(before: tuple[int, int], after: tuple[int, int]) -> int:
    """Difference of two readings of a counter that starts again at 0 after its greatest value (microjoules).

    >>> _drawn_uj((90, 100), (30, 100)), _drawn_uj((10, 100), (30, 100))
    (40, 20)
    """
    difference = after[0] - before[0]
    return difference if difference >= 0 else difference + after[1]


def _counters(powercap: Path) -> dict[str, tuple[int, int]]:
    """Reading and greatest value of each package, and of memory, which no package counts; {} unless all can be read."""
    found = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if name == "dram" or name.startswith("package"):
                found[zone.name] = tuple(
                    int((zone / file).read_text()) for file in ("energy_uj", "max_energy_range_uj")
                )
        except (OSError, ValueError):  # since 2020 only root may read them
            return {}
    return found


def _watts() -> float | None:
    """Power of all NVIDIA GPUs now; None where there is none, or one does not tell."""
    command = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return sum(map(float, answer.stdout.split("\n")[:-1])) or None
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def facts(meter: Meter) -> dict[str, Any]:
    """Return what a record says of it: `energy_j`, or nothing."""
    return {"energy_j": {part: round(value, 1) for part, value in meter.joules.items()}} if meter.joules else {}
