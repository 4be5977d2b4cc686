"""Makes the stored runs that `test_stored_runs.py` continues: python tests/stored_runs/make.py, in the repository.

They stand for what users have on their disks, so they are made once for a format, and later code must read them. Each
archive holds a run as it was stopped, `expected.jsonl` with the metrics that the code of then went on to, and the
processor that it ran on: another one rounds otherwise.
"""

import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import conftest  # noqa: F401, E402 - the flags that tests compile with

SETTINGS = [
    "env.scenario=2m_vs_2m",
    "env.num_envs=4",
    "env.max_steps=12",
    "system.hidden_size=8",
    "system.mixer_embed_dim=4",
    "system.mixer_hypernet_dim=4",
    "system.target_update_env_steps=200",
    "system.epsilon_decay_env_steps=2000",
    "system.updates_per_iteration=2",
    "replay.row_length=8",
    "replay.capacity_rows=40",
    "replay.batch_rows=4",
    "replay.min_rows=8",
    "evaluation.num_episodes=4",
    "evaluation.every_env_steps=256",
    "checkpoint.keep_replay=true",
]
OF_CONTEXT = ["mae.width=8", "mae.num_heads=2", "mae.window=3", "mae.encoder_layers=1", "mae.pretrain_env_steps=256"]
RUNS = {"qmix": ["system=qmix"], "li_ma2e": ["system=li_ma2e", *OF_CONTEXT]}
STOPPED_AT, ENDS_AT = 1100, 1500
CHUNK_TIME_STEPS = 64


def processor() -> str:
    """What tells one kind of processor from another."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    vectors = sorted(flag for flag in flags if flag.startswith(("avx", "fma")))
    return " ".join([platform.machine(), *vectors])


def main() -> None:
    from limae_jax.config.compose import load_config
    from limae_jax.training import plan, runner

    plan.CHUNK_TIME_STEPS = CHUNK_TIME_STEPS
    for name, settings in RUNS.items():
        with tempfile.TemporaryDirectory() as place:
            folder, longer = Path(place, "run"), Path(place, "longer")
            overrides = [*SETTINGS, *settings, f"run.total_env_steps={STOPPED_AT}", f"run.dir={folder}"]
            assert runner.train(load_config(overrides), console=False).is_complete
            shutil.copytree(folder, longer)
            assert runner.resume(longer, [f"run.total_env_steps={ENDS_AT}"], console=False).is_complete
            shutil.copy(longer / "metrics.jsonl", folder / "expected.jsonl")
            (folder / "processor.json").write_text(json.dumps(processor()))
            shutil.make_archive(str(HERE / name), "gztar", folder)


if __name__ == "__main__":
    main()
