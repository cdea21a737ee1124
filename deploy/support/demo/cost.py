"""What the set-up will take, said before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from .. import packages, paths, venv
from ..progress import say


@dataclass(frozen=True)
class Item:
    """Something that is still to be made: how many minutes on two cores, how many megabytes, where."""

    what: str
    minutes: float
    megabytes: int
    where: str


def binary(profile: str = "debug") -> str:
    """The program that is built."""
    return str(paths.target() / profile / "quarterdeck")


def items(state_is_new: bool, profile: str) -> list[Item]:
    """What is still to be made."""
    found = []
    missing = packages.missing()
    if missing:
        found.append(Item(f"packages of the system: {', '.join(sorted({need.package for need in missing}))}", 1.5, 600, "/usr"))
    if not venv.ready():
        found.append(Item("the homeserver: matrix-synapse and its packages", 1, 250, str(venv.folder())))
    if not (paths.target() / profile / "deps").exists():
        minutes, megabytes = (9, 4500) if profile == "debug" else (20, 2000)
        found.append(Item(f"Quarterdeck, built with all its crates ({profile})", minutes, megabytes, str(paths.target())))
    if state_is_new:
        found.append(Item("a database and a homeserver's data", 0.2, 100, "the state folder"))
    return found


def announce(state_is_new: bool, profile: str = "debug") -> None:
    """Says it."""
    todo = items(state_is_new, profile)
    if not todo:
        say("Everything is there from before: this takes seconds, and a minute more if the sources changed.")
        return
    minutes = max(1, round(sum(item.minutes for item in todo)))
    gigabytes = sum(item.megabytes for item in todo) / 1000
    say(f"This takes about {minutes} {'minute' if minutes == 1 else 'minutes'} on two cores, and {gigabytes:.1f} GB of disk; the next time, seconds.")
    for item in todo:
        say(f"  {item.what} ({item.minutes:g} min, {item.megabytes} MB, {item.where})")
