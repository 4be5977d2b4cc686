"""What control groups leave, read off made-up trees of /proc and /sys."""

import pytest

from limae_jax.devices import host_memory
from limae_jax.devices.host_memory import free_memory, left_by_groups

GIB = 2**30
UNLIMITED = 9223372036854771712  # of version 1
V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "36 25 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:5 - cgroup cgroup rw,memory"
CPU = "37 25 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct"
TMP = "40 24 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
FILES = {2: ("memory.max", "memory.current", "inactive_file"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}


@pytest.fixture
def machine(tmp_path):
    """Makes a machine: its mounts, this process's groups, and files of groups as {path: (limit, used, ...)}."""

    def make(mounts, groups, version, folders):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/mountinfo").write_text("\n".join([TMP, *mounts]) + "\n")
        (tmp_path / "proc/self/cgroup").write_text("\n".join(groups) + "\n")
        for path, (limit, used, *rest) in folders.items():
            folder = tmp_path / path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILES[version][0]).write_text(f"{limit}\n")
            (folder / FILES[version][1]).write_text(f"{used}\n")
            for name, text in rest:
                (folder / name).write_text(f"{text}\n")
        return tmp_path

    return make


SYS, MEMORY = "sys/fs/cgroup", "sys/fs/cgroup/memory"
JOB = "system.slice/slurmstepd.scope/job_7"


@pytest.mark.parametrize(
    ("mounts", "groups", "version", "folders", "expected"),
    [
        pytest.param([V2], ["0::/"], 2, {SYS: (8 * GIB, GIB)}, 7 * GIB, id="a container's own root"),
        pytest.param([V2], ["0::/"], 2, {SYS: ("max", GIB)}, None, id="no limit"),
        pytest.param(
            [V2],
            [f"0::/{JOB}/step_0/user/task_0"],
            2,
            {f"{SYS}/{JOB}/step_0/user/task_0": ("max", 1), f"{SYS}/{JOB}": (4 * GIB, GIB), f"{SYS}": ("max", 9)},
            3 * GIB,
            id="a SLURM job's limit, two groups above",
        ),
        pytest.param(
            [V2],
            ["0::/a/b"],
            2,
            {f"{SYS}/a": (4 * GIB, 3 * GIB), f"{SYS}/a/b": (2 * GIB, 0)},
            GIB,
            id="others have used up what the group above has",
        ),
        pytest.param(
            [V2], ["0::/a"], 2, {f"{SYS}/a": ("max", GIB, ("memory.high", 3 * GIB))}, 2 * GIB, id="memory.high"
        ),
        pytest.param(
            [V2],
            ["0::/a"],
            2,
            {f"{SYS}/a": (4 * GIB, 4 * GIB, ("memory.stat", f"anon 5\ninactive_file {GIB}\nslab 7"))},
            GIB,
            id="file cache can be dropped",
        ),
        pytest.param([V2], ["0::/a"], 2, {f"{SYS}/a": (GIB, 2 * GIB)}, 0, id="nothing is left"),
        pytest.param([V2], ["0::/other"], 2, {f"{SYS}/a": (GIB, 0)}, None, id="another's limit"),
        pytest.param([V2], ["0::/../x"], 2, {SYS: (GIB, 0)}, GIB, id="outside of its name space"),
        pytest.param(
            [V2.replace(" / ", " /docker/7a ", 1)],
            ["0::/docker/7a/job"],
            2,
            {f"{SYS}/job": (2 * GIB, GIB), SYS: (4 * GIB, 0)},
            GIB,
            id="only a part is mounted",
        ),
        pytest.param(
            [V2.replace(" / ", " /docker/7a ", 1)], ["0::/"], 2, {SYS: (2 * GIB, GIB)}, GIB, id="mounted part not seen"
        ),
        pytest.param(
            [V2.replace("/sys/fs/cgroup", r"/mnt/control\040groups")],
            ["0::/a b"],
            2,
            {"mnt/control groups/a b": (2 * GIB, GIB)},
            GIB,
            id="mounted elsewhere, with spaces",
        ),
        pytest.param(
            [CPU, V1],
            ["5:cpu,cpuacct:/", "4:memory:/slurm/uid_0/job_7/step_0"],
            1,
            {
                MEMORY: (UNLIMITED, 9 * GIB),
                f"{MEMORY}/slurm/uid_0/job_7": (4 * GIB, GIB),
                f"{MEMORY}/slurm/uid_0/job_7/step_0": (UNLIMITED, GIB),
            },
            3 * GIB,
            id="version 1, a SLURM job",
        ),
        pytest.param([V1], ["4:memory:/"], 1, {MEMORY: (UNLIMITED, GIB)}, None, id="version 1, no limit"),
        pytest.param(
            [V1],
            ["4:cpu,memory:/a"],
            1,
            {f"{MEMORY}/a": (2 * GIB, 2 * GIB, ("memory.stat", f"inactive_file 1\ntotal_inactive_file {GIB}"))},
            GIB,
            id="version 1, file cache",
        ),
        pytest.param(
            [V1, V2.replace("cgroup rw", "cgroup/unified rw", 1)],
            ["4:memory:/a", "0::/init.scope"],
            1,
            {f"{MEMORY}/a": (2 * GIB, GIB)},
            GIB,
            id="both versions, memory in the first",
        ),
        pytest.param([V2], ["0::/a"], 2, {f"{SYS}/a": ("lots", GIB)}, None, id="a limit that is no number"),
        pytest.param([V2], ["0::/a"], 2, {f"{SYS}/a": (GIB, "")}, None, id="nothing said of what is used"),
        pytest.param(["nonsense", "- cgroup2", V2], ["what", "", "0::/"], 2, {SYS: (GIB, 0)}, GIB, id="odd lines"),
    ],
)
def test_the_tightest_limit_counts(mounts, groups, version, folders, expected, machine):
    assert left_by_groups(machine(mounts, groups, version, folders)) == expected


def test_a_system_without_control_groups(tmp_path):
    assert left_by_groups(tmp_path) is None


@pytest.mark.parametrize(("left", "is_less"), [(1, True), (2**62, False), (None, False)])
def test_free_memory_is_the_lesser_one(left, is_less, monkeypatch):
    monkeypatch.setattr(host_memory, "left_by_groups", lambda: left)
    assert (free_memory() == 1) == is_less and free_memory() < 2**50
