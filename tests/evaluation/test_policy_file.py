"""A team in a file of its own acts as it does in its run, and says what it is."""

import json
import struct

import jax
import numpy as np
import pytest
from doubles.tiny import TINY, TINY_MIXED
from made_runs import made_run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import limae_jax
from limae_jax.cli.main import main
from limae_jax.config.compose import load_config
from limae_jax.config.text import from_yaml
from limae_jax.errors import InputError
from limae_jax.evaluation import policy
from limae_jax.training import setup

pytestmark = pytest.mark.slow

# The environment's sizes are read, and nothing is trained.
PLAYS_SMAX = True
CONTEXT = ["mae.width=8", "mae.num_heads=2", "mae.window=3"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("policy") / "run", *TINY_MIXED)


def play(team, steps=6):
    """Actions on observations that nobody made."""
    draw, carry, actions = np.random.default_rng(0), team.initial_carry, []
    for _ in range(steps):
        obs = draw.normal(size=(team.spec.num_agents, team.spec.obs_size)).astype(np.float32)
        avail = draw.random((team.spec.num_agents, team.spec.num_actions)) < 0.7
        avail[:, 0] = True
        action, carry = team.act(carry, obs, avail)
        actions.append(np.asarray(action))
    return np.stack(actions), jax.tree.map(np.asarray, carry)


@pytest.mark.parametrize("overrides", [TINY_MIXED, [*TINY, "system=li_ma2e", *CONTEXT], TINY])
def test_a_file_acts_as_the_run_bit_for_bit(tmp_path, overrides):
    made = made_run(tmp_path / "run", *overrides)
    path = limae_jax.export_policy(made, tmp_path / "team.safetensors", 6, "best")
    own, loaded = limae_jax.load_policy(made, 6, "best"), limae_jax.load_policy(str(path))
    assert loaded.is_decentralised == own.is_decentralised
    found, wanted = play(loaded), play(own)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    assert all(map(np.array_equal, jax.tree.leaves(found), jax.tree.leaves(wanted)))


def test_plain_safetensors_reads_every_parameter_and_what_they_are(run_dir, tmp_path, capsys):
    path = tmp_path / "team.safetensors"
    assert main(["export", str(run_dir), "--seed", "5", "--checkpoint", "best", "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    arrays = load_file(path)
    system = setup.make_setup(load_config(TINY_MIXED)).parts.system
    params = system.init(jax.random.key(11)).params
    assert arrays["agent.params.gru.recurrent_n"].shape == (8, 8)
    assert len(arrays) == len(jax.tree.leaves(params))
    flat = {".".join(key.key for key in keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(params)}
    assert flat.keys() == arrays.keys()
    assert all(np.array_equal(flat[name], arrays[name]) for name in flat)
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
    told = {"seed": "5", "checkpoint": "best", "iteration": "8", "is_decentralised": "true", "system": "qmix"}
    told |= {"scenario": "2m_vs_2m", "env": "smax", "num_agents": "2", "limae_jax": limae_jax.__version__}
    assert about.items() >= told.items()
    # Where the run was is nobody's business.
    assert str(run_dir) not in json.dumps(about) and from_yaml(about["config"]).system.hidden_size == 8


def test_an_oracle_is_no_decentralised_team(tmp_path):
    made = made_run(tmp_path / "run", *TINY, "system=oracle")
    assert not limae_jax.load_policy(limae_jax.export_policy(made, tmp_path / "a.safetensors")).is_decentralised


def foreign(arrays, metadata):
    return lambda path: save_file(arrays, path, metadata)


def altered(change):
    def alter(path):
        with safe_open(path, framework="numpy") as file:
            arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
        change(arrays, metadata)
        save_file(arrays, path, metadata)

    return alter


def first(arrays):
    return next(iter(arrays))


DAMAGES = {
    "nothing there": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "no safetensors": lambda path: path.write_bytes(b"PK\x03\x04" * 100),
    "a huge header": lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{}"),
    "another's file": foreign({"x": np.zeros(2)}, None),
    "another's metadata": foreign({"x": np.zeros(2)}, {"format": "pt"}),
    "no settings": altered(lambda arrays, about: about.pop("config")),
    "wrong settings": altered(lambda arrays, about: about.update(config="system: {name: qmxi}")),
    "other settings": altered(
        lambda arrays, about: about.update(config=about["config"].replace("size: 8", "size: 16"))
    ),
    "a later format": altered(lambda arrays, about: about.update(format_version="2")),
    "one too few": altered(lambda arrays, about: arrays.pop(first(arrays))),
    "one too many": altered(lambda arrays, about: arrays.update(more=np.zeros(1))),
    "another type": altered(
        lambda arrays, about: arrays.update({first(arrays): arrays[first(arrays)].astype(np.float64)})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_file_is_told_in_one_line(run_dir, tmp_path, damage):
    path = limae_jax.export_policy(run_dir, tmp_path / "team.safetensors")
    DAMAGES[damage](path)
    with pytest.raises(InputError) as error:
        limae_jax.load_policy(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_holds_one_seed(run_dir, tmp_path):
    path = limae_jax.export_policy(run_dir, tmp_path / "team.safetensors", seed=5)
    limae_jax.load_policy(path, seed=5)
    with pytest.raises(InputError, match=r"seed=4: .*holds seed 5 only"):
        limae_jax.load_policy(path, seed=4)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["--out", "team.npz"], "--out=team.npz: must end in .safetensors"),
        (["--out", "no/such/team.safetensors"], "there is no folder no/such"),
        (["--out", "t.safetensors", "--seed", "7"], "--seed=7: the run has seeds 4 to 6"),
        (["--out", "t.safetensors", "--checkpoint", "latest"], "choose one of last, best"),
        ([], "required: --out"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(run_dir, tmp_path, monkeypatch, capsys, command, said):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run_dir), *command]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_the_old_one(run_dir, tmp_path, monkeypatch):
    path = limae_jax.export_policy(run_dir, tmp_path / "team.safetensors")
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(policy.write_policy_file.__globals__["os"], "replace", full)
    with pytest.raises(InputError, match=r"cannot be written .No space left"):
        limae_jax.export_policy(run_dir, path, checkpoint="best")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
