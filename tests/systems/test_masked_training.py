"""How the auto-encoder learns: what its loss counts, when it steps, and whom the rules hide."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from context_systems import BATCH, KEY, ROW_MARKS, TRIO, WINDOW, config_of, learner
from doubles.fakes import counters, made_up_rows, marks, noise_like, on_rows

from limae_jax.config.traced import traced_names, traced_values, with_values
from limae_jax.networks.windows import empty_history
from limae_jax.systems import masked_training
from limae_jax.systems.build import make_spec
from limae_jax.systems.mae_loss import MaeLoss, cut_windows, mae_loss
from limae_jax.systems.masked_training import mae_optimiser
from limae_jax.systems.team_models import init_mae, make_mae, num_read
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.types import Sample

pytestmark = pytest.mark.slow

equal = functools.partial(jax.tree.map, np.testing.assert_array_equal)
KEYS = [jax.random.key(seed) for seed in range(20)]


def _differ(one, other) -> bool:
    return any(np.any(np.asarray(a) != np.asarray(b)) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


# The loss of MA2E as published: all agents that are not hidden are seen together.

MASKED = {"mae_training": "masked"}


def _total(mae, params, start, inputs, batch, is_hidden, key):
    settings = config_of("li_ma2e", **MASKED).mae
    return mae_loss(settings, mae, params, cut_windows(mae, start, inputs, batch, is_hidden, key)).total


@functools.cache
def _loss(context: str):
    """(obs, alive, is_hidden [B, A], batch, key) -> loss, gradient for the observations and the parameters."""
    mae = make_mae(config_of("li_ma2e", mae_context=context, **MASKED).mae, TRIO)
    core = learner("li_ma2e", mae_context=context).core
    params = noise_like(jax.eval_shape(lambda: init_mae(mae, KEY)), 4, 0.4)

    def loss(obs, params, alive, is_hidden, batch, key):
        start, inputs = core.read(batch)
        everywhere = jnp.broadcast_to(is_hidden, alive.shape)
        return _total(mae, params, start, inputs.replace(obs=obs), batch.replace(alive=alive), everywhere, key)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    return lambda alive, is_hidden, batch=BATCH, key=KEY: run(
        batch.obs, params, jnp.asarray(alive), jnp.asarray(is_hidden), batch, key
    )


def _hide(*agents: int) -> np.ndarray:
    return np.broadcast_to(np.isin(np.arange(TRIO.num_agents), agents), (BATCH.filled.shape[1], TRIO.num_agents))


def _targets(batch, context: str, offset: int, agent: int, alive: np.ndarray) -> np.ndarray:
    """[T, B, A] bool, the steps whose observation is a target if windows begin at an offset and one agent is hidden."""
    first, length = np.asarray(batch.is_first), np.asarray(batch.start.history.length)
    num_slots, num_rows = first.shape
    found = np.zeros(alive.shape, bool)
    for row in range(num_rows):
        for last in range(offset, num_slots, WINDOW):
            begin = max((slot for slot in range(last + 1) if first[slot, row]), default=-int(length[row]))
            for back in range(num_read(config_of("li_ma2e", mae_context=context).mae)):
                step = last - back
                found[max(step, 0), row, agent] |= alive[last, row, agent] and step >= max(begin, 0)
    return found


@pytest.mark.parametrize("agent", range(TRIO.num_agents))
@pytest.mark.parametrize("context", ["last_step", "window"])
def test_the_targets_are_the_present_living_steps_of_the_hidden_agent(context, agent):
    """A hidden agent's observations enter the loss as targets only, so its gradient there is where they are counted."""
    alive, seen_offsets = np.asarray(BATCH.alive), set()
    for key in KEYS[:8]:
        _, (by_obs, _) = _loss(context)(alive, _hide(agent), key=key)
        is_target = np.any(np.asarray(by_obs)[:, :, agent] != 0, axis=-1)
        fitting = [
            offset
            for offset in range(WINDOW)
            if np.array_equal(is_target, _targets(BATCH, context, offset, agent, alive)[:, :, agent])
        ]
        assert len(fitting) == 1
        seen_offsets.update(fitting)
    assert seen_offsets == set(range(WINDOW))


