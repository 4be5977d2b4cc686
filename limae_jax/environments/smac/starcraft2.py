"""StarCraft II through oxwhirl/smac, made to fail where SMAC would go on. `game.make_game` prepares the imports."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from pysc2.lib.remote_controller import RequestError
from smac.env import StarCraft2Env

from limae_jax.environments.smac.installation import map_file
from limae_jax.environments.workers.messages import GameFailureError
from limae_jax.errors import InputError


class Game(StarCraft2Env):
    """`StarCraft2Env` that raises an error when the game fails, instead of silently replacing the game.

    SMAC itself launches a new game after a failure, and either ends the episode as if nothing had happened, or starts
    one with the failed game's last observation. Its reward scale is wrong from then on.

    Attributes:
        reported_version: version of StarCraft II; None until a game has run.
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
            raise InputError(f"{path}: damaged, or made for another version of StarCraft II; copy it again") from error
        controller: Any = self._controller
        self.reported_version = controller.ping().game_version

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """Returns SMAC's legal actions, cached for each observation: SMAC computes them three times."""
        if self._avail_of is not self._obs:
            self._avail_of, self._avail = self._obs, dict[int, list[int]]()
        if agent_id not in self._avail:
            self._avail[agent_id] = super().get_avail_agent_actions(agent_id)
        return self._avail[agent_id]

    def full_restart(self) -> NoReturn:
        """Raises GameFailureError where SMAC would launch another game."""
        # SMAC calls this method while it handles an exception.
        reason = sys.exception()
        raise GameFailureError(f"{type(reason).__name__}: {reason}" if reason else "the game has to be restarted")
