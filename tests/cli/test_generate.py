import os
import signal
import subprocess
import sys

import pytest
from spacy.cli import app
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401

from ..explain.util import Page
from ..pipeline.test_language_model import TEXTS, pipeline


@pytest.fixture(scope="module")
def nlp():
    return pipeline(steps=60)


@pytest.fixture(scope="module")
def model(nlp, tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "model"
    nlp.to_disk(path)
    return str(path)


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "generate", *map(str, args)])
    return result.exit_code, result.output


def test_command_writes_texts(model, nlp):
    pipe = nlp.get_pipe("lm")
    settings = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "max_length": 30}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    code, printed = run(model, "--prompt", "the ", "--n", 2, "--seed", 3, *options)
    texts = [pipe.generate("the ", seed=seed, **settings)[0] for seed in (3, 4)]
    assert code == 0 and printed == "\n\n".join(texts) + "\n"
    assert run(model, "--max-length", 3)[0] == 0


def test_command_draws_surprise_and_units(model, nlp, tmp_path):
    output, texts = tmp_path / "page.html", tmp_path / "texts.txt"
    args = [model, "--output", output]
    assert run(*args, "--text", "the cat", "--surprise", "--unit", 5, "--unit", 0)[0] == 0
    page = output.read_text(encoding="utf8")
    assert Page(page).maps == ["the cat"] * 3
    doc = nlp("the cat")
    assert f"{doc._.bits_per_character:.2f} bits per character" in page
    assert f'title="{doc._.surprise[4]:.3g}"' in page
    texts.write_text("\n".join(TEXTS), encoding="utf8")
    assert run(*args, "--input", texts, "--unit", 5)[0] == 1
    assert run(*args, "--input", texts, "--unit", 5, "--force")[0] == 0
    drawn = Page(output.read_text(encoding="utf8")).maps
    assert drawn == [text.strip() for text in TEXTS if text]


def test_command_says_what_is_wrong(model, tmp_path):
    page = tmp_path / "page.html"
    for args, message in (
        ([model, "--surprise"], "E184"),
        ([model, "--surprise", "--text", "a"], "E184"),
        ([model, "--surprise", "--output", page], "E184"),
        ([model, "--output", page, "--text", "a"], "E184"),
        ([model, "--unit", 16, "--text", "a", "--output", page], "E182"),
        ([model, "--component", "ner"], "E183"),
        ([model, "--temperature", 0], "`temperature`"),
        ([tmp_path], "E047"),
    ):
        code, printed = run(*args)
        assert code == 1 and message in printed, args
    assert run(model, "--n", 0)[0] == 2
    assert not page.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_ctrl_c_ends_the_line(model):
    def heed_ctrl_c():
        # What runs in the background ignores it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "spacy", "textconv", "generate", model]
    # It writes for hours.
    command += ["--prompt", "the ", "--n", "1000000000", "--temperature", "9"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, preexec_fn=heed_ctrl_c)
    written = os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert (written + rest).decode().startswith("the ")
    assert rest.endswith(b"\n") and errors == b"" and process.returncode == 130
