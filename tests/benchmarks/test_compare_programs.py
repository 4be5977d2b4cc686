"""The comparison of programs sees what they do, and not what things are called."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp

PATH = Path(__file__).parents[2] / "benchmarks" / "compare_programs.py"


def tool():
    spec = importlib.util.spec_from_file_location("compare_programs", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(function):
    return tool().canonical(jax.jit(function).lower(jnp.ones((4, 3))).compile().as_text())


def test_other_names_are_equal_and_another_number_is_not():
    def one(x):
        return jnp.sum(jnp.tanh(x) * 2 + 1, axis=0)

    def same(values):
        doubled = jnp.tanh(values) * 2
        return jnp.sum(doubled + 1, axis=0)

    assert text_of(one) == text_of(same)
    assert text_of(one) != text_of(lambda x: jnp.sum(jnp.tanh(x) * 2 - 1, axis=0))


def test_an_argument_more_moves_numbers_and_is_one_instruction():
    def lines(function, *args):
        return tool().canonical(jax.jit(function, keep_unused=True).lower(*args).compile().as_text())

    x = jnp.ones((4, 3))
    one = lines(lambda x: jnp.sum(jnp.tanh(x) * 2, axis=0), x)
    unused = lines(lambda unused, x: jnp.sum(jnp.tanh(x) * 2, axis=0), jnp.ones(5), x)
    counted = tool().only_in_one
    # The head of the program lists its arguments.
    assert counted(one, one) == (0, 0) and counted(one, unused) == (1, 2)
    assert counted(one, lines(lambda x: jnp.sum(jnp.tanh(x) * 3, axis=0), x)) == (1, 1)


def test_a_setting_is_spelled_as_a_version_knows_it():
    known = "evaluation:\n  every_time_steps: 5\n"
    spelled = tool().spelled
    assert spelled("evaluation.every_time_steps|every_time_steps=7", known) == "evaluation.every_time_steps=7"
    assert spelled("evaluation.num_episodes=8", known) == "evaluation.num_episodes=8"
