"""Make docs/images/terminal.svg: run the commands of the README and draw what they print.

Run it with `python docs/make/picture.py`. It needs half a minute, and nothing but the installed package.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parents[1] / "images" / "terminal.svg"
WIDTH = 80
COMMANDS = (
    "recommender recommend movielens-100k --history 89,195,50 --k 3",
    'recommender chat movielens-100k -m "I loved Alien, only 2 from the 80s"',
)


def output_of(command: str) -> str:
    """Run a command as a terminal of 80 columns would and return what it prints, colours included."""
    arguments = [sys.executable, "-m", *shlex.split(command), "--quiet"]
    environment = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout


def picture(outputs: dict[str, str]) -> str:
    """Draw commands and what they print as an SVG that loads nothing from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for command, output in outputs.items():
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(output.rstrip()), end="\n\n")
    drawn = console.export_svg(title="recommender")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(picture({command: output_of(command) for command in COMMANDS}), encoding="utf-8")
