"""Names of the systems, as plain data, so that the command line can check one without starting jax."""

from __future__ import annotations

import importlib
from types import ModuleType

from limae_jax.registry import check_name

SYSTEMS = {
    "iql": "independent Q-learning on the team reward, no mixer (Tan 1993; Tampuu et al. 2017)",
    "vdn": "the team's value is the sum of the agents' (Sunehag et al. 2018)",
    "qmix": "the team's value is a monotone, state-conditioned mix of the agents' (Rashid et al. 2018)",
    "ma2e": "QMIX with context from a masked auto-encoder that guesses team-mates; random masks (Kang et al. 2025)",
    "li_ma2e": "MA2E that hides the agents whose TD error is above the team's mean",
    "oracle": "QMIX with context from the team-mates' true windows; not decentralised, a bound for MA2E",
}

# Systems whose agents have a context -> the masking rule that each comes with; None has no auto-encoder.
CONTEXT_SYSTEMS: dict[str, str | None] = {"ma2e": "random", "li_ma2e": "mean_td", "oracle": None}

# Systems that do not mix as QMIX does.
_OTHER_MIXERS = {"iql": "none", "vdn": "vdn"}

# Systems whose agents read at execution what a real agent could not know.
NOT_DECENTRALISED = ("oracle",)


def label(name: str, *details: str) -> str:
    """A system as it is shown, `name (detail, detail)`: what is not decentralised is always said to be so."""
    said = ["not decentralised"] * (name in NOT_DECENTRALISED) + list(details)
    return f"{name} ({', '.join(said)})" if said else name


def check_system(name: str) -> str:
    """Returns `name`, or raises InputError with the names there are."""
    return check_name("system", name, SYSTEMS)


def unread_of_the_mixer(system: str, mixer: str | None) -> dict[str, str]:
    """Settings of QMIX's mixer, where there is none -> why they do nothing, and what to do.

    Args:
        system: its name.
        mixer: in place of the one that it comes with; None keeps that.
    """
    if (mixer or _OTHER_MIXERS.get(system, "qmix")) == "qmix":
        return {}
    name, other = (f"system.mixer={mixer}", "system.mixer=qmix") if mixer else (f"system={system}", "system=qmix")
    reason = f"{name} does not read it; choose {other}"
    return dict.fromkeys(("system.mixer_embed_dim", "system.mixer_hypernet_dim"), reason)


def load_system(name: str) -> ModuleType:
    """The module `limae_jax.systems.<name>`; it holds `make_spec`."""
    return importlib.import_module(f"limae_jax.systems.{check_system(name)}")
