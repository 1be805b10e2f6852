"""What the tests of all projects do."""

import shutil
from pathlib import Path
from typing import Any

from weasel.util import load_project_config

ROOT = Path(__file__).parents[2]


def copy_project(name: str, root: Path, assets: dict[str, str]) -> Path:
    """Copy a project into a folder, beside a copy of the root's configs, and fill its assets by
    hand.

    name (str): The name of the project.
    root (Path): The folder.
    assets (dict[str, str]): The paths and contents of the assets.
    RETURNS (Path): The folder of the copied project.
    """
    project = root / "projects" / name
    for part in ["scripts", "configs"]:
        shutil.copytree(ROOT / "projects" / name / part, project / part)
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
