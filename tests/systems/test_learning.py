"""Small problems whose answer is known, learned from one fixed batch that holds all there is to see."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import counters, made_up_rows, marks, on_rows, tiny_config
from reference import row_utilities, team_values

from limae_jax.systems.build import build_system
from limae_jax.types import ActionSpec, EnvSpec, Rows

pytestmark = pytest.mark.slow

GAMMA = 0.9


def _train(name: str, env: EnvSpec, batch: Rows, num_updates: int, **system):
    """Parameters after so many updates on the batch, with a target copy after each 25."""
    sizes = {"hidden_size": 16, "target_update_env_steps": 25}
    mixer = {"embed_dim": 8, "hypernet_dim": 8} if name == "qmix" else None
    config = tiny_config(name, mixer=mixer, gamma=GAMMA, reward_scale=1.0, learning_rate=5e-3, **sizes, **system)
    built, key = build_system(config, env), jax.random.key(0)

    def step(state, count):
        state, metrics = on_rows(built.phases[-1].learn.update)(state, batch, counters(0), key)
        before, after = (counters(0).replace(env_steps=count + i) for i in (0, 1))
        return built.after_iteration(state, before, after), metrics["loss"]

    run = jax.jit(
        lambda: jax.lax.scan(step, built.init(jax.random.key(1)), jnp.arange(num_updates, dtype=jnp.int32))[0]
    )
    return jax.tree.map(np.asarray, run().params)


def test_constant_reward_is_worth_its_discounted_sum():
    env, row = EnvSpec("line", "line", 2, 4, 3, ActionSpec(3), 5), marks([(5, True)], 12)
    batch = made_up_rows(0, [row, row], hidden_size=16, env=env)
    # Only the action that was played is legal: what a greedy team would do is then in the batch.
    played = np.asarray(batch.action)[..., None] == np.arange(env.num_actions)
    batch = batch.replace(reward=jnp.ones_like(batch.reward), avail=played)
    params = _train("qmix", env, batch, 800)
    chosen = np.take_along_axis(row_utilities(params["agent"], batch), np.asarray(batch.action)[..., None], axis=-1)
    values = team_values("qmix", params, chosen[..., 0], batch)[..., 0]
    for t in range(5):
        expected = sum(GAMMA**k for k in range(5 - t))
        np.testing.assert_allclose(values[[t, t + 6]], expected, atol=0.1)


TWO_STEP = EnvSpec(
    "two_step", "two_step", num_agents=2, obs_size=3, state_size=3, actions=ActionSpec(2), episode_limit=2
)
PAYOFFS = np.array([[[7.0, 7.0], [7.0, 7.0]], [[0.0, 1.0], [1.0, 8.0]]])


def _two_step_games() -> Rows:
    """All 16 plays of the two-step game (Rashid et al. 2018, section 5): agent 0's first action picks a matrix."""
    actions = np.array(list(itertools.product(range(2), repeat=4))).reshape(16, 2, 2)
    rows = made_up_rows(0, [marks([(2, True)], 3)] * 16, hidden_size=16, env=TWO_STEP)
    state = np.zeros((3, 16, 3), np.float32)
    state[0, :, 0] = 1.0
    state[1, np.arange(16), 1 + actions[:, 0, 0]] = 1.0
    reward = np.zeros((3, 16), np.float32)
    reward[1] = PAYOFFS[actions[:, 0, 0], actions[:, 1, 0], actions[:, 1, 1]]
    return rows.replace(
        obs=np.repeat(state[:, :, None], 2, axis=2),
        state=state,
        avail=np.ones_like(rows.avail),
        action=np.concatenate([actions.swapaxes(0, 1), np.zeros((1, 16, 2))]).astype(np.int32),
        reward=reward,
        start=jax.tree.map(np.zeros_like, rows.start),
    )


def _greedy_payoff(params, games: Rows) -> float:
    """What greedy agents win: each row holds the utilities after its own first actions."""
    q, actions = row_utilities(params["agent"], games), np.asarray(games.action)
    for step in (0, 1):
        greedy = np.argmax(q[step], axis=-1)
        stays = (actions[step] == greedy).all(axis=-1)
        q, actions = q[:, stays], actions[:, stays]
        games = games.replace(reward=np.asarray(games.reward)[:, stays])
    assert actions.shape[1] == 1
    return float(games.reward[1, 0])


def test_qmix_solves_the_two_step_game_and_vdn_does_not():
    games = _two_step_games()
    # TD(0): the plays of the batch are those of a uniformly random team.
    assert _greedy_payoff(_train("qmix", TWO_STEP, games, 1000, td_lambda=0.0), games) == 8.0
    assert _greedy_payoff(_train("vdn", TWO_STEP, games, 1000, td_lambda=0.0), games) == 7.0
