"""Every block of code in the README and on the pages, in the order in which a reader meets them."""

import doctest
import re
import shlex
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from spacy import registry
from spacy.cli import app
from spacy.cli._util import parse_config_overrides
from spacy.training.initialize import init_nlp
from spacy.util import load_config, load_model_from_config
from thinc.api import Config, require_cpu
from typer.main import get_command
from weasel.util import load_project_config

from .test_reference import DOCS, ROOT, reference

PATHS = [*ROOT.glob("*.md"), *DOCS.glob("**/*.md")]
PAGES = {
    path.relative_to(ROOT).as_posix(): reference.fill_page(path.read_text(encoding="utf8"))
    for path in sorted(PATHS)
}
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [(page, *block) for page, text in PAGES.items() for block in FENCE.findall(text)]
# What the pages load, as it is before training.
PIPELINES = {
    "inflector": "inflector",
    "ner": "ner",
    "sentences": "vae",
    "tagger": "tagger",
    "textcat": "textcat",
    "translator": "seq2seq",
    "writer": "language_model",
}
# Those that learn from tables.
TABLES = ("inflector", "translator")
# What excerpts of configs refer to.
REST = """
[paths]
train = "train.spacy"
dev = "dev.spacy"

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${paths.train}
gold_preproc = false

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${paths.dev}
gold_preproc = false
"""
COMMANDS: Any = get_command(app)
TOOLS = ("lint-imports", "mypy", "ruff", "sphinx-build")


def blocks(language: str) -> list[Any]:
    found = [(page, code) for page, name, code in BLOCKS if name == language]
    return [pytest.param(page, code, id=f"{page}-{i}") for i, (page, code) in enumerate(found)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus, table):
    """A folder with all that a reader has who follows the pages."""
    folder = tmp_path_factory.mktemp("reader")
    for path in ROOT.iterdir():
        (folder / path.name).symlink_to(path)
    for part in ("train", "dev"):
        (folder / f"{part}.spacy").symlink_to(corpus)
        (folder / f"{part}.tsv").symlink_to(table)
    (folder / "texts.jsonl").write_text('{"text": "Anna sees a bird."}\n', encoding="utf8")
    for name, config in PIPELINES.items():
        data = table if name in TABLES else corpus
        overrides = {"paths.train": data, "paths.dev": data}
        nlp = init_nlp(load_config(ROOT / "configs" / f"{config}.cfg", overrides=overrides))
        (folder / name).mkdir()
        nlp.to_disk(folder / name / "model-best")
    return folder


@pytest.fixture(autouse=True)
def reader(folder, monkeypatch):
    monkeypatch.chdir(folder)
    yield
    # A page may have chosen another device.
    require_cpu()


def test_every_block_is_of_a_language_that_is_checked():
    languages = {language for _, language, _ in BLOCKS}
    assert languages == {"bash", "ini", "pycon", "python", "{toctree}"}


@pytest.mark.parametrize(
    "page", sorted({page for page, language, _ in BLOCKS if language in ("python", "pycon")})
)
def test_python_runs_and_prints_what_the_page_says(page):
    names: dict[str, Any] = {}
    for _, language, code in [block for block in BLOCKS if block[0] == page]:
        if language == "python":
            exec(code, names)
        elif language == "pycon":
            test = doctest.DocTestParser().get_doctest(code, names, page, None, None)
            assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
            names = test.globs


@pytest.mark.parametrize(("page", "code"), blocks("ini"))
def test_configs_resolve(page, code):
    # Excerpts leave out the first line of what every config has, such as `[components]`.
    sections = re.findall(r"^\[(.+)\]$", code, re.MULTILINE)
    left_out = {section.split(".")[0] for section in sections} - set(sections)
    given = Config().from_str("".join(map("[{}]\n".format, left_out)) + code, interpolate=False)
    config = Config().from_str(REST, interpolate=False).merge(given).interpolate()
    components = config.pop("components", {})
    assert registry.resolve(config)
    nlp = {"lang": "en", "pipeline": list(components)}
    load_model_from_config(Config({"nlp": nlp, "components": components}), auto_fill=True)


@pytest.mark.parametrize(("page", "code"), blocks("bash"))
def test_commands_exist_with_their_files_and_options(page, code):
    for line in code.splitlines():
        for command in line.split(" && "):
            check_command(shlex.split(command, comments=True))


def check_command(words: list[str]) -> None:
    match words:
        case "python", "-m", "spacy", *rest:
            check_command_of_spacy(rest)
        case "python", "-m", "pytest", *options:
            assert set(options) <= {"--slow"}
        case "python", script:
            assert Path(script).exists()
        case "pip", "install", "-c", constraints, *_, package:
            extras = ConfigParser()
            extras.read(ROOT / "setup.cfg", encoding="utf8")
            assert Path(constraints).exists()
            assert set(re.findall(r"\w+", package)) <= set(extras["options.extras_require"])
        case tool, *_:
            assert tool in TOOLS or Path(tool).exists()


def check_command_of_spacy(words: list[str]) -> None:
    command = COMMANDS
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    # Reads the options, and looks for the files.
    context = command.make_context(command.name, words)
    overrides = parse_config_overrides(context.args)
    if command.name == "train":
        known = load_config(context.params["config_path"], interpolate=False)
    elif command.name in ("assets", "run"):
        known = load_project_config(context.params["project_dir"], interpolate=False)
        commands = {command["name"] for command in known["commands"]} | set(known["workflows"])
        assert context.params.get("subcommand") in {None, *commands}
    for name in overrides:
        section = known
        for part in name.split("."):
            section = section[part]


@pytest.mark.parametrize("page", [page for page in PAGES if "/" not in page])
def test_links_of_files_beside_the_site_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(target).exists(), target
