"""Layers that don't fit together are found out before training, or name what doesn't fit."""

from functools import partial

import numpy
import pytest
import spacy
from spacy import registry
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Model, PyTorchWrapper_v3, chain
from torch import nn

from spacy_textconv.models.compose import embedding_layer

from ..util import CONVOLUTIONS, DILATED, HASHES, WIDTH, listener, tok2vec

DENSE = {"@architectures": "spacy-textconv.DenseConvEncoder.v1", "width": WIDTH}
WINDOW = {
    **{"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": WIDTH},
    **{"depth": 1, "window_size": 1, "maxout_pieces": 2},
}
LSTM = {
    "@architectures": "spacy.TorchBiLSTMEncoder.v1",
    "width": WIDTH,
    "depth": 1,
    "dropout": 0.0,
}
TAGGER = {"@architectures": "spacy-textconv.Tagger.v1"}
POOL = {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH}
NGRAM = {"@architectures": "spacy-textconv.NgramLinear.v1", "unit": "word", "sizes": [1]}


def text_cat(**settings):
    return {
        "@architectures": "spacy-textconv.TextCatConv.v1",
        "tok2vec": tok2vec(embed=CONVOLUTIONS),
        "attend": {"max": POOL},
        "exclusive_classes": True,
        **settings,
    }


def tag_crf(**settings):
    return {
        "@architectures": "spacy-textconv.TagCRF.v1",
        "tok2vec": tok2vec(embed=CONVOLUTIONS),
        **settings,
    }


@pytest.mark.parametrize("encode", [DILATED, DENSE, WINDOW, LSTM])
@pytest.mark.parametrize("embed", [CONVOLUTIONS, HASHES, None])
def test_the_embedding_layer_of_a_tok2vec(embed, encode):
    model = registry.resolve({"model": tok2vec(encode, embed)})["model"]
    assert embedding_layer(model) is model.layers[0]
    # A copy has no references.
    copied = model.copy()
    assert embedding_layer(copied) is copied.layers[0]


def test_a_listener_has_no_embedding_layer():
    assert embedding_layer(registry.resolve({"model": listener()})["model"]) is None
    transformer = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    pytest.importorskip("spacy_transformers")
    assert embedding_layer(registry.resolve({"model": transformer})["model"]) is None


@pytest.mark.parametrize("model", [text_cat, tag_crf])
def test_a_whole_model_is_no_tok2vec(model):
    for source in (text_cat(), tag_crf()):
        with pytest.raises(ValueError, match="E067.*`tok2vec`"):
            registry.resolve({"model": model(tok2vec=source)})


@pytest.mark.parametrize("model", [DILATED, CONVOLUTIONS, tok2vec(), text_cat()], ids=str)
def test_what_gives_no_scores_to_transitions_finds_no_entities(model):
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match="E075.*'textconv_ner'.*`spacy-textconv.TagCRF.v1`"):
        nlp.add_pipe("textconv_ner", config={"model": model})


@pytest.mark.parametrize("layer", [DILATED, DENSE, WINDOW, LSTM, POOL], ids=str)
@pytest.mark.parametrize("model", [text_cat, tag_crf])
def test_what_reads_no_documents_is_no_tok2vec(model, layer):
    with pytest.raises(ValueError, match="E067.*`tok2vec`.*`spacy.Tok2Vec.v2`"):
        registry.resolve({"model": model(tok2vec=layer)})


DECODER = {"decoder": {"@architectures": "spacy-textconv.CausalConvDecoder.v1"}}
SEQUENCES = {"Seq2Seq": DECODER, "CTCSeq2Seq": {}}
TRANSDUCERS = {"CTCTransducer": {}, "CausalTransducer": DECODER}


def writer(name, tok2vec):
    settings = {**SEQUENCES, **TRANSDUCERS}[name]
    return {"@architectures": f"spacy-textconv.{name}.v1", "tok2vec": tok2vec, **settings}


