"""The loss of guessing team-mates from one agent's window, against a slow computation of each window by itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from context_systems import BATCH, KEY, TRIO, WINDOW, config_of, learner
from doubles.fakes import counters, noise_like, with_some_scale

from limae_jax.networks.mae import other_agents
from limae_jax.networks.windows import Stretch, empty_history, make_stretch
from limae_jax.systems.feature_scale import deviation, updated_scale
from limae_jax.systems.mae_loss import Views, Windows, cut_windows, mae_loss
from limae_jax.systems.team_models import init_mae, mae_team_model, make_mae, num_read
from limae_jax.types import Sample

pytestmark = pytest.mark.slow

equal = functools.partial(jax.tree.map, np.testing.assert_array_equal)
AGENTS = range(TRIO.num_agents)


class Case:
    """Windows of a batch with agents that die, and an auto-encoder of noise."""

    def __init__(self, context: str):
        self.settings = config_of("li_ma2e", mae_context=context).mae
        self.mae = make_mae(self.settings, TRIO)
        shapes = jax.eval_shape(lambda: {"mae": init_mae(self.mae, KEY)})
        self.params = with_some_scale(noise_like(shapes, 4, 0.4))["mae"]
        core = learner("li_ma2e", mae_context=context).core
        start, inputs = core.read(BATCH)
        chosen = np.random.default_rng(1).random(BATCH.alive.shape) < 0.6
        self.windows = jax.jit(lambda key: cut_windows(self.mae, start, inputs, BATCH, jnp.asarray(chosen), key))(KEY)
        self.run = jax.jit(
            lambda params, windows, viewers: mae_loss(self.settings, self.mae, params, windows, viewers),
            static_argnums=2,
        )


case = functools.cache(Case)


def _slowly(one: Case, windows: Windows, viewers: bool) -> dict[str, float]:
    """Every window by itself: window n is seen by agent n mod 3."""
    mae, params = one.mae, one.params
    reads, scale = num_read(one.settings), params["scale"]
    tokens, length = np.asarray(windows.stretch.tokens), np.asarray(windows.stretch.valid_length)
    features, survival, actions = [], [], []
    for n in range(tokens.shape[1] - tokens.shape[1] % 3):
        viewer = n % 3
        seen = np.clip((tokens[:, n : n + 1] - scale["mean"]) / deviation(scale), -5, 5)
        alone = Stretch(jnp.asarray(seen), jnp.asarray(length[:, n : n + 1]))
        decoded = mae.apply(params, alone, method="infer")[0, 0, viewer]
        guess = np.asarray(mae.apply(params, decoded, method="reconstruct"))
        logit, logits = (np.asarray(x) for x in mae.apply(params, decoded[:, 0], method="status"))
        for rank, mate in enumerate(other_agents(3)[viewer]):
            decides = windows.is_chosen[n, viewer if viewers else mate]
            if not (decides and windows.alive[n, viewer]):
                continue
            probability = 1 / (1 + np.exp(-logit[rank]))
            survival.append(-np.log(probability if windows.alive[n, mate] else 1 - probability))
            if not windows.alive[n, mate]:
                continue
            for back in range(min(reads, length[-1, n] + 1)):
                wanted = (tokens[WINDOW - 1 - back, n, mate] - scale["mean"]) / deviation(scale)
                features.append(np.mean((guess[rank, back] - wanted) ** 2))
            if windows.filled[n]:
                shares = np.exp(logits[rank]) / np.exp(logits[rank]).sum()
                actions.append(-np.log(shares[windows.action[n, mate]]))
    assert min(map(len, (features, survival, actions))) > 3 and len(survival) > len(actions)
    return {
        "loss_features": np.mean(features),
        "loss_alive": np.mean(survival),
        "loss_action": np.mean(actions),
    }


@pytest.mark.parametrize("viewers", [False, True])
@pytest.mark.parametrize("context", ["last_step", "window"])
def test_equals_a_slow_computation(context, viewers):
    one = case(context)
    found, expected = one.run(one.params, one.windows, viewers), _slowly(one, one.windows, viewers)
    assert found.metrics.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found.metrics[name], value, rtol=1e-4, err_msg=name)
    total = expected["loss_features"] + 0.1 * (expected["loss_alive"] + expected["loss_action"])
    np.testing.assert_allclose(found.total, total, rtol=1e-4)


def test_the_windows_end_with_the_actions_that_were_chosen_there():
    """Not with those before, which the window has already."""
    ends = np.asarray(case("last_step").windows.stretch.tokens)[-1, :, :, : TRIO.obs_size]
    obs, found = np.asarray(BATCH.obs), 0
    for window, agent in np.ndindex(ends.shape[:2]):
        (slot, row), *_ = np.argwhere(np.all(obs[:, :, agent] == ends[window, agent], axis=-1))
        assert case("last_step").windows.action[window, agent] == BATCH.action[slot, row, agent]
        assert case("last_step").windows.alive[window, agent] == BATCH.alive[slot, row, agent]
        assert case("last_step").windows.filled[window] == BATCH.filled[slot, row]
        found += 1
    assert found >= 6


@pytest.mark.parametrize(("num_windows", "num_agents"), [(12, 3), (13, 3), (3, 3), (2, 5), (192, 8), (40, 27), (6, 1)])
def test_every_agent_is_the_viewer_equally_often(num_windows, num_agents):
    views = Views.of(num_windows, num_agents)
    assert views.window.shape == (max(num_windows // num_agents, 1), num_agents)
    assert views.window.max() < num_windows
    # No window is used twice, unless there are fewer than agents.
    assert num_windows < num_agents or len(np.unique(views.window)) == views.window.size


def test_the_encoder_sees_the_viewer_alone():
    """Whatever the others' windows hold, if they are no targets, the gradients stay bit-equal."""
    one = case("last_step")
    grad = jax.jit(jax.grad(lambda params, windows: mae_loss(one.settings, one.mae, params, windows).total))
    nobody = jnp.zeros_like(one.windows.is_chosen)
    tokens, moved = one.windows.stretch.tokens, one.windows.stretch.tokens.copy()
    viewer = np.arange(tokens.shape[1]) % 3
    for agent in AGENTS:
        # The last step of another agent is a target; those before are not.
        moved = moved.at[:-1, viewer != agent, agent].add(1.0)
    changed = one.windows._replace(stretch=one.windows.stretch.replace(tokens=moved))
    equal(grad(one.params, changed), grad(one.params, one.windows))
    seen = one.windows.stretch.replace(tokens=tokens.at[:-1, viewer == 0, 0].add(1.0))
    assert _differ(grad(one.params, one.windows._replace(stretch=seen)), grad(one.params, one.windows))
    assert not any(np.any(x) for x in jax.tree.leaves(grad(one.params, one.windows._replace(is_chosen=nobody))))


