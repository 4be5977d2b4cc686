"""Losses of proximal policy optimisation (PPO). Pure functions over time-major rows, independent of the network.

`counts` is True at the samples that learning is about: real steps of living agents. A dead agent, an episode's final
observation and a row's last slot enter no mean here.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from limae_jax.losses.td import UNAVAILABLE, masked_mean, td_lambda_targets


def log_policy(logits: jax.Array, avail: jax.Array) -> jax.Array:
    """Returns the policy's log-probabilities [..., U]; an illegal action has probability 0 and no gradient.

    Args:
        logits, avail: [..., U].
    """
    chex.assert_equal_shape([logits, avail])
    return jax.nn.log_softmax(jnp.where(avail, logits, UNAVAILABLE), axis=-1)


def policy_entropy(log_probs: jax.Array, avail: jax.Array) -> jax.Array:
    """Returns the entropy [...] in nats over the legal actions, from `log_policy`'s result [..., U]."""
    return -jnp.sum(jnp.where(avail, jnp.exp(log_probs) * log_probs, 0.0), axis=-1)


def with_values_of_the_dead(value: jax.Array, alive: jax.Array) -> jax.Array:
    """Replaces each dead agent's value by the mean of its living team-mates' values, 0 if nobody lives.

    The team goes on when an agent dies, and the reward is the team's, so the agent's return does too. No loss trains
    the values of the dead; those of the living estimate the same return.

    Args:
        value, alive: [..., A].
    """
    chex.assert_equal_shape([value, alive])
    living = jnp.maximum(jnp.sum(alive, axis=-1, keepdims=True), 1)
    mean = jnp.sum(jnp.where(alive, value, 0.0), axis=-1, keepdims=True) / living
    return jnp.where(alive, value, mean)


def advantages(
    reward: jax.Array, terminal: jax.Array, filled: jax.Array, value: jax.Array, gamma: float, gae_lambda: float
) -> tuple[jax.Array, jax.Array]:
    """Returns generalised advantage estimates, and the lambda-returns that they come from (Schulman et al. 2016).

        A_t = G_t - V_t = sum_k (gamma lambda)^k delta_{t+k},  delta_t = r_t + gamma (1 - terminal_t) V_{t+1} - V_t

    The sum ends with the episode and with the row. A time limit and the end of a row bootstrap from the observation
    that follows them; see `td_lambda_targets`, whose recursion this is.

    Args:
        reward, terminal, filled: [T, B]; the team's.
        value: [T, B, A] of each agent, unscaled.
        gamma: discount.
        gae_lambda: lambda.

    Returns:
        (advantages, returns), [T, B, A] each; meaningless where not `filled`.
    """
    reward, terminal, filled = (jnp.broadcast_to(x[..., None], value.shape) for x in (reward, terminal, filled))
    returns = td_lambda_targets(reward, terminal, filled, value, gamma, gae_lambda)
    return returns - value, returns


def normalised(values: jax.Array, counts: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """Returns values with mean 0 and standard deviation 1 over the samples that count, 0 elsewhere."""
    mean = masked_mean(values, counts)
    deviation = jnp.sqrt(masked_mean(jnp.square(values - mean), counts))
    return jnp.where(counts, (values - mean) / (deviation + epsilon), 0.0)


class PolicyLoss(NamedTuple):
    """The loss of the policy and how far it has moved, [] each.

    Attributes:
        loss: minus the clipped objective.
        approx_kl: estimate of KL(old policy, policy), mean of rho - 1 - log rho (Schulman 2020), never negative.
        clip_share: share of samples whose ratio is out of the clip range.
    """

    loss: jax.Array
    approx_kl: jax.Array
    clip_share: jax.Array


def clipped_policy_loss(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, counts: jax.Array, clip: float
) -> PolicyLoss:
    """Returns PPO's clipped loss (Schulman et al. 2017, equation 7).

        -mean min(rho A, clip(rho, 1 - c, 1 + c) A),  rho = exp(log_prob - old_log_prob)

    Args:
        log_prob, old_log_prob: of the actions taken, under the policy that learns and the one that acted.
        advantage, counts: of the same shape.
        clip: c.
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, counts])
    # Selected before the exponential: where a sample does not count, it could overflow.
    log_ratio = jnp.where(counts, log_prob - old_log_prob, 0.0)
    ratio = jnp.exp(log_ratio)
    kl = jnp.expm1(log_ratio) - log_ratio
    gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)
    is_clipped = jnp.abs(ratio - 1.0) > clip
    means = (masked_mean(x, counts) for x in (-gain, kl, is_clipped.astype(ratio.dtype)))
    return PolicyLoss(*means)


def value_loss(
    value: jax.Array, old_value: jax.Array, target: jax.Array, counts: jax.Array, clip: float | None
) -> jax.Array:
    """Returns the critic's loss, the mean of error^2 / 2; with a clip, of the larger of two errors.

        max((V - G)^2, (V_old + clip(V - V_old, -c, c) - G)^2) / 2

    Args:
        value, old_value: now, and under the parameters that acted.
        target: G, in the same units as the values.
        counts: of the same shape.
        clip: c; None for no clip.
    """
    chex.assert_equal_shape([value, old_value, target, counts])
    value, old_value, target = (jnp.where(counts, x, 0.0) for x in (value, old_value, target))
    square = jnp.square(value - target)
    if clip is not None:
        near = old_value + jnp.clip(value - old_value, -clip, clip)
        square = jnp.maximum(square, jnp.square(near - target))
    return masked_mean(0.5 * square, counts)


def explained_variance(value: jax.Array, target: jax.Array, counts: jax.Array) -> jax.Array:
    """Returns 1 - Var(G - V) / Var(G) over the samples that count; 0 if the targets hardly differ."""

    def variance(x: jax.Array) -> jax.Array:
        return masked_mean(jnp.square(x - masked_mean(x, counts)), counts)

    total = variance(target)
    differs = total > 1e-6  # below, rounding decides
    return jnp.where(differs, 1.0 - variance(target - value) / jnp.where(differs, total, 1.0), 0.0)
