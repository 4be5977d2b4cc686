"""One greedy battle of SMAX, step by step, as plain arrays."""

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
    """What one agent believes of its team-mates at each of T + 1 steps.

    Attributes:
        mates: [A - 1] their indices.
        health: [T + 1, A - 1] share that is left.
        position: [T + 1, A - 1, 2] on the map; None if observations do not show positions.
    """

    mates: np.ndarray
    health: np.ndarray
    position: np.ndarray | None


@dataclass(frozen=True)
class Battle:
    """N units over T steps; allies come first. Entry 0 is the start, entry t what step t led to.

    Attributes:
        unit_type: [N] index into UNIT_TYPES.
        num_allies: A.
        position: [T + 1, N, 2] in SMAX's units of length; the dead stay where they fell.
        health: [T + 1, N] share that is left.
        target: [T + 1, N] whom each unit shot at in the step that led here; -1 if it did not shoot.
        sight: [A] how far the allies see.
        outcome: "won", "lost" or "time limit".
        beliefs: of the chosen agent; None if it has none.
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
    """Lets a stored team play; a number stands for the same battle every time.

    Args:
        config: of the run, on SMAX.
        run_dir: of the run.
        seed: whose team.
        checkpoint: "last" or "best".
        agent: whose beliefs are kept.
        number: which battle.
        on_status: told what is going on.

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
        raise InputError(f"--seed={seed}: has no parameters yet; train it with limae-jax resume {run_dir}")
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
    """The game's states, the agents' guesses at each of them (if they guess), and the outcome."""

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
    """The parts of reconstructions that say where team-mates are and how they are.

    Args:
        guesses: [T + 1, A - 1, F] of one agent.
        mates: [A - 1].
        own_features: where an observation has its agent's health and, if it is shown, position.
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
        # Everybody starts unharmed.
        health=health / health[0],
        target=np.stack([np.full(len(unit_type), -1), *shots]),
        sight=np.asarray(env.sight_ranges)[unit_type[:num_allies]] * config.sight_scale,
        outcome=outcome,
        beliefs=beliefs,
    )


def shots_of(
    actions: np.ndarray, cooldown_before: np.ndarray, cooldown_after: np.ndarray, num_allies: int, step_s: float
) -> np.ndarray:
    """[N] whom each unit shot at in a step, -1 if it did not.

    Args:
        actions: [N] SMAX's numbers of attacks; the enemies' count the allies from the last to the first.
        cooldown_before, cooldown_after: [N] seconds until a weapon is ready, negative once it is.
        num_allies: A.
        step_s: seconds of the game that the step took. A weapon at rest counts down by just that.
    """
    unit, order = np.arange(len(actions)), np.asarray(actions) - NUM_MOVE_ACTIONS
    target = np.where(unit < num_allies, num_allies + order, num_allies - 1 - order)
    rose = np.asarray(cooldown_after) - (np.asarray(cooldown_before) - step_s)
    return np.where((order >= 0) & (rose > 1e-3), target, -1)
