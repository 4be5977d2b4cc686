"""Quality of the agents' reconstructions of their team-mates while they act: R2 over the steps of an evaluation.

R2 is computed for each feature of the team-mates' observations and actions, then averaged over the features that vary:

    R2_f = 1 - sum (x_f - guess_f)^2 / sum (x_f - mean_f)^2

over the living team-mates of living agents. mean_f is a baseline without information about the episode: the same
team-mate's feature at the same step, averaged over the *other* running episodes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.networks.mae import other_agents
from limae_jax.networks.windows import make_tokens
from limae_jax.types import EnvSpec, Metrics, Timestep

# Features (in [-1, 1]) with a smaller variance, a standard deviation below 0.01, do not count. Nearly constant features
# would otherwise dominate the mean: a little noise makes their R2 a large negative number.
MIN_VARIANCE = 1e-4


class BeliefErrors(struct.PyTreeNode):
    """Sums over all (agent, team-mate) pairs and steps so far.

    Attributes:
        guess, mean: [F] squared errors of the reconstruction, and of the mean over other episodes.
        alive, alive_mean: [] squared errors of the probability that the team-mate lives, and of the share of other
            episodes in which it does; over dead team-mates too.
        seen, seen_mean: [P] squared errors in the team-mate's own health and position: of their values in the agent's
            observation (the mean where the team-mate is out of sight), and of the mean.
        weight: [] number of pairs.
        weight_alive: [] number of pairs in `alive`.
    """

    guess: jax.Array
    mean: jax.Array
    alive: jax.Array
    alive_mean: jax.Array
    seen: jax.Array
    seen_mean: jax.Array
    weight: jax.Array
    weight_alive: jax.Array


class Guess(NamedTuple):
    """The agents' reconstructions at one step.

    Attributes:
        reconstruction: [B, A, A - 1, F] each agent's reconstruction of its team-mates' last step.
        last_action: [B, A] int32, -1 at an episode's start.
        alive: [B, A, A - 1] the probability that each team-mate lives; None if it is not predicted.
    """

    reconstruction: jax.Array
    last_action: jax.Array
    alive: jax.Array | None = None


def no_errors(env: EnvSpec) -> BeliefErrors:
    """Returns the sums before the first step."""
    features, own, none = jnp.zeros(env.obs_size + env.num_actions), jnp.zeros(len(env.own_features)), jnp.zeros(())
    return BeliefErrors(features, features, none, none, own, own, none, none)


def add_step(
    errors: BeliefErrors, env: EnvSpec, guess: Guess, timestep: Timestep, is_running: jax.Array
) -> BeliefErrors:
    """Adds one step of B episodes that began together.

    Args:
        errors: sums so far.
        env: sizes, and the indices of an agent's own health and position in its observation.
        guess: the agents' reconstructions.
        timestep: [B, ...] what the agents saw.
        is_running: [B] bool, episodes that are not over.
    """
    others = other_agents(env.num_agents)
    truth = make_tokens(timestep.obs, guess.last_action, env.num_actions)
    alive = (timestep.alive & is_running[:, None]).astype(truth.dtype)
    count = jnp.sum(alive, axis=0)
    # The own episode is left out: the mean over few episodes would otherwise contain the truth.
    elsewhere = (jnp.sum(truth * alive[..., None], axis=0) - truth) / jnp.maximum(count - 1, 1)[:, None]
    weight = alive[:, :, None] * (alive * (count > 1))[:, others]

    def total(error: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(weight[..., None] > 0, jnp.square(error), 0.0), axis=(0, 1, 2))

    truth, elsewhere = truth[:, others], elsewhere[:, others]
    own = np.asarray(env.own_features, np.int32)
    seen, seen_mean = errors.seen, errors.seen_mean
    if env.team_view is not None:
        view, is_seen = jax.vmap(env.team_view)(timestep.obs)
        view = jnp.where(is_seen[..., None], view, elsewhere[..., own])
        seen, seen_mean = seen + total(truth[..., own] - view), seen_mean + total((truth - elsewhere)[..., own])
    of_alive, of_alive_mean, pairs = _alive_errors(guess.alive, timestep.alive, is_running)
    return BeliefErrors(
        guess=errors.guess + total(truth - guess.reconstruction),
        mean=errors.mean + total(truth - elsewhere),
        alive=errors.alive + of_alive,
        alive_mean=errors.alive_mean + of_alive_mean,
        seen=seen,
        seen_mean=seen_mean,
        weight=errors.weight + jnp.sum(weight),
        weight_alive=errors.weight_alive + pairs,
    )


def _alive_errors(
    believed: jax.Array | None, alive: jax.Array, is_running: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the squared errors of `believed` and of the other episodes' share, and the number of pairs, [] each."""
    if believed is None:
        return jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    running = is_running.astype(believed.dtype)
    lives = (alive & is_running[:, None]).astype(believed.dtype)
    episodes = jnp.sum(running)
    elsewhere = (jnp.sum(lives, axis=0) - lives) / jnp.maximum(episodes - 1, 1)
    others = other_agents(alive.shape[1])
    weight = lives[:, :, None] * (episodes > 1)
    errors = (jnp.square(lives[:, others] - guess) * weight for guess in (believed, elsewhere[:, others]))
    by_guess, by_mean = (jnp.sum(error) for error in errors)
    return by_guess, by_mean, jnp.sum(weight) * (alive.shape[1] - 1)


def belief_metrics(errors: BeliefErrors, env: EnvSpec) -> Metrics:
    """Computes R2 by kind of feature.

    Returns:
        "r2" of all features, "r2_action", "r2_rest" and, if the environment names these features,
        "r2_health_position"; for comparison "r2_seen", of team-mates' health and position as the agents observe them;
        "r2_alive" of the predicted survival, NaN if it is not predicted or nobody dies.
    """
    feature = np.arange(env.obs_size + env.num_actions)
    is_own, is_action = np.isin(feature, env.own_features), feature >= env.obs_size

    def of(chosen: np.ndarray) -> jax.Array:
        return _mean_r2(errors.guess[chosen], errors.mean[chosen], errors.weight)

    metrics = {"r2": of(feature >= 0), "r2_action": of(is_action), "r2_rest": of(~is_own & ~is_action)}
    metrics["r2_alive"] = _mean_r2(errors.alive[None], errors.alive_mean[None], errors.weight_alive)
    if env.own_features:
        metrics["r2_health_position"] = of(is_own)
    if env.team_view is not None:
        metrics["r2_seen"] = _mean_r2(errors.seen, errors.seen_mean, errors.weight)
    return metrics


def _mean_r2(error: jax.Array, error_of_mean: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns the mean over the features that vary; NaN if none does."""
    varies = error_of_mean > MIN_VARIANCE * weight
    r2 = 1.0 - error / jnp.where(varies, error_of_mean, 1.0)
    return jnp.sum(jnp.where(varies, r2, 0.0)) / jnp.sum(varies)
