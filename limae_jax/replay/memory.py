"""Memory that a run needs, computed before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from limae_jax.config import MaeConfig, PrioritisedReplayConfig, TrainConfig
from limae_jax.errors import InputError

GIB = 2**30

# Episodes that an evaluation plays at the same time. Neither a setting nor derived from the available memory, as it
# determines which episodes are played.
EPISODES_AT_ONCE = 1024


class HasSizes(Protocol):
    """The part of `EnvSpec` that memory depends on."""

    @property
    def num_agents(self) -> int:
        """A, the number of agents."""

    @property
    def obs_size(self) -> int:
        """O, the size of one agent's observation."""

    @property
    def state_size(self) -> int:
        """G, the size of the global state."""

    @property
    def num_actions(self) -> int:
        """U, the number of actions of each agent."""


def row_bytes(config: TrainConfig, sizes: HasSizes) -> int:
    """Returns the bytes of one stored row: row_length + 1 slots, the acting carry before them, and its priority if any.

    Uses a formula so that `limae-jax list` need not build anything; ignores further arrays that a system records.
    """
    agents = sizes.num_agents
    floats = agents * sizes.obs_size + sizes.state_size
    per_float = 2 if config.replay.observation_dtype == "float16" else 4
    flags = agents * sizes.num_actions + agents + 4  # avail, alive, and terminal, truncated, is_first, filled
    slot = floats * per_float + flags + agents * 4 + 4  # action, reward
    start = agents * config.system.hidden_size * 4 + agents * 4
    if config.has_context:
        start += (config.team_window.window - 1) * agents * (sizes.obs_size + 1) * 4 + 4
    priority = 4 if isinstance(config.replay, PrioritisedReplayConfig) else 0
    return (config.replay.row_length + 1) * slot + start + priority


def replay_bytes(config: TrainConfig, sizes: HasSizes) -> int:
    """Returns the bytes of one seed's replay by the formula of `row_bytes`."""
    return config.replay.capacity_rows * row_bytes(config, sizes)


def working_bytes(config: TrainConfig, sizes: HasSizes) -> int:
    """Estimates, roughly from above, one seed's bytes without the replay: the larger of training and evaluation."""
    return max(update_bytes(config, sizes), evaluation_bytes(config, sizes))


def update_bytes(config: TrainConfig, sizes: HasSizes) -> int:
    """Estimates, roughly from above, the bytes of one seed's gradient step without the replay.

    Counts the sampled batch twice (gathered and in float32), the activations stored for the backward pass, and the
    mixer's weights for each slot.
    """
    # A system that stores no rows holds those of an iteration, and prepares all of them at the same time.
    rows = config.replay.batch_rows if type(config.system).stores_rows else config.env.num_envs
    slots = rows * (config.replay.row_length + 1)
    agents, system = sizes.num_agents, config.system
    batch = slots * 4 * (agents * sizes.obs_size + sizes.state_size) * 3
    activations = slots * agents * system.hidden_size * 4 * 20
    mixing = slots * config.mixing.floats_per_slot(agents) * 4
    return batch + activations + mixing + _beliefs_bytes(config, slots * agents, agents)


def _beliefs_bytes(config: TrainConfig, windows: int, agents: int) -> int:
    """Returns the bytes of the team model in a gradient step: each agent's beliefs, as wide as a layer."""
    if not config.has_context:
        return 0
    mae = config.team_window
    decoder_layers = mae.decoder_layers if isinstance(mae, MaeConfig) else 1
    tokens = windows * mae.width * 4
    if mae.context != "window" and decoder_layers == 1:
        return tokens * (40 + 8 * agents)
    # The decoder's general path, see `MaskedAutoEncoder.infer`: every agent has queries and weights for all agents.
    queries = agents * (mae.window if mae.context == "window" else 1)
    weights = windows * queries**2 * mae.num_heads * 4
    return tokens * 40 + decoder_layers * (12 * tokens * queries + 2 * weights)


def evaluation_bytes(config: TrainConfig, sizes: HasSizes) -> int:
    """Estimates, roughly from above, the bytes of one seed's evaluation: the episodes played at the same time."""
    if config.env.is_played_by_host:
        return 0
    return min(config.evaluation.num_episodes, EPISODES_AT_ONCE) * _episode_bytes(config, sizes)


