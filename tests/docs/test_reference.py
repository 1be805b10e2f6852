"""The reference that is made of the code: complete, and true."""

import re
from inspect import Parameter, signature
from typing import Any, Literal, Optional

import pytest
from spacy.util import import_file

from ..test_registry import ENTRY_POINTS, ROOT

DOCS = ROOT / "docs"
reference = import_file("reference", DOCS / "reference.py")
PAGES = "\n".join(
    reference.fill_page(path.read_text(encoding="utf8")) for path in DOCS.glob("**/*.md")
)
FUNCTIONS = [entry_point for entry_point in ENTRY_POINTS if entry_point.group in reference.SECTIONS]


def greet(
    *,
    name: str,
    how: Literal["hello", "bye"] = "hello",
    times: Optional[int] = None,
    before: str = "",
    after: str = "!",
    **settings: Any,
) -> str:
    """Greet somebody.

    It is polite to answer.

    name (str): The name, which
        goes on here.
    how (str): What to say.
    times (Optional[int]): How often: `3 * (2 + 1)` (at most)
    before, after (str): What stands around it.
    settings (Any): As for a nod.
    count (int): The number of greetings.
    RETURNS (str): The greeting.
    RAISES (KeyError, ValueError): If nobody is there.
    """
    return name


def test_everything_that_a_docstring_says_is_shown():
    shown = reference.describe_python(greet)
    assert (
        shown.split("\n", 1)[1]
        == """# greet

Greet somebody.

It is polite to answer.

`name`: `str`
: The name, which goes on here. Required.

`how`: `"hello" | "bye"`
: What to say. Defaults to `'hello'`.

`times`: `Optional[int]`
: How often: `3 * (2 + 1)` (at most). Defaults to `None`.

`before`: `str`
: What stands around it. Defaults to `''`.

`after`: `str`
: What stands around it. Defaults to `'!'`.

`settings`: `Any`
: As for a nod.

`count`: `int`
: The number of greetings.

Returns `str`
: The greeting.

Raises `KeyError, ValueError`
: If nobody is there."""
    )


def test_headings_stand_below_the_section_that_they_fill():
    page = "# Page\n\n## Part\n\n<!-- reference: commands -->\n"
    assert "\n### textconv explain\n" in reference.fill_page(page)


@pytest.mark.parametrize("entry_point", ENTRY_POINTS, ids=lambda ep: ep.name)
def test_whatever_is_registered_has_a_section(entry_point):
    names = [entry_point.name]
    if entry_point.group == "spacy_cli":
        names = [f"textconv {command.name}" for command in entry_point.load().registered_commands]
    for name in names:
        title = name.removeprefix("spacy-textconv.")
        assert len(re.findall(rf"^#+ {re.escape(title)}$", PAGES, re.MULTILINE)) == 1, name


@pytest.mark.parametrize("entry_point", FUNCTIONS, ids=lambda ep: ep.name)
def test_the_config_of_a_function_gives_all_arguments_and_their_defaults(entry_point):
    section = reference.example_config(entry_point)
    for name in reference.SECTIONS[entry_point.group].split("."):
        section = section[name]
    parameters = signature(entry_point.load()).parameters
    assert set(section) == {f"@{entry_point.group.removeprefix('spacy_')}", *parameters}
    for name, parameter in parameters.items():
        assert parameter.default in (Parameter.empty, section[name])


@pytest.mark.parametrize("code", ["E002", "E118", "W003"])
def test_errors_are_listed_with_names_for_values(code):
    section = PAGES.split(f"({code})=")[1].split("\n(")[0]
    assert "{" not in section and section.count("`") % 2 == 0
