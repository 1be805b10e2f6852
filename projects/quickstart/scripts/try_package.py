"""Run analyse.py in a new process which finds the package in the folder it was installed into."""

import os
import subprocess
import sys
from pathlib import Path

import typer


def main(package: str, folder: Path) -> None:
    python_path = [str(folder.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    subprocess.run(
        [sys.executable, str(Path(__file__).parent / "analyse.py"), package],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(python_path)},
        check=True,
    )


if __name__ == "__main__":
    typer.run(main)
