"""Makes the game that a worker process plays. Nothing of StarCraft II is imported before `make_game` is called."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.environments.smac.installation import check_installation, game_folder
from limae_jax.environments.smac.protocol import install_protocol

if TYPE_CHECKING:
    from limae_jax.environments.smac.starcraft2 import Game


def make_game(settings: GameSettings) -> Game:
    """A game that has not been launched yet.

    Raises:
        InputError: something is not installed.
    """
    check_installation(settings.map_name)
    # As it has been checked, whatever pysc2 would make of an empty or relative path.
    os.environ["SC2PATH"] = str(game_folder())
    install_protocol()
    # This parses absl's flags, with no arguments.
    from absl import flags

    from limae_jax.environments.smac.starcraft2 import Game

    # pysc2 waits six minutes by default.
    flags.FLAGS.sc2_timeout = math.ceil(settings.timeout_s)
    return Game(
        map_name=settings.map_name,
        difficulty=settings.difficulty,
        step_mul=settings.step_mul,
        seed=settings.seed,
        **settings.options,
    )