def _episode_bytes(config: TrainConfig, sizes: HasSizes) -> int:
    """Returns the bytes of a running episode: several copies of the game, the acting carry and the agents' guesses.

    The factors were measured on compiled programs and rounded up.
    """
    agents, hidden = sizes.num_agents, config.system.hidden_size
    floats = 8 * agents * sizes.obs_size + 6 * sizes.state_size + 5 * agents * hidden
    if config.has_context:
        mae = config.team_window
        decoder_layers = mae.decoder_layers if isinstance(mae, MaeConfig) else 1
        token = sizes.obs_size + sizes.num_actions + 8 * mae.width
        # As in `_beliefs_bytes`: on the decoder's general path every agent has queries and weights for all agents.
        is_general = mae.context == "window" or decoder_layers > 1
        queries = agents * (mae.window if mae.context == "window" else 1) if is_general else agents - 1
        floats += 3 * agents * (mae.window + queries) * token
        floats += 2 * agents * queries**2 * mae.num_heads if is_general else 0
    return 4 * floats


def check_evaluation_memory(config: TrainConfig, sizes: HasSizes, available: int, what: str) -> None:
    """Checks that the evaluation of one seed fits into memory.

    Args:
        config, sizes, available, what: as for `check_memory`.

    Raises:
        InputError: it does not fit; the message has the arithmetic and a number of episodes that fits, if any.
    """
    need = evaluation_bytes(config, sizes)
    if need <= available:
        return
    fitting = int(available // _episode_bytes(config, sizes))
    raise InputError(
        f"evaluation.num_episodes={config.evaluation.num_episodes}: needs {need / GIB:.2f} GiB of"
        f" {available / GIB:.2f} GiB {what}: too much; "
        + (f"choose at most {fitting}" if fitting else "choose a smaller scenario or provide more memory")
    )


def check_memory(
    config: TrainConfig,
    sizes: HasSizes,
    stored_bytes: Callable[[TrainConfig], int],
    seeds_at_once: int,
    available: int,
    what: str,
) -> str:
    """Checks that the seeds trained at once fit into memory.

    Args:
        config: settings of the run.
        sizes: of its environment.
        stored_bytes: returns the bytes of one seed's replay under given settings; 0 if the system stores no rows.
        seeds_at_once: seeds that one device trains at the same time.
        available: bytes.
        what: describes the available memory in the message.

    Returns:
        The arithmetic as one line.

    Raises:
        InputError: they do not fit; the message has the arithmetic and each single change that is enough.
    """
    one = stored_bytes(config)
    row = one // config.replay.capacity_rows
    working = working_bytes(config, sizes)
    total = seeds_at_once * (one + working)
    stored = (
        f"replay {config.replay.capacity_rows} rows x {row:,} B = {one / GIB:.2f} GiB per seed" if one else "no replay"
    )
    line = (
        f"{stored}; with {working / GIB:.2f} GiB of working memory, {seeds_at_once} seed(s) at once need"
        f" {total / GIB:.2f} GiB of {available / GIB:.2f} GiB {what}"
    )
    if total <= available:
        return line
    fitting_rows = max(0, int((available / seeds_at_once - working) // row)) if row else 0
    fitting_seeds = int(available // (one + working))
    half = replace(config, replay=replace(config.replay, observation_dtype="float16"))
    needed_rows = max(config.replay.min_rows, config.replay.batch_rows, config.env.num_envs)
    ways = [f"replay.capacity_rows={fitting_rows}"] if fitting_rows >= needed_rows else []
    # Never suggests the current setting: if float16 is set already, this condition is false.
    if seeds_at_once * (stored_bytes(half) + working) <= available:
        ways.append("replay.observation_dtype=float16 (about half)")
    fitting_episodes = int((available / seeds_at_once - one) // _episode_bytes(config, sizes))
    if update_bytes(config, sizes) <= available / seeds_at_once - one and fitting_episodes >= 1:
        ways.append(f"evaluation.num_episodes={fitting_episodes}")
    if seeds_at_once > 1 and fitting_seeds >= 1:
        ways.append(f"run.seed_batching={fitting_seeds}")
    raise InputError(f"{line}: too much; use {' or '.join(ways) or 'a smaller batch or network'}")
