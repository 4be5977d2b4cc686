"""What is missing on a machine is named, with what to do about it. The packages and the game here are empty files."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec

import pytest

from limae_jax.cli import doctor
from limae_jax.cli.main import main
from limae_jax.environments.smac.installation import check_installation
from limae_jax.errors import InputError

BINARY = "StarCraftII/Versions/Base75689/SC2_x64"
MAP = "StarCraftII/Maps/SMAC_Maps/3m.SC2Map"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder with all that is looked at; packages in `site`."""
    for name in ("pysc2", "s2clientprotocol", "websocket", "portpicker", "absl", "smac", "smac/env/starcraft2"):
        (tmp_path / "site" / name).mkdir(parents=True)
        # None is imported.
        (tmp_path / "site" / name / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "site/smac/env/starcraft2/starcraft2.py").touch()
    for file in (BINARY, MAP):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch(mode=0o755)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "StarCraftII"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


@pytest.fixture
def without(monkeypatch):
    """Makes a package impossible to find, or something else found in its place."""
    find = importlib.util.find_spec
    return lambda name, instead=None: monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted: instead if wanted == name else find(wanted)
    )


def refusal():
    with pytest.raises(InputError) as raised:
        check_installation("3m")
    return str(raised.value)


def test_all_is_there(machine):
    check_installation("3m")
    assert not {"smac", "pysc2", "s2clientprotocol"} & set(sys.modules)


@pytest.mark.parametrize(
    ("package", "way"),
    [
        ("smac", "pip install --no-deps pysc2==4.0.0 git+https://github.com/oxwhirl/smac.git"),
        ("pysc2", "pip install --no-deps pysc2==4.0.0"),
        ("s2clientprotocol", r"pip install -e '.[smac]'"),
        ("google.protobuf", r"pip install -e '.[smac]'"),
    ],
)
def test_missing_packages(machine, without, package, way):
    without(package)
    message = refusal()
    assert f"the package {package} is missing" in message and way in message


def test_a_mere_folder_of_that_name_is_no_package(machine, without):
    without("smac", instead=ModuleSpec("smac", None, is_package=True))
    assert "the package smac is missing" in refusal()


def test_the_optimiser_of_the_same_name_is_not_imported(machine):
    (machine / "site/smac/env/starcraft2/starcraft2.py").unlink()
    message = refusal()
    assert "hyper-parameter optimiser" in message and "pip uninstall smac, then pip install --no-deps" in message


def test_another_system(machine, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert refusal() == "env.name=smac: runs on Linux only, not on win32"


@pytest.mark.parametrize("is_set", [True, False])
def test_the_game_is_not_there(machine, monkeypatch, is_set):
    (machine / "StarCraftII").rename(machine / "elsewhere")
    if not is_set:
        monkeypatch.delenv("SC2PATH")
        monkeypatch.setenv("HOME", str(machine))
    message = refusal()
    assert f"not found at {machine}/StarCraftII ({'SC2PATH' if is_set else 'SC2PATH is not set'})" in message
    assert "set SC2PATH to the folder that holds Versions/ and Maps/" in message
    if not is_set:  # where pysc2 looks of itself
        (machine / "elsewhere").rename(machine / "StarCraftII")
        check_installation("3m")


def test_the_newest_program_is_looked_at(machine):
    (machine / "StarCraftII/Versions/Base80188").mkdir()
    (machine / "StarCraftII/Versions/Base9").mkdir()
    assert refusal().startswith(f"{machine}/StarCraftII/Versions/Base80188/SC2_x64: missing")


def test_no_program(machine):
    (machine / BINARY).parent.rename(machine / "StarCraftII/Versions/75689")
    assert "Versions: holds no Base* folder" in refusal()


def test_a_program_that_may_not_run(machine):
    (machine / BINARY).chmod(0o644)
    assert refusal() == f"{machine / BINARY}: is not executable; chmod +x {machine / BINARY}"


def test_missing_maps_are_told_from_those_there(machine):
    with pytest.raises(InputError) as raised:
        check_installation("8m")
    folder = f"{machine}/StarCraftII/Maps/SMAC_Maps"
    assert str(raised.value).startswith(f"{folder}/8m.SC2Map: missing; copy the maps")
    assert str(raised.value).endswith(f"to {folder}; found there: 3m")


def test_training_is_refused_before_anything_else(machine, capsys):
    (machine / MAP).unlink()
    for command in (["train", "env=smac"], ["doctor", "smca"]):
        assert main(command) == 2
    assert main(["train", "env=smac", "--coordinator", "auto"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and f"{machine / MAP}: missing" in errors[0]
    assert errors[1] == "limae-jax: error: doctor=smca: choose one of smac"
    assert "--coordinator=auto: games in processes of their own train on one host only" in errors[2]


def test_doctor_goes_on_after_the_first_thing_missing(machine, without, capsys):
    without("pysc2")
    (machine / BINARY).chmod(0o644)
    assert main(["doctor", "smac"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "ok", "FIX", "ok", "FIX", "ok"]
    assert "pip install" in lines[2] and "chmod +x" in lines[4] and "1 of 23, without 8m, 25m" in lines[5]


def test_doctor_launches_a_game_once_all_is_there(machine, monkeypatch, capsys):
    played = []
    monkeypatch.setattr(doctor, "_play", lambda name: played.append(name) or "played")
    assert main(["doctor", "smac"]) == 0
    assert played == ["3m"] and capsys.readouterr().out.endswith("ok    game          played\n")


def test_doctor_on_the_rest(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "limae-jax" in out and "jaxmarl" in out and "cpu" in out
