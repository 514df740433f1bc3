"""How many cores a process may use, by faked control groups."""

import pytest

from contextbridge_server.process.cores import usable_cores

V2 = "0::{}\n"
V1 = "3:cpuset:/other\n4:cpu,cpuacct:{}\n0::/\n"


@pytest.fixture(name="machine")
def machine_fixture(tmp_path, monkeypatch):
    """Return what fakes a machine of 64 cores with some files, and counts those to be used."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)

    def machine(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return usable_cores(tmp_path)

    return machine


@pytest.mark.parametrize(
    "quota, cores",
    [
        ("max 100000", 64),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 64),
        ("", 64),
    ],
)
def test_a_container_uses_what_its_quota_allows(quota, cores, machine):
    found = machine({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": f"{quota}\n"})

    assert found == cores


def test_the_least_quota_of_a_group_and_those_around_it_counts(machine):
    found = machine(
        {
            "proc/self/cgroup": V2.format("/pod/container"),
            "sys/fs/cgroup/pod/container/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/cpu.max": "800000 100000\n",
        }
    )

    assert found == 3


def test_a_group_by_its_name_on_the_host_is_found_where_the_container_has_it(machine):
    found = machine(
        {
            "proc/self/cgroup": V2.format("/kubepods/pod1/abc"),
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
        }
    )

    assert found == 4


@pytest.mark.parametrize("quota, cores", [("-1", 64), ("250000", 3)])
@pytest.mark.parametrize("folder", ["cpu", "cpu/docker/abc"])
def test_the_first_version_of_control_groups_counts_too(folder, quota, cores, machine):
    found = machine(
        {
            "proc/self/cgroup": V1.format("/docker/abc"),
            f"sys/fs/cgroup/{folder}/cpu.cfs_quota_us": f"{quota}\n",
            f"sys/fs/cgroup/{folder}/cpu.cfs_period_us": "100000\n",
        }
    )

    assert found == cores


def test_without_control_groups_the_affinity_counts(machine, monkeypatch):
    assert machine({}) == 64

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5})
    assert machine({}) == 2


def test_without_affinity_all_cores_count(machine, monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 8)

    assert machine({}) == 8
