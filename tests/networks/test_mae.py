"""The auto-encoder against a slow one that reads each window by itself, and what may influence what."""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from doubles.fakes import noise_like

from limae_jax.losses.reconstruction import reconstruction_loss
from limae_jax.networks.mae import MaskedAutoEncoder, other_agents
from limae_jax.networks.windows import History, Stretch, make_stretch, split_windows, unfold

pytestmark = pytest.mark.slow

NUM_SLOTS, NUM_ROWS, OBS, NUM_ACTIONS, WIDTH, HEADS = 4, 8, 3, 2, 8, 2


class Sizes(NamedTuple):
    num_agents: int
    window: int
    encoder_layers: int = 2
    decoder_layers: int = 1
    num_read: int = 1


# The last step is decoded, by one layer; the whole window, by two.
LAST_STEP, WHOLE_WINDOW = Sizes(3, 4), Sizes(3, 3, 2, 2, 3)
# Every way to hide some of three agents, one to a row.
MASKS = np.array(list(itertools.product([False, True], repeat=3)))


class Network(NamedTuple):
    """An auto-encoder with parameters of noise: biases and norms count too. Every function is compiled once."""

    mae: Any
    params: Any
    decode: Any
    infer: Any


@functools.cache
def network(sizes: Sizes) -> Network:
    mae: Any = MaskedAutoEncoder(sizes[0], OBS + NUM_ACTIONS, sizes[1], WIDTH, HEADS, *sizes[2:])
    shape = (sizes.window, 1, sizes.num_agents, OBS + NUM_ACTIONS)
    stretch = Stretch(jnp.zeros(shape), jnp.zeros(shape[:2], jnp.int32))
    shapes = jax.eval_shape(mae.init, jax.random.key(0), stretch, jnp.zeros((1, sizes.num_agents), bool))
    infer = functools.partial(mae.apply, method="infer")
    return Network(mae, noise_like(shapes, seed=1, scale=0.5), jax.jit(mae.apply), jax.jit(infer))


@functools.cache
def row_stretch(sizes: Sizes) -> Stretch:
    """Rows of noise with a history of every length, some with episodes that begin within the row."""
    generator, size = np.random.default_rng(2), sizes.window - 1
    lead = (NUM_ROWS, size, sizes.num_agents)
    history = History(
        generator.normal(size=(*lead, OBS)).astype(np.float32),
        generator.integers(NUM_ACTIONS, size=lead).astype(np.int32),
        (size - np.arange(NUM_ROWS) % (size + 1)).astype(np.int32),
    )
    obs = generator.normal(size=(NUM_SLOTS, NUM_ROWS, sizes.num_agents, OBS)).astype(np.float32)
    is_first = np.zeros((NUM_SLOTS, NUM_ROWS), bool)
    is_first[2, 1::2] = is_first[3, 3::4] = True
    last_action = generator.integers(NUM_ACTIONS, size=obs.shape[:-1])
    last_action = np.where(is_first[..., None], -1, last_action).astype(np.int32)
    make = jax.jit(make_stretch, static_argnums=4)
    return jax.tree.map(np.asarray, make(history, obs, last_action, is_first, NUM_ACTIONS))


def _hides_all_but(num_agents: int) -> np.ndarray:
    """[A, B, A] bool: all but agent i (first) hidden."""
    return np.broadcast_to(~np.eye(num_agents, dtype=bool)[:, None], (num_agents, NUM_ROWS, num_agents))


# The slow one: lists of tokens, one attention at a time.


def _dense(params, x):
    return x @ params["kernel"] + params["bias"]


def _norm(params, x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-6) * params["scale"] + params["bias"]


def _gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _feed_forward(params, x):
    return x + _dense(params["outer"], _gelu(_dense(params["inner"], _norm(params["norm"], x))))


def _attention(query, keys, values):
    if not keys:
        return np.zeros(WIDTH)
    size, heads = WIDTH // HEADS, []
    for part in (slice(start, start + size) for start in range(0, WIDTH, size)):
        weights = np.array([np.exp(query[part] @ key[part] / np.sqrt(size)) for key in keys])
        heads.append(sum(w * value[part] for w, value in zip(weights / weights.sum(), values, strict=True)))
    return np.concatenate(heads)


