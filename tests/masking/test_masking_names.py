import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
import yaml
from mask_inputs import random_inputs

import limae_jax.masking
from limae_jax.catalogue.masking_rules import GRANULARITIES, RULES, check_rule
from limae_jax.config import MASKING_CONFIGS
from limae_jax.config.compose import config_dir, options
from limae_jax.errors import InputError
from limae_jax.masking.load import make_rule

# What the rules share.
SHARED = {"__init__", "base", "load", "scores", "signals"}


def _text(name: str) -> str:
    return (config_dir() / "masking" / f"{name}.yaml").read_text(encoding="utf-8")


def _own_settings(name: str) -> dict[str, float]:
    """What the rule reads beside the granularity, with its defaults; training reads `chooses` and the probability."""
    shared = {"name", "granularity", "chooses"} | ({"probability"} if name != "random" else set())
    return {item.name: item.default for item in dataclasses.fields(MASKING_CONFIGS[name]) if item.name not in shared}


def test_rules_modules_and_files_are_the_same():
    modules = {path.stem for path in Path(limae_jax.masking.__file__).parent.glob("*.py")}
    assert modules - SHARED == set(RULES) == set(options("masking"))


@pytest.mark.parametrize("name", RULES)
def test_each_file_has_the_defaults_of_what_its_rule_reads(name):
    assert _text(name).startswith("# ")
    assert yaml.safe_load(_text(name)) == {"name": name, **_own_settings(name)}


class _Recorded:
    """Settings that note which of them are read."""

    def __init__(self, config):
        self._config, self.seen = config, set()

    def __getattr__(self, name):
        value = getattr(self._config, name)
        self.seen.add(name)
        return value


@pytest.mark.parametrize("name", RULES)
def test_each_rule_reads_what_it_says(name):
    config = _Recorded(MASKING_CONFIGS[name](name=name))
    rule = make_rule(config, 4, 2)
    jax.eval_shape(rule.select, rule.init(), random_inputs(0), jax.random.key(0))
    assert config.seen - {"unit", "name"} == set(_own_settings(name))
    assert ("unit" in config.seen) or RULES[name].granularities == ("batch",)


@pytest.mark.parametrize("name", RULES)
def test_granularities(name):
    units = RULES[name].granularities
    assert units and set(units) <= set(GRANULARITIES)
    assert MASKING_CONFIGS[name](name=name).unit == units[0]
    assert all(MASKING_CONFIGS[name](name=name, granularity=unit).unit == unit for unit in units)
    if missing := set(GRANULARITIES) - set(units):
        with pytest.raises(InputError, match=r"^masking.granularity=\w+: choose one of"):
            MASKING_CONFIGS[name](name=name, granularity=missing.pop())


def test_unknown_rules_are_refused():
    with pytest.raises(InputError, match=r"^masking.name=mean_dt: unknown; .* Did you mean 'mean_td'"):
        check_rule("mean_dt")
    with pytest.raises(InputError):
        make_rule(SimpleNamespace(name="scores"), 2, 2)
