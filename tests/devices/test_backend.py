"""What jax's environment variables ask for: there, and of use, or one line that says what to set."""

import logging
import os
import pwd
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from limae_jax.config import RunConfig, TrainConfig
from limae_jax.config.text import to_yaml
from limae_jax.devices import backend
from limae_jax.devices.backend import changed_settings, keep_compiled, start_backend
from limae_jax.errors import InputError

pytestmark = pytest.mark.slow

# All commands that start jax, in one process: what jax finds does not change.
STARTING = """
import sys
from limae_jax.cli.main import main
commands = [["train", "run.dir=new"], ["sweep", "system=qmix,vdn", "sweep.dir=new"], ["resume", "run"]]
commands += [["evaluate", "run"], ["render", "run"], ["doctor"]]
sys.exit(sum(main(command) != 2 for command in commands))
"""


def start(folder: Path, **environment: str) -> tuple[list[str], str]:
    """Lines of standard error, and standard output, of the commands in STARTING."""
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").write_text(to_yaml(TrainConfig(run=RunConfig(dir="run"))))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command = [sys.executable, "-c", STARTING]
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert [path.name for path in folder.rglob("*")] == ["run", "config.yaml"]
    return done.stderr.splitlines(), done.stdout


def test_a_platform_that_is_not_there_is_told_by_every_command(tmp_path):
    lines, out = start(tmp_path, JAX_PLATFORMS="CPU")
    fix = "JAX_PLATFORMS=CPU: there is no such device here; set JAX_PLATFORMS=cpu, or unset it."
    fix += " A GPU needs limae-jax[cuda]"
    assert lines == [f"limae-jax: error: {fix}"] * 5
    assert f"FIX   devices       {fix}" in out


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unable to initialize\nbackend 'cuda'")])
@pytest.mark.parametrize("asked", ["cuda", "gpu", "tpuu", None])
def test_whatever_jax_raises_without_devices_is_one_line(monkeypatch, error, asked):
    def no_devices():
        raise error

    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", asked)
    try:
        monkeypatch.setattr(jax, "devices", no_devices)
        with pytest.raises(InputError, match=f"JAX_PLATFORMS={asked}: " if asked else "finds no device") as caught:
            start_backend()
    finally:
        jax.config.update("jax_platforms", before)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", True),
        ("jax_disable_jit", True),
        ("jax_numpy_rank_promotion", "raise"),
        ("jax_numpy_dtype_promotion", "strict"),
        ("jax_transfer_guard", "disallow"),
    ],
)
def test_what_cannot_work_is_refused(name, value):
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        with pytest.raises(InputError, match=rf"{name}=\w+: must be .*; unset {name.upper()}"):
            start_backend()
    finally:
        jax.config.update(name, str(before) if name == "jax_numpy_dtype_promotion" else before)
    start_backend()


@pytest.mark.parametrize("variable", ["JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL", "JAX_DEFAULT_MATMUL_PRECISION"])
def test_a_value_that_jax_does_not_know_is_one_line(tmp_path, variable):
    lines, _ = start(tmp_path, **{variable: "maybe"})
    assert len(lines) == 5
    assert all(line.startswith("limae-jax: error: jax does not start: ") and "maybe" in line for line in lines)


def test_settings_that_results_depend_on_are_recorded():
    assert changed_settings() == {}
    with jax.default_matmul_precision("highest"), jax.threefry_partitionable(False):
        assert changed_settings() == {"jax_default_matmul_precision": "highest", "jax_threefry_partitionable": False}


@pytest.fixture
def cache(monkeypatch, caplog):
    """The folder that compiled programs are kept in, and what is said of it; jax is left as it was."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    backend._tell_once.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def keep() -> tuple[str | None, list[str]]:
        with caplog.at_level(logging.WARNING, "limae_jax"):
            keep_compiled()
        return jax.config.jax_compilation_cache_dir, [record.getMessage() for record in caplog.records]

    yield keep
    for name, value in before.items():
        jax.config.update(name, value)


def no_home(monkeypatch):
    """As for a user of a container that has no entry in its list of users."""

    def no_entry(*args):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_entry)


@pytest.mark.parametrize("place", ["", "relative", "./x"])
def test_a_place_of_the_cache_that_is_not_absolute_counts_as_none(cache, monkeypatch, tmp_path, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache() == (str(tmp_path / "home/.cache/limae_jax/xla"), [])
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("place", [None, "", "relative"])
def test_without_a_home_nothing_is_kept_which_is_told_once(cache, monkeypatch, tmp_path, place):
    monkeypatch.chdir(tmp_path)
    no_home(monkeypatch)
    if place is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", place)
    cache()
    folder, said = cache()
    assert folder is None and len(said) == 1 and "there is no home folder; set XDG_CACHE_HOME" in said[0]
    assert not list(tmp_path.iterdir())


def test_without_a_home_the_place_that_is_set_is_used(cache, monkeypatch, tmp_path):
    no_home(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == (str(tmp_path / "limae_jax/xla"), [])


@pytest.mark.parametrize("is_given", [True, False])
def test_a_place_that_cannot_be_written_is_told_once(cache, monkeypatch, tmp_path, is_given):
    (tmp_path / "file").write_text("")
    if is_given:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path / "file" / "xla"))
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder, said = cache()
    assert folder is None and len(said) == 1 and "is not writable; set XDG_CACHE_HOME" in said[0]
