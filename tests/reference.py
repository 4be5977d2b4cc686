"""The learner's equations once more, in plain numpy loops and from the definitions: what the tests compare with."""

from __future__ import annotations

import jax
import numpy as np

from limae_jax.types import Rows


def lambda_returns(reward, terminal, filled, value, gamma: float, td_lambda: float) -> np.ndarray:
    """TD(lambda) targets of one row [T] as the mixture of n-step returns; nan where not filled.

    From slot t the steps go on up to the first slot e that is not filled (the final observation or the row's end).
    The n-step return is G(n) = sum_{k<n} gamma^k r_{t+k} + gamma^n V_{t+n}, with V = 0 behind a terminal step, and

        target = sum_{n=1}^{e-t-1} (1 - lambda) lambda^{n-1} G(n) + lambda^{e-t-1} G(e-t)
    """
    num_slots = len(reward)
    targets = np.full(num_slots, np.nan)
    for t in range(num_slots - 1):
        if not filled[t]:
            continue
        end = next(slot for slot in range(t + 1, num_slots) if slot == num_slots - 1 or not filled[slot])
        n_step = []
        for n in range(1, end - t + 1):
            rewards = sum(gamma**k * float(reward[t + k]) for k in range(n))
            n_step.append(rewards + (0.0 if terminal[t + n - 1] else gamma**n * float(value[t + n])))
        weights = [(1 - td_lambda) * td_lambda ** (n - 1) for n in range(1, end - t)] + [td_lambda ** (end - t - 1)]
        targets[t] = np.dot(weights, n_step)
    return targets


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def agent_utilities(params, obs, last_action, is_first, hidden) -> np.ndarray:
    """The GRU agent on one row: obs [T, A, O], last_action [T, A], is_first [T], hidden [A, H] -> q [T, A, U]."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
    num_agents, num_actions = obs.shape[1], p["head"]["bias"].shape[0]
    gru, hidden, q = p["gru"], np.array(hidden, np.float64), []
    for t in range(obs.shape[0]):
        if is_first[t]:
            hidden = np.zeros_like(hidden)
        one_hot = np.zeros((num_agents, num_actions))
        for agent, action in enumerate(last_action[t]):
            if action >= 0:
                one_hot[agent, action] = 1.0
        wide = np.concatenate([obs[t], one_hot, np.eye(num_agents)], axis=-1)
        x = np.maximum(wide @ p["input"]["kernel"] + p["input"]["bias"], 0.0)
        of_input = {gate: x @ gru[f"input_{gate}"]["kernel"] + gru[f"input_{gate}"]["bias"] for gate in "rzn"}
        r = _sigmoid(of_input["r"] + hidden @ gru["recurrent_r"])
        z = _sigmoid(of_input["z"] + hidden @ gru["recurrent_z"])
        n = np.tanh(of_input["n"] + r * (hidden @ gru["recurrent_n"] + gru["recurrent_bias_n"]))
        hidden = (1 - z) * n + z * hidden
        q.append(hidden @ p["head"]["kernel"] + p["head"]["bias"])
    return np.stack(q)


def qmix_value(params, chosen_q, state) -> float:
    """QMIX's Q_tot of one slot: chosen_q [A], state [G]."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
    state = np.asarray(state, np.float64)

    def dense(name, x):
        return x @ p[name]["kernel"] + p[name]["bias"]

    def two_layers(name):
        return dense(name, np.maximum(dense(f"{name}_hidden", state), 0.0))

    w1 = np.abs(two_layers("w1")).reshape(len(chosen_q), -1)
    w2 = np.abs(two_layers("w2"))
    inner = np.asarray(chosen_q, np.float64) @ w1 + dense("b1", state)
    elu = np.where(inner > 0, inner, np.exp(np.minimum(inner, 0.0)) - 1)
    return float(elu @ w2 + two_layers("b2")[0])


def row_utilities(params, batch: Rows) -> np.ndarray:
    """Utilities [T, B, A, U] of a batch, row by row."""
    q = []
    for row in range(batch.filled.shape[1]):
        before = np.concatenate([batch.start.last_action[None, row], batch.action[:-1, row]])
        last_action = np.where(np.asarray(batch.is_first)[:, row, None], -1, before)
        obs, is_first = np.asarray(batch.obs)[:, row], np.asarray(batch.is_first)[:, row]
        q.append(agent_utilities(params, obs, last_action, is_first, batch.start.hidden[row]))
    return np.stack(q, axis=1)


def team_values(mixer: str | None, params, chosen, batch: Rows) -> np.ndarray:
    """chosen [T, B, A] -> [T, B, 1] of the team, or [T, B, A] as they are without a mixer."""
    if mixer is None:
        return np.asarray(chosen)
    if mixer == "vdn":
        return np.asarray(chosen).sum(axis=-1, keepdims=True)
    values = np.zeros((*chosen.shape[:2], 1))
    for t, row in np.ndindex(*chosen.shape[:2]):
        values[t, row, 0] = qmix_value(params["mixer"], chosen[t, row], batch.state[t, row])
    return values


def td_errors(mixer: str | None, params, targets, batch: Rows, config) -> tuple[np.ndarray, np.ndarray]:
    """TD(lambda) errors [T, B, A or 1], nan where not filled, and the agents' own absolute errors [T, B, A]."""
    online, target = row_utilities(params["agent"], batch), row_utilities(targets["agent"], batch)
    avail, action, filled = (np.asarray(x) for x in (batch.avail, batch.action, batch.filled))
    reward, terminal = np.asarray(batch.reward) * config.reward_scale, np.asarray(batch.terminal)
    taken, next_q = np.zeros(action.shape), np.zeros(action.shape)
    own = np.full(action.shape, np.nan)
    for index in np.ndindex(*action.shape):
        legal = [u for u in range(avail.shape[-1]) if avail[index][u]]
        picker = online if config.double_q else target
        taken[index] = online[index][action[index]]
        next_q[index] = target[index][max(legal, key=lambda u, at=index, picker=picker: picker[at][u])]
        t, row, agent = index
        if filled[t, row]:
            after = (t + 1, row, agent)
            best = max(target[after][u] for u in range(avail.shape[-1]) if avail[after][u])
            goal = reward[t, row] + (0.0 if terminal[t, row] else config.gamma * best)
            own[index] = abs(taken[index] - goal)
    value = team_values(mixer, targets, next_q, batch)
    goals = np.zeros(value.shape)
    for row, column in np.ndindex(*value.shape[1:]):
        goals[:, row, column] = lambda_returns(
            reward[:, row], terminal[:, row], filled[:, row], value[:, row, column], config.gamma, config.td_lambda
        )
    return team_values(mixer, params, taken, batch) - goals, own
