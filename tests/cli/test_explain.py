import shutil
import subprocess
import sys

import pytest
from spacy.cli import app
from spacy.cli._util import import_code
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401

from ..explain.util import Page, pipeline
from ..util import WIDTH


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "model"
    pipeline().to_disk(path)
    return str(path)


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "explain", *map(str, args)])
    return result.exit_code, " ".join(result.output.split())


def test_command_writes_a_page_and_never_over_another(model, tmp_path):
    output, texts = tmp_path / "page.html", tmp_path / "texts.txt"
    # With a mark in front that is no part of the text, as editors on Windows write it.
    texts.write_text("a bird\n\nגשם\n", encoding="utf-8-sig")
    assert run(model, "--text", "a bird", "--output", output)[0] == 0
    first = output.read_text(encoding="utf8")
    assert Page(first).maps == ["a bird"] * 3
    code, message = run(model, "--input", texts, "--output", output)
    assert code == 1 and "E044" in message and output.read_text(encoding="utf8") == first
    assert run(model, "--input", texts, "--output", output, "--force", "--label", "BAD")[0] == 0
    page = output.read_text(encoding="utf8")
    assert Page(page).maps == ["a bird"] * 3 + ["גשם"] * 3
    assert page.startswith("<!DOCTYPE html>") and page.count("Why <bdi>BAD</bdi>?") == 2


def narrowed(model, path):
    """The pipeline with a config that doesn't fit its weights."""
    copied = shutil.copytree(model, path / "narrow")
    config = (copied / "config.cfg").read_text(encoding="utf8")
    changed = config.replace("rows = 500", "rows = 400").replace(f"width = {WIDTH}", "width = 8")
    (copied / "config.cfg").write_text(changed, encoding="utf8")
    return copied


def test_command_says_what_is_wrong(model, tmp_path):
    output, texts = ["--output", tmp_path / "page.html"], tmp_path / "texts.txt"
    texts.write_text("\n", encoding="utf8")
    latin = tmp_path / "latin.txt"
    latin.write_text("ein schöner Tag", encoding="latin1")
    for args, message in (
        ([model, "--text", "a", "--output", tmp_path / "no" / "page.html"], "E045"),
        ([model, *output], "E046"),
        ([model, "--text", "", *output], "E046"),
        ([model, "--input", texts, *output], "E046"),
        ([model, "--input", texts, "--text", "a", *output], "E046"),
        ([model, "--input", latin, *output], "E048"),
        ([tmp_path, "--text", "a", *output], "E047"),
        ([narrowed(model, tmp_path), "--text", "a", *output], "E047"),
        ([model, "--text", "a", "--component", "ner", *output], "E042"),
        ([model, "--text", "a", "--label", "UGLY", *output], "E043"),
    ):
        code, printed = run(*args)
        assert code == 1 and message in printed
    assert not (tmp_path / "page.html").exists()


def test_command_imports_code(tmp_path):
    code, output = tmp_path / "code.py", tmp_path / "page.html"
    code.write_text(
        "from spacy import Language\n"
        "@Language.component('test_explain_shout')\n"
        "def shout(doc):\n"
        "    return doc\n",
        encoding="utf8",
    )
    import_code(code)
    nlp = pipeline()
    nlp.add_pipe("test_explain_shout", first=True)
    nlp.to_disk(tmp_path / "model")
    command = [sys.executable, "-m", "spacy", "textconv", "explain", tmp_path / "model"]
    command += ["--text", "a bird", "--output", output, "--code", code]
    # In a process of its own, which knows nothing of the component.
    subprocess.run(command, check=True, capture_output=True)
    assert Page(output.read_text(encoding="utf8")).maps == ["a bird"] * 3
