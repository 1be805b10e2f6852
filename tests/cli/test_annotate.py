import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy
import pytest
import spacy
from spacy import Language
from spacy.cli import app
from spacy.cli._util import import_code
from spacy.tokens import Doc, DocBin, Token
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401

from ..util import tagger_pipeline

# Notes each process that loads it, and stops at a document while a file says how.
CODE = """
import os, signal
from pathlib import Path
from spacy import Language

@Language.factory("test_annotate_witness")
def make_witness(nlp, name, folder: str):
    return Witness(folder)

class Witness:
    def __init__(self, folder):
        self.folder = Path(folder)
        with (self.folder / "loads").open("a") as file:
            file.write(f"{os.getpid()}\\n")

    def __call__(self, doc):
        stop = self.folder / "stop"
        if doc.text == "Birds see stop" and stop.exists():
            how = stop.read_text()
            if how == "fail":
                raise ValueError("stopped")
            os.kill({"self": os.getpid, "parent": os.getppid}[how](), signal.SIGKILL)
        return doc
"""
TEXTS = [f"The old bird sings {i} times" for i in range(10)]
TEXTS[6] = "Birds see stop"


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    path = tmp_path_factory.mktemp("code") / "code.py"
    path.write_text(CODE, encoding="utf8")
    import_code(path)
    return path


@pytest.fixture
def model(code, tmp_path):
    nlp = tagger_pipeline()
    nlp.add_pipe("test_annotate_witness", config={"folder": str(tmp_path)})
    nlp.to_disk(tmp_path / "model")
    (tmp_path / "loads").unlink()
    return tmp_path / "model"


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "annotate", *map(str, args)])
    return result.exit_code, " ".join(result.output.split())


def command(*args):
    return [sys.executable, "-m", "spacy", "textconv", "annotate", *map(str, args)]


def write_jsonl(path, texts):
    records = [{"text": text, "meta": {"number": number}} for number, text in enumerate(texts)]
    # Empty lines are no documents.
    path.write_text("\n\n".join(map(json.dumps, records)) + "\n", encoding="utf-8-sig")
    return path


def write_text(path, texts):
    path.write_text("\n".join(texts), encoding="utf-8-sig")
    return path


def write_spacy(path, texts):
    nlp = spacy.blank("en")
    DocBin(docs=map(nlp.make_doc, texts)).to_disk(path)
    return path


def read(output):
    """The documents of an output as JSON, file by file."""
    vocab = spacy.blank("en").vocab
    docs = []
    for path in sorted(output.iterdir()):
        if path.suffix == ".spacy":
            for doc in DocBin().from_disk(path).get_docs(vocab):
                docs.append({**doc.to_json(), **doc.user_data})
        elif path.suffix == ".jsonl":
            docs += map(json.loads, path.read_text(encoding="utf8").splitlines())
        else:
            assert path.name == "manifest.json"
    return docs


def expected(model, texts, meta=False):
    docs = [doc.to_json() for doc in spacy.load(model).pipe(texts)]
    return [{**doc, "meta": {"number": i}} if meta else doc for i, doc in enumerate(docs)]


@pytest.mark.parametrize("file_format", ["spacy", "jsonl"])
@pytest.mark.parametrize(
    "name, write",
    [("docs.jsonl", write_jsonl), ("docs.txt", write_text), ("docs.spacy", write_spacy)],
)
def test_every_format_is_annotated(model, tmp_path, name, write, file_format):
    texts = ["Anna sees a red bird", "", "גשם וציפור", " Sing  a ", "Birds see\tAnna"]
    path, output = write(tmp_path / name, texts), tmp_path / "deep" / "output"
    assert run(model, path, output, "--format", file_format, "--shard-size", 2)[0] == 0
    assert read(output) == expected(model, texts, meta=name == "docs.jsonl")
    names = {path.name for path in output.iterdir()}
    assert names == {"manifest.json", *(f"00000{i}.{file_format}" for i in range(3))}


def test_documents_keep_their_tokens(model, tmp_path):
    nlp = spacy.blank("en")
    docs = [Doc(nlp.vocab, words=words) for words in (["a", "red bird"], [], ["sing", "ing"])]
    docs[2].user_data["meta"] = {"source": "b"}
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    options = ("--format", "jsonl", "--shard-size", 1)
    assert run(model, tmp_path / "docs.spacy", tmp_path / "output", *options)[0] == 0
    annotated = read(tmp_path / "output")
    assert [[token["end"] for token in doc["tokens"]] for doc in annotated] == [[1, 10], [], [4, 8]]
    assert annotated[2]["meta"] == {"source": "b"}
    assert annotated[0]["tokens"][1]["tag"] in spacy.load(model).get_pipe("tagger").labels


