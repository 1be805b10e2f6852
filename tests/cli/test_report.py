import re

import pytest
import srsly
from spacy.cli import app
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401


def report(path):
    """The cells of the table, line by line."""
    result = CliRunner().invoke(app, ["textconv", "report", str(path)])
    assert result.exit_code == 0
    return [line.split() for line in result.output.splitlines() if line.strip()]


def test_report_takes_the_mean_of_seeds(tmp_path):
    runs = {"ours-seed0": 0.5, "ours-seed1": 0.25, "ours-seed12": 0.75, "a-seed-peer-seed0": 0.125}
    for name, f in {**runs, "old": 1.0}.items():
        scores = {"cats_macro_f": f / 2, "cats_micro_f": f, "token_acc": 1.0, "speed": 10000 * f}
        srsly.write_json(tmp_path / f"{name}.json", scores)
    # Where a pipeline's pages are.
    (tmp_path / "ours-seed0").mkdir()
    header, _, *rows = report(tmp_path)
    assert " ".join(header) == "Pipeline Seeds Accuracy % Macro F1 % Words/s"
    assert rows == [
        ["a-seed-peer", "1", "12.50", "6.25", "1,250"],
        ["old", "1", "100.00", "50.00", "10,000"],
        ["ours", "3", "50.00", "±", "25.00", "25.00", "±", "12.50", "5,000"],
    ]


def test_report_has_all_scores_that_any_pipeline_has(tmp_path):
    for name, score in (("a", "ents_f"), ("b", "tag_acc")):
        srsly.write_json(tmp_path / f"{name}.json", {score: 0.5, "speed": 1000.0})
    # As `spacy evaluate` writes what couldn't be scored.
    srsly.write_json(tmp_path / "c.json", {"ents_f": None, "speed": 1000.0})
    header, _, *rows = report(tmp_path)
    assert " ".join(header) == "Pipeline Seeds XPOS % F1 % Words/s"
    assert rows == [
        ["a", "1", "-", "50.00", "1,000"],
        ["b", "1", "50.00", "-", "1,000"],
        ["c", "1", "-", "-", "1,000"],
    ]


@pytest.mark.parametrize(
    "content, reason",
    [(None, "no JSON files"), ("{", "Expected|Unexpected"), ("[]", "`speed`"), ("{}", "`speed`")],
)
def test_nothing_to_report(content, reason, tmp_path):
    if content is not None:
        (tmp_path / "other.json").write_text(content)
    result = CliRunner().invoke(app, ["textconv", "report", str(tmp_path)])
    assert result.exit_code == 1
    assert re.search(f"E197.*{reason}", " ".join(result.output.split()))
