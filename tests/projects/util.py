"""What the tests of all projects do."""

import runpy
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from weasel.cli.run import project_run
from weasel.util import load_project_config

ROOT = Path(__file__).parents[2]


def copy_project(
    name: str, root: Path, assets: dict[str, str], *, borrowed: Sequence[str] = ()
) -> Path:
    """Copy a project into a folder, beside a copy of the root's configs, and fill its assets by
    hand.

    name (str): The name of the project.
    root (Path): The folder.
    assets (dict[str, str]): The paths and contents of the assets.
    borrowed (Sequence[str]): Other projects, whose scripts it runs.
    RETURNS (Path): The folder of the copied project.
    """
    project = root / "projects" / name
    if (ROOT / "projects" / name / "configs").exists():
        shutil.copytree(ROOT / "projects" / name / "configs", project / "configs")
    for part in [name, *borrowed]:
        shutil.copytree(ROOT / "projects" / part / "scripts", root / "projects" / part / "scripts")
    shutil.copy(ROOT / "projects" / name / "project.yml", project)
    shutil.copytree(ROOT / "configs", root / "configs")
    for path, content in assets.items():
        (project / "assets" / path).parent.mkdir(parents=True, exist_ok=True)
        (project / "assets" / path).write_bytes(content.encode())
    return project


def check_workflows(project: Path, overrides: dict[str, Any]) -> None:
    """Check that each command is part of a workflow, and that what it depends on is part of the
    project or made by another one."""
    config: dict[str, Any] = load_project_config(project, overrides=overrides)
    commands = {command["name"]: command for command in config["commands"]}
    assert {name for steps in config["workflows"].values() for name in steps} == set(commands)
    made = {path for command in commands.values() for path in command.get("outputs", [])}
    for command in commands.values():
        for path in command["deps"]:
            assert path in made or (project / path).exists(), path


def run_in_process(project: Path, name: str, overrides: dict[str, Any]) -> None:
    """Run a command or a workflow of a project in this process, where everything is imported
    already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["weasel.cli.run"], "run_command", run_command)
        project_run(project, name, overrides=overrides)


def run_command(command: list[str], **kwargs: Any) -> None:
    """Run a command line of Python in this process."""
    python, *argv = command
    assert python == sys.executable
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        if argv[0] == "-m":
            patch.setattr(sys, "argv", argv[1:])
            runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        else:
            patch.setattr(sys, "argv", argv)
            patch.syspath_prepend(Path(argv[0]).parent.resolve())
            runpy.run_path(argv[0], run_name="__main__")
    assert not end.value.code, command
