"""The parts themselves. What needs jax is imported when it is made, so that a mistake is answered at once."""

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.config import CompiledConfig, MaskingConfig, MixerConfig, ValueBasedConfig


@dataclass(frozen=True)
class MeetConfig(CompiledConfig):
    """Two agents, three actions, three steps.

    Attributes:
        prize: reward of a step in which both choose the same.
    """

    reward_scale: ClassVar[float] = 1.0

    name: str = "meet"
    scenario: str = "pair"
    prize: float = 1.0


def make_game(config):
    """The game."""
    import jax.numpy as jnp

    from limae_jax.types import ActionSpec, EnvSpec, Timestep

    class Meet:
        spec = EnvSpec(config.name, config.scenario, 2, 2, 1, ActionSpec(3), 3, ("met",))

        def reset(self, key):
            return jnp.zeros(2), self._seen(jnp.zeros(2), jnp.float32(0))

        def step(self, state, action, key):
            met = (action[0] == action[1]).astype(jnp.float32)
            state = jnp.stack([state[0] + 1, state[1] + met])
            return state, self._seen(state, config.prize * met)

        def outcome(self, state):
            return {"met": state[1] / 3}

        def _seen(self, state, reward):
            agents = jnp.arange(2, dtype=jnp.float32)
            return Timestep(
                obs=jnp.stack([jnp.full(2, state[0] / 3), agents], axis=-1),
                state=state[:1] / 3,
                avail=jnp.ones((2, 3), bool),
                alive=jnp.ones(2, bool),
                reward=reward,
                is_first=state[0] == 0,
                terminal=state[0] >= 3,
                truncated=jnp.zeros((), bool),
            )

    return Meet()


@dataclass(frozen=True)
class ScaledMixerConfig(MixerConfig):
    """The sum, times a factor.

    Attributes:
        factor: of the sum.
    """

    name: str = "scaled"
    factor: float = 1.0


def make_mixer(config, env):
    """The mixer."""
    import flax.linen as nn
    import jax.numpy as jnp

    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            scale = self.param("scale", nn.initializers.constant(config.factor), ())
            return scale * jnp.sum(inputs.chosen_q, axis=-1)

    return Scaled()


@dataclass(frozen=True)
class FirstConfig(MaskingConfig):
    """Always the same agent.

    Attributes:
        agent: which one.
    """

    name: str = "first"
    agent: int = 0


def make_rule(config, num_agents, window):
    """The rule."""
    import jax.numpy as jnp

    from limae_jax.masking.base import stateless

    def choose(inputs, key):
        return jnp.broadcast_to(jnp.arange(num_agents) == config.agent, inputs.is_counted.shape), {}

    return stateless(choose)


@dataclass(frozen=True)
class ScaledSystemConfig(ValueBasedConfig):
    """Value decomposition by the scaled sum."""

    mixers: ClassVar[tuple[str, ...]] = ("scaled",)

    name: str = "scaled_vdn"


def make_system(config, env):
    """The system."""
    from limae_jax.systems.value_spec import ValueBasedSpec

    return ValueBasedSpec(mixer=config.mixing.name)