def _slow_decode(sizes: Sizes, params, steps: np.ndarray, is_hidden) -> dict[tuple[int, int], np.ndarray]:
    """What becomes of one window.

    Args:
        sizes, params: of the network.
        steps: [n, A, F] tokens of the present steps, the oldest first.
        is_hidden: [A].

    Returns:
        The features that are decoded, [F], by agent and by how many steps back.
    """
    params, agents = params["params"], range(sizes.num_agents)
    visible = [agent for agent in agents if not is_hidden[agent]]
    tokens = {
        (agent, step): _dense(params["embed"], tokens[agent]) + params["agent_code"][agent]
        for step, tokens in enumerate(steps)
        for agent in visible
    }
    each, rest = divmod(sizes.window - 1, sizes.encoder_layers)
    for index in range(sizes.encoder_layers):
        layer, reach = params[f"encoder_{index}"], each + (1 if index < rest else 0)
        normed = {place: _norm(layer["norm"], x) for place, x in tokens.items()}
        after = {}
        for (agent, step), x in tokens.items():
            seen = [(other, step - back) for other in visible for back in range(reach + 1) if step - back >= 0]
            keys = [_dense(layer["key"], normed[place]) + layer["step_code"][step - place[1]] for place in seen]
            values = [_dense(layer["value"], normed[place]) + layer["step_code"][step - place[1]] for place in seen]
            mixed = _attention(_dense(layer["query"], normed[agent, step]), keys, values)
            after[agent, step] = _feed_forward(layer["feed_forward"], x + _dense(layer["out"], mixed))
        tokens = after
    memory = {agent: _norm(params["encoder_norm"], tokens[agent, len(steps) - 1]) for agent in visible}

    places = list(itertools.product(agents, range(min(sizes.num_read, len(steps)))))
    x = {
        (agent, back): memory.get(agent, params["mask_token"][0])
        + params["agent_code"][agent]
        + params["read_code"][back]
        for agent, back in places
    }
    for index in range(sizes.decoder_layers):
        layer = params[f"decoder_{index}"]
        normed = {place: _norm(layer["norm"], x[place]) for place in places}
        keys, values = ([_dense(layer[name], normed[place]) for place in places] for name in ("key", "value"))
        mixed = {place: _attention(_dense(layer["query"], normed[place]), keys, values) for place in places}
        x = {place: x[place] + _dense(layer["out"], mixed[place]) for place in places}
        keys, values = (
            [_dense(layer[name], memory[agent]) for agent in visible] for name in ("cross_key", "cross_value")
        )
        for place in places:
            query = _dense(layer["cross_query"], _norm(layer["cross_norm"], x[place]))
            x[place] = x[place] + _dense(layer["cross_out"], _attention(query, keys, values))
            x[place] = _feed_forward(layer["feed_forward"], x[place])
    return {place: _norm(params["decoder_norm"], x[place]) @ params["head"] for place in places}


def _masks(sizes: Sizes) -> np.ndarray:
    """[B, A] every mask, over and over."""
    return np.resize(list(itertools.product([False, True], repeat=sizes.num_agents)), (NUM_ROWS, sizes.num_agents))


@pytest.mark.parametrize("sizes", [LAST_STEP, WHOLE_WINDOW, Sizes(2, 1, 1)])
def test_the_general_path_equals_a_slow_computation_of_each_window(sizes):
    """Each present step ends up with its agent and at its place, whatever the window's length and whoever is hidden."""
    net, stretch, is_hidden = network(sizes), row_stretch(sizes), _masks(sizes)
    decoded = net.decode(net.params, stretch, is_hidden)
    assert decoded.shape == (NUM_SLOTS, NUM_ROWS, sizes.num_agents, sizes.num_read, WIDTH)
    features = np.asarray(net.mae.apply(net.params, decoded, method="reconstruct"))
    assert features.shape == (*decoded.shape[:-1], OBS + NUM_ACTIONS)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), net.params)
    for slot, row in np.ndindex(NUM_SLOTS, NUM_ROWS):
        end = slot + sizes.window
        steps = stretch.tokens[end - 1 - stretch.valid_length[end - 1, row] : end, row]
        for (agent, back), expected in _slow_decode(sizes, params, steps, is_hidden[row]).items():
            found = features[slot, row, agent, back]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4, err_msg=str((slot, row, agent, back)))


def _present_reads(stretch: Stretch, sizes: Sizes) -> np.ndarray:
    """[T, B, R] bool; what is decoded for an absent step means nothing."""
    return np.asarray(stretch.valid_length)[sizes.window - 1 :, :, None] >= np.arange(sizes.num_read)


