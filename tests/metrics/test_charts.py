import itertools

import pytest
from doubles.rows import row

from limae_jax.metrics.charts import Charts


def made(seed, iteration):
    """A row of a seed that makes 100 steps an iteration, and a few more."""
    return row(seed, 100 * iteration + seed, 0.1 * seed, iteration=iteration)


def by_tag(points):
    tags = {}
    for env_steps, scalars in points:
        for tag, value in scalars.items():
            tags.setdefault(tag, []).append((env_steps, value))
    return tags


ORDERS = {
    "together": [[(0, 1), (1, 1)], [(0, 2), (1, 2)], [(0, 3), (1, 3)]],
    "one after the other": [[(0, 1)], [(0, 2)], [(0, 3)], [(1, 1)], [(1, 2)], [(1, 3)]],
    "extended": [[(0, 1)], [(0, 2)], [(1, 1)], [(1, 2)], [(0, 3)], [(1, 3)]],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_each_point_comes_once_whatever_the_order_of_the_seeds(order):
    charts = Charts([0, 1])
    tags = by_tag(itertools.chain(*(charts.add([made(*one) for one in batch]) for batch in order)))
    assert tags["test_win_rate/seed_1"] == [(101, 0.1), (201, 0.1), (301, 0.1)]
    assert tags["test_win_rate/mean"] == [(101, 0.05), (201, 0.05), (301, 0.05)]
    for points in tags.values():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))
    # All rows at once, as they are read from metrics.jsonl, are the same charts.
    assert by_tag(Charts([0, 1]).add([made(*one) for batch in order for one in batch])) == tags


def test_a_seed_that_stands_still_is_not_drawn_again():
    charts = Charts([0, 1])
    for iteration in (1, 2, 3):
        charts.add([row(0, 500, 0.5, iteration=iteration), made(1, iteration)])
    tags = by_tag(charts.add([row(0, 500, 0.5, iteration=4), made(1, 4)]))
    assert "test_win_rate/seed_0" not in tags
    assert tags["test_win_rate/mean"] == [(500, 0.3)]


def test_one_seed_has_no_mean():
    assert not [tag for tag in by_tag(Charts([3]).add([made(3, 1)])) if tag.endswith("mean")]
