"""The games of jaxmarl as plain data: which can be played and which cannot, without importing jaxmarl or jax."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from limae_jax.checks import show
from limae_jax.errors import InputError
from limae_jax.registry import check_name


@dataclass(frozen=True)
class JaxmarlGame:
    """What has to be known of a game beyond what it says itself.

    Attributes:
        summary: the game in a line.
        is_reward_shared: every agent gets the whole team's reward, which then counts once; else the agents' rewards are
            added up.
        max_steps: time limit of a game that has none of its own, longer than it can last.
    """

    summary: str
    is_reward_shared: bool = False
    max_steps: int | None = None


JAXMARL_GAMES = {
    "MPE_simple_v3": JaxmarlGame("one agent goes to a landmark"),
    "MPE_simple_spread_v3": JaxmarlGame("cover all landmarks without collisions"),
    "MPE_simple_speaker_listener_v4": JaxmarlGame("one agent knows the goal and speaks, the other moves"),
    "MPE_simple_reference_v3": JaxmarlGame("both move and speak; each knows only the other's goal"),
    "switch_riddle": JaxmarlGame("prisoners tell by a light bulb who has been in the room", is_reward_shared=True),
    # 50 cards: at most 40 are drawn in play, and a hint costs a token that a discard or a full colour brings back.
    "hanabi": JaxmarlGame("build fireworks from cards that only the others see", is_reward_shared=True, max_steps=100),
    "overcooked": JaxmarlGame("cook and deliver onion soups in a cramped kitchen", is_reward_shared=True),
    "overcooked_v2": JaxmarlGame("Overcooked with recipes and limited sight", is_reward_shared=True),
    "coin_game": JaxmarlGame("pick up coins of one's own colour; a coin of the other's costs the other 2"),
    "storm": JaxmarlGame("collect coins and meet; they decide a social dilemma's payoff; plays slowly"),
    "storm_2p": JaxmarlGame("the same for two agents, as first released"),
    "storm_np": JaxmarlGame("the same for any number of agents on an open grid"),
    "HeuristicEnemySMAX": JaxmarlGame(
        "SMAX as jaxmarl has it, its state unscaled; prefer env=smax", is_reward_shared=True
    ),
}

_CONTINUOUS = "has continuous actions; only games with discrete actions are played"
_COMPETITIVE = "is competitive, its agents play against each other; choose a cooperative game"
_ROBOTARIUM = "needs jaxrobotarium, which is not supported"
# Game -> why it is refused.
REFUSED_GAMES = {
    **dict.fromkeys(
        ("MPE_simple_tag_v3", "MPE_simple_crypto_v3", "MPE_simple_push_v3", "MPE_simple_adversary_v3"), _COMPETITIVE
    ),
    **dict.fromkeys(
        (
            "MPE_simple_world_comm_v3",
            *(f"MPE_simple_facmac{team}_v1" for team in ("", "_3a", "_6a", "_9a")),
            *("jaxnav", "ant_4x2", "halfcheetah_6x1", "hopper_3x1", "humanoid_9|8", "walker2d_2x3"),
        ),
        _CONTINUOUS,
    ),
    "SMAX": "is competitive, both teams are to be played; choose env=smax for one against a script",
    "LearnedPolicyEnemySMAX": "needs a trained enemy; choose env=smax for a scripted one",
}


def registered_games() -> tuple[str, ...]:
    """The games of the installed jaxmarl, read from its registry's file; importing it takes seconds and starts jax.

    Those that are known here, if the file is not as it was.
    """
    spec = importlib.util.find_spec("jaxmarl")
    known = (*JAXMARL_GAMES, *REFUSED_GAMES)
    if spec is None or spec.origin is None:
        return known
    try:
        tree = ast.parse(Path(spec.origin).with_name("registration.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return known
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "registered_envs":
            return tuple(ast.literal_eval(node.value))
    return known


def why_refused(name: str) -> str | None:
    """Why a registered game is not played; None if it is, as far as can be told before it is built."""
    return _ROBOTARIUM if name.startswith("JaxRobotarium") else REFUSED_GAMES.get(name)


def playable_games() -> list[str]:
    """Registered games that are not refused, the known ones first."""
    registered = registered_games()
    known = [name for name in JAXMARL_GAMES if name in registered]
    return known + [name for name in registered if name not in known and why_refused(name) is None]


def check_jaxmarl_game(name: str) -> JaxmarlGame:
    """What is known of the game of a name; of one that is registered and not known here, nothing.

    Raises:
        InputError: jaxmarl has no such game, or it cannot be played.
    """
    reason = why_refused(name)
    if reason is not None:
        raise InputError(f"env.scenario={show(name)}: {reason}")
    check_name("env.scenario", show(name), playable_games())
    return JAXMARL_GAMES.get(name, JaxmarlGame("not known to limae_jax"))
