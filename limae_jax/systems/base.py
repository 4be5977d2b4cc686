"""What a learning system is to the training loop, and what an auxiliary objective is to a system."""

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
from limae_jax.types import Counters, Metrics, PyTree, Rows, Timestep

Params = dict[str, PyTree]


class LearnerState(struct.PyTreeNode):
    """Everything that gradient steps change.

    Attributes:
        params: by part: "agent", "mixer", and one for each auxiliary objective that has parameters.
        target_params: slow copies of the parts that have one.
        opt_state: optimiser state.
        auxiliary: state of each auxiliary objective, by name.
    """

    params: Params
    target_params: Params
    opt_state: PyTree
    auxiliary: dict[str, PyTree]


class ActorCarry(struct.PyTreeNode):
    """What acting remembers between steps; a row stores the one it starts from.

    Attributes:
        hidden: the network's recurrent state, leaves [B, ...].
        last_action: [B, A] int32.
        history: the steps before the next one, where a team model reads them.
    """

    hidden: PyTree
    last_action: jax.Array
    history: History | None = None


class Phase(NamedTuple):
    """A stretch of training with one compiled program.

    Attributes:
        name: as shown and stored in metrics.
        env_steps: time steps of each seed that it lasts; None lasts to the end of the run.
        explores_by_schedule: epsilon follows the schedule, whose clock runs; otherwise play is uniformly random.
        update: gradient step, or None to only collect.
        updates_per_iteration: gradient steps after each collected block of rows.
        streams: random streams of what the gradient steps draw, from the replay and within the update.
    """

    name: str
    env_steps: int | None
    explores_by_schedule: bool
    update: Update | None = None
    updates_per_iteration: int = 0
    streams: tuple[Stream, Stream] = (Stream.REPLAY, Stream.UPDATE)


class Update(Protocol):
    """One gradient step on a batch of rows."""

    def __call__(
        self, state: LearnerState, batch: Rows, counters: Counters, key: jax.Array
    ) -> tuple[LearnerState, Metrics]:
        """The learner after the step, and metrics [] with "loss" and "grad_norm" among them.

        Args:
            state: before the step.
            batch: rows [T, B, ...].
            counters: of the seed, before the step.
            key: randomness of this step.
        """
        ...


class System(NamedTuple):
    """A learning system as pure functions.

    Attributes:
        init: key -> LearnerState.
        initial_carry: number of rows B -> ActorCarry at an episode's start.
        act: (params, carry, timestep [B, ...], epsilon [], key) -> (action [B, A] int32, carry).
        refresh_targets: (state, counters before, counters after an iteration) -> state with its targets moved on.
        phases: in order; the last one has env_steps None.
        belief_errors: (params, carry, timestep [B, ...], is_running [B], errors) -> errors; None if the agents
            guess nothing; see `systems.belief_quality`.
    """

    init: Callable[[jax.Array], LearnerState]
    initial_carry: Callable[[int], ActorCarry]
    act: Callable[[Params, ActorCarry, Timestep, jax.Array | float, jax.Array], tuple[jax.Array, ActorCarry]]
    refresh_targets: Callable[[LearnerState, Counters, Counters], LearnerState]
    phases: tuple[Phase, ...]
    belief_errors: Callable[[Params, ActorCarry, Timestep, jax.Array, BeliefErrors], BeliefErrors] | None = None


class AuxiliaryInputs(NamedTuple):
    """What an auxiliary objective may use. Axes [T, B, ...], time-major; gradients flow through `features`.

    Attributes:
        params, target_params: of all parts.
        batch: the rows.
        start, inputs: the carry that the rows start from, and what the agents read along them.
        features: of the online agent network.
        td_error: [T, B], or [T, B, A] without a mixer.
        td_error_agent: [T, B, A] each agent's own absolute TD error, without gradient.
    """

    params: Params
    target_params: Params
    batch: Rows
    start: ActorCarry
    inputs: AgentInputs
    features: Mapping[str, jax.Array]
    td_error: jax.Array
    td_error_agent: jax.Array


class Auxiliary(NamedTuple):
    """A loss beside the TD loss, with parameters and state of its own.

    Attributes:
        name: its part in `LearnerState.params` and `.auxiliary`.
        init_params: key -> parameters, or None if it has none.
        init_state: () -> state, carried from batch to batch and stored in checkpoints.
        loss: (inputs, state, key) -> (loss, state, metrics).
        optimiser: label of the optimiser that trains its parameters.
    """

    name: str
    init_params: Callable[[jax.Array], PyTree] | None
    init_state: Callable[[], PyTree]
    loss: Callable[[AuxiliaryInputs, PyTree, jax.Array], tuple[jax.Array, PyTree, Metrics]]
    optimiser: str = "td"


class TeamModel(NamedTuple):
    """Where the agents' beliefs about their team come from.

    Attributes:
        part: its parameters' part. If the part has a target rule, the target network has beliefs of its own; otherwise
            it shares the online network's.
        empty_history: number of rows B -> History at an episode's start.
        infer: (parameters of the part, history [B, ...], inputs [T, B, ...]) -> Beliefs [T, B, ...].
        takes_td_gradient: whether the TD loss trains the part.
    """

    part: str | None
    empty_history: Callable[[int], History]
    infer: Callable[[PyTree, History, AgentInputs], Beliefs]
    takes_td_gradient: bool = False
