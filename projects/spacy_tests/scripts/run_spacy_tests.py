"""Run spaCy's own tests with our layers and components in the place of spaCy's.

Fails if a test fails that is not expected to, or passes that is expected to fail.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import spacy
import srsly
import typer
from spacy.util import fix_random_seed
from substitutes import Built, substitute
from thinc.util import DATA_VALIDATION
from wasabi import msg

TESTS = Path(spacy.__file__).parent / "tests"
DOWNLOADS = "training/test_readers.py::test_cat_readers"
PASSED, EXPECTED = "passed", "expected to fail"


class Substitution:
    """A plugin of pytest, which marks the tests that are expected to fail, and notes what becomes
    of those that build something of ours.

    failures (dict[str, list[str]]): The tests that are expected to fail, for each reason.
    """

    def __init__(self, failures: dict[str, list[str]]):
        self.reasons = {test: reason for reason, tests in failures.items() for test in tests}
        self.outcomes: dict[str, str] = {}

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        # spaCy's `conftest.py` asks for these, and would make them too late.
        parser.addoption("--slow", action="store_true")
        parser.addoption("--issue")

    def pytest_configure(self, config: pytest.Config) -> None:
        for marker in ("issue", "slow"):
            config.addinivalue_line("markers", marker)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item.nodeid: item for item in items}
        files = set(map(file_of, found))
        for test, reason in self.reasons.items():
            if test in found:
                found[test].add_marker(pytest.mark.xfail(reason=reason, strict=True))
            elif file_of(test) in files:
                raise pytest.UsageError(f"There is no test {test}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        Built.number = 0
        fix_random_seed(0)
        # A test that fails while data is validated leaves this switched on.
        DATA_VALIDATION.set(False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield
        if report.when == "call":
            if item.nodeid in self.reasons and report.skipped:
                self.outcomes[item.nodeid] = EXPECTED
            elif Built.number and not report.skipped:
                self.outcomes[item.nodeid] = report.outcome
        return report


def main(
    expected: Annotated[Path, typer.Argument(help="The tests that are expected to fail, and why")],
    output: Annotated[Path, typer.Argument(help="Where to write the table")],
    tests: Annotated[list[str], typer.Argument(help="Modules or packages of tests")],
) -> None:
    """Run TESTS, and count those that build something of ours by what becomes of them."""
    substitute()
    plugin = Substitution(srsly.read_yaml(expected))
    options = ["-q", "--slow", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(TESTS)]
    options += ["--deselect", DOWNLOADS]
    code = pytest.main([*options, "--pyargs", *tests], plugins=[plugin])
    report = write_report(plugin.outcomes, plugin.reasons)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(report, encoding="utf8")
    print(report)
    if code:
        msg.fail("Not as expected: see above", exits=int(code))


def file_of(test: str) -> str:
    """Tell which file a test is in."""
    return test.partition("::")[0]


def write_report(outcomes: dict[str, str], reasons: dict[str, str]) -> str:
    """Make a table of the outcomes of each file, and a list of the reasons to fail."""
    counts: dict[str, Counter] = {}
    for test, outcome in outcomes.items():
        counts.setdefault(file_of(test), Counter())[outcome] += 1
    lines = ["| Tests | Build ours | Pass | Expected to fail |", "| --- | ---: | ---: | ---: |"]
    counts["all"] = sum(counts.values(), Counter())
    for file, count in counts.items():
        lines.append(f"| {file} | {count.total()} | {count[PASSED]} | {count[EXPECTED]} |")
    lines.append("")
    for reason in dict.fromkeys(reasons.values()):
        failed = [test for test in outcomes if reasons.get(test) == reason]
        if failed:
            lines.append(f"- {reason}: {', '.join(f'`{test}`' for test in failed)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
