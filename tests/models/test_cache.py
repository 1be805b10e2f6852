import copy
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.models.cache import TypeCache

CPU = torch.device("cpu")
KEYS = numpy.array([3, 2**64 - 1, 11, 2**63], dtype="uint64")

keys = st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 12), unique=True)


def vectors(keys):
    """Vectors that their keys can be told from: one byte in each column."""
    return torch.from_numpy(keys.astype("<u8").view("uint8").reshape(-1, 8).astype("float32"))


def lookup(cache, keys, version=1):
    """Get the known ones of some keys, after a check of their vectors."""
    found, unknown = cache.get(keys, version, CPU)
    assert found.shape == (len(keys), cache.width)
    known = numpy.setdiff1d(numpy.arange(len(keys)), unknown)
    assert torch.equal(found[torch.from_numpy(known)], vectors(keys[known]))
    return set(keys[known].tolist())


def filled(size, keys):
    """A cache that knows some keys."""
    cache = TypeCache(size, 8)
    lookup(cache, keys)
    cache.put(keys, vectors(keys), 1)
    return cache


def test_what_was_put_is_known():
    cache = TypeCache(1000, 8)
    assert lookup(cache, KEYS) == set()
    cache.put(KEYS[:2], vectors(KEYS[:2]), 1)
    assert lookup(cache, KEYS) == set(KEYS[:2].tolist())
    cache.put(KEYS[2:], vectors(KEYS[2:]), 1)
    assert lookup(cache, KEYS[::-1]) == set(KEYS.tolist())


@given(st.lists(keys), st.sampled_from([1, 2, 5]))
def test_what_is_known_is_right_and_bounded(rounds, size):
    cache = TypeCache(size, 8)
    everything = numpy.unique(numpy.array(sum(rounds, []), dtype="uint64"))
    before = set()
    for chosen in rounds:
        chosen = numpy.array(chosen, dtype="uint64")
        lookup(cache, chosen)
        cache.put(chosen, vectors(chosen), 1)
        known = lookup(cache, everything)
        assert known <= before | set(chosen.tolist())
        assert len(before) <= len(known) <= size
        assert not len(chosen) or known & set(chosen.tolist())
        before = known


def test_few_types_are_in_the_way_of_others():
    size = 4000
    many = numpy.random.default_rng(0).integers(1, 2**64, size // 4, dtype="uint64")
    cache = filled(size, many)
    for _ in range(3):
        _, unknown = cache.get(many, 1, CPU)
        cache.put(many[unknown], vectors(many[unknown]), 1)
    # With one place for each, a tenth of them would have none.
    assert len(lookup(cache, many)) > 0.98 * len(many)


def test_of_two_types_with_the_same_places_the_newer_takes_one():
    cache = TypeCache(2, 8)
    for key in (4, 7, 6):
        newer = numpy.array([key], dtype="uint64")
        lookup(cache, newer)
        cache.put(newer, vectors(newer), 1)
    assert lookup(cache, numpy.array([4, 6, 7], dtype="uint64")) == {6, 7}


def test_a_lookup_gives_a_tensor_of_its_own():
    cache = filled(10, KEYS)
    before = lookup(cache, KEYS)
    cache.get(KEYS, 1, CPU)[0].fill_(-1.0)
    assert lookup(cache, KEYS) == before != set()


def test_what_was_put_can_change_afterwards():
    cache, values = TypeCache(1000, 8), vectors(KEYS)
    lookup(cache, KEYS)
    cache.put(KEYS, values, 1)
    values.fill_(-1.0)
    assert lookup(cache, KEYS) == set(KEYS.tolist())


def test_another_version_forgets_everything():
    cache = filled(1000, KEYS)
    assert lookup(cache, KEYS, version=2) == set()
    cache.put(KEYS[:1], vectors(KEYS[:1]), 2)
    assert lookup(cache, KEYS, version=2) == {3}
    assert lookup(cache, KEYS, version=1) == set()


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_and_pickles_are_empty_and_apart(duplicate):
    cache = filled(1000, KEYS)
    other = duplicate(cache)
    assert (other.size, other.width) == (1000, 8)
    assert lookup(other, KEYS) == set()
    other.put(KEYS, torch.zeros(4, 8), 1)
    assert lookup(cache, KEYS) == set(KEYS.tolist())


@pytest.mark.parametrize("size", [1, 40, 5000])
def test_eight_threads_never_get_a_wrong_vector(size):
    cache = TypeCache(size, 8)

    def work(seed):
        generator = numpy.random.default_rng(seed)
        found = 0
        for step in range(60):
            chosen = numpy.unique(generator.integers(1, 200, 20, dtype="uint64"))
            # As if the weights had changed in between.
            version = step // 30
            found += len(lookup(cache, chosen, version))
            cache.put(chosen, vectors(chosen), version)
        return found

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lookup_of_another_thread_does_not_stop_a_forked_child():
    class SlowKeys(numpy.ndarray):
        def __ne__(self, other):
            looking_up.set()
            time.sleep(0.3)
            return super().__ne__(other)

    looking_up = threading.Event()
    cache = filled(1000, KEYS)
    thread = threading.Thread(target=cache.get, args=(KEYS.view(SlowKeys), 1, CPU))
    thread.start()
    assert looking_up.wait(5.0)
    child = os.fork()
    if not child:
        os._exit(lookup(cache, KEYS) != set(KEYS.tolist()))
    thread.join()
    for _ in range(50):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done and status == 0


def test_what_was_computed_before_the_weights_changed_is_not_remembered():
    cache = TypeCache(16, 8)
    lookup(cache, KEYS, version=1)
    lookup(cache, KEYS, version=2)
    cache.put(KEYS, vectors(KEYS), 1)
    assert lookup(cache, KEYS, version=2) == set()
