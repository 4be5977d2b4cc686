"""The shared core of MAPPO and IPPO: recurrent PPO on the rows just collected.

The agents share one policy network, and each has a value of its own. An iteration's rows start from the recurrent
states that acting had there, of the policy and of the critic: the critic goes along while acting, without any effect on
the actions, so that no recurrent state is computed by parameters that had not yet been there.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from limae_jax.config import PpoConfig, TrainConfig
from limae_jax.losses.ppo import (
    advantages,
    clipped_policy_loss,
    explained_variance,
    log_policy,
    normalised,
    policy_entropy,
    value_loss,
    with_values_of_the_dead,
)
from limae_jax.losses.td import choose, masked_mean
from limae_jax.losses.value_norm import ValueNorm
from limae_jax.networks.actor_critic import Head, RecurrentHeads
from limae_jax.networks.agent import AgentInputs
from limae_jax.systems.acting import SAMPLING, check_discrete, policy_action
from limae_jax.systems.base import Acted, ActorCarry, LearnerState, OnPolicy, Params, Phase, Step, System
from limae_jax.systems.schedules import learning_rate_at
from limae_jax.types import Counters, EnvSpec, Metrics, PyTree, Rows, Sample, Timestep

# The key of the statistics in `LearnerState.auxiliary`.
VALUE_NORM = "value_norm"


def _networks(critic: str, config: PpoConfig, env: EnvSpec) -> dict[str, Any]:
    """Returns the network of each part of the parameters; together their heads are "policy" and "value".

    Args:
        critic: `central` and `own` are networks of their own, with and without the state; `shared` is a second head.
        config, env: sizes.
    """
    policy, value = Head("policy", env.num_actions, 0.01), Head("value", 1, 1.0)
    sizes = (env.num_actions, config.hidden_size)
    if critic == "shared":
        return {"agent": RecurrentHeads(*sizes, (policy, value))}
    return {
        "agent": RecurrentHeads(*sizes, (policy,)),
        "critic": RecurrentHeads(*sizes, (value,), reads_state=critic == "central"),
    }


class PpoCore:
    """The pure functions of one system; its attributes are fixed before training."""

    def __init__(self, config: TrainConfig, env: EnvSpec, critic: str):
        if not isinstance(config.system, PpoConfig):
            raise ValueError(f"system={config.system.name} has no settings of PPO")
        self.config, self.env = config.system, env
        self.reward_scale = config.reward_scale
        # `Any`: flax types the result of `apply` as either anything or a pair.
        self.networks: dict[str, Any] = _networks(critic, config.system, env)
        # Each network is clipped by itself: the size of the critic's gradient does not slow the policy.
        clip = optax.clip_by_global_norm(config.system.max_grad_norm)
        self.optimiser = optax.chain(clip, optax.scale_by_adam(eps=1e-5))

    # Acting

    def initial_carry(self, num_rows: int) -> ActorCarry:
        """Returns the acting carry at an episode's start, leaves [B, ...]; B = `num_rows`."""
        agents = self.env.num_agents
        hidden = {part: network.initial_carry(num_rows, agents) for part, network in self.networks.items()}
        return ActorCarry(hidden, jnp.full((num_rows, agents), -1, jnp.int32))

    def unroll(
        self, params: Params, hidden: PyTree, inputs: AgentInputs, state: jax.Array
    ) -> tuple[PyTree, jax.Array, jax.Array]:
        """Unrolls all networks over time.

        Args:
            params, hidden: by part; the recurrent states before the first step.
            inputs: [T, B, ...].
            state: [T, B, G], for a central critic.

        Returns:
            The recurrent states after the last step, the policy's logits [T, B, A, U], and the values [T, B, A] in the
            critic's units.
        """
        after: dict[str, jax.Array] = {}
        outputs: dict[str, jax.Array] = {}
        for part, network in self.networks.items():
            after[part], found = network.apply(params[part], hidden[part], inputs, state)
            outputs |= found
        return after, outputs["policy"], outputs["value"][..., 0]

    def act(
        self, params: Params, carry: ActorCarry, timestep: Timestep, exploration: jax.Array | float, key: jax.Array
    ) -> Acted:
        """Returns legal actions [B, A], the next carry, and the actions' log-probabilities; see `policy_action`."""
        inputs = AgentInputs.of_step(timestep.obs, carry.last_action, timestep.is_first)
        hidden, logits, _ = self.unroll(params, carry.hidden, inputs, timestep.state[None])
        log_probs = log_policy(logits[0], timestep.avail)
        action = policy_action(log_probs, timestep.avail, exploration, key)
        return Acted(action, ActorCarry(hidden, action), {"log_prob": choose(log_probs, action)})

    # Learning

    def init(self, key: jax.Array) -> LearnerState:
        """Returns the initial learner."""
        env, carry = self.env, self.initial_carry(1)
        obs, state = jnp.zeros((1, 1, env.num_agents, env.obs_size)), jnp.zeros((1, 1, env.state_size))
        inputs = AgentInputs(obs, jnp.zeros(obs.shape[:-1], jnp.int32), jnp.ones((1, 1), bool))
        keys = jax.random.split(key, len(self.networks))
        params = {
            part: network.init(one, carry.hidden[part], inputs, state)
            for one, (part, network) in zip(keys, self.networks.items(), strict=True)
        }
        opt_state = {part: self.optimiser.init(params[part]) for part in params}
        auxiliary = {VALUE_NORM: ValueNorm.start()} if self.config.value_norm else {}
        return LearnerState(params, {}, opt_state, auxiliary)

    def prepare(self, state: LearnerState, rows: Rows) -> Rows:
        """Returns rows with what all steps of the iteration learn from, under the parameters that acted.

        That is, in `extras`, [T, B, A] each: "value" in the critic's units, "advantage", normalised over the rows, and
        the lambda-return "target" in units of the scaled reward.
        """
        config = self.config
        _, _, value = self.unroll(state.params, rows.start.hidden, AgentInputs.of_rows(rows), rows.state)
        scaled = state.auxiliary[VALUE_NORM].denormalise(value) if config.value_norm else value
        scaled = with_values_of_the_dead(scaled, rows.alive)
        reward = rows.reward * self.reward_scale
        advantage, target = advantages(reward, rows.terminal, rows.filled, scaled, config.gamma, config.gae_lambda)
        advantage = normalised(advantage, self.counts(rows))
        return rows.replace(extras={**rows.extras, "value": value, "advantage": advantage, "target": target})

    @staticmethod
    def counts(rows: Rows) -> jax.Array:
        """Returns where agents learn, [T, B, A]: at real steps, while they live."""
        return rows.filled[..., None] & rows.alive

    def loss(self, params: Params, rows: Rows, target: jax.Array) -> tuple[jax.Array, Metrics]:
        """Returns the loss of a minibatch of prepared rows, and metrics.

        Args:
            params: by part.
            rows: with what `prepare` adds.
            target: [T, B, A] lambda-returns in the critic's units.
        """
        config, counts, old = self.config, self.counts(rows), rows.extras
        _, logits, value = self.unroll(params, rows.start.hidden, AgentInputs.of_rows(rows), rows.state)
        log_probs = log_policy(logits, rows.avail)
        policy = clipped_policy_loss(
            choose(log_probs, rows.action), old["log_prob"], old["advantage"], counts, config.clip
        )
        entropy = masked_mean(policy_entropy(log_probs, rows.avail), counts)
        critic = value_loss(value, old["value"], target, counts, config.clip if config.value_clip else None)
        total = policy.loss + config.value_weight * critic - config.entropy_weight * entropy
        return total, {
            "policy_loss": policy.loss,
            "value_loss": critic,
            "entropy": entropy,
            "approx_kl": policy.approx_kl,
            "clip_share": policy.clip_share,
            "explained_variance": explained_variance(value, target, counts),
        }

    def update(self, state: LearnerState, batch: Sample, counters: Counters, key: jax.Array) -> Step:
        """One gradient step on a minibatch of prepared rows; see `systems.base.Update`. Draws nothing from `key`."""
        rows, auxiliary = batch.rows, state.auxiliary
        target = rows.extras["target"]
        if self.config.value_norm:
            # The statistics include the returns that they normalise.
            norm = auxiliary[VALUE_NORM].updated(target, self.counts(rows), self.config.value_norm_decay)
            auxiliary, target = auxiliary | {VALUE_NORM: norm}, norm.normalise(target)
        (loss, metrics), grads = jax.value_and_grad(self.loss, has_aux=True)(state.params, rows, target)
        rate = learning_rate_at(self.config, counters.env_steps)
        params, opt_state = {}, {}
        for part, grad in grads.items():
            change, opt_state[part] = self.optimiser.update(grad, state.opt_state[part])
            params[part] = jax.tree.map(lambda old, step: old - rate * step, state.params[part], change)
        after = state.replace(params=params, opt_state=opt_state, auxiliary=auxiliary)
        return Step(after, loss, optax.tree.norm(grads), metrics)


def build_ppo(config: TrainConfig, env: EnvSpec, critic: str) -> System:
    """Builds PPO for given settings and environment sizes.

    Args:
        config: of the run.
        env: its environment.
        critic: `central`, `own` or `shared`, see `_networks`.

    Raises:
        InputError: the actions of the environment are vectors.
    """
    check_discrete(config.system.name, env)
    core = PpoCore(config, env, critic)
    learn = OnPolicy(core.prepare, core.update, core.config.epochs, core.config.minibatches)
    return System(
        init=core.init,
        initial_carry=core.initial_carry,
        act=core.act,
        exploration=lambda counters: jnp.full((), SAMPLING),
        after_iteration=lambda state, before, after: state,
        phases=(Phase("train", None, explores_by_schedule=True, learn=learn),),
        sampling=SAMPLING,
    )
