"""What comes back of texts after they were squeezed into points, and how probable they are."""

from pathlib import Path
from typing import Any

import spacy
import srsly
import typer
from lstm import Autoencoder
from spacy.tokens import DocBin
from spacy.training import Example
from wasabi import MarkdownRenderer, msg

from spacy_textconv.scorers import vae_score

app = typer.Typer(help=__doc__)

COLUMNS = {
    "latent_bleu": ("BLEU %", "{:.2%}"),
    "latent_exact": ("Equal %", "{:.2%}"),
    "nll": ("Negative log likelihood", "{:.2f}"),
    "latent_kl": ("KL", "{:.2f}"),
    "latent_active": ("Active units", "{}"),
    "parameters": ("Parameters", "{:,}"),
    "seconds": ("Training, CPU seconds", "{:,.0f}"),
}


def read_texts(path: Path) -> list[str]:
    return [doc.text for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)]


def finish(scores: dict[str, Any], training: Path, output: Path, split: str, name: str) -> None:
    path = output / "metrics" / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(path, {**scores, **srsly.read_json(training / "training.json")})
    msg.good(f"{path}: {100 * scores['latent_bleu']:.2f} BLEU")


@app.command("pipeline")
def evaluate_pipeline(
    training: Path, texts: Path, output: Path, name: str, samples: int = 100
) -> None:
    """Evaluate TRAINING/model-best on TEXTS."""
    nlp = spacy.load(training / "model-best")
    vae = nlp.get_pipe("vae")
    found = read_texts(texts)
    scores = vae.score([Example(nlp.make_doc(text), nlp.make_doc(text)) for text in found])
    if vae.model.attrs["latent"]:
        scores["nll"] = -float(vae.log_likelihoods(found, samples=samples).mean())
    finish(scores, training, output, texts.stem, name)


@app.command("peer")
def evaluate_peer(training: Path, texts: Path, output: Path, name: str, samples: int = 100) -> None:
    """Evaluate the peer in TRAINING on TEXTS."""
    peer = Autoencoder.load(training)
    nlp = spacy.blank("en")
    found = read_texts(texts)
    means, divergences = peer.encode(found)
    scores = vae_score(
        [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in found],
        target="latent",
        texts=peer.decode(means),
        nll=None,
        means=means,
        divergences=divergences,
    )
    if divergences is not None:
        scores["nll"] = -float(peer.log_likelihoods(found, samples).mean())
    finish(scores, training, output, texts.stem, name)


@app.command("report")
def report(output: Path, split: str = "test") -> None:
    """Print what the systems of OUTPUT reach, as OUTPUT/report-SPLIT.md."""
    paths = sorted(output.glob(f"metrics/{split}/*.json"))
    rows = []
    for path in paths:
        scores = srsly.read_json(path)
        values = [(scores.get(key), style) for key, (_, style) in COLUMNS.items()]
        rows.append([path.stem, *("" if v is None else s.format(v) for v, s in values)])
    markdown = MarkdownRenderer()
    header = ["System", *(title for title, _ in COLUMNS.values())]
    markdown.add(markdown.table(rows, header, aligns=["l", *"r" * len(COLUMNS)]))
    (output / f"report-{split}.md").write_text(f"{markdown.text}\n", encoding="utf8")
    typer.echo(markdown.text)


if __name__ == "__main__":
    app()