@pytest.mark.parametrize("agent", range(TRIO.num_agents))
def test_the_other_hidden_agents_change_nothing_but_their_own_targets(agent):
    """Of two hidden agents neither sees the other: gradients for their targets only."""
    hidden = _hide(agent, (agent + 1) % 3)
    value, (by_obs, _) = _loss("last_step")(BATCH.alive, hidden)
    others = np.delete(np.arange(3), [agent, (agent + 1) % 3])
    assert value > 0 and np.any(np.asarray(by_obs)[:, :, others])
    alone = _targets(BATCH, "last_step", 0, agent, np.ones(BATCH.alive.shape, bool))
    assert alone.any()
    # The dead are not counted, whoever else is.
    dead = np.array(BATCH.alive)
    dead[:, :, agent] = False
    _, (by_obs, _) = _loss("last_step")(dead, hidden)
    assert not np.any(np.asarray(by_obs)[:, :, agent])
    assert np.any(np.asarray(by_obs)[:, :, (agent + 1) % 3])


def test_what_is_not_a_target_changes_nothing_if_it_is_hidden():
    alive = np.asarray(BATCH.alive)
    for agent in range(TRIO.num_agents):
        value, (by_obs, by_params) = _loss("last_step")(alive, _hide(agent))
        elsewhere = np.asarray(by_obs)[:, :, agent] == 0
        obs = np.array(BATCH.obs)
        obs[:, :, agent] = np.where(np.all(elsewhere, axis=-1, keepdims=True), 1e3, obs[:, :, agent])
        assert np.any(obs != BATCH.obs)
        same, (_, same_by_params) = _loss("last_step")(alive, _hide(agent), BATCH.replace(obs=jnp.asarray(obs)))
        assert same == value
        equal(same_by_params, by_params)


def test_death_weighs_the_loss_of_the_dead_agent_and_enters_nowhere_else():
    value, (by_obs, by_params) = _loss("last_step")(BATCH.alive, _hide(1))
    alive = np.array(BATCH.alive)
    alive[:, :, [0, 2]] ^= True
    same = _loss("last_step")(alive, _hide(1))
    assert same[0] == value
    equal(same[1], (by_obs, by_params))
    alive[:, :, 1] ^= True
    assert _loss("last_step")(alive, _hide(1))[0] != value


@pytest.mark.parametrize("case", ["nobody is hidden", "the hidden one is dead"])
def test_with_nothing_to_count_the_loss_is_zero_and_so_is_its_gradient(case):
    hidden, alive = (_hide(), BATCH.alive) if case == "nobody is hidden" else (_hide(1), np.array(BATCH.alive))
    if case != "nobody is hidden":
        alive[:, :, 1] = False
    value, grads = _loss("window")(alive, hidden)
    assert value == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("num_slots", [2, 11, 12, 13])
def test_every_slot_of_a_row_is_a_target_for_some_key(num_slots):
    """Whatever the rest that windows leave of a row."""
    batch = made_up_rows(0, [marks([(40, True)], num_slots)], 8, TRIO, WINDOW)
    mae = make_mae(config_of("li_ma2e", **MASKED).mae, TRIO)
    params = noise_like(jax.eval_shape(lambda: init_mae(mae, KEY)), 4, 0.4)
    core = learner("li_ma2e").core
    start, inputs = core.read(batch)

    def loss(obs, key):
        always = jnp.ones(batch.alive.shape, bool)
        return _total(mae, params, start, inputs.replace(obs=obs), batch.replace(alive=always), always, key)

    gradients = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(batch.obs, jnp.stack(KEYS))
    assert np.any(np.asarray(gradients) != 0, axis=(0, 2, 3, 4)).all()


# Who steps when.


@functools.cache
def _trained(name: str, **settings):
    return learner(name, **settings).updated()


def test_a_frozen_auto_encoder_stays_as_pretraining_left_it():
    one = learner("li_ma2e", mae_freeze_after_pretraining=True)
    state, metrics = _trained("li_ma2e", mae_freeze_after_pretraining=True)
    state, _ = one.updated(state=state, key=KEYS[1])
    equal(state.params["mae"], one.state.params["mae"])
    equal(state.opt_state.inner_states["mae"], one.state.opt_state.inner_states["mae"])
    assert _differ(state.params["agent"], one.state.params["agent"])
    assert "mae/loss" not in metrics and metrics["mae/attention_entropy"] > 0
    other, _ = _trained("li_ma2e")
    assert _differ(other.params["mae"], one.state.params["mae"])


