"""The baseline of the shared task (Cotterell et al. 2018, "The CoNLL-SIGMORPHON 2018 shared task:
universal morphological reinflection"): rules that change the end and the beginning of a lemma,
counted for each bundle of features. It follows the description and the script that the organizers
have published: https://github.com/sigmorphon/conll2018, `task1/baseline`."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import typer
from wasabi import msg

START, END = "<", ">"
# A change costs a little more than an insertion or a deletion.
INSERT, DELETE, CHANGE = 10, 10, 11

Pair = tuple[str, str]


class Rules(NamedTuple):
    """How often which beginning and which end became which other one."""

    prefixes: Counter[Pair]
    suffixes: Counter[Pair]


def read_pairs(path: Path) -> list[tuple[str, str, str]]:
    """Lemmas, forms and features."""
    lines = path.read_text(encoding="utf8").splitlines()
    return [tuple(line.split("\t")) for line in lines if line.strip()]


def align(lemma: str, form: str) -> list[Pair]:
    """The cheapest alignment of letters, "" for none. The first of several begins with a pair of
    letters rather than an insertion, and with an insertion rather than a deletion."""
    costs = [[0] * (len(form) + 1) for _ in range(len(lemma) + 1)]

    def steps(i: int, j: int) -> list[tuple[int, int, int]]:
        """The cost from here to the ends with each step, and where the step leads."""
        found = []
        if i < len(lemma) and j < len(form):
            change = CHANGE * (lemma[i] != form[j])
            found.append((change + costs[i + 1][j + 1], i + 1, j + 1))
        if j < len(form):
            found.append((INSERT + costs[i][j + 1], i, j + 1))
        if i < len(lemma):
            found.append((DELETE + costs[i + 1][j], i + 1, j))
        return found

    for i in reversed(range(len(lemma) + 1)):
        for j in reversed(range(len(form) + 1)):
            costs[i][j] = min((cost for cost, *_ in steps(i, j)), default=0)
    pairs, i, j = [], 0, 0
    while (i, j) != (len(lemma), len(form)):
        _, next_i, next_j = min(steps(i, j), key=lambda step: step[0])
        pairs.append((lemma[i:next_i], form[j:next_j]))
        i, j = next_i, next_j
    return pairs


def gap(pairs: list[Pair]) -> int:
    """At how many positions in a row, from the first one on, the same side has no letter."""
    counts = []
    for side in (0, 1):
        letters = [i for i, pair in enumerate(pairs) if pair[side]]
        counts.append(letters[0] if letters else len(pairs))
    return max(counts)


def join(pairs: list[Pair]) -> Pair:
    return "".join(a for a, _ in pairs), "".join(b for _, b in pairs)


def find_rules(lemma: str, form: str) -> tuple[set[Pair], set[Pair]]:
    """The rules for prefixes and for suffixes that a pair shows. A prefix or suffix is where lemma
    or form has no letters at its beginning or end; rules take some letters between them along."""
    pairs = align(lemma, form)
    start, stop = gap(pairs), len(pairs) - gap(pairs[::-1])
    prefix, stem, rest = pairs[:start], pairs[start:stop], pairs[start:]
    before, after = join([(START, START), *prefix])
    written = [b for _, b in stem]
    prefixes = {
        (before + "".join(written[:i]), after + "".join(written[:i])) for i in range(len(stem))
    }
    suffixes = {join([*rest[i:], (END, END)]) for i in range(len(rest) + 1)}
    return prefixes, suffixes


def shift(lemma: str, form: str) -> tuple[int, int]:
    """How far the beginnings, and the ends, of lemma and form are from each other where the form
    lies over the lemma so that most letters are above equal ones, or at least above some."""

    def fit(offset: int) -> int:
        over = lemma[max(offset, 0) : max(offset + len(form), 0)]
        under = form[max(-offset, 0) :]
        return len(over) + sum(a == b for a, b in zip(over, under, strict=False))

    best = max(range(len(lemma), -len(form) - 1, -1), key=fit)
    return abs(best), abs(len(lemma) - best - len(form))


def is_prefixing(pairs: list[tuple[str, str, str]]) -> bool:
    """Whether beginnings change more than ends, in pairs of single words."""
    shifts = [shift(a, b) for a, b, _ in pairs if not set(a + b) & {" ", "-"}]
    return sum(start for start, _ in shifts) > sum(end for _, end in shifts)


def learn(pairs: list[tuple[str, str, str]]) -> dict[str, Rules]:
    """The rules by features."""
    rules: dict[str, Rules] = defaultdict(lambda: Rules(Counter(), Counter()))
    for lemma, form, features in pairs:
        prefixes, suffixes = find_rules(lemma, form)
        rules[features].prefixes.update(prefixes)
        rules[features].suffixes.update(suffixes)
    return rules


def inflect(lemma: str, rules: Rules) -> str:
    """Apply the longest rule for a suffix, and of several the most frequent one, and after it the
    most frequent rule for a prefix."""
    word = START + lemma + END
    suffixes = [(len(a), n, len(b), a, b) for (a, b), n in rules.suffixes.items() if a in word]
    if suffixes:
        *_, before, after = max(suffixes)
        word = word.replace(before, after)
    prefixes = [(n, -len(a), a, b) for (a, b), n in rules.prefixes.items() if a in word]
    if prefixes:
        *_, before, after = max(prefixes)
        word = word.replace(before, after)
    return word.strip(START + END)


def main(train: Path, pairs: Path, output_path: Path) -> None:
    """Learn from TRAIN, and write a form for each lemma of PAIRS to OUTPUT_PATH, one a line."""
    training = read_pairs(train)
    # Where beginnings change more, words are read backwards, and their ends change.
    step = -1 if is_prefixing(training) else 1
    rules = learn([(a[::step], b[::step], features) for a, b, features in training])
    forms = [
        inflect(lemma[::step], rules[features])[::step] if features in rules else lemma
        for lemma, _, features in read_pairs(pairs)
    ]
    output_path.parent.mkdir(parents=True, exist_ok=True)
    output_path.write_text("".join(f"{form}\n" for form in forms), encoding="utf8")
    msg.good(
        f"{output_path}: {len(forms):,} forms, from rules for {len(rules)} bundles of features"
    )


if __name__ == "__main__":
    typer.run(main)
