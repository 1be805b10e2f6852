"""Generate the quickstart corpus: English and Hebrew documents with tags, morphology, lemmas,
entities and a sentiment category, from the word lists and templates in assets/.

A document has a body, in which one word (the cue) is for or against something, and an ending.
A third of the endings is a turn ("Not!", "Just kidding!"), 5 to 25 tokens after the cue, which
reverses the sentiment. Every body comes with both cues and all endings, so that nothing but the
cue and the ending together tells the category.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import spacy
import srsly
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

LANGUAGES = ("en", "he")
CATEGORIES = ("POSITIVE", "NEGATIVE")
ENDINGS = ("plain", "keep", "turn")
# Bodies for each language. Each makes six documents: two cues, three endings.
SPLITS = {"train": 36, "dev": 5, "test": 9}
# A cue and a noun meet in one split only, by the sum of their indices modulo 5.
MEETINGS = {"train": (2, 3, 4), "dev": (1,), "test": (0,)}
MIN_DISTANCE, MAX_DISTANCE = 5, 25
ADDITION_RATE = 0.6
AGREEMENT = ("Gender", "Number", "Person", "Definite")


@dataclass(frozen=True)
class Form:
    """A word, or a name of several words, with its tag, part of speech, features and lemma."""

    text: str
    tag: str
    pos: str
    feats: dict[str, str]
    lemma: str

    @classmethod
    def parse(cls, text: str, analysis: str, lemma: str) -> "Form":
        tag, pos, *feats = re.split(r"[ |]", analysis)
        return cls(text, tag, pos, dict(feat.split("=") for feat in feats), lemma)

    def agrees(self, other: "Form") -> bool:
        shared = set(AGREEMENT) & set(self.feats) & set(other.feats)
        return all(self.feats[name] == other.feats[name] for name in shared)


@dataclass(frozen=True)
class Entry:
    """One row of a table: the forms of a word. The first form names it."""

    forms: list[Form]
    category: str = ""
    entity: str = ""

    @property
    def name(self) -> str:
        return self.forms[0].text


@dataclass(frozen=True)
class Piece:
    """A form at its place in a document. Literal words of a template have no slot."""

    form: Form
    entry: Entry
    slot: str = ""


@dataclass(frozen=True)
class Document:
    language: str
    split: str
    body: list[Piece]
    ending: list[Piece]
    ending_kind: str

    def find(self, slot: str) -> Piece:
        return next(piece for piece in self.body if piece.slot == slot)

    @property
    def cue(self) -> Entry:
        return self.find("cue").entry

    @property
    def noun(self) -> Entry:
        return self.find("noun").entry

    @property
    def category(self) -> str:
        if self.ending_kind != "turn":
            return self.cue.category
        return next(category for category in CATEGORIES if category != self.cue.category)

    @property
    def distance(self) -> int:
        """The number of tokens from the cue to the body's full stop, that included."""
        after = self.body[self.body.index(self.find("cue")) + 1 :]
        return sum(len(piece.form.text.split()) for piece in after) + 1

    def to_doc(self, nlp: Language) -> Doc:
        words, tags, pos, morphs, lemmas, ents = [], [], [], [], [], []
        for piece in self.body + self.ending:
            form, entity = piece.form, piece.entry.entity
            for i, (word, lemma) in enumerate(
                zip(form.text.split(), form.lemma.split(), strict=True)
            ):
                words.append(word)
                lemmas.append(lemma)
                tags.append(form.tag)
                pos.append(form.pos)
                morphs.append("|".join(f"{name}={value}" for name, value in form.feats.items()))
                ents.append(f"{'I' if i else 'B'}-{entity}" if entity else "O")
        spaces = [following != "PUNCT" for following in pos[1:]] + [False]
        doc = Doc(
            nlp.vocab, words, spaces, tags=tags, pos=pos, morphs=morphs, lemmas=lemmas, ents=ents
        )
        doc.cats = {category: float(category == self.category) for category in CATEGORIES}
        if [token.text for token in nlp.make_doc(doc.text)] != words:
            raise ValueError(f"The tokenizer splits this text in another way: {doc.text}")
        return doc