def test_the_losses_settings_can_be_traced():
    """Built for other values of all traced settings and told those of the usual learner, the loss is the usual one."""
    one = learner("li_ma2e")

    def loss(values):
        config = with_values(one.config, dict.fromkeys(traced_names(one.config), 0.5) | values)
        core = ValueBasedCore(make_spec(config, TRIO), config, TRIO)
        return core.loss(one.state.params, one.state, Sample(BATCH), KEY)

    total, (_, metrics, _) = jax.jit(loss)(traced_values(one.config))
    _, wanted = _trained("li_ma2e")
    np.testing.assert_allclose(total, wanted["loss"], rtol=1e-5)
    for name, value in metrics.items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_the_optimisers_settings_can_be_traced(name):
    config = config_of("li_ma2e", mae_optimiser=name, mae_learning_rate=0.02, mae_max_grad_norm=0.3)
    gradient = jnp.asarray([[3.0, -0.1, 0.0], [1.0, 0.5, 0.2]])

    def step(values):
        optimiser = mae_optimiser(with_values(config, dict.fromkeys(traced_names(config), 0.5) | values).auto_encoder)
        state = optimiser.init(gradient)
        for factor in (1.0, 0.01):
            updates, state = optimiser.update(gradient * factor, state, jnp.zeros_like(gradient))
        return updates, state

    traced, built = jax.jit(step)(traced_values(config)), step(traced_values(config))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), traced, built)


def test_muons_steps_are_orthogonal_whatever_the_size_of_the_gradient():
    config = config_of("li_ma2e", mae_learning_rate=0.02).mae
    left, right = (np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0] for seed in (0, 1))
    spread = left @ np.diag([10.0, 8.0, 5.0, 4.0, 2.0, 1.0]) @ right
    optimiser = mae_optimiser(config)
    for size in (1e-3, 1.0, 100.0):
        gradient = {"kernel": jnp.asarray(size * spread), "bias": jnp.asarray([3.0, -0.1])}
        step, _ = optimiser.update(gradient, optimiser.init(gradient), gradient)
        stretched = np.linalg.svd(step["kernel"], compute_uv=False) / 0.02
        assert 0.6 < stretched.min() and stretched.max() < 1.3
        # Biases take Adam's step with Nesterov's momentum (Dozat 2016): of 0.9 m / (1 - 0.9^2) + g at the first one.
        first = 0.02 * (0.9 * 0.1 / (1 - 0.9**2) + 1)
        np.testing.assert_allclose(step["bias"], [-first, first], rtol=1e-2)


@functools.cache
def _pretrained():
    one = learner("li_ma2e", mae_freeze_after_pretraining=True, mae_optimiser="adam")
    return one, one.pretrain(one.state, BATCH, counters(0), KEY)


def test_pretraining_moves_the_auto_encoder_and_nothing_else_whatever_the_rule():
    one, (state, metrics) = _pretrained()
    before = one.state
    assert _differ(state.params["mae"], before.params["mae"])
    assert _differ(state.opt_state.inner_states["mae"], before.opt_state.inner_states["mae"])
    equal({part: state.params[part] for part in ("agent", "mixer")}, {p: before.params[p] for p in ("agent", "mixer")})
    equal(state.opt_state.inner_states["td"], before.opt_state.inner_states["td"])
    equal(state.target_params, before.target_params)
    equal(state.auxiliary, before.auxiliary)
    assert metrics["loss"] == metrics["mae/loss"] > 0 and metrics["grad_norm"] > 0
    mu = optax.tree.get(state.opt_state.inner_states["mae"], "mu")
    np.testing.assert_allclose(optax.tree.norm(mu), 0.1 * min(1.0, float(metrics["grad_norm"])), rtol=1e-4)