# At first those that take acting's short cut: one decoder layer, last step.
EXECUTION = [
    LAST_STEP,
    *(Sizes(num_agents, 1, 1) for num_agents in (1, 2, 4)),
    Sizes(2, 2, 1, 2, 1),
    Sizes(4, 2, 1, 1, 2),
    Sizes(1, 2, 1, 1, 2),
    WHOLE_WINDOW,
]


def in_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if np.issubdtype(x.dtype, np.floating) else x, tree)


@pytest.mark.parametrize("sizes", EXECUTION)
def test_execution_equals_the_general_path_with_all_others_hidden(sizes):
    """In float64: the two add up in another order, which in float32 alone is worth some 1e-6 after so many layers."""
    net, stretch, agents = network(sizes), row_stretch(sizes), range(sizes.num_agents)
    with jax.enable_x64(True):
        params, stretch = in_float64(net.params), in_float64(stretch)
        masks = _hides_all_but(sizes.num_agents)

        @jax.jit
        def both(params, stretch):
            general = jax.vmap(lambda is_hidden: net.mae.apply(params, stretch, is_hidden))(masks)
            return net.mae.apply(params, stretch, method="infer"), general

        fast, general = (np.asarray(x) for x in both(params, stretch))
    assert fast.dtype == np.float64
    assert fast.shape == (NUM_SLOTS, NUM_ROWS, sizes.num_agents, sizes.num_agents - 1, sizes.num_read, WIDTH)
    is_present = _present_reads(stretch, sizes)
    assert is_present.all() == (sizes.num_read == 1)
    for viewer in agents:
        mates = [agent for agent in agents if agent != viewer]
        for place, mate in enumerate(mates):
            found, expected = fast[:, :, viewer, place][is_present], general[viewer][:, :, mate][is_present]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_executions_short_cut_has_the_gradients_of_the_general_path():
    sizes = Sizes(3, 1, 1, 1, 1)
    net, stretch, others = network(sizes), row_stretch(sizes), other_agents(3)
    with jax.enable_x64(True):
        params, stretch, masks = in_float64(net.params), in_float64(stretch), _hides_all_but(3)
        weights = np.random.default_rng(3).normal(size=(NUM_SLOTS, NUM_ROWS, 3, 2, 1, WIDTH))

        def fast(params):
            return net.mae.apply(params, stretch, method="infer")

        def general(params):
            decode = jax.vmap(lambda is_hidden: net.mae.apply(params, stretch, is_hidden), out_axes=2)
            return decode(masks)[:, :, np.arange(3)[:, None], others]

        @jax.jit
        def both(params):
            return [jax.grad(lambda x, f=f: jnp.sum(weights * jnp.sin(f(x))))(params) for f in (fast, general)]

        found, expected = both(params)
    for (path, mine), theirs in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9, err_msg=str(path))
    for name in ("mask_token", "agent_code"):
        assert np.abs(found["params"][name]).max() > 1e-3


@pytest.mark.parametrize("sizes", [LAST_STEP, WHOLE_WINDOW])
def test_execution_on_windows_cut_out_gives_what_it_gives_on_the_row(sizes):
    net, stretch = network(sizes), row_stretch(sizes)
    in_row = np.asarray(net.infer(net.params, stretch))
    cut = np.asarray(net.infer(net.params, jax.jit(unfold, static_argnums=1)(stretch, sizes.window)))
    assert cut.shape == (1, NUM_SLOTS * NUM_ROWS, *in_row.shape[2:])
    np.testing.assert_allclose(cut.reshape(in_row.shape), in_row, rtol=0, atol=1e-6)


def test_training_on_windows_apart_gives_what_the_row_gives():
    net, stretch, window = network(LAST_STEP), row_stretch(LAST_STEP), LAST_STEP.window
    in_row = np.asarray(net.decode(net.params, stretch, MASKS))
    windows, last = jax.jit(split_windows, static_argnums=1)(stretch, window, 3)
    apart = np.asarray(net.decode(net.params, windows, np.tile(MASKS, (len(last), 1))))
    assert apart.shape == (1, len(last) * NUM_ROWS, *in_row.shape[2:])
    expected = in_row[np.asarray(last) - (window - 1)]
    np.testing.assert_allclose(apart.reshape(expected.shape), expected, rtol=0, atol=1e-5)


