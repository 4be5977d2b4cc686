"""Programs of a sweep as jobs: submitit's executor of this machine, with jobs that train nothing."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from limae_jax.errors import InputError
from limae_jax.sweeps import cluster, sweep
from limae_jax.sweeps.grid import load_sweep
from limae_jax.sweeps.plan import plan_programs
from limae_jax.sweeps.program import Outcome

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(tmp_path):
    """Two systems, so two programs, the first of two runs."""
    return load_sweep(
        ["system=vdn,iql", "system.learning_rate=1e-3,2e-3", "sweep.cluster=local", f"sweep.dir={tmp_path}/s"]
    )


def test_each_program_is_a_job_and_a_job_that_dies_breaks_only_its_own_runs(asked, monkeypatch):
    def job(program, film):
        if program.configs[0].system.name == "iql":
            raise RuntimeError("no device")
        return [Outcome("failed", str(config.system.learning_rate)) for config in program.configs]

    monkeypatch.setattr(cluster, "train_in_job", job)
    monkeypatch.setattr(cluster, "POLL_S", 0.1)
    result = sweep.run_sweep(asked)
    told = {run_dir.parent.name: outcome for run_dir, outcome in result.outcomes.items()}
    for rate in (0.001, 0.002):
        assert told[f"system.learning_rate={rate},system=vdn"] == ("failed", str(rate))
        state, note = told[f"system.learning_rate={rate},system=iql"]
        assert state == "broken" and "RuntimeError: no device" in Path(note.rpartition(", see ")[2]).read_text()
    assert result.exit_code == 1


def test_a_job_trains_its_program(asked, monkeypatch):
    program, seen = plan_programs(asked)[0], []

    def train(configs, home, stop, consoles, told, film):
        for console in consoles:
            console.start(["title"])
            console.warning("shown to nobody")
        seen.extend(configs)
        return [
            SimpleNamespace(failed_seeds=[1] if config is configs[1] else [], is_complete=True) for config in configs
        ]

    monkeypatch.setattr("limae_jax.sweeps.program.train_together", train)
    assert cluster.train_in_job(program) == [
        Outcome("done"),
        Outcome("failed", "the loss of seed 1 was not finite"),
    ]
    assert tuple(seen) == program.configs


def test_options_that_submitit_does_not_take_are_one_clear_line(tmp_path):
    asked = load_sweep(["sweep.cluster=local", "sweep.cluster_options={partitions: gpu}", f"sweep.dir={tmp_path}"])
    with pytest.raises(InputError, match=r"sweep\.cluster=local: submitit refuses it: ") as caught:
        sweep.run_sweep(asked)
    assert "\n" not in str(caught.value)


def test_without_submitit_the_extra_is_named(asked, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"needs the extra `cluster`; pip install 'limae-jax\[cluster\]'"):
        sweep.run_sweep(asked)
