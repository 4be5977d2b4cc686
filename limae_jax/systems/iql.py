"""Independent Q-learning: every agent learns from its own TD error on the team reward (Tampuu et al. 2017).

`system=iql` on the command line comes with one-step targets and half the step size (configs/system/iql.yaml); made as
`SystemConfig(name="iql")`, it has the settings of the others.
"""

from limae_jax.config import TrainConfig
from limae_jax.systems.value_based import ValueBasedSpec
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """No mixer: each agent learns from its own error on the team reward."""
    return ValueBasedSpec(mixer=None)