class Grammar:
    """The word lists and templates of one language.

    A template is a text of literal words and slots. A slot `{name:table Feature=Value ~other}`
    takes a form from a table (by default the one called like the slot) that has the features
    named and agrees with the form in the other slot.
    """

    def __init__(self, path: Path, rng: random.Random) -> None:
        data = srsly.read_json(path)
        self.rng = rng
        self.used: Counter = Counter()
        self.openings: list[str] = data["openings"]
        self.additions: list[list[str]] = data["additions"]
        self.endings: dict[str, list[str]] = data["endings"]
        self.words = {
            text: Form.parse(text, analysis, data["lemmas"].get(text, text))
            for text, analysis in data["words"].items()
        }
        self.tables = {
            name: [entry for block in blocks for entry in read_block(**block)]
            for name, blocks in data["tables"].items()
        }
        self.nouns = sorted(entry.name for entry in self.tables["noun"])
        self.cues = sorted({cues[0].name for _, cues in self.openings_with_cues()})

    def openings_with_cues(self) -> list[tuple[str, tuple[Entry, ...]]]:
        """Every opening with every pair of cues, one of each category, that fits into it."""
        pairs = []
        for opening in self.openings:
            table = self.tables[re.search(r"\{cue:(\w+)", opening).group(1)]
            columns = [[cue for cue in table if cue.category == name] for name in CATEGORIES]
            pairs.extend((opening, cues) for cues in zip(*columns, strict=True))
        return pairs

    def meet_in(self, split: str, cue: Entry, noun: Entry) -> bool:
        """Whether the first cue of a pair may go with this noun in the split."""
        meeting = self.cues.index(cue.name) + self.nouns.index(noun.name)
        return meeting % 5 in MEETINGS[split]

    def write(self, opening: str, cue: Entry) -> list[Piece]:
        """Write a body: an opening and some of the additions."""
        body = self.expand(opening, [], cue)
        for alternatives in self.additions:
            if self.rng.random() < ADDITION_RATE:
                body += self.expand(self.rng.choice(alternatives), body)
        return body

    def expand(self, template: str, before: list[Piece], cue: Entry | None = None) -> list[Piece]:
        """Turn a template into pieces, which may agree with each other and with those before."""
        pieces: list[Piece] = []
        for part in re.findall(r"\{[^}]+\}|\S+", template):
            if not part.startswith("{"):
                pieces.append(Piece(self.words[part], Entry([self.words[part]])))
                continue
            name, *conditions = part.strip("{}").split()
            slot, _, table = name.partition(":")
            context = before + pieces
            # Nobody meets themselves: a name occurs only once in a document.
            names = [piece.entry for piece in context if piece.entry.entity]
            candidates = [
                Piece(form, entry, slot)
                for entry in ([cue] if cue and slot == "cue" else self.tables[table or slot])
                for form in entry.forms
                if entry not in names and fits(form, conditions, context)
            ]
            # A small sample should show every form: prefer those used less.
            weights = [0.1 ** self.used[piece.form.text] for piece in candidates]
            pieces += self.rng.choices(candidates, weights)
        return pieces


def read_block(
    columns: list[str], rows: list[str], category: str = "", entity: str = ""
) -> Iterator[Entry]:
    """Read one block of a table, whose columns say how the forms of each row are analysed. Behind
    them can stand their lemma, or one for each; otherwise it is the first form."""
    for row in rows:
        forms, _, given = row.partition(" = ")
        texts = forms.split(" / ")
        lemmas = given.split(" / ") if given else texts[:1]
        if len(lemmas) == 1:
            lemmas *= len(texts)
        cells = zip(texts, columns, lemmas, strict=True)
        yield Entry([Form.parse(*cell) for cell in cells], category, entity)


def fits(form: Form, conditions: list[str], context: list[Piece]) -> bool:
    for condition in conditions:
        if condition.startswith("~"):
            other = next(piece.form for piece in context if piece.slot == condition[1:])
            if not form.agrees(other):
                return False
        else:
            name, value = condition.split("=")
            if form.feats.get(name) != value:
                return False
    return True


def exchange_cue(body: list[Piece], cue: Entry) -> list[Piece]:
    """Put another cue, in the same form, in the place of a body's cue."""
    return [
        Piece(cue.forms[piece.entry.forms.index(piece.form)], cue, "cue")
        if piece.slot == "cue"
        else piece
        for piece in body
    ]


def make_documents(assets: Path, seed: int = 0) -> list[Document]:
    """Make the documents of all splits, in random order."""
    rng = random.Random(seed)
    documents: list[Document] = []
    for language in LANGUAGES:
        grammar = Grammar(assets / f"{language}.json", rng)
        seen: list[list[Piece]] = []
        for split, n_bodies in SPLITS.items():
            grammar.used.clear()
            openings = grammar.openings_with_cues()
            rng.shuffle(openings)
            while n_bodies:
                opening, cues = openings[n_bodies % len(openings)]
                body = grammar.write(opening, cues[0])
                endings = {
                    kind: grammar.expand(rng.choice(grammar.endings[kind]), []) for kind in ENDINGS
                }
                versions = [
                    Document(language, split, exchange_cue(body, cue), ending, kind)
                    for kind, ending in endings.items()
                    for cue in cues
                ]
                if (
                    body not in seen
                    and MIN_DISTANCE <= versions[0].distance <= MAX_DISTANCE
                    and grammar.meet_in(split, cues[0], versions[0].noun)
                ):
                    documents.extend(versions)
                    seen.append(body)
                    grammar.used.update(piece.form.text for piece in body)
                    n_bodies -= 1
    rng.shuffle(documents)
    return documents


def main(assets: Path, output: Path) -> None:
    """Write train.spacy, dev.spacy, test.spacy, and turns.spacy: the turns of the test."""
    nlp = spacy.blank("xx")
    documents = make_documents(assets)
    corpora = {split: [d for d in documents if d.split == split] for split in SPLITS}
    corpora["turns"] = [d for d in corpora["test"] if d.ending_kind == "turn"]
    output.mkdir(parents=True, exist_ok=True)
    for name, selection in corpora.items():
        docs = [document.to_doc(nlp) for document in selection]
        DocBin(docs=docs).to_disk(output / f"{name}.spacy")
        msg.good(f"{name}: {len(docs)} documents, {sum(map(len, docs))} tokens")


if __name__ == "__main__":
    typer.run(main)
