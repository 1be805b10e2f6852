from importlib import import_module
from pathlib import Path

import spacy
import srsly

from .util import ROOT

PROJECT = ROOT / "projects" / "spacy_tests"
SCRIPT = PROJECT / "scripts" / "run_spacy_tests.py"
TESTS = Path(spacy.__file__).parent / "tests"


def test_each_expected_failure_is_a_test_of_spacys():
    failures = srsly.read_yaml(PROJECT / "expected.yml")
    tests = [test for tests in failures.values() for test in tests]
    assert tests and len(set(tests)) == len(tests)
    for test in tests:
        file, _, name = test.partition("::")
        function = f"def {name.partition('[')[0]}("
        assert function in (TESTS / file).read_text(encoding="utf8"), test


def test_the_report_counts_what_builds_ours(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    script = import_module("run_spacy_tests")
    outcomes = {"a.py::x": "passed", "a.py::y": script.EXPECTED, "b.py::z": "failed"}
    report = script.write_report(outcomes, {"a.py::y": "It is so", "c.py::w": "Not run"})
    assert "| a.py | 2 | 1 | 1 |" in report and "| b.py | 1 | 0 | 0 |" in report
    assert "| all | 3 | 1 | 1 |" in report
    assert "- It is so: `a.py::y`" in report and "Not run" not in report
