from math import exp

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.generation.sampling import Sampler, sample
from spacy_textconv.generation.search import collect, greedy, stream

from .writer import END, START, TableWriter, all_sequences


def ends(number, max_length=4):
    return {"start": START, "end": END, "max_lengths": torch.full((number,), max_length)}


def naive_candidates(log_probs, temperature, top_k, top_p):
    """The probability of each symbol that is left, from its definition."""
    weights = {symbol: exp(score / temperature) for symbol, score in enumerate(log_probs)}
    order = sorted(weights, key=lambda symbol: (-weights[symbol], symbol))[:top_k]
    total = sum(weights[symbol] for symbol in order)
    kept, mass = [], 0.0
    for symbol in order:
        if top_p is None or mass < top_p:
            kept.append(symbol)
        mass += weights[symbol] / total
    total = sum(weights[symbol] for symbol in kept)
    return {symbol: weights[symbol] / total for symbol in kept}


@given(
    # Sums of these are exact, and some are equal.
    weights=st.lists(st.integers(1, 8), min_size=1, max_size=8),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.none() | st.integers(1, 9),
    top_p=st.none() | st.floats(0.01, 1.0).filter(lambda p: abs(p * 840 - round(p * 840)) > 1e-3),
)
def test_candidates_are_those_of_the_definitions(weights, temperature, top_k, top_p):
    log_probs = torch.tensor(weights, dtype=torch.double).log().log_softmax(dim=0)
    sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p)
    [probabilities], [symbols] = sampler.candidates(log_probs[None])
    pairs = zip(symbols.tolist(), probabilities.tolist(), strict=True)
    found = {symbol: probability for symbol, probability in pairs if probability}
    expected = naive_candidates(log_probs.tolist(), temperature, top_k, top_p)
    assert found == pytest.approx(expected)
    if top_k or top_p:
        assert [*found] == [*expected]


def test_just_enough_symbols_are_left():
    log_probs = torch.tensor([[0.125, 0.5, 0.125, 0.25]], dtype=torch.double).log()
    for top_p, number in ((0.5, 1), (0.51, 2), (0.75, 2), (0.76, 3), (1.0, 4)):
        [probabilities], [symbols] = Sampler(top_p=top_p).candidates(log_probs)
        assert symbols.tolist() == [1, 3, 0, 2]
        assert (probabilities > 0).tolist() == [place < number for place in range(4)]


def test_sequences_are_as_frequent_as_they_are_probable():
    number = 4000
    found = sample(TableWriter([3] * number), Sampler(seed=0), **ends(number, 2))
    for symbols, log_prob, _ in all_sequences(3, 2):
        same = [hypothesis for hypothesis in found if hypothesis.symbols == symbols]
        probability = exp(log_prob)
        deviation = (probability * (1 - probability) * number) ** 0.5
        assert abs(len(same) - probability * number) < 4 * deviation + 1
        # Those of the writer.
        assert all(other.log_prob == pytest.approx(log_prob, abs=1e-5) for other in same)


def test_temperature_and_limits_are_applied_to_what_is_drawn():
    log_probs = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().repeat(4000, 1)
    drawn = Sampler(temperature=0.5, top_k=3, seed=0)(log_probs)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert shares.tolist() == pytest.approx([0.0, 4 / 29, 9 / 29, 16 / 29], abs=0.03)
    drawn = Sampler(top_p=0.5, seed=0)(log_probs)
    assert set(drawn.tolist()) == {2, 3}


@given(seed=st.integers(0, 2**31))
def test_equal_seeds_draw_the_same(seed):
    settings = {"temperature": 1.5, "seed": seed}
    first, second = (
        sample(TableWriter([1, 2, 3]), Sampler(**settings), **ends(3)) for _ in range(2)
    )
    assert first == second


def test_other_seeds_draw_otherwise():
    texts = {
        str(sample(TableWriter([1] * 20), Sampler(seed=seed), **ends(20)))
        for seed in (0, 1, None, None)
    }
    assert len(texts) == 4


@given(seeds=st.lists(st.integers(0, 100), max_size=4))
@pytest.mark.parametrize(
    "settings", [{"temperature": 1e-3}, {"temperature": 1e-320}, {"top_k": 1}, {"top_p": 1e-9}]
)
def test_the_most_probable_symbols_are_drawn_in_the_limit(settings, seeds):
    found = sample(TableWriter(seeds), Sampler(**settings), **ends(len(seeds)))
    assert found == greedy(TableWriter(seeds), **ends(len(seeds)))


def test_streamed_symbols_are_the_sample():
    expected = sample(TableWriter([1, 2, 3]), Sampler(seed=5), **ends(3, 6))
    steps = [*stream(TableWriter([1, 2, 3]), Sampler(seed=5), **ends(3, 6))]
    assert collect(steps, END) == expected
    for document, hypothesis in enumerate(expected):
        rows = [step.documents.tolist().index(document) for step in steps[: len(hypothesis[0])]]
        symbols = [int(step.symbols[row]) for row, step in zip(rows, steps, strict=False)]
        assert symbols == hypothesis.symbols


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    Sampler(seed=None)(torch.zeros(3, 3))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "setting, code",
    [
        ({"temperature": 0.0}, "E024.*temperature"),
        ({"temperature": -1.0}, "E024.*temperature"),
        ({"top_k": 0}, "E001.*top_k"),
        ({"top_p": 0.0}, "E024.*top_p"),
        ({"top_p": 1.1}, "E024.*top_p"),
    ],
)
def test_settings_out_of_range(setting, code):
    with pytest.raises(ValueError, match=code.replace(".*", ".*`") + "`"):
        Sampler(**setting)
