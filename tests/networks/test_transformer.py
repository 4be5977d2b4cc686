import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import noise_like

from limae_jax.networks.transformer import EncoderLayer, attend, attend_shared, head_sums, split_reach

WIDTH, HEADS = 6, 3
NUM_SLOTS, NUM_ROWS, NUM_AGENTS = 6, 2, 3


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _naive_attention(query, keys, values, is_allowed) -> np.ndarray:
    """One query [D] over keys and values [K, D], head by head."""
    size, heads = WIDTH // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = [np.exp(query[part] @ key[part] / np.sqrt(size)) for key in keys]
        weights = np.array(scores) * is_allowed
        heads.append((weights / max(weights.sum(), 1e-30)) @ values[:, part])
    return np.concatenate(heads)


@pytest.mark.parametrize(
    "window, num_layers, expected",
    [(5, 2, [2, 2]), (5, 3, [2, 1, 1]), (4, 2, [2, 1]), (1, 2, [0, 0]), (2, 3, [1, 0, 0]), (8, 1, [7])],
)
def test_split_reach_equals_hand_examples(window, num_layers, expected):
    assert split_reach(window, num_layers) == expected


def test_split_reach_adds_up_to_a_window_less_one():
    for window in range(1, 20):
        for num_layers in range(1, 6):
            reach = split_reach(window, num_layers)
            assert len(reach) == num_layers and sum(reach) == window - 1
            assert min(reach) >= 0 and max(reach) - min(reach) <= 1


def test_head_sums_add_each_heads_features():
    summed = _normal(0, 4, WIDTH) @ head_sums(WIDTH, HEADS, jnp.float32)
    np.testing.assert_allclose(summed, _normal(0, 4, WIDTH).reshape(4, HEADS, -1).sum(axis=-1), rtol=1e-5, atol=1e-6)


def test_attention_with_keys_of_its_own_equals_the_formula():
    query, keys, values = _normal(1, 2, 4, WIDTH), _normal(2, 2, 4, 5, WIDTH), _normal(3, 2, 4, 5, WIDTH)
    is_allowed = np.random.default_rng(4).random((2, 1, 5)) < 0.6
    is_allowed[0] = [True, False, False, True, True]
    mixed = jax.jit(attend, static_argnums=4)(query, keys, values, is_allowed, HEADS)
    for row, one in np.ndindex(2, 4):
        expected = _naive_attention(query[row, one], keys[row, one], values[row, one], is_allowed[row, 0])
        np.testing.assert_allclose(mixed[row, one], expected, rtol=1e-4, atol=1e-5)


def test_attention_over_shared_keys_equals_the_formula():
    query, keys, values = _normal(1, 2, 3, 4, WIDTH), _normal(2, 2, 3, 5, WIDTH), _normal(3, 2, 3, 5, WIDTH)
    is_allowed = np.random.default_rng(4).random((2, 3, 5)) < 0.6
    mixed = jax.jit(attend_shared, static_argnums=4)(query, keys, values, is_allowed, HEADS)
    assert 0 < is_allowed.sum() < is_allowed.size
    for row, slot, one in np.ndindex(2, 3, 4):
        expected = _naive_attention(query[row, slot, one], keys[row, slot], values[row, slot], is_allowed[row, slot])
        np.testing.assert_allclose(mixed[row, slot, one], expected, rtol=1e-4, atol=1e-5)


def _both_kinds(query, keys, values, is_allowed):
    """The same attention by either function: query [Q, D] over keys [K, D]."""
    own = attend(query, keys[None], values[None], is_allowed[None], HEADS)
    return own, attend_shared(query[None], keys[None], values[None], is_allowed[None], HEADS)[0]


def test_forbidden_keys_have_no_influence_and_no_gradient():
    query, keys, values = _normal(1, 2, WIDTH), _normal(2, 4, WIDTH), _normal(3, 4, WIDTH)
    is_allowed = np.array([True, False, True, False])
    both = jax.jit(_both_kinds)
    moved = both(
        query, np.where(is_allowed[:, None], keys, 50.0), np.where(is_allowed[:, None], values, -9.0), is_allowed
    )
    for before, after in zip(both(query, keys, values, is_allowed), moved, strict=True):
        np.testing.assert_array_equal(before, after)

    def losses(keys, values):
        return jnp.stack([jnp.sum(jnp.square(x)) for x in _both_kinds(query, keys, values, is_allowed)])

    for gradient in jax.jit(jax.jacrev(losses, argnums=(0, 1)))(keys, values):
        np.testing.assert_array_equal(gradient[:, ~is_allowed], 0)
        assert np.abs(gradient[:, is_allowed]).max(axis=-1).min() > 1e-4


