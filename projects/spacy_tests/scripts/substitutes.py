"""Our layers and components, with the arguments of those of spaCy that they take the place of."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, List, Optional, Union

import spacy.pipeline
from spacy.attrs import NAMES
from spacy.language import Language
from spacy.ml.models import textcat, tok2vec
from spacy.pipeline import factories
from spacy.pipeline.lemmatizer import lemmatizer_score
from spacy.pipeline.ner import ner_score
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d

from spacy_textconv.models.attend import build_attention_attend_v1, build_pool_attend_v1
from spacy_textconv.models.embed import build_char_conv_embed_v1
from spacy_textconv.models.encode import build_dense_conv_encoder_v1, build_dilated_conv_encoder_v1
from spacy_textconv.models.heads.ngrams import build_ngram_linear_v1
from spacy_textconv.models.heads.tag_crf import build_tag_crf_v1
from spacy_textconv.models.heads.textcat import build_text_cat_conv_v1
from spacy_textconv.models.heads.transducer import build_ctc_transducer_v1
from spacy_textconv.pipeline.ner import ConvEntityRecognizer
from spacy_textconv.pipeline.tagger import ConvMorphologizer, ConvTagger
from spacy_textconv.pipeline.transducer import ConvTransducer

EmbedT = Model[List[Doc], List[Floats2d]]
EncoderT = Model[List[Floats2d], List[Floats2d]]
ClassifyT = Model[List[Doc], Floats2d]
AttrsT = Union[List[str], List[int], List[Union[str, int]]]


def multi_hash_embed(
    width: int, attrs: AttrsT, rows: List[int], include_static_vectors: bool
) -> EmbedT:
    """spaCy's learns from the vocab how wide its vectors are. Ours has to be told, so static
    vectors are left out."""
    names = [attr if isinstance(attr, str) else NAMES[attr] for attr in attrs]
    return build_char_conv_embed_v1(width=width, attrs=names, rows=rows)


def character_embed(
    width: int,
    rows: int,
    nM: int,
    nC: int,
    include_static_vectors: bool,
    feature: Union[int, str] = "LOWER",
) -> EmbedT:
    name = feature if isinstance(feature, str) else NAMES[feature]
    return build_char_conv_embed_v1(width=width, attrs=[name], rows=[rows], char_width=nM)


def maxout_window_encoder(width: int, window_size: int, maxout_pieces: int, depth: int) -> EncoderT:
    return build_dilated_conv_encoder_v1(
        width=width, kernel_size=2 * window_size + 1, dilations=[1] * depth
    )


def mish_window_encoder(width: int, window_size: int, depth: int) -> EncoderT:
    return build_dilated_conv_encoder_v1(
        width=width, kernel_size=2 * window_size + 1, dilations=[1] * depth, activation="mish"
    )


def bilstm_encoder(width: int, depth: int, dropout: float) -> EncoderT:
    return build_dense_conv_encoder_v1(width=width, dilations=[1] * depth, dropout=dropout)


def hash_embed_cnn_tok2vec(
    *,
    width: int,
    depth: int,
    embed_size: int,
    window_size: int,
    maxout_pieces: int,
    subword_features: bool,
    pretrained_vectors: Optional[bool],
) -> EmbedT:
    attrs = ["NORM", "PREFIX", "SUFFIX", "SHAPE"] if subword_features else ["NORM"]
    rows = [embed_size, *[embed_size // 2] * (len(attrs) - 1)]
    return tok2vec.build_Tok2Vec_model(
        embed=multi_hash_embed(width, attrs, rows, bool(pretrained_vectors)),
        encode=maxout_window_encoder(width, window_size, maxout_pieces, depth),
    )


def text_classifier(
    tok2vec: EmbedT, exclusive_classes: bool, nO: Optional[int], **settings: Any
) -> ClassifyT:
    """A text classifier with the poolings that are asked for."""
    return build_text_cat_conv_v1(
        tok2vec=tok2vec, exclusive_classes=exclusive_classes, nO=nO, **settings
    )


def text_classifier_v2(
    tok2vec: EmbedT, linear_model: ClassifyT, nO: Optional[int] = None
) -> ClassifyT:
    """An ensemble of a network and a linear model of words, as spaCy's."""
    return text_classifier(
        tok2vec,
        not linear_model.attrs["multi_label"],
        nO,
        attend={"attention": build_attention_attend_v1(width=tok2vec.get_dim("nO"))},
        ngrams={"words": build_ngram_linear_v1(unit="word", sizes=[1])},
    )


