"""Small systems whose agents have beliefs about their team, compiled once for all tests of them."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
from doubles.fakes import counters, made_up_rows, marks, noise_like, on_rows, tiny_config, with_some_scale

from limae_jax.config import MaeConfig, TrainConfig
from limae_jax.config.system import SYSTEM_CONFIGS
from limae_jax.systems.base import LearnerState, System
from limae_jax.systems.build import build_system, make_spec
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.types import ActionSpec, EnvSpec

TRIO = EnvSpec("trio", "trio", num_agents=3, obs_size=4, state_size=3, actions=ActionSpec(3), episode_limit=10)
WINDOW, NUM_SLOTS, KEY = 3, 12, jax.random.key(0)
ROW_MARKS = [
    marks([(4, True), (9, False)], NUM_SLOTS),
    marks([(5, False), (3, True)], NUM_SLOTS, skip=3),
    marks([(9, True), (2, True)], NUM_SLOTS, skip=4),
]
BATCH = made_up_rows(0, ROW_MARKS, hidden_size=8, env=TRIO, window=WINDOW)
BATCH_WITHOUT_HISTORY = BATCH.replace(start=BATCH.start.replace(history=None))


class Learner(NamedTuple):
    """One system with noise for parameters."""

    config: TrainConfig
    core: ValueBasedCore
    system: System
    state: LearnerState
    update: Any
    pretrain: Any

    def updated(self, batch=BATCH, state: LearnerState | None = None, key=KEY):
        """The state and the metrics after one step of training."""
        return self.update(state or self.state, batch, counters(0), key)


def config_of(name: str, **settings) -> TrainConfig:
    """Settings: `mixer` is a name, `mae_window` is `mae.window`, as of `masking`; all others are of the system."""
    mixer = settings.pop("mixer", None)
    sections: dict[str, dict] = {"mae": {}, "masking": {}, "system": {}}
    for key, value in settings.items():
        section, _, field = key.partition("_")
        own, name_there = (section, field) if section in sections else ("system", key)
        sections[own][name_there] = value
    system = sections.pop("system")
    if SYSTEM_CONFIGS[name].beliefs is MaeConfig:
        # The training with more parts; that with masks has tests of its own.
        sections["mae"].setdefault("training", "one_view")
    return tiny_config(name, mixer={"name": mixer} if mixer else None, **sections, **system)


@functools.cache
def learner(name: str, **settings) -> Learner:
    config = config_of(name, **settings)
    core = ValueBasedCore(make_spec(config, TRIO), config, TRIO)
    system = build_system(config, TRIO)
    # Made up, not drawn by `init`, which takes longer to compile than all that is tested here.
    shapes = jax.eval_shape(system.init, KEY)
    params = with_some_scale(noise_like(shapes.params, 1, 0.4))
    auxiliary = {extra.name: extra.init_state() for extra in core.spec.auxiliaries}
    targets = with_some_scale(noise_like(shapes.target_params, 2, 0.4))
    state = LearnerState(params, targets, core.optimiser.init(params), auxiliary)
    phases = {phase.name: jax.jit(on_rows(phase.learn.update)) for phase in system.phases if phase.learn}
    return Learner(config, core, system, state, phases["train"], phases.get("pretrain"))


def utilities(core: ValueBasedCore, params, batch):
    """Q [T, B, A, U] of a batch, as the learner computes it."""
    start, inputs = core.read(batch)
    beliefs, _ = core.beliefs(params, {}, start, inputs)
    return core.unroll(params, start, inputs, beliefs)[0]
