from pathlib import Path

import pytest
from weasel.cli.document import project_document

from .util import ROOT

PROJECTS = sorted(path.parent for path in ROOT.glob("projects/*/project.yml"))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_readme_describes_the_project_as_it_is(project: Path, tmp_path: Path):
    project_document(project, tmp_path / "README.md")
    written = (project / "README.md").read_text(encoding="utf8")
    assert written == (tmp_path / "README.md").read_text(encoding="utf8")