def _moved(stretch: Stretch, agent: int, slots) -> Stretch:
    tokens = stretch.tokens.copy()
    tokens[slots, :, agent] += np.random.default_rng(5).normal(size=tokens.shape[-1]).astype(np.float32)
    return stretch.replace(tokens=tokens)


def test_a_hidden_agent_influences_nothing_and_a_visible_one_everything():
    """Under every mask, both what is decoded and what the encoder puts out for the visible agents."""
    net, stretch = network(WHOLE_WINDOW), row_stretch(WHOLE_WINDOW)
    before = np.asarray(net.decode(net.params, stretch, MASKS))
    encode = jax.jit(functools.partial(net.mae.apply, method="encode"))
    memory = np.asarray(encode(net.params, stretch, ~MASKS))
    for agent in range(3):
        moved = _moved(stretch, agent, slice(None))
        after, memory_after = net.decode(net.params, moved, MASKS), encode(net.params, moved, ~MASKS)
        has_changed = np.any(np.asarray(after) != before, axis=-1)
        memory_has_changed = np.any(np.asarray(memory_after) != memory, axis=-1)
        for row, is_hidden in enumerate(MASKS):
            assert np.all(has_changed[:, row, :, 0] == (not is_hidden[agent]))
            if is_hidden[agent]:
                assert not np.any(has_changed[:, row])
            for other in np.flatnonzero(~is_hidden):
                assert np.all(memory_has_changed[:, row, other] == (not is_hidden[agent]))


@pytest.mark.parametrize("sizes", [LAST_STEP, WHOLE_WINDOW, Sizes(3, 4, 3)])
def test_execution_depends_on_an_agents_own_window_and_on_each_step_of_it(sizes):
    """What is further back, before the episode's start, ahead, or another agent's leaves the output bit-equal."""
    net, stretch = network(sizes), row_stretch(sizes)
    before = np.asarray(net.infer(net.params, stretch))
    first = sizes.window - 1
    for slot, agent in np.ndindex(first + NUM_SLOTS, 3):
        after = np.asarray(net.infer(net.params, _moved(stretch, agent, slot)))
        has_changed = np.any(after != before, axis=(-3, -2, -1))
        for out, row, viewer in np.ndindex(NUM_SLOTS, NUM_ROWS, 3):
            steps_back = first + out - slot
            is_in_window = 0 <= steps_back <= min(stretch.valid_length[first + out, row], first)
            assert has_changed[out, row, viewer] == (is_in_window and viewer == agent), (slot, agent, out, row, viewer)


def test_training_depends_on_the_visible_agents_windows_and_on_each_step_of_them():
    net, stretch, first = network(LAST_STEP), row_stretch(LAST_STEP), LAST_STEP.window - 1
    before = np.asarray(net.decode(net.params, stretch, MASKS))
    for slot, agent in np.ndindex(first + NUM_SLOTS, 3):
        after = np.asarray(net.decode(net.params, _moved(stretch, agent, slot), MASKS))
        has_changed = np.any(after != before, axis=(-2, -1))
        for out, row in np.ndindex(NUM_SLOTS, NUM_ROWS):
            steps_back = first + out - slot
            is_in_window = 0 <= steps_back <= min(stretch.valid_length[first + out, row], first)
            assert np.all(has_changed[out, row] == (is_in_window and not MASKS[row, agent])), (slot, agent, out, row)


def test_steps_before_the_episode_are_not_among_what_is_decoded_together():
    """The queries of absent steps are not looked at: their code does not matter for what is present."""
    net, stretch = network(WHOLE_WINDOW), row_stretch(WHOLE_WINDOW)
    present = _present_reads(stretch, WHOLE_WINDOW)
    assert {tuple(one) for one in present.reshape(-1, 3).tolist()} == {(1, 0, 0), (1, 1, 0), (1, 1, 1)}
    before = np.asarray(net.decode(net.params, stretch, MASKS))
    for back in range(3):
        params = jax.tree.map(np.array, net.params)
        params["params"]["read_code"][back] += np.random.default_rng(5).normal(size=WIDTH).astype(np.float32)
        has_changed = np.any(np.asarray(net.decode(params, stretch, MASKS)) != before, axis=-1)
        for slot, row, agent, read in np.ndindex(*has_changed.shape):
            if present[slot, row, read]:
                assert has_changed[slot, row, agent, read] == present[slot, row, back]


