"""What is said while things are set up: a line a step, with the time that it took."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn


class Problem(Exception):
    """Something that the reader must mend: says what was tried, and what to do."""


def say(text: str = "") -> None:
    """Prints a line at once, to standard error, so that standard output stays for results."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Names a step before it begins, and its time when it has ended."""
    began = time.monotonic()
    print(f"  {text} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(" did not work", file=sys.stderr, flush=True)
        raise
    print(f" {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def main(run: Callable[[], int]) -> NoReturn:
    """Runs a script: a problem is one line on standard error and status 1, an interrupt is status 130."""
    # A shell starts background jobs with it ignored; who sends it then still means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = run()
    except Problem as problem:
        say(f"{sys.argv[0]}: {problem}")
        status = 1
    except KeyboardInterrupt:
        say()
        status = 130
    raise SystemExit(status)
