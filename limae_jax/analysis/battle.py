"""Plays a greedy battle of SMAX and records it as plain arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.catalogue.scenarios import NUM_MOVE_ACTIONS, parse_scenario
from limae_jax.config import SmaxConfig, TrainConfig
from limae_jax.environments.smax import Smax
from limae_jax.errors import InputError
from limae_jax.evaluation.play import turns
from limae_jax.evaluation.policy import load_teams
from limae_jax.keys import Stream, stream_key
from limae_jax.networks.mae import other_agents
from limae_jax.systems.base import ActorCarry, Params, System
from limae_jax.systems.build import build_system
from limae_jax.systems.guesses import Guesses, make_guesses
from limae_jax.types import Timestep


@dataclass(frozen=True)
class DrawnBeliefs:
    """The beliefs of one agent about its team-mates at each of T + 1 steps.

    Attributes:
        mates: [A - 1] indices of the team-mates.
        health: [T + 1, A - 1] remaining share.
        position: [T + 1, A - 1, 2] on the map; None if observations do not show positions.
    """

    mates: np.ndarray
    health: np.ndarray
    position: np.ndarray | None


@dataclass(frozen=True)
class Battle:
    """A battle of N units over T steps; allies come first. Entry 0 is the start, entry t the state after step t.

    Attributes:
        unit_type: [N] index into UNIT_TYPES.
        num_allies: A.
        position: [T + 1, N, 2] in SMAX's units of length; dead units stay where they fell.
        health: [T + 1, N] remaining share.
        target: [T + 1, N] unit that each unit shot at in the step that led here; -1 if it did not shoot.
        sight: [A] sight range of the allies.
        outcome: "won", "lost" or "time limit".
        beliefs: of the chosen agent; None if the agents have none.
    """

    unit_type: np.ndarray
    num_allies: int
    position: np.ndarray
    health: np.ndarray
    target: np.ndarray
    sight: np.ndarray
    outcome: str
    beliefs: DrawnBeliefs | None


def play_stored(
    config: TrainConfig,
    run_dir: Path,
    seed: int,
    checkpoint: str,
    agent: int,
    number: int = 0,
    on_status: Callable[[str], None] = lambda text: None,
) -> Battle:
    """Plays a battle with a stored team; the same number always gives the same battle.

    Args:
        config: of the run, on SMAX.
        run_dir: of the run.
        seed: of the team.
        checkpoint: "last" or "best".
        agent: whose beliefs are recorded.
        number: of the battle.
        on_status: called with status lines.

    Raises:
        InputError: the seed has not been trained yet.
    """
    if not isinstance(config.env, SmaxConfig):
        raise InputError(f"env.name={config.env.name}: only battles of smax can be shown")
    on_status(f"loading {run_dir}")
    env = Smax(config.env)
    system = build_system(config, env.spec)
    teams = load_teams(run_dir, system, checkpoint)
    index = np.flatnonzero(teams.seeds == seed)
    if not len(index):
        raise InputError(f"--seed={seed}: has no parameters yet; train the seed with limae-jax resume {run_dir}")
    params = jax.tree.map(lambda x: x[index[0]], teams.params)
    key = stream_key(jnp.int32(seed), Stream.EVAL, jnp.int32(teams.iteration[index[0]]))
    key = jax.random.fold_in(key, number) if number else key
    games, guesses, outcome = play(env, system, make_guesses(config, env.spec), params, key, on_status)
    beliefs = None
    if guesses:
        mates, of_agent = other_agents(env.spec.num_agents)[agent], np.stack(guesses)[:, agent]
        beliefs = read_beliefs(of_agent, mates, env.spec.own_features, config.env)
    return _battle(config.env, env, games, outcome, beliefs)


def play(
    env: Smax,
    system: System,
    guess: Guesses | None,
    params: Params,
    key: jax.Array,
    on_status: Callable[[str], None] = lambda text: None,
) -> tuple[list[Any], list[np.ndarray], str]:
    """Returns the game's states, the agents' guesses at each state (empty without `guess`), and the outcome."""

    def batch_of(timestep: Timestep) -> Timestep:
        return jax.tree.map(lambda x: x[None], timestep)

    @jax.jit
    def act(carry: ActorCarry, timestep: Timestep) -> tuple[jax.Array, ActorCarry]:
        acted = system.act(params, carry, batch_of(timestep), 0.0, key)
        return acted.action[0], acted.carry

    on_status("compiling the battle")
    played = []
    for turn in turns(env, act, system.initial_carry(1), key):
        played.append(turn)
        on_status(f"playing step {len(played)}")
    games, guesses = [jax.device_get(turn.state.game) for turn in played], []
    if guess:
        look = jax.jit(lambda carry, timestep: guess(params, carry, batch_of(timestep))[0])
        guesses = [np.asarray(look(turn.carry, turn.timestep)) for turn in played]
    end = played[-1]
    won = bool(env.outcome(end.state)["win"])
    return games, guesses, "won" if won else "time limit" if bool(end.timestep.truncated) else "lost"


def read_beliefs(
    guesses: np.ndarray, mates: np.ndarray, own_features: Sequence[int], config: SmaxConfig
) -> DrawnBeliefs:
    """Extracts the positions and health of team-mates from reconstructions.

    Args:
        guesses: [T + 1, A - 1, F] of one agent.
        mates: [A - 1] indices of the team-mates.
        own_features: indices of an agent's own health and, if observed, position in its observation.
        config: of the game.
    """
    own = guesses[..., np.asarray(own_features)]
    size = np.array([config.map_width, config.map_height])
    position = np.clip(own[..., 1:3], 0.0, 1.0) * size if len(own_features) >= 3 else None
    return DrawnBeliefs(mates, np.clip(own[..., 0], 0.0, 1.0), position)


def _battle(config: SmaxConfig, env: Smax, games: Sequence[Any], outcome: str, beliefs: DrawnBeliefs | None) -> Battle:
    num_allies = parse_scenario(config.scenario).num_allies
    health = np.stack([game.unit_health for game in games])
    unit_type = np.asarray(games[0].unit_types)
    step_s = config.world_steps_per_env_step * config.time_per_step
    shots = [
        shots_of(
            after.prev_attack_actions, before.unit_weapon_cooldowns, after.unit_weapon_cooldowns, num_allies, step_s
        )
        for before, after in itertools.pairwise(games)
    ]
    return Battle(
        unit_type=unit_type,
        num_allies=num_allies,
        position=np.stack([game.unit_positions for game in games]),
        # All units start with full health.
        health=health / health[0],
        target=np.stack([np.full(len(unit_type), -1), *shots]),
        sight=np.asarray(env.sight_ranges)[unit_type[:num_allies]] * config.sight_scale,
        outcome=outcome,
        beliefs=beliefs,
    )


def shots_of(
    actions: np.ndarray, cooldown_before: np.ndarray, cooldown_after: np.ndarray, num_allies: int, step_s: float
) -> np.ndarray:
    """Returns [N] the unit that each unit shot at in a step, -1 if it did not shoot.

    Args:
        actions: [N] attack actions of SMAX; those of enemies number the allies from last to first.
        cooldown_before, cooldown_after: [N] seconds until a weapon is ready, negative once it is.
        num_allies: A.
        step_s: game seconds of the step, by which the cooldown of an unused weapon falls.
    """
    unit, order = np.arange(len(actions)), np.asarray(actions) - NUM_MOVE_ACTIONS
    target = np.where(unit < num_allies, num_allies + order, num_allies - 1 - order)
    rose = np.asarray(cooldown_after) - (np.asarray(cooldown_before) - step_s)
    return np.where((order >= 0) & (rose > 1e-3), target, -1)
