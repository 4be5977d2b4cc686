"""The interfaces of learning systems to the training loop, and of auxiliary objectives to a system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import jax
from flax import struct

from limae_jax.keys import Stream
from limae_jax.networks.agent import AgentInputs
from limae_jax.networks.attention import Beliefs
from limae_jax.networks.windows import History
from limae_jax.systems.belief_quality import BeliefErrors
from limae_jax.types import Counters, Metrics, PyTree, Rows, Sample, Timestep

Params = dict[str, PyTree]


class LearnerState(struct.PyTreeNode):
    """Everything that gradient steps change.

    Attributes:
        params: by part: "agent", "mixer", and one for each auxiliary objective that has parameters.
        target_params: target copies of the parts that have one.
        opt_state: optimiser state.
        auxiliary: state of each auxiliary objective, by name.
        averaged: moving averages of the parts that the finished team acts with; empty if it has the newest ones.
    """

    params: Params
    target_params: Params
    opt_state: PyTree
    auxiliary: dict[str, PyTree]
    averaged: Params = struct.field(default_factory=dict)

    @property
    def team_params(self) -> Params:
        """The parameters of the finished team, which is evaluated and stored; training explores with `params`."""
        return self.params | self.averaged


class ActorCarry(struct.PyTreeNode):
    """The state of acting between steps; each row stores the carry that it starts from.

    Attributes:
        hidden: the network's recurrent state, leaves [B, ...].
        last_action: [B, A] int32.
        history: the last steps, if a team model reads them; otherwise None.
    """

    hidden: PyTree
    last_action: jax.Array
    history: History | None = None


class Acted(NamedTuple):
    """The result of acting. Leading axis [B].

    Attributes:
        action: [B, A] int32, or [B, A, U] float32 where actions are vectors; legal.
        carry: for the next step.
        recorded: further arrays [B, ...] by name, such as log-probabilities, which the rows keep in `Rows.extras`;
            None if there are none.
    """

    action: jax.Array
    carry: ActorCarry
    recorded: Mapping[str, jax.Array] | None = None


class Step(NamedTuple):
    """The result of a gradient step.

    Attributes:
        state: after the step. If `loss` or `grad_norm` is not finite, the loop drops it and marks the seed failed.
        loss, grad_norm: [] each, reported under these names.
        metrics: further [] float32 by name, the same names in every call.
        priority: [B] new priorities of the batch's rows, not negative, for prioritised replay; None if the system has
            none.
    """

    state: LearnerState
    loss: jax.Array
    grad_norm: jax.Array
    metrics: Metrics
    priority: jax.Array | None = None


class Update(Protocol):
    """One gradient step on a batch of rows. Pure: all randomness comes from `key`."""

    def __call__(self, state: LearnerState, batch: Sample, counters: Counters, key: jax.Array) -> Step:
        """Takes the step; `counters` are those of the seed before the step."""
        ...


class OffPolicy(NamedTuple):
    """Learning from stored rows.

    Attributes:
        update: gradient step.
        updates_per_iteration: gradient steps after each collected block of rows.
        streams: random streams of the draws from the replay and within the update.
    """

    update: Update
    updates_per_iteration: int
    streams: tuple[Stream, Stream] = (Stream.REPLAY, Stream.UPDATE)


class OnPolicy(NamedTuple):
    """Learning from the rows just collected, which are not stored.

    Attributes:
        prepare: (state, rows [T, B, ...]) -> rows whose `extras` have what all steps of the iteration read, such as
            advantages under the parameters that acted.
        update: gradient step on a minibatch of whole rows.
        epochs: passes over the rows of an iteration.
        minibatches: per pass; the rows are shuffled before each pass. Divides the number of environment copies.
        streams: random streams of the shuffling and of the draws within the update.
    """

    prepare: Callable[[LearnerState, Rows], Rows]
    update: Update
    epochs: int
    minibatches: int
    streams: tuple[Stream, Stream] = (Stream.REPLAY, Stream.UPDATE)


class Phase(NamedTuple):
    """A part of training with one compiled program.

    Attributes:
        name: shown on the console and stored in metrics.
        time_steps: length in time steps of each seed, final observations included; None lasts to the end of the run.
        explores_by_schedule: whether exploration follows the system's schedule, whose clock then advances; otherwise
            play is uniformly random.
        learn: how gradient steps are taken; None only collects.
    """

    name: str
    time_steps: int | None
    explores_by_schedule: bool
    learn: OffPolicy | OnPolicy | None = None


class System(NamedTuple):
    """A learning system as pure functions.

    A system is built again inside a compiled program, where the settings named in `config.traced` are traced arrays:
    building it must not branch on their values in Python.

    Attributes:
        init: key -> LearnerState.
        initial_carry: number of rows B -> ActorCarry at an episode's start.
        act: (params, carry, timestep [B, ...], exploration [], key) -> Acted. Exploration 0 is greedy, 1 is uniformly
            random over the legal actions; the system defines values in between.
        exploration: counters -> [] exploration of the phases that explore by schedule. Depends on what the seed has
            done, never on the length of the run.
        after_iteration: (state, counters before, counters after an iteration) -> state; updates the targets.
        phases: in order; the last one has time_steps None.
        belief_errors: (params, carry, timestep [B, ...], is_running [B], errors) -> errors; None if the agents
            reconstruct nothing; see `systems.belief_quality`.
        sampling: exploration at which the actions are drawn from a stochastic policy, which is then evaluated beside
            greedy play; None if the system has no such policy.
    """

    init: Callable[[jax.Array], LearnerState]
    initial_carry: Callable[[int], ActorCarry]
    act: Callable[[Params, ActorCarry, Timestep, jax.Array | float, jax.Array], Acted]
    exploration: Callable[[Counters], jax.Array]
    after_iteration: Callable[[LearnerState, Counters, Counters], LearnerState]
    phases: tuple[Phase, ...]
    belief_errors: Callable[[Params, ActorCarry, Timestep, jax.Array, BeliefErrors], BeliefErrors] | None = None
    sampling: float | None = None

    @property
    def stores_rows(self) -> bool:
        """Whether a phase learns from stored rows and so needs a replay memory."""
        return any(isinstance(phase.learn, OffPolicy) for phase in self.phases)


class TdErrors(NamedTuple):
    """TD errors of a batch. Axes [T, B, ...], time-major.

    Attributes:
        team: [T, B], or [T, B, A] without a mixer, with gradient; `chosen_value` minus `target`.
        is_counted: where `team` is valid.
        agent: [T, B, A] each agent's own TD error, without gradient.
        credit: [T, B, A] dQ_tot/dQ_i at the actions taken, without gradient; 1 without a mixer.
        chosen_value, target: the two terms of `team`.
    """

    team: jax.Array
    is_counted: jax.Array
    agent: jax.Array
    credit: jax.Array
    chosen_value: jax.Array
    target: jax.Array


class AuxiliaryInputs(NamedTuple):
    """Inputs of an auxiliary objective. Axes [T, B, ...], time-major; gradients flow through `features`.

    Attributes:
        params, target_params: of all parts.
        batch: the rows.
        start, inputs: the carry at the start of the rows, and the agents' inputs at each step.
        features: of the online agent network.
        errors: TD errors of the batch.
    """

    params: Params
    target_params: Params
    batch: Rows
    start: ActorCarry
    inputs: AgentInputs
    features: Mapping[str, jax.Array]
    errors: TdErrors


class AuxiliaryLoss(NamedTuple):
    """The result of an auxiliary objective on a batch.

    Attributes:
        loss: [].
        state: for the next batch.
        metrics: [] by name.
        scale: statistics that its part of the parameters has under "scale", after the batch; None if it has none.
    """

    loss: jax.Array
    state: PyTree
    metrics: Metrics
    scale: PyTree | None = None


def with_scales(params: Params, scales: Mapping[str, PyTree | None]) -> Params:
    """Returns parameters with other statistics, which no gradient moves, in the parts that have some."""
    return params | {part: {**params[part], "scale": scale} for part, scale in scales.items() if scale is not None}


class Auxiliary(NamedTuple):
    """An additional loss with its own parameters and state.

    Attributes:
        name: its key in `LearnerState.params` and `.auxiliary`.
        init_params: key -> parameters; None if it has none.
        init_state: () -> state, carried from batch to batch and stored in checkpoints.
        loss: (inputs, state, key) -> AuxiliaryLoss.
        optimiser: label of the optimiser that trains its parameters.
    """

    name: str
    init_params: Callable[[jax.Array], PyTree] | None
    init_state: Callable[[], PyTree]
    loss: Callable[[AuxiliaryInputs, PyTree, jax.Array], AuxiliaryLoss]
    optimiser: str = "td"


class TeamModel(NamedTuple):
    """The source of the agents' beliefs about their team.

    Attributes:
        part: key of its parameters. If the part has a target rule, the target network has its own beliefs; otherwise
            it shares those of the online network.
        empty_history: number of rows B -> History at an episode's start.
        infer: (parameters of the part, history [B, ...], inputs [T, B, ...]) -> Beliefs [T, B, ...].
        takes_td_gradient: whether the TD loss trains the part.
    """

    part: str | None
    empty_history: Callable[[int], History]
    infer: Callable[[PyTree, History, AgentInputs], Beliefs]
    takes_td_gradient: bool = False
