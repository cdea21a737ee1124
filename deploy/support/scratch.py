"""State folders that last as long as the script that made them, and are cleared away by the next one if it was killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from .postgres import Cluster, remove_home
from .processes import Process, started_at

# Not /tmp: it may be small memory. Not the cache folder: PostgreSQL's user could not enter root's.
BASE = Path("/var/tmp")
PREFIX = "qd-run-"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder; at the end what runs there is stopped, and it is deleted. TERM ends the script in good order too."""
    _sweep()
    # Killed between two statements, a folder without an owner's note would stay: so the name holds the owner.
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{started_at(os.getpid())}-", dir=BASE))
    made.chmod(0o711)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield made
    finally:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        clear(made)
        signal.signal(signal.SIGTERM, before)


def clear(state: Path) -> None:
    """Stops what runs in a state folder, the parts that tests made for themselves included, and deletes it."""
    for note in state.glob("parts/*.json"):
        with contextlib.suppress(ValueError, KeyError):
            _clear_part(json.loads(note.read_text()))
    for name in ("serve", "echo", "synapse"):
        for note in state.rglob(f"{name}.json"):
            Process(note.parent, name).stop(kill=True)
    if (state / "cluster.json").exists():
        Cluster(state).remove()
    shutil.rmtree(state, ignore_errors=True)


def note_part(state_file: str | None, part: Path) -> None:
    """Writes down, in the state that a run's description lies in, that a part was made which must end with it.

    Written before the part is started and again after: a test that fails may delete the part's folder with all
    that it knew of what runs.
    """
    if not state_file:
        return
    facts = {"folder": str(part)}
    for name, file in (("cluster", part / "cluster.json"), ("process", part / "synapse.json")):
        with contextlib.suppress(FileNotFoundError, ValueError):
            facts[name] = json.loads(file.read_text())
    note = _part_note(state_file, part)
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps(facts))


def forget_part(state_file: str | None, part: Path) -> None:
    """Its owner has ended it."""
    if state_file:
        _part_note(state_file, part).unlink(missing_ok=True)


def _part_note(state_file: str, part: Path) -> Path:
    return Path(state_file).parent / "parts" / f"{hashlib.sha256(str(part).encode()).hexdigest()[:16]}.json"


def _clear_part(facts: dict[str, Any]) -> None:
    folder = Path(facts["folder"])
    if folder.is_dir():
        clear(folder)
    home = Path(facts.get("cluster", {}).get("home", "/nonexistent"))
    if home.is_dir():
        remove_home(home)
    process = facts.get("process")
    if process and started_at(process["pid"]) == process["started"]:
        os.kill(process["pid"], signal.SIGKILL)


def _sweep() -> None:
    for left in BASE.glob(f"{PREFIX}*"):
        with contextlib.suppress(ValueError, FileNotFoundError):
            pid, started = left.name.removeprefix(PREFIX).split("-")[:2]
            if left.lstat().st_uid == os.geteuid() and not left.is_symlink() and started_at(int(pid)) != started:
                clear(left)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)
