"""The tags of entities: O outside, and for each label B, I and L for the first, inner and last
token of an entity, U for its only one.

Tag 0 is O. Label 0 has the tags 1 to 4 (B, I, L, U), label 1 the tags 5 to 8, and so on, so that
a new label leaves all earlier tags where they are.
"""

from typing import List, Sequence, Tuple

import numpy
from numpy import ndarray
from spacy.attrs import ENT_IOB, IS_SPACE, SENT_START
from spacy.tokens import Doc

OUTSIDE = 0


class BiluoTags:
    """What can be said about the tags of some labels.

    labels (Sequence[str]): The labels.

    ids (Dict[str, int]): The tags by name, such as "B-PERSON".
    opens, closes, continues, is_continued (ndarray): Which tags are those of the first token of an
        entity, of its last one, of one after another, and of one before another. *Shape:* (tags,)
    """

    def __init__(self, labels: Sequence[str]):
        self.labels = tuple(labels)
        letters = numpy.array(["O", *("B", "I", "L", "U") * len(self.labels)])
        self.opens = numpy.isin(letters, ["B", "U"])
        self.closes = numpy.isin(letters, ["L", "U"])
        self.continues = numpy.isin(letters, ["I", "L"])
        self.is_continued = numpy.isin(letters, ["B", "I"])
        names = ["O", *(f"{letter}-{label}" for label in self.labels for letter in "BILU")]
        self.ids = {name: i for i, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.opens)

    @property
    def outside(self) -> ndarray:
        """Which tag is O. *Shape:* (tags,)"""
        return ~(self.opens | self.continues)

    def of_tags(self, values: ndarray) -> ndarray:
        """Give each tag the value of its label, and O 0.

        values (ndarray): *Shape:* (labels,)
        RETURNS (ndarray): *Shape:* (tags,)
        """
        return numpy.concatenate([[0.0], numpy.repeat(values, 4)])

    def of_labels(self, values: ndarray) -> ndarray:
        """Add the values of the tags of each label up.

        values (ndarray): *Shape:* (tags,)
        RETURNS (ndarray): *Shape:* (labels,)
        """
        return values[1:].reshape(-1, 4).sum(axis=1)

    def of_entity(self, label: str, length: int) -> List[int]:
        """List the tags of an entity.

        label (str): Its label.
        length (int): The number of its tokens.
        RETURNS (List[int]): The tag of each token.
        """
        letters = "B" + "I" * (length - 2) + "L" if length > 1 else "U" * length
        return [self.ids[f"{letter}-{label}"] for letter in letters]

    def entities(self, tags: ndarray) -> Tuple[ndarray, ndarray, ndarray]:
        """Find the entities of valid sequences of tags.

        tags (ndarray): *Shape:* (tokens,)
        RETURNS (Tuple[ndarray, ndarray, ndarray]): For each entity its first token, the token
            after its last one, and the index of its label. *Shape:* (entities,)
        """
        starts = self.opens[tags].nonzero()[0]
        stops = self.closes[tags].nonzero()[0] + 1
        return starts, stops, (tags[starts] - 1) // 4


def exclude_impossible(docs: List[Doc], emissions: ndarray, tags: BiluoTags) -> None:
    """Give tags that contradict what is known about the tokens the score minus infinity."""
    for tokens, forbidden in find_impossible(docs, tags):
        emissions[numpy.ix_(tokens, forbidden)] = -numpy.inf


def find_impossible(docs: List[Doc], tags: BiluoTags) -> List[Tuple[ndarray, ndarray]]:
    """Find tags that contradict what is known about the tokens: pairs of which tokens, of all
    documents together, can't have which tags. *Shape:* (tokens,) and (tags,)"""
    attrs = [ENT_IOB, IS_SPACE, SENT_START]
    values = [doc.to_array(attrs).reshape(len(doc), 3) for doc in docs]
    columns = numpy.concatenate([numpy.zeros((0, 3), "uint64"), *values]).T
    set_before = (columns[0] == 1) | (columns[0] == 3)
    before_sentence = numpy.append(columns[2] == 1, False)[1:]
    return [
        (set_before, ~tags.outside),
        (columns[1] == 1, tags.opens | tags.closes),
        (before_sentence, tags.is_continued),
    ]