@pytest.mark.parametrize("sizes", [LAST_STEP, WHOLE_WINDOW])
def test_agents_renumbered_are_decoded_in_their_new_places(sizes):
    """With their codes and their place in the mask, they take along all that is decoded of them."""
    net, stretch, order = network(sizes), row_stretch(sizes), np.array([2, 0, 1])
    params = jax.tree.map(np.array, net.params)
    params["params"]["agent_code"] = params["params"]["agent_code"][order]
    renumbered = stretch.replace(tokens=stretch.tokens[:, :, order])
    before = np.asarray(net.decode(net.params, stretch, MASKS))
    after = np.asarray(net.decode(params, renumbered, MASKS[:, order]))
    np.testing.assert_allclose(after, before[:, :, order], rtol=0, atol=1e-5)
    assert np.abs(after - before).max() > 0.1
    before, after = (np.asarray(net.infer(*arguments)) for arguments in ((net.params, stretch), (params, renumbered)))
    others = other_agents(3).tolist()
    for viewer, mate in itertools.permutations(range(3), 2):
        was_viewer, was_mate = order[viewer], order[mate]
        found = after[:, :, viewer, others[viewer].index(mate)]
        expected = before[:, :, was_viewer, others[was_viewer].index(was_mate)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_other_agents_are_all_but_oneself_in_order():
    np.testing.assert_array_equal(other_agents(3), [[1, 2], [0, 2], [0, 1]])
    assert other_agents(1).shape == (1, 0)


@pytest.fixture(scope="module")
def fresh():
    """Parameters as training begins with them; they fit `network(WHOLE_WINDOW)`."""
    return jax.jit(network(WHOLE_WINDOW).mae.init)(jax.random.key(3), row_stretch(WHOLE_WINDOW), MASKS)["params"]


def test_positional_codes_differ_between_any_two_places(fresh):
    of_query = np.asarray(fresh["agent_code"])[:, None] + np.asarray(fresh["read_code"])
    codes = {"query": of_query.reshape(-1, WIDTH), "agent": np.asarray(fresh["agent_code"])}
    codes |= {f"step {i}": np.asarray(fresh[f"encoder_{i}"]["step_code"]) for i in range(2)}
    assert [len(code) for code in codes.values()] == [9, 3, 2, 2]
    for name, code in codes.items():
        for one, other in itertools.combinations(code, 2):
            assert np.abs(one - other).max() > 1e-2, name


def test_only_the_codes_tell_agents_and_steps_apart():
    """What is made of a hidden agent changes if two visible agents, or two earlier steps, swap what they hold."""
    sizes = Sizes(3, 4, 1)
    net, stretch = network(sizes), row_stretch(sizes)
    is_hidden = np.broadcast_to([False, False, True], (NUM_ROWS, 3))
    # Row 0 begins with a full window, slots 0 to 3.
    assert stretch.valid_length[3, 0] == 3
    swaps = {"agent_code": stretch.tokens[:, :, [1, 0, 2]], "step_code": stretch.tokens[[0, 2, 1, *range(3, 7)]]}
    for code, tokens in swaps.items():
        without = jax.tree.map(np.array, net.params)
        part = without["params"] if code in without["params"] else without["params"]["encoder_0"]
        part[code][:] = 0
        changes = []
        for params in (net.params, without):
            before, after = (
                net.decode(params, one, is_hidden)[0, 0, 2] for one in (stretch, stretch.replace(tokens=tokens))
            )
            changes.append(np.abs(before - after).max())
        assert changes[0] > 1e-3 and changes[1] < 1e-5, (code, changes)


@pytest.fixture(scope="module")
def gradient(fresh):
    """(is_hidden, is_target [B, A]) -> gradients, of parameters and tokens, of the loss over the targets."""
    sizes, stretch = WHOLE_WINDOW, row_stretch(WHOLE_WINDOW)
    mae, cut = network(sizes).mae, jax.jit(unfold, static_argnums=1)(stretch, sizes.window)
    target = np.moveaxis(np.asarray(cut.tokens)[::-1], 0, 2).reshape(NUM_SLOTS, NUM_ROWS, 3, sizes.num_read, -1)
    is_present = _present_reads(stretch, sizes)[:, :, None]

    @jax.jit
    def of_loss(is_hidden, is_target):
        def loss(params, tokens):
            decoded = mae.apply({"params": params}, stretch.replace(tokens=tokens), is_hidden)
            predicted = mae.apply({"params": params}, decoded, method="reconstruct")
            return reconstruction_loss(predicted, target, is_target[:, :, None] & is_present)

        return jax.grad(loss, argnums=(0, 1))(fresh, stretch.tokens)

    return of_loss


def test_the_first_guesses_are_about_zero():
    """They are noise, which an auto-encoder of few gradient steps would not unlearn; normed tokens are about 1."""
    sizes, stretch = LAST_STEP, row_stretch(LAST_STEP)
    mae = network(sizes).mae
    params = mae.init(jax.random.key(3), stretch, jnp.asarray(MASKS))
    decoded = mae.apply(params, stretch, jnp.asarray(MASKS))
    guesses = np.asarray(mae.apply(params, decoded, method="reconstruct"))
    assert 0.02 < guesses.std() < 0.3 and np.asarray(decoded).std() > 0.8


def test_the_mask_token_and_every_code_learn(gradient):
    """From the loss over hidden agents; the [MASK] token only where somebody is hidden."""
    learns, _ = gradient(MASKS, MASKS)
    codes = [learns[name] for name in ("mask_token", "agent_code", "read_code", "head")]
    codes += [learns[f"encoder_{i}"]["step_code"] for i in range(2)]
    for code in codes:
        assert np.all(np.abs(code).max(axis=-1) > 1e-5)
    for path, leaf in jax.tree.leaves_with_path(learns):
        # A bias added to all keys alike changes no softmax.
        if "bias" not in jax.tree_util.keystr(path):
            assert np.abs(leaf).max() > 1e-6, path
    nobody = np.zeros_like(MASKS)
    of_visible, _ = gradient(nobody, ~nobody)
    np.testing.assert_array_equal(of_visible["mask_token"], 0)
    assert np.abs(of_visible["agent_code"]).max() > 1e-5
    for leaf in jax.tree.leaves(gradient(nobody, nobody)):
        np.testing.assert_array_equal(leaf, 0)


def test_a_hidden_agents_tokens_get_no_gradient_and_a_visible_ones_do(gradient):
    _, of_tokens = gradient(MASKS, np.ones_like(MASKS))
    size = np.abs(of_tokens).max(axis=-1)[WHOLE_WINDOW.window - 1 :]
    for row, is_hidden in enumerate(MASKS):
        np.testing.assert_array_equal(size[:, row, is_hidden], 0)
        assert np.all(size[:, row, ~is_hidden] > 0)


def test_who_sees_nobody_says_the_same_whatever_happened():
    net, stretch = network(WHOLE_WINDOW), row_stretch(WHOLE_WINDOW)
    decoded = np.asarray(net.decode(net.params, stretch, np.ones_like(MASKS)))
    assert np.all(np.isfinite(decoded))
    said = decoded[_present_reads(stretch, WHOLE_WINDOW).all(axis=-1)]
    assert len(said) >= 2
    np.testing.assert_allclose(said, np.broadcast_to(said[:1], said.shape), atol=1e-6)


def test_it_learns_32_stored_windows_by_heart():
    """Windows of 1 to 3 present steps; an auto-encoder that knows the mean only would be left with the variance."""
    num_windows = 32
    generator = np.random.default_rng(7)
    obs = generator.normal(size=(3, num_windows, 3, OBS))
    one_hot = np.eye(NUM_ACTIONS)[generator.integers(NUM_ACTIONS, size=obs.shape[:-1])]
    tokens = np.concatenate([obs, one_hot], axis=-1).astype(np.float32)
    valid_length = np.zeros((3, num_windows), np.int32)
    valid_length[-1] = np.arange(num_windows) % 3
    valid_length[-2] = np.maximum(valid_length[-1] - 1, 0)
    stretch, is_hidden = Stretch(tokens, valid_length), np.resize(MASKS[1:-1], (num_windows, 3))
    mae: Any = MaskedAutoEncoder(3, OBS + NUM_ACTIONS, 3, 16, 4, 2, 1)
    optimiser = optax.adam(3e-3)

    def loss(params):
        predicted = mae.apply(params, mae.apply(params, stretch, is_hidden)[0, :, :, 0], method="reconstruct")
        return reconstruction_loss(predicted, tokens[-1], is_hidden)

    @jax.jit
    def learn(key):
        params = mae.init(key, stretch, is_hidden)

        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimiser.init(params)), length=150)[1]

    losses = np.asarray(learn(jax.random.key(8)))
    variance = np.mean(np.var(tokens[-1][is_hidden], axis=0))
    assert variance > 0.3
    assert losses[-1] < 0.1 * min(losses[0], variance), losses[::20]
