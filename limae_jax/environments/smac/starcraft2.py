"""StarCraft II through oxwhirl/smac, failing where that would go on. What this imports `game.make_game` prepares."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from pysc2.lib.remote_controller import RequestError
from smac.env import StarCraft2Env

from limae_jax.environments.smac.installation import map_file
from limae_jax.environments.workers.messages import GameFailureError
from limae_jax.errors import InputError


class Game(StarCraft2Env):
    """`StarCraft2Env` whose game is replaced by whoever plays it, and not behind their back.

    SMAC itself answers a failure with a new game, and either ends the episode as if nothing had happened, or begins
    one with what the dead game showed last. Its reward's scale is off from then on.

    Attributes:
        reported_version: of StarCraft II, once a game has run.
    """

    reported_version: str | None = None
    _obs: Any = None
    _avail_of: Any = None

    def _launch(self) -> None:
        try:
            super()._launch()
        except RequestError as error:
            if "InvalidMap" not in str(error):
                raise
            path = map_file(self.map_name)
            raise InputError(f"{path}: damaged, or for another version of StarCraft II; copy it again") from error
        controller: Any = self._controller
        self.reported_version = controller.ping().game_version

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """As in SMAC, which works it out three times for each observation of the game: to check, to see, to tell."""
        if self._avail_of is not self._obs:
            self._avail_of, self._avail = self._obs, dict[int, list[int]]()
        if agent_id not in self._avail:
            self._avail[agent_id] = super().get_avail_agent_actions(agent_id)
        return self._avail[agent_id]

    def full_restart(self) -> NoReturn:
        """Raises GameFailureError, where SMAC would launch another game."""
        # SMAC calls this while it handles what went wrong.
        reason = sys.exception()
        raise GameFailureError(f"{type(reason).__name__}: {reason}" if reason else "the game has to be restarted")
