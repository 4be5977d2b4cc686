"""How much memory a run needs, computed before anything is allocated."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from limae_jax.config import TrainConfig
from limae_jax.errors import InputError

GIB = 2**30

# Episodes that an evaluation plays side by side. Not a setting, and not by what memory there is: which episodes are
# played depends on it.
EPISODES_AT_ONCE = 1024


class Sizes(Protocol):
    """The part of `EnvSpec` that memory depends on."""

    @property
    def num_agents(self) -> int: ...
    @property
    def obs_size(self) -> int: ...
    @property
    def state_size(self) -> int: ...
    @property
    def num_actions(self) -> int: ...


def row_bytes(config: TrainConfig, sizes: Sizes) -> int:
    """Bytes of one stored row: row_length + 1 slots and the acting carry before the first."""
    agents = sizes.num_agents
    floats = agents * sizes.obs_size + sizes.state_size
    per_float = 2 if config.replay.observation_dtype == "float16" else 4
    flags = agents * sizes.num_actions + agents + 4  # avail, alive, and terminal, truncated, is_first, filled
    slot = floats * per_float + flags + agents * 4 + 4  # action, reward
    start = agents * config.system.hidden_size * 4 + agents * 4
    if config.has_context:
        start += (config.mae.window - 1) * agents * (sizes.obs_size + 1) * 4 + 4
    return (config.replay.row_length + 1) * slot + start


def replay_bytes(config: TrainConfig, sizes: Sizes) -> int:
    """Bytes of one seed's replay."""
    return config.replay.capacity_rows * row_bytes(config, sizes)


def working_bytes(config: TrainConfig, sizes: Sizes) -> int:
    """A rough upper estimate of what one seed's gradient step holds beside the replay.

    The sampled batch twice (gathered and in float32), the activations that the backward pass keeps, and the mixer's
    weights for each slot.
    """
    slots = config.replay.batch_rows * (config.replay.row_length + 1)
    agents, system = sizes.num_agents, config.system
    batch = slots * 4 * (agents * sizes.obs_size + sizes.state_size) * 3
    activations = slots * agents * system.hidden_size * 4 * 20
    mixing = slots * agents * system.mixer_embed_dim * 4 * 6
    return batch + activations + mixing + _beliefs_bytes(config, slots * agents, agents)


def _beliefs_bytes(config: TrainConfig, windows: int, agents: int) -> int:
    """What a gradient step with a team model holds: the team as every agent makes it out, in a layer's width."""
    if not config.has_context:
        return 0
    mae = config.mae
    tokens = windows * mae.width * 4
    if mae.context != "window" and mae.decoder_layers == 1:
        return tokens * (40 + 8 * agents)
    # The decoder's general path, see `MaskedAutoEncoder.infer`: every agent has queries for all, each with its weights.
    queries = agents * (mae.window if mae.context == "window" else 1)
    weights = windows * queries**2 * mae.num_heads * 4
    return tokens * 40 + mae.decoder_layers * (12 * tokens * queries + 2 * weights)


def check_memory(config: TrainConfig, sizes: Sizes, seeds_at_once: int, available: int, what: str) -> str:
    """Checks that the seeds trained at once fit into memory.

    Args:
        config: the run.
        sizes: of its environment.
        seeds_at_once: seeds that one device holds at the same time.
        available: bytes.
        what: names that memory for the message.

    Returns:
        The arithmetic as one line.

    Raises:
        InputError: with the arithmetic and each single change that is enough, if they do not fit.
    """
    one, row = replay_bytes(config, sizes), row_bytes(config, sizes)
    working = working_bytes(config, sizes)
    total = seeds_at_once * (one + working)
    line = (
        f"replay {config.replay.capacity_rows} rows x {row:,} B = {one / GIB:.2f} GiB a seed; with"
        f" {working / GIB:.2f} GiB to work in, {seeds_at_once} seed(s) at once need {total / GIB:.2f} GiB"
        f" of {available / GIB:.2f} GiB {what}"
    )
    if total <= available:
        return line
    fitting_rows = max(0, int((available / seeds_at_once - working) // row))
    fitting_seeds = int(available // (one + working))
    half = replace(config, replay=replace(config.replay, observation_dtype="float16"))
    needed_rows = max(config.replay.min_rows, config.replay.batch_rows, config.env.num_envs)
    ways = [f"replay.capacity_rows={fitting_rows}"] if fitting_rows >= needed_rows else []
    # A run in half precision already does not fit, so this never names what is set.
    if seeds_at_once * (replay_bytes(half, sizes) + working) <= available:
        ways.append("replay.observation_dtype=float16 (about half)")
    if seeds_at_once > 1 and fitting_seeds >= 1:
        ways.append(f"run.seed_batching={fitting_seeds}")
    raise InputError(f"{line}: too much. Ways out: {'; '.join(ways) or 'a smaller batch or network'}")
