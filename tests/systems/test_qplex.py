"""QPLEX in the learner: what its mixer is given, and the game that tells it from a monotone mixer."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, noise_like, on_rows, tiny_config
from reference import row_utilities

from limae_jax.networks.mixers import MIXERS
from limae_jax.systems.build import build_system
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import ActionSpec, EnvSpec, Rows

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
BATCH = made_up_rows(0, [marks([(3, True), (5, False)], 12), marks([(12, True)], 12)], hidden_size=8)


class BestOnly(nn.Module):
    """The sum of the best legal utilities."""

    def __call__(self, inputs):
        return jnp.sum(inputs.best_q, axis=-1)


def test_each_network_mixes_with_its_own_best_legal_utilities(monkeypatch):
    """Neither illegal actions, nor the online network's best in the target."""
    monkeypatch.setitem(MIXERS, "best", lambda config, env: BestOnly())
    config = tiny_config("qplex", td_lambda=0.0, gamma=0.9)
    core = ValueBasedCore(ValueBasedSpec(mixer="best"), config, TINY_ENV)
    shapes = jax.eval_shape(core.init, KEY)
    params, targets = noise_like(shapes.params, 1), noise_like(shapes.target_params, 2)
    errors, _ = core.td_errors(params, targets, BATCH, *core.read(BATCH))

    def best(tree):
        q = np.where(np.asarray(BATCH.avail), row_utilities(tree["agent"], BATCH), -np.inf)
        return q.max(axis=-1).sum(axis=-1)

    assert not np.asarray(BATCH.avail).all()
    reward = np.asarray(BATCH.reward) * core.reward_scale
    target = reward[:-1] + 0.9 * (1 - np.asarray(BATCH.terminal)[:-1]) * best(targets)[1:]
    is_real = np.asarray(errors.is_counted)[:-1]
    np.testing.assert_allclose(np.asarray(errors.target)[:-1][is_real], target[is_real], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(errors.chosen_value, best(params), rtol=1e-4, atol=1e-4)


CLIMBING = np.array([[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]])
MATRIX = EnvSpec("matrix", "climbing", num_agents=2, obs_size=1, state_size=1, actions=ActionSpec(3), episode_limit=1)


def _every_joint_action() -> Rows:
    actions = np.array(list(np.ndindex(3, 3)))
    rows = made_up_rows(0, [marks([(1, True)], 2)] * 9, hidden_size=16, env=MATRIX)
    reward = np.zeros((2, 9), np.float32)
    reward[0] = CLIMBING[tuple(actions.T)]
    return rows.replace(
        obs=np.ones_like(rows.obs),
        state=np.ones_like(rows.state),
        avail=np.ones_like(rows.avail),
        action=np.stack([actions, np.zeros_like(actions)]).astype(np.int32),
        reward=reward,
        start=jax.tree.map(np.zeros_like, rows.start),
    )


def _greedy_payoff(name: str, **mixer) -> float:
    rows = _every_joint_action()
    settings = {"hidden_size": 16, "learning_rate": 5e-3, "reward_scale": 1.0}
    built = build_system(tiny_config(name, mixer={"hypernet_dim": 16, **mixer}, **settings), MATRIX)

    def update(state, _):
        return on_rows(built.phases[-1].learn.update)(state, rows, counters(0), KEY)[0], None

    params = jax.jit(lambda: jax.lax.scan(update, built.init(KEY), length=2000)[0])().params
    q = row_utilities(jax.tree.map(np.asarray, params["agent"]), rows)[0, 0]
    return float(CLIMBING[tuple(np.argmax(q, axis=-1))])


def test_qplex_finds_the_best_play_of_climbing_and_a_monotone_mixer_does_not():
    assert _greedy_payoff("qplex") == 11.0
    assert _greedy_payoff("qmix", embed_dim=8) < 11.0