def test_files_of_a_folder_come_in_the_order_of_their_names(model, tmp_path):
    (tmp_path / "input" / "b").mkdir(parents=True)
    write_text(tmp_path / "input" / "b" / "c.txt", TEXTS[:3])
    write_spacy(tmp_path / "input" / "a.spacy", TEXTS[3:5])
    (tmp_path / "input" / "d.txt").touch()
    write_text(tmp_path / "input" / "e.md", ["No document"])
    assert run(model, tmp_path / "input", tmp_path / "output", "--batch-size", 2)[0] == 0
    assert read(tmp_path / "output") == expected(model, TEXTS[3:5] + TEXTS[:3])
    manifest = json.loads((tmp_path / "output" / "manifest.json").read_text())
    files = [(file["name"], file["n_docs"]) for file in manifest["input"]]
    assert files == [("a.spacy", 2), ("b/c.txt", 3), ("d.txt", 0)]


@Language.component("test_annotate_extend")
def extend(doc):
    doc._.numbers = {"half": numpy.full(2, 0.5, dtype="float32"), "pairs": [("a", 1)]}
    doc._.unknown = None
    doc._.code = extend
    for token in doc[:1]:
        token._.plural = f"{token.text}s"
    return doc


def test_json_has_extensions(tmp_path):
    for name in ("numbers", "unknown", "code"):
        Doc.set_extension(name, default=None, force=True)
    Token.set_extension("plural", default=None, force=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("test_annotate_extend")
    nlp.to_disk(tmp_path / "model")
    path, output = write_text(tmp_path / "docs.txt", ["bird sings", "Sing"]), tmp_path / "output"
    assert run(tmp_path / "model", path, output, "--format", "jsonl")[0] == 0
    first, second = read(output)
    assert first["_"] == {"numbers": {"half": [0.5, 0.5], "pairs": [["a", 1]]}, "unknown": None}
    assert first["underscore_token"] == {"plural": [{"start": 0, "value": "birds"}]}
    assert second["_"] == first["_"]


def test_the_output_can_be_inside_the_input(model, tmp_path):
    (tmp_path / "docs").mkdir()
    write_text(tmp_path / "docs" / "a.txt", TEXTS)
    args = (model, tmp_path / "docs", tmp_path / "docs" / "annotated", "--shard-size", 4)
    assert run(*args)[0] == 0
    (tmp_path / "docs" / "annotated" / "000001.spacy").unlink()
    code, printed = run(*args)
    assert code == 0 and "Annotated 4 document(s)" in printed
    assert read(tmp_path / "docs" / "annotated") == expected(model, TEXTS)


def test_a_killed_run_goes_on(model, code, tmp_path):
    path, output = write_jsonl(tmp_path / "docs.jsonl", TEXTS), tmp_path / "output"
    args = (model, path, output, "--shard-size", 2, "--format", "jsonl")
    (tmp_path / "stop").write_text("self")
    killed = subprocess.run(command(*args, "--code", code), capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in output.glob("*.jsonl")}
    assert list(map(str, sorted(before))) == ["000000.jsonl", "000001.jsonl", "000002.jsonl"]
    # As if it had been killed while it wrote.
    (output / "000003.jsonl-1.tmp").write_text('{"text": "Bir')
    (tmp_path / "stop").unlink()
    exit_code, printed = run(*args)
    assert exit_code == 0 and "Annotated 4 document(s)" in printed
    assert read(output) == expected(model, TEXTS, meta=True)
    assert all((output / name).stat().st_mtime_ns == when for name, when in before.items())


@pytest.mark.parametrize("shard_size", [1, 4, 100])
def test_a_failed_run_goes_on(model, tmp_path, shard_size):
    path, output = write_text(tmp_path / "docs.txt", TEXTS), tmp_path / "output"
    args = (model, path, output, "--shard-size", shard_size)
    (tmp_path / "stop").write_text("fail")
    code, printed = run(*args)
    assert code == 1 and "E146" in printed and "stopped" in printed
    before = read(output)
    (tmp_path / "stop").unlink()
    assert before == expected(model, TEXTS)[: 6 // shard_size * shard_size]
    assert run(*args)[0] == 0
    assert read(output) == expected(model, TEXTS)


def test_nothing_is_overwritten(model, tmp_path):
    path, output = write_text(tmp_path / "docs.txt", TEXTS), tmp_path / "output"
    args = (path, output, "--shard-size", 4)
    assert run(model, *args)[0] == 0
    before = read(output)
    changed = spacy.load(model)
    changed.get_pipe("tagger").cfg["overwrite"] = True
    changed.to_disk(tmp_path / "changed")
    shorter = write_text(tmp_path / "shorter.txt", TEXTS[:-1])
    (output / "000001.spacy").rename(tmp_path / "moved")
    for refused, message in (
        ((tmp_path / "changed", *args), "E144"),
        ((model, shorter, *args[1:]), "E144"),
        ((model, *args[:-1], 5), "E144"),
        ((model, *args, "--format", "jsonl"), "E144"),
        ((model, path, tmp_path / "model"), "E143"),
    ):
        code, printed = run(*refused)
        assert code == 1 and message in printed
    # The same pipeline and documents in other places are the same run.
    (tmp_path / "new").mkdir()
    model, path = (old.rename(tmp_path / "new" / old.name) for old in (model, path))
    assert run(model, path, *args[1:])[0] == 0 and read(output) == before
    code, printed = run(model, path, *args[1:])
    assert code == 1 and "E145" in printed and read(output) == before


def test_command_says_what_is_wrong(model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "code.md").touch()
    (tmp_path / "damaged.spacy").write_text("no DocBin")
    (tmp_path / "latin.txt").write_text("ein Tag\nein schöner Tag", encoding="latin1")
    for name, line in (
        ("a", '{"text": "a"'),
        ("b", '{"meta": 1}'),
        ("c", '"a"'),
        ("d", '{"text": 1}'),
    ):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "good"}\n' + line)
    for name, message in (
        ("empty", "E141"),
        ("empty.jsonl", "E141"),
        ("code.md", "E141"),
        ("damaged.spacy", "E142"),
        ("latin.txt", "Line 2"),
        *((f"{letter}.jsonl", "Line 2") for letter in "abcd"),
    ):
        code, printed = run(model, tmp_path / name, tmp_path / "output")
        assert code == 1 and message in printed
    code, printed = run(tmp_path / "empty", tmp_path / "a.jsonl", tmp_path / "output")
    assert code == 1 and "E047" in printed
    assert not (tmp_path / "output").exists()


def loads(tmp_path):
    """How often each process has loaded the pipeline."""
    return Counter((tmp_path / "loads").read_text().split())


def is_running(process):
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_processes_load_once_and_end_with_a_killed_run(model, code, tmp_path):
    path, output = write_text(tmp_path / "docs.txt", TEXTS), tmp_path / "output"
    args = (model, path, output, "--shard-size", 1, "--n-process", 2, "--code", code)
    (tmp_path / "stop").write_text("parent")
    assert subprocess.run(command(*args), capture_output=True).returncode == -signal.SIGKILL
    started = loads(tmp_path)
    deadline = time.monotonic() + 10
    while any(map(is_running, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, started))
    (tmp_path / "stop").unlink()
    subprocess.run(command(*args), check=True, capture_output=True)
    assert read(output) == expected(model, TEXTS)
    # The command itself, to see that it can, and two workers.
    resumed = loads(tmp_path) - started
    assert 2 <= len(resumed) <= 4 and set(resumed.values()) == {1}


@pytest.mark.slow
def test_a_killed_process_is_an_error(model, code, tmp_path):
    path, output = write_text(tmp_path / "docs.txt", TEXTS), tmp_path / "output"
    args = (model, path, output, "--shard-size", 1, "--n-process", 2, "--code", code)
    (tmp_path / "stop").write_text("self")
    ended = subprocess.run(command(*args), capture_output=True, encoding="utf8")
    assert ended.returncode == 1 and "E128" in ended.stdout
    (tmp_path / "stop").unlink()
    subprocess.run(command(*args), check=True, capture_output=True)
    assert read(output) == expected(model, TEXTS)


@pytest.mark.slow
def test_ray_annotates_the_same_and_goes_on(model, code, tmp_path):
    ray = pytest.importorskip("ray")
    path, output = write_text(tmp_path / "docs.txt", TEXTS), tmp_path / "output"
    args = (model, path, output, "--shard-size", 1)
    (tmp_path / "stop").write_text("fail")
    assert run(*args)[0] == 1 and len(read(output)) == 6
    (tmp_path / "stop").unlink()
    (tmp_path / "loads").unlink()
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        assert run(*args, "--engine", "ray", "--n-process", 2, "--code", code)[0] == 0
    finally:
        ray.shutdown()
    assert read(output) == expected(tmp_path / "model", TEXTS)
    counts = loads(tmp_path)
    counts.pop(str(os.getpid()))
    # One may have done everything before the other had loaded.
    assert len(counts) in (1, 2) and set(counts.values()) == {1}
