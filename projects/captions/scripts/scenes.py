"""What pictures show, and how it is said in English and in Hebrew.

A scene has two groups of equal shapes, one beside the other: three red hearts above an orange egg.
In Hebrew, number words and adjectives agree with the gender of their noun, which its plural doesn't
always tell: לבבות are masculine, and ביצים feminine."""

from typing import NamedTuple

COUNTS = (1, 2, 3, 4)
# Of so many combinations of number, colour and shape, one is held out.
HELD_OUT = 5


class Noun(NamedTuple):
    """A Hebrew noun."""

    singular: str
    plural: str
    feminine: bool


SHAPES = {
    "circle": Noun("עיגול", "עיגולים", feminine=False),
    "square": Noun("ריבוע", "ריבועים", feminine=False),
    "triangle": Noun("משולש", "משולשים", feminine=False),
    "heart": Noun("לב", "לבבות", feminine=False),
    "arc": Noun("קשת", "קשתות", feminine=True),
    "dot": Noun("נקודה", "נקודות", feminine=True),
    "egg": Noun("ביצה", "ביצים", feminine=True),
    "ring": Noun("טבעת", "טבעות", feminine=True),
}
COLOURS = {"red": "אדום", "blue": "כחול", "green": "ירוק", "orange": "כתום", "black": "שחור"}
# By number and gender
# A mem is another letter at the end of a word.
INSIDE = str.maketrans("ם", "מ")
ENDINGS = {(False, False): "", (False, True): "ה", (True, False): "ים", (True, True): "ות"}
NUMBERS = {2: ("two", "שני", "שתי"), 3: ("three", "שלושה", "שלוש"), 4: ("four", "ארבעה", "ארבע")}


class Group(NamedTuple):
    """Equal shapes.

    count (int), colour (str), shape (str): How many they are, and of which kind.
    """

    count: int
    colour: str
    shape: str

    @property
    def held_out(self) -> bool:
        """Whether the training data has no such group. As these are a Latin square, it has each
        pair of number, colour and shape, in another combination."""
        places = [*SHAPES].index(self.shape) + [*COLOURS].index(self.colour) + self.count
        return places % HELD_OUT == 0


GROUPS = [Group(n, colour, shape) for n in COUNTS for colour in COLOURS for shape in SHAPES]


class Scene(NamedTuple):
    """Two groups.

    first (Group), second (Group): The upper one and the lower one, or the left and the right one.
    above (bool): Whether the first is above the second one, and not to the left of it.
    """

    first: Group
    second: Group
    above: bool


def describe_in_english(scene: Scene) -> str:
    """As the picture is read, from the left to the right, or from above."""
    where = "above" if scene.above else "to the left of"
    return f"{name_in_english(scene.first)} {where} {name_in_english(scene.second)}"


def describe_in_hebrew(scene: Scene) -> str:
    """As the picture is read, from the right to the left, or from above."""
    if scene.above:
        return f"{name_in_hebrew(scene.first)} מעל {name_in_hebrew(scene.second)}"
    return f"{name_in_hebrew(scene.second)} מימין ל{name_in_hebrew(scene.first)}"


DESCRIBE = {"en": describe_in_english, "he": describe_in_hebrew}


def name_in_english(group: Group) -> str:
    if group.count == 1:
        article = "an" if group.colour[0] in "aeiou" else "a"
        return f"{article} {group.colour} {group.shape}"
    return f"{NUMBERS[group.count][0]} {group.colour} {group.shape}s"


def name_in_hebrew(group: Group) -> str:
    noun = SHAPES[group.shape]
    several = group.count > 1
    ending = ENDINGS[several, noun.feminine]
    adjective = COLOURS[group.colour]
    if ending:
        adjective = adjective.translate(INSIDE) + ending
    if not several:
        return f"{noun.singular} {adjective}"
    _, masculine, feminine = NUMBERS[group.count]
    return f"{feminine if noun.feminine else masculine} {noun.plural} {adjective}"
