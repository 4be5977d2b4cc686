"""Names of the systems, as plain data, so that the command line can check one without starting jax."""

from __future__ import annotations

from limae_jax.registry import check_name

SYSTEMS = {
    "iql": "independent Q-learning on the team reward, no mixer (Tan 1993; Tampuu et al. 2017)",
    "vdn": "the team's value is the sum of the agents' (Sunehag et al. 2018)",
    "qmix": "the team's value is a monotone, state-conditioned mix of the agents' (Rashid et al. 2018)",
    "qplex": "the team's value is any that its greedy agents maximise, by duplex dueling (Wang et al. 2021)",
    "ma2e": "QMIX with context from a masked auto-encoder that guesses team-mates; random masks (Kang et al. 2025)",
    "li_ma2e": "MA2E that hides the agents whose TD error is above the team's mean",
    "oracle": "QMIX with context from the team-mates' true windows; not decentralised, a bound for MA2E",
}

# Systems whose agents have a context -> the masking rule that each comes with; None has no auto-encoder.
CONTEXT_SYSTEMS: dict[str, str | None] = {"ma2e": "random", "li_ma2e": "mean_td", "oracle": None}

# Systems that do not mix as QMIX does -> their mixer.
_OTHER_MIXERS = {"iql": "none", "vdn": "vdn", "qplex": "qplex"}

# Mixer -> the settings of section `system` that it reads.
_READ_BY_MIXER = {
    "none": (),
    "vdn": (),
    "qmix": ("mixer_embed_dim", "mixer_hypernet_dim"),
    "qplex": ("mixer_hypernet_dim", "mixer_num_heads", "mixer_num_layers"),
}
MIXER_NAMES = tuple(_READ_BY_MIXER)

# Systems whose agents read at execution what a real agent could not know.
NOT_DECENTRALISED = ("oracle",)


def label(name: str, *details: str) -> str:
    """A system as it is shown, `name (detail, detail)`: what is not decentralised is always said to be so."""
    said = ["not decentralised"] * (name in NOT_DECENTRALISED) + list(details)
    return f"{name} ({', '.join(said)})" if said else name


def check_system(name: str) -> str:
    """Returns `name`, or raises InputError with the names there are."""
    return check_name("system", name, SYSTEMS)


def mixer_of(system: str, mixer: str | None) -> str:
    """The mixer of a system: the one that the settings name, else the one that it comes with."""
    return mixer or _OTHER_MIXERS.get(system, "qmix")


def unread_of_the_mixer(system: str, mixer: str | None) -> dict[str, str]:
    """Settings of mixers that a system's own does not read -> why they do nothing, and what to do.

    Args:
        system: its name.
        mixer: in place of the one that it comes with; None keeps that.
    """
    field, name = ("system.mixer", mixer) if mixer else ("system", system)
    read = _READ_BY_MIXER[mixer_of(system, mixer)]
    unread = dict.fromkeys(item for items in _READ_BY_MIXER.values() for item in items if item not in read)
    readers = {item: [other for other, items in _READ_BY_MIXER.items() if item in items] for item in unread}
    return {
        f"system.{item}": f"{field}={name} does not read it; choose {field}={' or '.join(readers[item])}"
        for item in unread
    }
