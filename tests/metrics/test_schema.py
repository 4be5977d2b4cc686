import json

import jax.numpy as jnp
import numpy as np
import pytest
from doubles.rows import row

from limae_jax.metrics.schema import REQUIRED_FIELDS, make_row, seed_scalars, to_plain


def test_required_fields_come_first():
    assert tuple(row(extra=1))[:-1] == REQUIRED_FIELDS
    assert row(extra=1)["extra"] == 1


@pytest.mark.parametrize("missing", REQUIRED_FIELDS)
def test_a_missing_field_is_named(missing):
    fields = row()
    del fields[missing]
    with pytest.raises(TypeError, match=missing):
        make_row(**fields)


def test_arrays_and_infinities_become_json():
    values = {
        "half": np.float16(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "traced": jnp.asarray(2.0),
        "list": np.array([1.0, np.nan]),
        "inf": float("inf"),
        1: {"nested": -np.inf},
    }
    plain = to_plain(values)
    assert json.loads(json.dumps(plain, allow_nan=False)) == {
        "half": 0.5,
        "count": 3,
        "flag": True,
        "traced": 2.0,
        "list": [1.0, None],
        "inf": None,
        "1": {"nested": None},
    }


def test_scalars_by_seed_with_their_mean():
    env_steps, scalars = seed_scalars([row(3, 990, 0.25, loss=np.nan), row(4, 1000, 0.75, loss=np.float32(2))])
    assert env_steps == 1000
    assert scalars["test_win_rate/seed_3"] == 0.25
    assert scalars["test_win_rate/seed_4"] == 0.75
    assert scalars["test_win_rate/mean"] == 0.5
    assert {tag for tag in scalars if tag.startswith("loss")} == {"loss/seed_4"}
    assert not any(tag.startswith(("seed", "phase")) for tag in scalars)


def test_scalars_of_an_environment_without_wins():
    _, scalars = seed_scalars([row(win_rate=None)])
    assert not any(tag.startswith("test_win_rate") for tag in scalars)
    assert scalars["test_return_mean/seed_0"] == 1.5