def simple_cnn_text_classifier(
    tok2vec: EmbedT, exclusive_classes: bool, nO: Optional[int] = None
) -> ClassifyT:
    pooling = build_pool_attend_v1(width=tok2vec.get_dim("nO"), pooling="mean")
    return text_classifier(tok2vec, exclusive_classes, nO, attend={"mean": pooling})


def reduce_text_classifier(
    tok2vec: EmbedT,
    exclusive_classes: bool,
    use_reduce_first: bool,
    use_reduce_last: bool,
    use_reduce_max: bool,
    use_reduce_mean: bool,
    nO: Optional[int] = None,
) -> ClassifyT:
    """Ours has no poolings that take the first or the last token: the maximum serves for both."""
    width = tok2vec.get_dim("nO")
    attend = {"mean": build_pool_attend_v1(width=width, pooling="mean")} if use_reduce_mean else {}
    if use_reduce_first or use_reduce_last or use_reduce_max:
        attend["max"] = build_pool_attend_v1(width=width)
    return text_classifier(tok2vec, exclusive_classes, nO, attend=attend)


def textcat_parametric_attention(
    tok2vec: EmbedT, exclusive_classes: bool, nO: Optional[int] = None
) -> ClassifyT:
    pooling = build_attention_attend_v1(width=tok2vec.get_dim("nO"))
    return text_classifier(tok2vec, exclusive_classes, nO, attend={"attention": pooling})


class EntityRecognizer(ConvEntityRecognizer):
    """Takes the tok2vec of the model, and leaves its transition system."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "ner",
        moves: Any = None,
        *,
        incorrect_spans_key: Optional[str] = None,
        scorer: Optional[Callable] = ner_score,
        **transitions: Any,
    ):
        token_vectors = model.get_ref("tok2vec").layers[0]
        model = build_tag_crf_v1(tok2vec=token_vectors)
        super().__init__(vocab, model, name, incorrect_spans_key=incorrect_spans_key, scorer=scorer)


class EditTreeLemmatizer(ConvTransducer):
    """Takes the tok2vec of the model, and leaves its classes."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "trainable_lemmatizer",
        *,
        overwrite: bool = False,
        scorer: Optional[Callable] = lemmatizer_score,
        **trees: Any,
    ):
        model = build_ctc_transducer_v1(tok2vec=model.get_ref("tok2vec"))
        super().__init__(
            vocab, model, name, source="ORTH", target="LEMMA", overwrite=overwrite, scorer=scorer
        )


FUNCTIONS = {
    tok2vec.MultiHashEmbed: multi_hash_embed,
    tok2vec.CharacterEmbed: character_embed,
    tok2vec.MaxoutWindowEncoder: maxout_window_encoder,
    tok2vec.MishWindowEncoder: mish_window_encoder,
    tok2vec.BiLSTMEncoder: bilstm_encoder,
    tok2vec.build_hash_embed_cnn_tok2vec: hash_embed_cnn_tok2vec,
    textcat.build_text_classifier_v2: text_classifier_v2,
    textcat.build_simple_cnn_text_classifier: simple_cnn_text_classifier,
    textcat.build_reduce_text_classifier: reduce_text_classifier,
    textcat.build_textcat_parametric_attention_v1: textcat_parametric_attention,
}
CLASSES = {
    "Tagger": ConvTagger,
    "Morphologizer": ConvMorphologizer,
    "EntityRecognizer": EntityRecognizer,
    "EditTreeLemmatizer": EditTreeLemmatizer,
}


class Built:
    """How much has been built of ours."""

    number = 0


def counted(build: Callable) -> Callable:
    @wraps(build)
    def count(*args: Any, **kwargs: Any) -> Any:
        Built.number += 1
        return build(*args, **kwargs)

    return count


def substitute() -> None:
    """Put ours in the place of spaCy's: in the registry, in the factories and where tests import
    them from."""
    Language()  # fills the registry
    functions = {theirs: counted(ours) for theirs, ours in FUNCTIONS.items()}
    for name, function in registry.architectures.get_all().items():
        if function in functions:
            registry.architectures.register(name, func=functions[function])
    models = [module for name, module in sys.modules.items() if name.startswith("spacy.ml.models")]
    for theirs, ours in functions.items():
        for module in models:
            if hasattr(module, theirs.__name__):
                setattr(module, theirs.__name__, ours)
    for name, component in CLASSES.items():
        component.__init__ = counted(component.__init__)
        for module in (factories, spacy.pipeline):
            if hasattr(module, name):
                setattr(module, name, component)
