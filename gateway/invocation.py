"""How a person at this machine starts ``frontend-router``, for what is printed to be copied.

``make run`` puts the program into ``.venv``, where the shell finds it only when it is
told so: what is printed has to work as it stands.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

_NAME: Final = "frontend-router"


def command(python: str = sys.executable) -> str:
    """Return what starts the program that belongs to an interpreter, ready for a shell.

    Its bare name where that finds it, else its path, from here if it is below.
    """
    program = Path(python).with_name(_NAME)
    if not os.access(program, os.X_OK):
        return shlex.join([python, "-m", "gateway"])
    found = shutil.which(_NAME)
    if found is not None and Path(found).absolute() == program:
        return _NAME
    here = Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))
