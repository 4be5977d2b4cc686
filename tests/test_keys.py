import jax
import numpy as np

from limae_jax.keys import Stream, stream_key


def _bits(seed, stream, index=0) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(stream_key(seed, stream, index))).tolist())


def test_the_same_seed_stream_and_index_give_the_same_key():
    assert _bits(3, Stream.ENV, 7) == _bits(3, Stream.ENV, 7)


def test_a_seed_means_the_same_whatever_kind_of_keys_jax_makes():
    usual = _bits(3, Stream.ENV, 7)
    with jax.default_prng_impl("rbg"):
        assert _bits(3, Stream.ENV, 7) == usual


def test_seeds_streams_and_indices_give_different_keys():
    keys = {_bits(seed, stream, index) for seed in (0, 1, 5) for stream in Stream for index in (0, 1, 2, 1000)}
    assert len(keys) == 3 * len(Stream) * 4


def test_traced_and_plain_numbers_agree():
    traced = jax.jit(lambda seed, index: jax.random.key_data(stream_key(seed, Stream.REPLAY, index)))(4, 9)
    assert tuple(np.asarray(traced).tolist()) == _bits(4, Stream.REPLAY, 9)


def test_a_seed_in_a_group_is_the_seed_alone():
    seeds = np.arange(2, 6, dtype=np.int32)
    group = jax.vmap(lambda seed: jax.random.key_data(stream_key(seed, Stream.INIT)))(seeds)
    assert [tuple(key.tolist()) for key in np.asarray(group)] == [_bits(int(seed), Stream.INIT) for seed in seeds]


def test_numbers_of_the_streams_stay():
    """They are part of what a seed means: a change would give every old run another meaning."""
    names = "INIT RESET ENV EXPLORE REPLAY UPDATE EVAL".split()
    assert [stream.name for stream in Stream][: len(names)] == names
    assert [int(stream) for stream in Stream] == list(range(len(Stream)))
