"""The virtual environment of the homeserver, in the user's cache folder, made once."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from . import paths
from .progress import Problem, step

REQUIREMENTS = paths.SUPPORT / "requirements.txt"


def _version() -> str:
    for line in REQUIREMENTS.read_text().splitlines():
        if line.startswith("matrix-synapse=="):
            return line.partition("==")[2]
    raise Problem(f"looked for `matrix-synapse==VERSION` in {REQUIREMENTS} and found none: put it back")


def folder() -> Path:
    """Where it is, or will be."""
    return paths.cache() / f"synapse-{_version()}"


def ready() -> bool:
    """Whether it is there, whole, with today's pins and today's Python."""
    try:
        return (folder() / "complete").read_text() == _fingerprint() and (folder() / "bin" / "python").exists()
    except FileNotFoundError:
        return False


def _fingerprint() -> str:
    return f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} python {sys.version_info.major}.{sys.version_info.minor}\n"


def make() -> Path:
    """Makes it if need be, and gives its Python. Two at once wait for one another."""
    place = folder()
    if ready():
        return place / "bin" / "python"
    with (paths.cache() / "synapse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready():
            return place / "bin" / "python"
        with step(f"matrix-synapse {_version()} into {place} (about 40 s, 250 MB)"):
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(place)])
            _run([str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--prefer-binary", "-r", str(REQUIREMENTS)])
            (place / "complete").write_text(_fingerprint())
    return place / "bin" / "python"


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Problem(
            f"tried `{' '.join(argv)}` and it failed: {(done.stderr or done.stdout).strip()[-2000:]}\n"
            "If it is the network, mend that and run this again; what is there already is kept."
        )
