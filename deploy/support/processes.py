"""Processes that outlive the script that started them: each is remembered with its pid and start time, and only it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .progress import Problem


def started_at(pid: int) -> str | None:
    """When the process began, in the kernel's ticks; together with the pid this names it. None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


class Process:
    """A background process with its note (`NAME.json`) and its output (`NAME.log`) in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.note = folder / f"{name}.json"
        self.log = folder / f"{name}.log"

    def pid(self) -> int | None:
        """The pid of the process that was started and still runs; a stale note counts as none."""
        try:
            note = json.loads(self.note.read_text())
            return note["pid"] if started_at(note["pid"]) == note["started"] else None
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def start(self, argv: list[str], env: Mapping[str, str], cwd: Path | None = None) -> None:
        """Starts it in a session of its own, so that a Ctrl-C meant for us does not reach it."""
        self.note.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(env), cwd=cwd, start_new_session=True
            )
        self._child = child
        new = self.note.with_suffix(".new")
        new.write_text(json.dumps({"pid": child.pid, "started": started_at(child.pid), "argv": argv}))
        new.replace(self.note)

    def wait_until(self, healthy: Callable[[], bool], seconds: float, every: float = 0.05) -> None:
        """Waits until it is healthy; if it ends or takes too long, says the end of its output."""
        deadline = time.monotonic() + seconds
        while not healthy():
            ended = self.pid() is None
            if ended or time.monotonic() > deadline:
                what = "ended" if ended else f"was not ready after {seconds:.0f} s"
                raise Problem(f"started {self.name}, and it {what}. The end of {self.log}:\n{self.tail()}")
            time.sleep(every)

    def tail(self, lines: int = 25) -> str:
        """The end of its output."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no output)"

    def stop(self, seconds: float = 15, kill: bool = False) -> None:
        """Ends it with TERM, and with KILL when it does not heed it; nothing to do if it does not run."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while self._runs():
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    deadline = time.monotonic() + seconds
                time.sleep(0.02)
        self.note.unlink(missing_ok=True)

    def _runs(self) -> bool:
        child = getattr(self, "_child", None)
        if child is not None:
            child.poll()  # a child of ours is a zombie until it is asked about
        return self.pid() is not None
