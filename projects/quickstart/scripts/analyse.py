"""Load a pipeline by its package name and print its analysis of a sentence of each language."""

import spacy
import typer
from wasabi import msg

TEXTS = (
    "I would love to buy the red lamp from Acme for my sister in Paris this summer. Not!",
    "דנה שונאת את המנורה האדומה של חברת אקמי יחד עם יוסי בעיר חיפה הקיץ. סתם!",
)
HEADER = ("Token", "Lemma", "Tag", "Part of speech", "Morphology", "Entity")


def main(package: str) -> None:
    nlp = spacy.load(package)
    for doc in nlp.pipe(TEXTS):
        category = max(doc.cats, key=doc.cats.__getitem__)
        msg.divider(f"{category} ({doc.cats[category]:.2f})")
        msg.text(doc.text)
        rows = [(t.text, t.lemma_, t.tag_, t.pos_, str(t.morph), t.ent_type_) for t in doc]
        msg.table(rows, header=HEADER, divider=True, max_col=60)


if __name__ == "__main__":
    typer.run(main)
