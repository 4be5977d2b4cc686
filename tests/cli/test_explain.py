"""What `limae-jax config --explain` says of the settings."""

import dataclasses

import pytest

from limae_jax.cli.explain import meanings
from limae_jax.cli.main import main
from limae_jax.config import ReplayConfig, SmacConfig
from limae_jax.config.sections import every_class
from limae_jax.config.sweep import SweepConfig


@pytest.mark.parametrize("make", [*every_class(), SweepConfig], ids=lambda make: make.__name__)
def test_every_setting_has_a_meaning(make):
    known = meanings(make)
    for item in dataclasses.fields(make):
        assert known.get(item.name, "").endswith((".", "SMAC's")), item.name


def test_a_meaning_is_the_whole_entry_of_the_docstring():
    known = meanings(ReplayConfig)
    assert known["observation_dtype"] == "`float32`, or `float16` to halve the memory of observations and states."
    assert known["min_rows"].endswith("; rounded up to chunks of 4096 time steps.")
    # Of a class above it.
    assert meanings(SmacConfig)["scenario"] == "SMAC map, see `limae-jax list scenarios`."
    assert meanings(SmacConfig)["name"].startswith("environment family")


def test_several_names_share_an_entry():
    @dataclasses.dataclass
    class Two:
        """Two settings.

        Attributes:
            one, other: of them: each.
                And more.
        """

        one: int = 0
        other: int = 0

    assert meanings(Two) == dict.fromkeys(["one", "other"], "of them: each. And more.")


def test_what_a_run_reads_is_explained(capsys):
    assert main(["config", "system=qplex", "system.gamma=0.5", "--explain"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[out.index("system.gamma=0.5") + 1] == "  discount per environment step."
    assert "mixer.num_heads=4" in out and not any(line.startswith("mixer.embed_dim") for line in out)
    assert main(["config", "system=qplex", "system.gamma=2", "--explain"]) == 2
