"""How many cores this process may keep busy."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

QUOTA_V2 = "cpu.max"
QUOTA_V1 = "cpu.cfs_quota_us"
PERIOD_V1 = "cpu.cfs_period_us"


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores the affinity and the quota of this process let it keep busy.

    Args:
        root: Where `proc` and `sys` are.
    """
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max(1, min(_affinity(), *quotas)) if quotas else _affinity()


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas of the control groups that this process is in, in cores."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _along(root / "sys/fs/cgroup", group, _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _along(root / "sys/fs/cgroup/cpu", group, _quota_v1)


def _along(mount: Path, group: str, quota_of: Callable[[Path], float | None]) -> Iterator[float]:
    """Yield the quotas of a group and of those around it."""
    # Within a container the group's path may be the host's, of which only the mount itself is here.
    names = Path(group.lstrip("/"))
    for folder in (names, *names.parents):
        quota = quota_of(mount / folder)
        if quota is not None:
            yield quota


def _quota_v2(folder: Path) -> float | None:
    return _ratio(*_text(folder / QUOTA_V2).split())


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / QUOTA_V1).strip(), _text(folder / PERIOD_V1).strip())


def _ratio(quota: str = "", period: str = "") -> float | None:
    """Return a quota in cores; None where there is none, which is `max` or -1."""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