@pytest.mark.parametrize("name", [*SEQUENCES, *TRANSDUCERS])
def test_an_encoder_of_ones_own_has_a_number_of_output_columns_and_none_of_input(name):
    settings = registry.resolve({**SEQUENCES, **TRANSDUCERS}[name])
    build = partial(registry.architectures.get(f"spacy-textconv.{name}.v1"), **settings)
    network = PyTorchWrapper_v3(nn.Linear(3, 8))
    with pytest.raises(ValueError, match="E067.*'pytorch'.*`nI`.*`chain`"):
        build(tok2vec=network)
    encoder = chain(Model("read_pixels", lambda model, docs, is_train: None), network)
    with pytest.raises(ValueError, match="E132.*'read_pixels>>pytorch'.*`nO`"):
        build(tok2vec=encoder)
    encoder.set_dim("nO", 8)
    assert build(tok2vec=encoder).get_ref("tok2vec") is encoder


@pytest.mark.parametrize(
    "layer", [DILATED, DENSE, CONVOLUTIONS, HASHES, NGRAM, listener(), tok2vec()], ids=str
)
def test_what_does_not_pool_is_refused(layer):
    with pytest.raises(ValueError, match="E191.*`attend.other`"):
        registry.resolve({"model": text_cat(attend={"max": POOL, "other": layer})})
    vae = {"@architectures": "spacy-textconv.TextVAE.v1", "tok2vec": tok2vec(), "pooling": layer}
    decoder = {"@architectures": "spacy-textconv.DeconvDecoder.v1"}
    with pytest.raises(ValueError, match="E191.*`pooling`"):
        registry.resolve({"model": {**vae, "decoder": decoder}})


@pytest.mark.parametrize("layer", [CONVOLUTIONS, HASHES, listener(), tok2vec()], ids=str)
def test_what_reads_documents_does_not_encode_characters(layer):
    with pytest.raises(ValueError, match="E072.*`encode`"):
        registry.resolve({"model": tok2vec(encode=layer, embed=None)})


def examples(nlp):
    made = []
    for text, label in (("Anna sees a bird", "A"), ("the bird sings", "B"), ("Anna", "A")):
        annotation = {
            "cats": {name: float(name == label) for name in "AB"},
            "entities": [(0, len(text.split()[0]), label)],
            "tags": ["X"] * len(text.split()),
            "lemmas": text.lower().split(),
        }
        example = Example.from_dict(nlp.make_doc(text), annotation)
        if Doc.has_extension("target"):
            example.reference._.target = label
        made.append(example)
    return made


def pipeline(factory, model, upstream=None):
    nlp = spacy.blank("en")
    if upstream is not None:
        nlp.add_pipe("tok2vec", config={"model": upstream})
    nlp.add_pipe(factory, config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    return nlp


def tagger(source):
    return "tagger", {"@architectures": "spacy.Tagger.v2", "tok2vec": source}


@pytest.mark.parametrize(
    "factory, model, message",
    [
        (*tagger(DILATED), "E070.*`dilated_conv_encoder` gets documents"),
        (*tagger(POOL), "E070.*`pool_attend` gets documents"),
        (*tagger(tok2vec(embed=DILATED)), "E070.*`dilated_conv_encoder`"),
        (*tagger(tok2vec(encode=CONVOLUTIONS)), "E071.*`char_conv_embed` gets vectors"),
        (*tagger(tok2vec(encode=tok2vec(embed=None))), "E071.*`char_tok2vec` gets vectors"),
        (*tagger(tok2vec(encode=POOL, embed=None)), "E072.*'pool_attend'"),
        ("textcat", text_cat(attend={"x": LSTM}), "E074.*`attend`"),
        ("textcat", text_cat(tok2vec=tok2vec(encode=POOL)), "E067.*'.*pool_attend'"),
        ("textconv_ner", tag_crf(tok2vec=tok2vec(encode=POOL)), "E067.*'.*pool_attend'"),
    ],
)
def test_what_does_not_fit_is_found_when_it_is_initialized(factory, model, message):
    with pytest.raises(ValueError, match=message):
        pipeline(factory, model)


@pytest.mark.parametrize(
    "factory, model",
    [
        ("textconv_tagger", {**TAGGER, "tok2vec": {**listener(), "width": 8}}),
        ("textconv_ner", tag_crf(tok2vec={**listener(), "width": 8})),
        (
            "textcat",
            text_cat(tok2vec={**listener(), "width": 8}, attend={"x": {**POOL, "width": 8}}),
        ),
        *(
            ("textconv_lemmatizer", writer(name, {**listener(), "width": 8}))
            for name in TRANSDUCERS
        ),
        *(("textconv_seq2seq", writer(name, {**listener(), "width": 8})) for name in SEQUENCES),
    ],
)
def test_listener_of_another_width_is_named(factory, model):
    nlp = pipeline(factory, model, upstream=tok2vec())
    with pytest.raises(ValueError, match=f"E069.*`width` = 8.*{WIDTH} columns"):
        nlp.update(examples(nlp), sgd=Adam(0.001))
    with pytest.raises(ValueError, match=f"E069.*`width` = 8.*{WIDTH} columns"):
        nlp("Anna sees a bird")


@Language.component("split_first_token")
def split_first_token(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], [doc[0].text[0], doc[0].text[1:]], heads=[doc[0], doc[0]])
    return doc


