"""The time left, between two estimates of it."""

import pytest

from limae_jax.metrics.waiting import Compiling, Countdown

CACHED, LONG = Compiling("train", 60.0, 2.0), Compiling("train", 60.0, 60.0)


@pytest.fixture
def made():
    now = [0.0]
    return Countdown(lambda: now[0]), now


def test_it_counts_down_to_nothing(made):
    countdown, now = made
    assert countdown.seconds_left is None
    countdown.told(10.0)
    for gone, left in [(4.0, 6.0), (10.0, 0.0), (99.0, 0.0)]:
        now[0] = gone
        assert countdown.seconds_left == left


@pytest.mark.parametrize(
    ("what", "gone", "left"),
    [
        (LONG, 0.0, 100.0),
        (LONG, 20.0, 80.0),
        # Overdue: what comes after it is still to come.
        (LONG, 90.0, 40.0),
        (CACHED, 1.0, 99.0),
        # It was not in the cache after all.
        (CACHED, 20.0, 138.0),
    ],
)
def test_while_a_program_is_compiled_the_rest_waits(made, what, gone, left):
    countdown, now = made
    countdown.told(100.0)
    countdown.compiling(what)
    now[0] = gone
    assert countdown.seconds_left == left
    countdown.compiled()
    assert countdown.seconds_left == 100.0 - what.expected_s


def test_nothing_known_stays_unknown(made):
    countdown, _ = made
    countdown.compiling(LONG)
    assert countdown.seconds_left is None and countdown.activity == "compiling train 0:00 (first time about 60 s)"
    countdown.compiled()
    assert countdown.seconds_left is None and countdown.activity == ""
