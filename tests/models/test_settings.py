"""Every setting of every architecture refuses values that can't be meant."""

from inspect import signature
from typing import List, Optional

import pytest
from spacy import registry

from ..test_registry import ARCHITECTURES
from ..util import CONVOLUTIONS, DILATED, WIDTH, tok2vec

POOL = {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH}
# What has no default.
DECODER = {"@architectures": "spacy-textconv.CausalConvDecoder.v1"}
NEEDED = {
    "spacy-textconv.CTCSeq2Seq.v1": {"tok2vec": tok2vec()},
    "spacy-textconv.CausalTransducer.v1": {"decoder": DECODER},
    "spacy-textconv.FlattenAttend.v1": {"out_width": WIDTH},
    "spacy-textconv.TextVAE.v1": {
        "tok2vec": tok2vec(),
        "pooling": POOL,
        "decoder": {"@architectures": "spacy-textconv.DeconvDecoder.v1"},
    },
    "spacy-textconv.CharTok2Vec.v1": {"encode": DILATED},
    "spacy-textconv.NgramLinear.v1": {"unit": "word", "sizes": [1]},
    "spacy-textconv.TagCRF.v1": {"tok2vec": tok2vec(embed=CONVOLUTIONS)},
    "spacy-textconv.Tagger.v1": {"tok2vec": tok2vec(embed=CONVOLUTIONS)},
    "spacy-textconv.TextCatConv.v1": {
        "tok2vec": tok2vec(embed=CONVOLUTIONS),
        "attend": {"max": POOL},
        "exclusive_classes": True,
    },
}
WHOLE = (int, Optional[int], List[int])
REAL = (float, Optional[float])
NOT_A_NUMBER, INFINITE = float("nan"), float("inf")


# All settings that are numbers or lists of numbers.
NUMBERS = [
    pytest.param(entry_point, name, parameter.annotation, id=f"{entry_point.name}-{name}")
    for entry_point in ARCHITECTURES
    for name, parameter in signature(entry_point.load()).parameters.items()
    if parameter.annotation in WHOLE + REAL
]


@pytest.mark.parametrize("entry_point, name, annotation", NUMBERS)
def test_numbers_are_checked(entry_point, name, annotation):
    needed = {"width": WIDTH, **NEEDED.get(entry_point.name, {})}
    expected = signature(entry_point.load()).parameters
    resolved = registry.resolve({"given": {k: v for k, v in needed.items() if k in expected}})
    for value in (-1, True, "3", NOT_A_NUMBER, INFINITE, 10**12):
        given = {**resolved["given"], name: [value] if annotation == List[int] else value}
        if name == "rows" and "attrs" in expected and annotation == List[int]:
            given["attrs"] = ["NORM"]
        with pytest.raises(ValueError, match=f"textconv E.*`{name}` is .*{value}"):
            entry_point.load()(**given)


@pytest.mark.parametrize(
    "name, settings",
    [
        ("NgramLinear", {"unit": "word", "sizes": [1, 65]}),
        ("NgramLinear", {"unit": "word", "sizes": [1], "scale": 1e30}),
        ("CharConvEmbed", {"width": 8, "char_kernel_sizes": [65]}),
        ("CharConvEmbed", {"width": 8, "cache_size": 10**9}),
        ("DilatedConvEncoder", {"width": 10**6}),
        ("DilatedConvEncoder", {"width": 8, "kernel_size": 10**6 + 1}),
        ("KMaxAttend", {"width": 8, "k": 10**6}),
        ("ConvAttend", {"width": 8, "depth": 10**6}),
    ],
)
def test_numbers_beyond_use_are_refused(name, settings):
    function = registry.architectures.get(f"spacy-textconv.{name}.v1")
    with pytest.raises(ValueError, match=f"`{list(settings)[-1]}` is .* [1-9][0-9,.]+"):
        function(**settings)


def test_large_numbers_are_taken():
    get = registry.architectures.get
    get("spacy-textconv.DilatedConvEncoder.v1")(width=1024, dilations=[10**7])
    get("spacy-textconv.NgramLinear.v1")(unit="word", sizes=[64], rows=10**8, scale=1000.0)
    embed = get("spacy-textconv.CharConvEmbed.v1")
    embed(width=1024, rows=[10**6], attrs=["NORM"], table_width=8, cache_size=10**7)