@Language.component("merge_all_tokens")
def merge_all_tokens(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[:])
    return doc


@pytest.mark.parametrize(
    "factory, model",
    [
        ("textconv_ner", tag_crf),
        ("textcat", text_cat),
        *(("textconv_lemmatizer", partial(writer, name)) for name in TRANSDUCERS),
    ],
)
def test_tokens_that_are_split_after_the_tok2vec(factory, model):
    nlp = pipeline(factory, model(tok2vec=listener()), upstream=tok2vec())
    nlp.add_pipe("split_first_token", before=factory)
    texts = ["Anna sees a bird", "the bird"]
    with pytest.raises(ValueError, match="E068.*6 vectors.*5 tokens.*splits"):
        list(nlp.pipe(texts))
    # In its proper place.
    nlp.remove_pipe("split_first_token")
    nlp.add_pipe("split_first_token", first=True)
    assert [len(doc) for doc in nlp.pipe(texts)] == [5, 3]
    # spaCy merges the rows itself.
    nlp.add_pipe("merge_all_tokens", before=factory)
    assert [len(doc.tensor) for doc in nlp.pipe(texts)] == [1, 1]


@pytest.mark.parametrize("nO, right", [(1, False), (2, True), (5, False), (None, True)])
@pytest.mark.parametrize("section", ["model", "ngrams"])
def test_number_of_classes_has_to_be_that_of_the_labels(section, nO, right):
    ngrams = {"words": {**NGRAM, "nO": nO if section == "ngrams" else None, "rows": 9}}
    model = text_cat(nO=nO if section == "model" else None, ngrams=ngrams)
    if right:
        nlp = pipeline("textcat", model)
        assert len(nlp("Anna").cats) == 2
    else:
        with pytest.raises(ValueError, match=f"E066.*`nO` is {nO}.*Set it to 2"):
            pipeline("textcat", model)


def test_numbers_of_classes_have_to_agree():
    with pytest.raises(ValueError, match="E073.*`nO` is 2 and 3"):
        registry.resolve({"model": text_cat(nO=2, ngrams={"words": {**NGRAM, "nO": 3}})})


@pytest.mark.parametrize("nO, right", [(5, False), (9, True), (13, False), (None, True)])
def test_number_of_tags_has_to_be_that_of_the_labels(nO, right):
    if right:
        nlp = pipeline("textconv_ner", tag_crf(nO=nO))
        assert nlp.get_pipe("textconv_ner").model.get_dim("nO") == 9
    else:
        with pytest.raises(ValueError, match=f"E066.*`nO` is {nO}.*Set it to 9"):
            pipeline("textconv_ner", tag_crf(nO=nO))


@pytest.mark.parametrize(
    "factory, model", [("textconv_ner", tag_crf(nO=9)), ("textcat", text_cat(nO=2))]
)
def test_a_label_is_added_only_if_the_config_allows_it(factory, model, tmp_path):
    nlp = pipeline(factory, model)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    for other in (nlp, loaded):
        with pytest.raises(ValueError, match="E066.*`nO` is .*null"):
            other.get_pipe(factory).add_label("C")
    free = {"components": {factory: {"model": {"nO": None}}}}
    reopened = spacy.load(tmp_path, config=free)
    reopened.get_pipe(factory).add_label("C")
    assert reopened.get_pipe(factory).labels == ("A", "B", "C")
    reopened.to_disk(tmp_path)
    doc = spacy.load(tmp_path)("Anna")
    assert numpy.isfinite(list(doc.cats.values())).all()
