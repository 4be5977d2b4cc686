"""The shared core of the value-decomposition family: one agent network, an optional mixer, one update.

A system is a `ValueBasedSpec` on this core. It may add features from its agent network, auxiliary objectives with their
own parameters and state, optimisers by label, target rules by part, and phases before training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from limae_jax.config import PrioritisedReplayConfig, TrainConfig
from limae_jax.losses.td import (
    agent_td_errors,
    best_legal,
    bootstrap_action,
    choose,
    row_priority,
    td_lambda_targets,
    td_loss,
)
from limae_jax.networks.agent import AgentInputs
from limae_jax.networks.attention import Beliefs
from limae_jax.networks.mixers import MixerInputs, make_mixer
from limae_jax.networks.windows import advance
from limae_jax.systems.acting import epsilon_greedy
from limae_jax.systems.base import (
    Acted,
    ActorCarry,
    AuxiliaryInputs,
    AuxiliaryLoss,
    LearnerState,
    OffPolicy,
    Params,
    Phase,
    Step,
    System,
    TdErrors,
    with_scales,
)
from limae_jax.systems.belief_quality import BeliefErrors, Guess, add_step
from limae_jax.systems.schedules import epsilon_at
from limae_jax.systems.targets import TARGET_RULES, moving_average
from limae_jax.systems.value_spec import ValueBasedSpec, value_based
from limae_jax.types import Counters, EnvSpec, Metrics, Rows, Sample, Timestep


def _of_rows(weight: jax.Array | None, like: jax.Array) -> jax.Array | float:
    """Shapes row weights [B] for values [T, B] or [T, B, A]; 1 without weights."""
    return 1.0 if weight is None else jnp.reshape(weight, (1, -1) + (1,) * (like.ndim - 2))


class ValueBasedCore:
    """The pure functions of one system; its attributes are fixed before training."""

    def __init__(self, spec: ValueBasedSpec, config: TrainConfig, env: EnvSpec):
        self.spec, self.config, self.env = spec, value_based(config), env
        self.reward_scale = config.reward_scale
        self.stores_carry = config.replay.initial_carry == "stored"
        replay = config.replay
        self.priority_of = replay.priority if isinstance(replay, PrioritisedReplayConfig) else None
        model = spec.team_model
        acting = ("agent", model.part) if model and model.part else ("agent",)
        self.averaged_parts = acting if self.config.average_env_steps else ()
        # `Any`: flax types the result of `apply` as either anything or a pair.
        self.agent: Any = spec.make_agent(env, self.config)
        self.mixer: Any = make_mixer(spec.mixer, config.mixing, env) if spec.mixer else None
        self.labels = {"agent": "td", "mixer": "td", **{extra.name: extra.optimiser for extra in spec.auxiliaries}}
        optimisers = {label: make(self.config) for label, make in spec.optimisers.items()}
        self.optimiser = optax.multi_transform(optimisers, lambda params: {part: self.labels[part] for part in params})

    # Acting

    def initial_carry(self, num_rows: int) -> ActorCarry:
        """Returns the acting carry at an episode's start, leaves [B, ...]; B = `num_rows`."""
        agents = self.env.num_agents
        last_action = jnp.full((num_rows, agents), -1, jnp.int32)
        model = self.spec.team_model
        history = model.empty_history(num_rows) if model else None
        return ActorCarry(self.agent.initial_carry(num_rows, agents), last_action, history)

    def act(
        self, params: Params, carry: ActorCarry, timestep: Timestep, epsilon: jax.Array | float, key: jax.Array
    ) -> Acted:
        """Returns epsilon-greedy legal actions [B, A] and the next carry; see `System`."""
        inputs = AgentInputs.of_step(timestep.obs, carry.last_action, timestep.is_first)
        inputs = inputs.replace(beliefs=self.infer(params, carry, inputs))
        hidden, q, _ = self.agent.apply(params["agent"], carry.hidden, inputs)
        action = epsilon_greedy(q[0], timestep.avail, epsilon, key)
        history = carry.history
        if history is not None:
            history = advance(history, timestep.obs, inputs.last_action[0], timestep.is_first)
        return Acted(action, ActorCarry(hidden, action, history))

    def infer(self, params: Params, carry: ActorCarry, inputs: AgentInputs) -> Beliefs | None:
        """Returns the agents' beliefs about their team; None without a team model."""
        model = self.spec.team_model
        if model is None:
            return None
        if carry.history is None:
            raise ValueError("the carry has no history for the team model")
        return model.infer(params[model.part] if model.part else None, carry.history, inputs)

    def belief_errors(
        self, params: Params, carry: ActorCarry, timestep: Timestep, is_running: jax.Array, errors: BeliefErrors
    ) -> BeliefErrors:
        """Adds the errors of the agents' reconstructions at one step; see `System`."""
        inputs = AgentInputs.of_step(timestep.obs, carry.last_action, timestep.is_first)
        beliefs: Any = self.infer(params, carry, inputs)
        alive = None if beliefs.log_alive is None else jnp.exp(beliefs.log_alive[0])
        guess = Guess(beliefs.newest()[0], inputs.last_action[0], alive)
        return add_step(errors, self.env, guess, timestep, is_running)

    # Learning

    def init(self, key: jax.Array) -> LearnerState:
        """Returns the initial learner; the target networks are copies of the online networks."""
        env = self.env
        agent_key, mixer_key, extra_key = jax.random.split(key, 3)
        params: Params = {}
        for index, extra in enumerate(self.spec.auxiliaries):
            if extra.init_params:
                params[extra.name] = extra.init_params(jax.random.fold_in(extra_key, index))
        obs = jnp.zeros((1, 1, env.num_agents, env.obs_size))
        inputs = AgentInputs(obs, jnp.zeros(obs.shape[:-1], jnp.int32), jnp.ones((1, 1), bool))
        carry = self.initial_carry(1)
        inputs = inputs.replace(beliefs=self.infer(params, carry, inputs))
        (_, q, features), params["agent"] = self.agent.init_with_output(agent_key, carry.hidden, inputs)
        if self.mixer:
            state = jnp.zeros((1, 1, env.state_size))
            example = MixerInputs(q[..., 0], q[..., 0], inputs.last_action, state, features)
            params["mixer"] = self.mixer.init(mixer_key, example)
        targets = {part: params[part] for part in self.spec.target_rules if part in params}
        auxiliary = {extra.name: extra.init_state() for extra in self.spec.auxiliaries}
        averaged = {part: params[part] for part in self.averaged_parts}
        targets, averaged = jax.tree.map(jnp.copy, (targets, averaged))
        return LearnerState(params, targets, self.optimiser.init(params), auxiliary, averaged)

    def read(self, batch: Rows) -> tuple[ActorCarry, AgentInputs]:
        """Returns the carry at the start of each row of a batch, and the agents' inputs along the rows."""
        start = batch.start
        if not self.stores_carry:
            start = start.replace(
                hidden=jax.tree.map(jnp.zeros_like, start.hidden), history=jax.tree.map(jnp.zeros_like, start.history)
            )
        return start, AgentInputs.of_rows(batch)

    def beliefs(
        self, params: Params, targets: Params, start: ActorCarry, inputs: AgentInputs
    ) -> tuple[Beliefs | None, Beliefs | None]:
        """Returns the beliefs of the online and target networks; the same unless the team model has a target copy."""
        model = self.spec.team_model
        online = self.infer(
            params if model and model.takes_td_gradient else jax.lax.stop_gradient(params), start, inputs
        )
        if model and model.part in targets:
            return online, self.infer(targets, start, inputs)
        return online, jax.lax.stop_gradient(online)

    def unroll(
        self, params: Params, start: ActorCarry, inputs: AgentInputs, beliefs: Beliefs | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns utilities [T, B, A, U] and features of a batch, from the carry at the start of each row."""
        _, q, features = self.agent.apply(params["agent"], start.hidden, inputs.replace(beliefs=beliefs))
        return q, features

    def mix(
        self, params: Params, q: jax.Array, batch: Rows, action: jax.Array, features: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Returns the value [T, B] of the joint action [T, B, A], or without a mixer the agents' own values [T, B, A].

        Args:
            params: of the network that computed `q` [T, B, A, U] and `features`.
            q, features: see `unroll`.
            batch: the rows.
            action: may differ from the actions of the rows.
        """
        chosen_q = choose(q, action)
        return self._mix(params, chosen_q, q, batch, action, features) if self.mixer else chosen_q

    def _mix(
        self,
        params: Params,
        chosen_q: jax.Array,
        q: jax.Array,
        batch: Rows,
        action: jax.Array,
        features: Mapping[str, jax.Array],
    ) -> jax.Array:
        best_q = best_legal(q, batch.avail)
        return self.mixer.apply(params["mixer"], MixerInputs(chosen_q, best_q, action, batch.state, features))

    def credit(self, params: Params, q: jax.Array, batch: Rows, features: Mapping[str, jax.Array]) -> jax.Array:
        """Returns dQ_tot/dQ_i [T, B, A] at the rows' actions, as the learner's gradient has it; 1 without a mixer."""
        chosen_q = choose(q, batch.action)
        if not self.mixer:
            return jnp.ones_like(chosen_q)
        fixed = jax.lax.stop_gradient((params, q, features))

        def total(chosen_q: jax.Array) -> jax.Array:
            params, q, features = fixed
            return jnp.sum(self._mix(params, chosen_q, q, batch, batch.action, features))

        return jax.grad(total)(jax.lax.stop_gradient(chosen_q))

    def td_errors(
        self, params: Params, targets: Params, batch: Rows, start: ActorCarry, inputs: AgentInputs
    ) -> tuple[TdErrors, Mapping[str, jax.Array]]:
        """Returns TD(lambda) errors of a batch and the features of the online agent network."""
        config = self.config
        beliefs, target_beliefs = self.beliefs(params, targets, start, inputs)
        q, features = self.unroll(params, start, inputs, beliefs)
        online_q = jax.lax.stop_gradient(q)
        target_q, target_features = self.unroll(targets, start, inputs, target_beliefs)
        next_action = bootstrap_action(online_q, target_q, batch.avail, config.double_q)
        value = jax.lax.stop_gradient(self.mix(targets, target_q, batch, next_action, target_features))
        reward = batch.reward * self.reward_scale
        terminal, filled = batch.terminal, batch.filled
        if not self.mixer:
            reward, terminal, filled = (jnp.broadcast_to(x[..., None], value.shape) for x in (reward, terminal, filled))
        target = td_lambda_targets(reward, terminal, filled, value, config.gamma, config.td_lambda)
        chosen_value = self.mix(params, q, batch, batch.action, features)
        agent_errors = agent_td_errors(
            online_q,
            target_q,
            batch.action,
            batch.avail,
            batch.reward * self.reward_scale,
            batch.terminal,
            config.gamma,
        )
        # Free for all that do not read it: XLA drops what has no use.
        credit = self.credit(params, q, batch, features)
        return TdErrors(chosen_value - target, filled, agent_errors, credit, chosen_value, target), features

    def loss(
        self, params: Params, state: LearnerState, batch: Sample, key: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, AuxiliaryLoss], Metrics, TdErrors]]:
        """Returns TD loss plus auxiliary losses, and the auxiliaries' results, the metrics and the TD errors.

        Importance weights apply to the TD loss only: an auxiliary loss is a mean over the drawn rows and so favours
        rows that are drawn more often.
        """
        rows = batch.rows
        start, inputs = self.read(rows)
        errors, features = self.td_errors(params, state.target_params, rows, start, inputs)
        filled = errors.is_counted
        total = td_loss(errors.team, filled, _of_rows(batch.weight, errors.team))
        real = jnp.maximum(jnp.sum(filled), 1)
        values = {"q_taken": errors.chosen_value, "target": errors.target}
        metrics = {name: jnp.sum(jnp.where(filled, value, 0.0)) / real for name, value in values.items()}
        metrics |= {"td_loss": total, "td_error_abs": jnp.sum(jnp.where(filled, jnp.abs(errors.team), 0.0)) / real}
        if batch.weight is not None:
            metrics["importance_weight_mean"] = jnp.mean(batch.weight)
        seen = AuxiliaryInputs(params, state.target_params, rows, start, inputs, features, errors)
        results = {}
        for index, extra in enumerate(self.spec.auxiliaries):
            found = extra.loss(seen, state.auxiliary[extra.name], jax.random.fold_in(key, index))
            results[extra.name] = found
            total = total + found.loss
            metrics |= {f"{extra.name}/{name}": value for name, value in found.metrics.items()}
        return total, (results, metrics, errors)

    def update(self, state: LearnerState, batch: Sample, counters: Counters, key: jax.Array) -> Step:
        """One gradient step on the sum of all losses; see `systems.base.Update`."""
        (loss, (results, metrics, errors)), grads = jax.value_and_grad(self.loss, has_aux=True)(
            state.params, state, batch, key
        )
        params, opt_state = self.step(state, grads, self.spec.train_labels)
        params = with_scales(params, {name: found.scale for name, found in results.items()})
        auxiliary = state.auxiliary | {name: found.state for name, found in results.items()}
        after = state.replace(params=params, opt_state=opt_state, auxiliary=auxiliary)
        return Step(after, loss, optax.tree.norm(grads), metrics, self.priority(errors, batch.rows))

    def priority(self, errors: TdErrors, rows: Rows) -> jax.Array | None:
        """Returns the priority [B] of each row, from the team's TD errors or from those of its living agents."""
        if self.priority_of == "agents":
            return row_priority(errors.agent, rows.filled[..., None] & rows.alive)
        return row_priority(errors.team, errors.is_counted)

    def step(self, state: LearnerState, grads: Params, labels: tuple[str, ...] | None = None) -> tuple[Params, Any]:
        """Returns parameters and optimiser state after one step; labels not in `labels` stay exactly unchanged."""
        updates, opt_state = self.optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if labels is None:
            return params, opt_state
        kept = {part: params[part] if self.labels[part] in labels else state.params[part] for part in params}
        old: Any = state.opt_state
        inner = {label: (opt_state if label in labels else old).inner_states[label] for label in old.inner_states}
        return kept, opt_state._replace(inner_states=inner)

    def exploration(self, counters: Counters) -> jax.Array:
        """Returns the scheduled epsilon []."""
        return epsilon_at(self.config, counters.explore_env_steps)

    def after_iteration(self, state: LearnerState, before: Counters, after: Counters) -> LearnerState:
        """Updates the target networks and the averages, given the counters before and after an iteration."""
        averaged = {
            part: moving_average(state.params[part], average, before, after, self.config)
            for part, average in state.averaged.items()
        }
        targets = {
            part: TARGET_RULES[self.spec.target_rules[part]](state.params[part], target, before, after, self.config)
            for part, target in state.target_params.items()
        }
        return state.replace(target_params=targets, averaged=averaged)


def build_value_based(spec: ValueBasedSpec, config: TrainConfig, env: EnvSpec) -> System:
    """Builds the system of a specification for given settings and environment sizes."""
    core = ValueBasedCore(spec, config, env)
    warmup = Phase("warmup", config.replay.min_rows * config.replay.row_length, explores_by_schedule=False)
    learn = OffPolicy(core.update, core.config.updates_per_iteration)
    train = Phase("train", None, explores_by_schedule=True, learn=learn)
    # A single agent has no team-mates to reconstruct.
    guesses = spec.team_model is not None and spec.team_model.part is not None and env.num_agents > 1
    return System(
        init=core.init,
        initial_carry=core.initial_carry,
        act=core.act,
        exploration=core.exploration,
        after_iteration=core.after_iteration,
        phases=(warmup, *spec.phases(core, config), train),
        belief_errors=core.belief_errors if guesses else None,
    )
