"""A trained team in a game by the library: the snippet of the README, and what an episode says."""

import contextlib
import io
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.tiny import TINY

import limae_jax
from limae_jax.config import SmacConfig, TrainConfig
from limae_jax.config.compose import load_config

pytestmark = pytest.mark.slow

PLAYS_SMAX = True

README = Path(__file__).parents[2] / "README.md"


def snippet():
    """README's, with the settings left out: those of a test are smaller."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = code.splitlines()
    without = [line for line in lines if not line.startswith("config = ")]
    assert len(without) == len(lines) - 1
    return "\n".join(without)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What the snippet left behind, and what it printed."""
    directory = tmp_path_factory.mktemp("library") / "run"
    names = {"config": load_config([*TINY, "run.num_seeds=2", f"run.dir={directory}"])}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(snippet(), names)
    return names, printed.getvalue().splitlines()


def test_the_snippet_runs_as_printed(ran):
    names, lines = ran
    last = names["result"].last_rows
    wins = " ".join(f"{row['test_win_rate']:.2f}" for row in last)
    assert lines[0] == f"vdn on {names['config'].env.scenario} (smax), seeds 0-1"
    assert lines[1].startswith(f"win rate {wins} after ") and lines[1].endswith(" env steps")
    assert lines[2] == f"complete; in {names['result'].run_dir}"
    assert lines[3].startswith("Policy: 2 agent(s) of smax ") and lines[3].endswith(", decentralised")
    assert lines[4].startswith("Episode: ") and f"win {names['episode'].outcome['win']:g}" in lines[4]
    assert len(lines) == 6


def test_an_episode_is_whole_and_legal(ran):
    episode, spec = ran[0]["episode"], ran[0]["policy"].spec
    length, agents = episode.length, spec.num_agents
    assert 1 <= length <= spec.episode_limit
    assert episode.obs.shape == (length + 1, agents, spec.obs_size) and episode.state.shape == (length + 1, 24 * agents)
    assert episode.action.shape == (length, agents) and episode.reward.shape == (length,)
    assert np.take_along_axis(episode.avail[:-1], episode.action[..., None], axis=-1).all()
    assert set(episode.outcome) == set(spec.outcome_names)
    assert episode.is_truncated == (
        length == spec.episode_limit and episode.alive[-1].any() and not episode.outcome["win"]
    )


def test_an_episode_is_played_again_by_its_seed_and_by_nothing_else(ran):
    names = ran[0]
    again, other = (limae_jax.play(names["policy"], limae_jax.make_env(names["config"]), seed) for seed in (1, 2))
    np.testing.assert_array_equal(again.obs, names["episode"].obs)
    np.testing.assert_array_equal(again.action, names["episode"].action)
    assert other.obs.shape != again.obs.shape or not np.array_equal(other.obs, again.obs)


def test_the_team_acts_on_what_it_sees(ran):
    policy, episode = ran[0]["policy"], ran[0]["episode"]
    carry = policy.initial_carry
    for obs, avail, action in zip(episode.obs, episode.avail, episode.action, strict=False):
        mine, carry = policy.act(carry, obs, avail)
        np.testing.assert_array_equal(mine, action)
    assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.all(jnp.isfinite(x))), carry))


def test_what_cannot_be_played_is_said_in_a_line(ran, tmp_path):
    policy, env = ran[0]["policy"], ran[0]["env"]
    other = limae_jax.make_env(load_config([*TINY, "env.scenario=3m"]))
    for wrong, message in (
        (lambda: limae_jax.play(policy, other), r"env.scenario=3m: has num_agents 3, not 2"),
        (lambda: limae_jax.play(policy, env, seed=-1), r"seed=-1: choose a whole number"),
        (lambda: limae_jax.play(policy, env, seed=2**31), r"seed=2147483648: choose"),
        (lambda: limae_jax.make_env(tmp_path), "RUN_DIR"),
        (lambda: limae_jax.make_env(TrainConfig(env=SmacConfig(scenario="3m"))), "env=smac: .*limae-jax evaluate"),
    ):
        with pytest.raises(limae_jax.InputError, match=message):
            wrong()
