import gzip
import re
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import spacy
import srsly
import torch
from spacy.tokens import Doc, DocBin
from spacy.util import fix_random_seed, import_file, load_config

from spacy_textconv.layers import DeconvDecoder

from ..explain.util import Page
from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "sentences" / "scripts"
DESCRIPTIONS = ["A dog\truns.", "A man sleeps.", "Two men talk.", "Some children & a man."]
REVIEWS = """\
1 a good film for all
0 a bad film for all
1 good and long and new
0 bad and long and new
1 this one is good
0 this one is bad
"""
VARS = {
    "vars.seed": 1,
    "vars.autoencoder_steps": 40,
    "vars.vae_steps": 20,
    "vars.control_steps": 20,
    "vars.judge_steps": 4,
    "vars.lm_steps": 4,
    "vars.samples": 3,
    "vars.threads": torch.get_num_threads(),
}


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        names = ["convert", "lstm", "evaluate", "control", "page"]
        modules = {n: import_file(f"sentences_{n}", SCRIPTS / f"{n}.py") for n in names}
    return SimpleNamespace(**modules)


def shrink(path: Path) -> None:
    """Let a config learn fast."""
    config = load_config(path)
    config["training"]["eval_frequency"] = 20
    config["training"]["optimizer"]["learn_rate"].update(initial_rate=0.01, warmup_steps=5)
    component = config["components"]["vae"]
    component["max_symbols"] = 40
    model = component["model"]
    model["tok2vec"]["embed"].update(
        table_width=16, rows=[50] * len(component["model"]["tok2vec"]["embed"]["rows"])
    )
    model["tok2vec"]["encode"]["width"] = model["decoder"]["width"] = 32
    config.to_disk(path)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = {f"sst2/stsa.binary.{split}": REVIEWS * 5 for split in ("train", "dev", "test")}
    root = tmp_path_factory.mktemp("root")
    project = copy_project("sentences", root, assets, borrowed=["translation"])
    (project / "assets" / "multi30k").mkdir()
    for name in ("train", "val", "test_2016_flickr"):
        data = "".join(f"{line}\n" for line in DESCRIPTIONS).encode()
        (project / "assets" / "multi30k" / f"{name}.en.gz").write_bytes(gzip.compress(data))
    for path in [root / "configs" / "vae.cfg", project / "configs" / "autoencoder.cfg"]:
        shrink(path)
    for name in ("textcat", "language_model"):
        path = root / "configs" / f"{name}.cfg"
        config = load_config(path)
        config["training"]["eval_frequency"] = 4
        config.to_disk(path)
    for name in ("all", "compare", "control"):
        run_in_process(project, name, VARS)
    return project


def read(path: Path) -> list[Doc]:
    return [*DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)]


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_texts_keep_all_but_their_white_space(project: Path):
    texts = [doc.text for doc in read(project / "corpus" / "multi30k" / "test.spacy")]
    assert texts == ["A dog runs.", *DESCRIPTIONS[1:]]


def test_the_pieces_are_those_of_all_sentences(project: Path):
    labels = srsly.read_json(project / "corpus" / "multi30k" / "labels" / "vae.json")
    nlp = spacy.load(project / "training" / "multi30k" / "autoencoder-seed1" / "model-best")
    assert nlp.get_pipe("vae").label_data == labels


def test_those_who_judge_have_read_other_reviews(project: Path):
    learned, judged = (
        {doc.text: doc.cats for doc in read(project / "corpus" / name / "train.spacy")}
        for name in ("sst2", "judge")
    )
    assert judged.keys() == {"a good film for all", "bad and long and new"}
    assert len(learned) == 4 and not learned.keys() & judged.keys()
    assert learned["this one is bad"] == {"NEGATIVE": 1.0, "POSITIVE": 0.0}


def test_all_systems_are_scored(project: Path):
    report = (project / "results" / "multi30k" / "report-test.md").read_text(encoding="utf8")
    for name, latent in [("autoencoder", False), ("vae", True)]:
        ours, peers = (
            srsly.read_json(
                project / "results/multi30k/metrics/test" / f"{prefix}{name}-seed1.json"
            )
            for prefix in ("", "lstm-")
        )
        for scores in (ours, peers):
            assert (scores["latent_kl"] is not None) == ("nll" in scores) == latent
            assert f"{scores['latent_bleu']:.2%}" in report
        assert peers["seconds"] == ours["seconds"] > 0 and peers["steps"] > 0
        assert peers["parameters"] == pytest.approx(ours["parameters"], rel=0.05)


def test_labels_are_judged_beside_the_reviews_themselves(project: Path):
    results = srsly.read_json(project / "results" / "sst2" / "control-seed1.json")
    assert len(results) == 4
    assert results["the reviews themselves"]["bleu"] == pytest.approx(100)
    assert results["of random points"]["bleu"] is None
    for scores in results.values():
        assert 0 <= scores["accuracy"] <= 1 and scores["bits_per_character"] > 0
        assert 0 <= scores["known"] <= 1


