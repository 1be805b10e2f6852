"""A pipeline to be explained, and a reader of the pages."""

from html.parser import HTMLParser

import spacy
from spacy.training import Example
from thinc.api import fix_random_seed

from ..util import CONVOLUTIONS, WIDTH, listener, tok2vec

TEXTS = {"a good bird sings well": "GOOD", "the bad bird barks": "BAD", "rain & <b>sun</b>": "BAD"}
MODEL = {
    "@architectures": "spacy-textconv.TextCatConv.v1",
    "attend": {
        "attention": {"@architectures": "spacy-textconv.AttentionAttend.v1", "width": WIDTH}
    },
    "ngrams": {
        "words": {
            "@architectures": "spacy-textconv.NgramLinear.v1",
            **{"unit": "word", "sizes": [1, 2], "rows": 500},
        }
    },
}


def pipeline(lang="en", factory="textcat", shared=True, embed=CONVOLUTIONS):
    fix_random_seed(0)
    nlp = spacy.blank(lang)
    source = tok2vec(embed=embed)
    if shared:
        nlp.add_pipe("tok2vec", config={"model": source})
    model = {
        **MODEL,
        "tok2vec": listener() if shared else source,
        "exclusive_classes": factory == "textcat",
    }
    nlp.add_pipe(factory, name="topic", config={"model": model})
    examples = [
        Example.from_dict(
            nlp.make_doc(text), {"cats": {name: float(name == label) for name in ("GOOD", "BAD")}}
        )
        for text, label in TEXTS.items()
    ]
    nlp.initialize(lambda: examples)
    optimizer = nlp.create_optimizer()
    for _ in range(5):
        nlp.update(examples, sgd=False, drop=0.1)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return nlp


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects the texts of the heat maps."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.maps, self.inside = [], [], [], False
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag != "meta":
            self.open.append(tag)
        if attrs.get("class") == "heat-map":
            self.maps.append("")
            self.inside = True

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.inside = self.inside and tag != "div"

    def handle_data(self, data):
        if self.inside:
            self.maps[-1] += data
