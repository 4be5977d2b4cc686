"""Makes the game of a worker process. Nothing of StarCraft II is imported before `make_game` is called."""

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
    """Returns a game that has not been launched yet.

    Raises:
        InputError: something is not installed.
    """
    check_installation(settings.map_name)
    # The folder that was checked: pysc2 may read an empty or relative path differently.
    os.environ["SC2PATH"] = str(game_folder())
    install_protocol()
    from absl import flags

    from limae_jax.environments.smac.starcraft2 import Game

    # pysc2's default is six minutes.
    flags.FLAGS.sc2_timeout = math.ceil(settings.timeout_s)
    return Game(
        map_name=settings.map_name,
        difficulty=settings.difficulty,
        step_mul=settings.step_mul,
        seed=settings.seed,
        **settings.options,
    )