def test_the_speeds_of_both_decoders(project: Path):
    [path] = (project / "results" / "multi30k").glob("speed-*.json")
    speed = srsly.read_json(path)
    assert all(value > 0 for value in speed.values())


@pytest.mark.parametrize("name", ["multi30k", "sst2"])
def test_pages_are_well_formed(project: Path, name: str):
    html = (project / "results" / name / "page.html").read_text(encoding="utf8")
    Page(html)
    assert html.count("<svg") == 1
    # It needs no other file.
    assert not re.search(r"<(link|script)|(src|href)=\"(?!#)", html)
    assert ("Under a label" in html) == (name == "sst2")
    assert "Some children &amp; a man." in html or name == "sst2"


def test_spliced_texts_have_the_beginning_of_one_and_the_end_of_another():
    splice = import_file("sentences_splice", SCRIPTS / "splice.py")
    nlp = spacy.blank("en")
    first, second = nlp("a b c d e f g h"), nlp("1 2 3 4 5 6 7 8")
    found = {splice.splice(first, second) for _ in range(200)}
    assert len(found) > 20
    for text in found:
        letters = [word for word in text.split() if word.isalpha()]
        digits = [word for word in text.split() if word.isdigit()]
        assert text.split() == letters + digits
        assert "".join(letters) == "abcdefgh"[: len(letters)]
        assert "12345678".endswith("".join(digits))
        assert 0 <= 8 - len(digits) <= 8 and abs(len(letters) - (8 - len(digits))) <= 2


def test_a_corpus_is_spliced_anew_each_time(tmp_path: Path):
    splice = import_file("sentences_splice", SCRIPTS / "splice.py")
    nlp = spacy.blank("en")
    texts = [f"{letter} b c d e f" for letter in "abcdefgh"]
    DocBin(docs=map(nlp, texts)).to_disk(tmp_path / "train.spacy")
    fix_random_seed(0)
    plain, spliced = (
        splice.create_spliced_corpus(tmp_path / "train.spacy", share) for share in (0.0, 1.0)
    )
    orders = [[eg.text for eg in plain(nlp)] for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == texts and orders[0] != orders[1]
    first, second = ({eg.text for eg in spliced(nlp)} for _ in range(2))
    assert first != second and first - {*texts}
    assert all(eg.reference.text == eg.predicted.text for eg in spliced(nlp))


def test_the_peer_learns_a_few_texts(scripts):
    fix_random_seed(0)
    peer = scripts.lstm
    texts = ["A dog runs.", "A man sleeps.", "Two men talk.", ""]
    pieces = peer.Pieces.learn(texts, max_symbols=40)
    component = {"word_dropout": 0.0, "kl_weight": 0.01, "free_bits": 0.0}
    for latent in (0, 8):
        sizes = peer.Sizes(len(pieces), 16, 24, vector=16, latent=latent, max_length=30)
        autoencoder = peer.Autoencoder(sizes, pieces)
        batches = iter([texts] * 100)
        with pytest.raises(StopIteration):
            peer.learn(autoencoder, batches, 1000.0, 0.04, component)
        autoencoder.network.eval()
        points, divergences = autoencoder.encode(texts)
        assert autoencoder.decode(points) == texts
        assert (divergences is not None) == bool(latent)
    found = autoencoder.log_likelihoods(texts, samples=50)
    # What it knows by heart is much more probable than another text.
    assert found.shape == (4,) and found.min() > autoencoder.log_likelihoods(["men runs"], 50)[0]


def test_training_of_the_peer_ends_with_its_time(scripts):
    peer = scripts.lstm
    pieces = peer.Pieces.learn(DESCRIPTIONS, max_symbols=40)
    sizes = peer.Sizes(len(pieces), 8, 8, vector=8, latent=0, max_length=30)
    autoencoder = peer.Autoencoder(sizes, pieces)
    component = {"word_dropout": 0.0}
    assert peer.learn(autoencoder, repeat(["A"]), 1e-9, 0.01, component) == 0


def test_points_lie_in_the_directions_in_which_they_differ_most(scripts):
    random = numpy.random.default_rng(0)
    points = random.normal(size=(200, 5)) * [0.1, 9.0, 0.2, 3.0, 0.1] + 7.0
    places = scripts.page.project(points)
    for column, direction in enumerate([1, 3]):
        shared = numpy.corrcoef(places[:, column], points[:, direction])[0, 1]
        assert abs(shared) > 0.99
    assert places.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)


def test_the_last_level_of_growth_is_what_the_decoder_writes(scripts):
    torch.manual_seed(0)
    decoder = DeconvDecoder(symbols=9, width=8, memory_width=4, max_length=16, seed_rows=4).eval()
    vector = torch.randn(4)
    levels = scripts.page.grow(decoder, vector)
    assert [len(level) for level in levels] == [4, 8, 16]
    written = decoder(torch.zeros(16), [16], vector[None], torch.ones(1))
    assert levels[-1].argmax(dim=1).tolist() == written.argmax(dim=1).tolist()