def test_pretraining_hides_some_and_shows_some_in_every_row(monkeypatch):
    num_rows, num_agents = BATCH.alive.shape[1:]
    bits = 2.0 ** np.arange(num_rows * num_agents).reshape(num_rows, num_agents)

    def told(settings, mae, params, windows):
        """The mask as one number; a negative one if it changes along the row."""
        is_hidden = windows.is_chosen.reshape(-1, num_rows, num_agents)
        number = jnp.where(jnp.all(is_hidden == is_hidden[:1]), jnp.sum(is_hidden[0] * bits), -1.0)
        return MaeLoss(number, {}, None)

    monkeypatch.setattr(masked_training, "mae_loss", told)
    one = learner("li_ma2e", **MASKED)
    (phase,) = masked_training.pretraining(one.config, one.core)
    update, rows = jax.jit(on_rows(phase.learn.update)), []
    for key in KEYS:
        number = int(update(one.state, BATCH, counters(0), key)[1]["loss"])
        assert number >= 0
        mask = (number // bits.astype(int)) % 2
        assert (mask.sum(axis=-1) >= 1).all() and (mask.sum(axis=-1) < num_agents).all()
        rows.append(mask)
    # Drawn anew for each row and each key: all six masks there are come up, and rows of a batch differ.
    assert len(np.unique(np.concatenate(rows), axis=0)) == 6
    assert any(len(np.unique(mask, axis=0)) > 1 for mask in rows)


def test_pretraining_reads_nothing_that_only_the_td_loss_is_for():
    one, (state, _) = _pretrained()
    other = made_up_rows(9, ROW_MARKS, 8, TRIO, WINDOW)
    swapped = BATCH.replace(reward=other.reward, state=other.state, avail=other.avail, terminal=~BATCH.terminal)
    equal(one.pretrain(one.state, swapped, counters(0), KEY)[0].params, state.params)


_MASKED_CONFIG = config_of("li_ma2e", **MASKED)


def test_pretraining_is_a_phase_of_its_own_with_its_own_budget():
    phases = learner("li_ma2e", mae_pretrain_time_steps=700, mae_pretrain_updates_per_iteration=5).system.phases
    assert [(phase.name, phase.time_steps, phase.explores_by_schedule) for phase in phases] == [
        ("warmup", 2 * 11, False),
        ("pretrain", 700, False),
        ("train", None, True),
    ]
    assert [phase.learn and phase.learn.updates_per_iteration for phase in phases] == [None, 5, 4]
    assert len({phase.learn.streams for phase in phases[1:]}) == 2


# Whom the rules hide.


def test_a_rules_state_is_the_learners_and_advances():
    one = learner("li_ma2e", masking_name="all_but_one", mixer="vdn")
    state, visible = one.state, []
    for _ in range(4):
        assert state.auxiliary["mae"] == len(visible) % TRIO.num_agents
        state, metrics = one.updated(state=state)
        visible.append([agent for agent in range(3) if metrics[f"mae/hidden_{agent}"] == 0])
    assert visible == [[0], [1], [2], [0]]


@pytest.mark.parametrize("agent", range(TRIO.num_agents))
def test_the_agent_with_the_large_error_is_the_one_that_is_hidden(agent):
    one = learner("li_ma2e")
    # All values are 0, but those of this agent in the online network: its id is the only input that is read.
    nothing = jax.tree.map(jnp.zeros_like, one.state.params["agent"])
    layers = jax.tree.map(jnp.zeros_like, nothing)["params"]
    here = TRIO.obs_size + TRIO.num_actions + agent
    layers["input"]["kernel"] = layers["input"]["kernel"].at[here].set(1.0)
    layers["gru"]["input_n"]["kernel"] = layers["gru"]["input_n"]["kernel"] + 1.0
    layers["head"]["kernel"] = layers["head"]["kernel"] + 10.0
    state = one.state.replace(
        params=one.state.params | {"agent": {"params": layers}},
        target_params=one.state.target_params | {"agent": nothing},
    )
    start = BATCH.start.replace(hidden=jnp.zeros_like(BATCH.start.hidden))
    _, metrics = one.updated(BATCH.replace(reward=jnp.zeros_like(BATCH.reward), start=start), state)
    errors = [float(metrics[f"mae/td_error_{i}"]) for i in range(3)]
    hidden = [float(metrics[f"mae/hidden_{i}"]) for i in range(3)]
    assert errors[agent] > 10 and sum(errors) == errors[agent]
    assert hidden == [float(i == agent) for i in range(3)]
    assert metrics["mae/fallback_rate"] == 0


def test_windows_of_a_batch_without_stored_history_begin_with_the_row():
    """With the context off nothing is carried, and the auto-encoder learns from the rows alone."""
    mae = make_mae(_MASKED_CONFIG.mae, TRIO)
    params = noise_like(jax.eval_shape(lambda: init_mae(mae, KEY)), 4, 0.4)
    start, inputs = learner("li_ma2e").core.read(BATCH)
    run = jax.jit(lambda start: _total(mae, params, start, inputs, BATCH, jnp.asarray(_ALL_BUT_0), KEY))
    empty = empty_history(len(ROW_MARKS), TRIO.num_agents, TRIO.obs_size, WINDOW)
    np.testing.assert_array_equal(run(start.replace(history=None)), run(start.replace(history=empty)))
    assert run(start) != run(start.replace(history=None))


_ALL_BUT_0 = np.broadcast_to(np.arange(TRIO.num_agents) != 0, BATCH.alive.shape)