def test_where_nothing_is_allowed_the_result_is_0_and_finite_gradients_are_0():
    query, keys, values = _normal(1, 2, WIDTH), _normal(2, 4, WIDTH), _normal(3, 4, WIDTH)

    def losses(query, keys, values):
        both = _both_kinds(query, keys, values, np.zeros(4, bool))
        return jnp.stack([jnp.sum(jnp.square(1 + x)) for x in both]), both

    gradients, both = jax.jit(jax.jacrev(losses, argnums=(0, 1, 2), has_aux=True))(query, keys, values)
    for array in (*gradients, *both):
        np.testing.assert_array_equal(array, 0)


@functools.cache
def layer(reach: int):
    """A layer's function, its parameters, and its input."""
    one = EncoderLayer(WIDTH, HEADS, reach)
    x, valid_length = _normal(5, NUM_SLOTS, NUM_ROWS, NUM_AGENTS, WIDTH), np.zeros((NUM_SLOTS, NUM_ROWS), np.int32)
    params = noise_like(jax.eval_shape(one.init, jax.random.key(0), x, valid_length), seed=6, scale=0.5)
    # Row 0 is one long episode; in row 1 another one starts at slot 4.
    valid_length[:, 0], valid_length[:, 1] = range(NUM_SLOTS), [0, 1, 2, 3, 0, 1]
    return jax.jit(one.apply), params, x, valid_length


IS_VISIBLE = np.array([[True, True, False], [True, False, True]])


def test_a_layer_without_reach_keeps_every_slot():
    apply, params, x, valid_length = layer(0)
    for is_visible in (None, IS_VISIBLE):
        assert apply(params, x, valid_length, is_visible).shape == x.shape


@pytest.mark.parametrize("is_visible", [None, IS_VISIBLE])
def test_a_layer_looks_back_its_reach_within_the_span_and_at_visible_agents_only(is_visible):
    reach = 2
    apply, params, x, valid_length = layer(reach)
    before = np.asarray(apply(params, x, valid_length, is_visible))
    assert before.shape == (NUM_SLOTS - reach, NUM_ROWS, NUM_AGENTS, WIDTH)
    for slot, agent in np.ndindex(NUM_SLOTS, NUM_AGENTS):
        moved = x.copy()
        moved[slot, :, agent] += _normal(7, WIDTH)
        has_changed = np.any(np.asarray(apply(params, moved, valid_length, is_visible)) != before, axis=-1)
        for out, row, viewer in np.ndindex(*has_changed.shape):
            steps_back = out + reach - slot
            is_looked_at = 0 <= steps_back <= min(reach, valid_length[out + reach, row])
            is_looked_at &= viewer == agent if is_visible is None else bool(is_visible[row, agent])
            # A token passes on to its own output whether or not it is looked at.
            assert has_changed[out, row, viewer] == (is_looked_at or (steps_back == 0 and viewer == agent))


def test_each_agent_alone_equals_the_layer_where_only_it_is_visible():
    apply, params, x, valid_length = layer(2)
    alone = apply(params, x, valid_length, None)
    for agent in range(NUM_AGENTS):
        is_visible = np.broadcast_to(np.arange(NUM_AGENTS) == agent, (NUM_ROWS, NUM_AGENTS))
        np.testing.assert_allclose(
            apply(params, x, valid_length, is_visible)[:, :, agent], alone[:, :, agent], atol=1e-5
        )


def test_a_layer_tells_steps_apart():
    """Swapping what two steps hold changes what a later slot makes of them, unless it does not reach them."""
    apply, params, x, valid_length = layer(2)
    x = x.copy()
    x[2], x[3] = x[1], -x[1]
    swapped = x.copy()
    swapped[[2, 3]] = x[[3, 2]]
    for is_visible in (None, IS_VISIBLE):
        before, after = (np.asarray(apply(params, one, valid_length, is_visible)) for one in (x, swapped))
        # Slot 4 looks back at slots 2 and 3 in row 0; in row 1 an episode starts there.
        assert np.abs(after[2, 0] - before[2, 0]).max(axis=-1).min() > 1e-3
        np.testing.assert_array_equal(after[2, 1], before[2, 1])