def _differ(one, other) -> bool:
    return any(np.any(np.asarray(a) != np.asarray(b)) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def test_dead_team_mates_count_for_survival_only_and_dead_viewers_for_nothing():
    one = case("last_step")
    windows, run = one.windows, lambda windows: one.run(one.params, windows, False).metrics
    everybody = windows._replace(is_chosen=jnp.ones_like(windows.is_chosen), alive=jnp.ones_like(windows.alive))
    without_1 = everybody._replace(alive=everybody.alive.at[:, 1].set(False))
    before = run(without_1)
    moved = windows.stretch.replace(tokens=windows.stretch.tokens.at[:, :, 1].add(1.0))
    after = run(without_1._replace(stretch=moved, action=(windows.action + np.array([0, 1, 0])) % TRIO.num_actions))
    equal(after, before)
    assert before["loss_alive"] != run(everybody)["loss_alive"]
    nobody = run(everybody._replace(alive=jnp.zeros_like(windows.alive)))
    assert all(value == 0 for value in nobody.values())


@pytest.mark.parametrize("phase", ["pretrain", "train"])
def test_the_scale_follows_the_batch_and_no_gradient_moves_it(phase):
    one = learner("li_ma2e")
    step = one.pretrain if phase == "pretrain" else one.update
    after, _ = step(one.state, BATCH, counters(0), KEY)
    before = one.state.params["mae"]["scale"]
    assert after.params["mae"]["scale"]["batches"] == before["batches"] + 1
    # The learner draws its windows from a key of its own; some offset explains what it found.
    start, inputs = one.core.read(BATCH)
    mae = make_mae(one.config.mae, TRIO)
    fitting = 0
    for seed in range(20):
        windows = cut_windows(mae, start, inputs, BATCH, BATCH.alive, jax.random.key(seed))
        expected = updated_scale(before, windows.stretch.tokens[-1], windows.alive)
        fitting += all(np.allclose(after.params["mae"]["scale"][name], expected[name], rtol=1e-5) for name in expected)
    assert fitting


def test_the_scale_is_that_of_before_the_batch():
    """The loss of a step does not depend on the statistics that the step makes."""
    one = learner("li_ma2e")
    _, (results, metrics, _) = jax.jit(one.core.loss)(one.state.params, one.state, Sample(BATCH), KEY)
    again = one.state.replace(
        params=one.state.params | {"mae": one.state.params["mae"] | {"scale": results["mae"].scale}}
    )
    _, (_, after, _) = jax.jit(one.core.loss)(again.params, again, Sample(BATCH), KEY)
    assert after["mae/loss_features"] != metrics["mae/loss_features"]


def test_the_old_way_has_the_old_parameters():
    new, old = (
        jax.eval_shape(
            functools.partial(init_mae, make_mae(config_of("li_ma2e", mae_training=training).mae, TRIO)), KEY
        )
        for training in ("one_view", "masked")
    )
    assert set(new) - set(old) == {"scale"}
    assert set(new["params"]) - set(old["params"]) == {"status_head", "status_bias"}


def test_acting_reads_the_windows_in_the_scale_of_training():
    one, core = case("last_step"), learner("li_ma2e").core
    start, inputs = core.read(BATCH)
    scale, window = one.params["scale"], one.mae.window
    history = start.history or empty_history(*inputs.obs.shape[1:], window)
    stretch = make_stretch(history, inputs.obs, inputs.last_action, inputs.is_first, TRIO.num_actions)
    seen = np.clip((stretch.tokens - scale["mean"]) / deviation(scale), -5, 5)
    assert np.abs(seen - stretch.tokens).max() > 0.5
    decoded = one.mae.apply(one.params, stretch.replace(tokens=jnp.asarray(seen)), method="infer")
    expected = one.mae.apply(one.params, decoded, method="reconstruct") * deviation(scale) + scale["mean"]
    beliefs = mae_team_model(config_of("li_ma2e"), TRIO).infer(one.params, history, inputs)
    np.testing.assert_allclose(beliefs.newest(), expected[..., 0, :], rtol=1e-3, atol=1e-4)
