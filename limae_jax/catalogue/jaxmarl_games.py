"""The games of jaxmarl as plain data: which are supported and which are not, without importing jaxmarl or jax."""

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
    """Facts about a game that its jaxmarl environment does not provide.

    Attributes:
        summary: one-line description.
        is_reward_shared: whether every agent gets the whole team's reward, which is then counted once; otherwise the
            agents' rewards are summed.
        max_steps: time limit of a game without its own, longer than the game can last.
    """

    summary: str
    is_reward_shared: bool = False
    max_steps: int | None = None


JAXMARL_GAMES = {
    "MPE_simple_v3": JaxmarlGame("one agent goes to a landmark"),
    "MPE_simple_spread_v3": JaxmarlGame("cover all landmarks without collisions"),
    "MPE_simple_speaker_listener_v4": JaxmarlGame("one agent knows the goal and speaks, the other moves"),
    "MPE_simple_reference_v3": JaxmarlGame("both move and speak; each knows only the other's goal"),
    "switch_riddle": JaxmarlGame("prisoners signal with a light bulb who was in the room", is_reward_shared=True),
    # 50 cards: at most 40 are drawn in play, and a hint costs a token that a discard or a full colour restores.
    "hanabi": JaxmarlGame("build fireworks from cards that only the others see", is_reward_shared=True, max_steps=100),
    "overcooked": JaxmarlGame("cook and deliver onion soups in a cramped kitchen", is_reward_shared=True),
    "overcooked_v2": JaxmarlGame("Overcooked with recipes and limited sight", is_reward_shared=True),
    "coin_game": JaxmarlGame("pick up coins of your own colour; picking up the other's coin costs the other 2"),
    "storm": JaxmarlGame("collect coins and meet; the coins decide a social dilemma's payoff; slow"),
    "storm_2p": JaxmarlGame("the same for two agents, as first released"),
    "storm_np": JaxmarlGame("the same for any number of agents on an open grid"),
    "HeuristicEnemySMAX": JaxmarlGame("jaxmarl's SMAX, with an unscaled state; prefer env=smax", is_reward_shared=True),
}

_CONTINUOUS = "has continuous actions; choose a game with discrete actions"
_COMPETITIVE = "is competitive; choose a cooperative game"
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
    "SMAX": "is competitive, with two learning teams; choose env=smax for a scripted enemy",
    "LearnedPolicyEnemySMAX": "needs a trained enemy; choose env=smax for a scripted one",
}


def registered_games() -> tuple[str, ...]:
    """Returns the games of the installed jaxmarl, or the games known here if its registry's file cannot be read.

    The file is parsed, because importing jaxmarl takes seconds and starts jax.
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
    """Returns why a registered game is not supported; None if it is, as far as is known before building it."""
    return _ROBOTARIUM if name.startswith("JaxRobotarium") else REFUSED_GAMES.get(name)


def playable_games() -> list[str]:
    """Returns the registered games that are not refused, the known ones first."""
    registered = registered_games()
    known = [name for name in JAXMARL_GAMES if name in registered]
    return known + [name for name in registered if name not in known and why_refused(name) is None]


def check_jaxmarl_game(name: str) -> JaxmarlGame:
    """Returns the facts about a game; defaults for a registered game that is not known here.

    Raises:
        InputError: jaxmarl has no such game, or it is not supported.
    """
    reason = why_refused(name)
    if reason is not None:
        raise InputError(f"env.scenario={show(name)}: {reason}")
    check_name("env.scenario", show(name), playable_games())
    return JAXMARL_GAMES.get(name, JaxmarlGame("not known to limae_jax"))
