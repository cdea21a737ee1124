"""A short session: people type commands, the room is printed as they see it, and each answer is checked."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from .ops import Ops
from .people import Person


@dataclass
class Line:
    """One line that somebody types, and what must come of it."""

    who: Person
    room: str
    text: str
    mark: str
    """What the answer begins with."""
    holds: tuple[str, ...] = ()
    """What else the answer holds."""
    then: Callable[[], str | None] | None = None
    """A look at the world itself afterwards: None, or what is wrong there."""
    seconds: float = 60
    why: str = ""
    approved_by: Person | None = None
    """Who lets it run by a reaction to what it asks for, where it waits."""
    stopped_by: Person | None = None
    """Who stops it by a reaction, once what it prints is seen."""
    answer: str = field(default="", init=False)


class Session:
    """Plays lines in rooms of the given ids."""

    def __init__(self, bot: str, rooms: dict[str, str], names: dict[str, str]) -> None:
        self._bot = bot
        self._rooms = rooms
        self._names = names
        self._room = ""
        self.wrong: list[str] = []

    def play(self, line: Line) -> None:
        """Types it, shows what is seen, and remembers what was not as it should be."""
        client = line.who.client
        if client.since is None:
            client.sync()
        if self._room != line.room:
            self._room = line.room
            _out(f"\n{_strong(self._names[line.room])}")
        _out(f"  {_strong(line.who.user)}  {line.text}" + (f"      {_faint(line.why)}" if line.why else ""))
        began = time.monotonic()
        event = client.send(self._rooms[line.room], line.text)
        if line.stopped_by:
            live = client.wait_for(self._is_live, line.seconds)
            if live is None:
                self._note(line, f"nothing was seen of it within {line.seconds:.0f} s while it ran")
                return
            self._show({"content": live["content"]["m.new_content"]}, began)
            self._react(line.stopped_by, line.room, live["content"]["m.relates_to"]["event_id"], "🛑", "it takes too long")
        seen = client.wait_for(lambda one: self._answers(one, event), line.seconds)
        if seen is None:
            self._note(line, f"no answer within {line.seconds:.0f} s")
            return
        self._show(seen, began)
        if line.approved_by:
            began = time.monotonic()
            self._react(line.approved_by, line.room, seen["event_id"], "✅", "a second person, from a phone")
            seen = client.wait_for(lambda one: self._answers(one, event) and self._ends(one, began), line.seconds)
            if seen is None:
                self._note(line, f"no outcome within {line.seconds:.0f} s of its approval")
                return
            self._show(seen, began)
        line.answer = str(seen["content"].get("body", ""))
        if not line.answer.startswith(line.mark):
            self._note(line, f"the answer should begin with {line.mark!r}")
        for held in line.holds:
            if held not in line.answer:
                self._note(line, f"the answer should hold {held!r}")
        trouble = line.then() if line.then else None
        if trouble:
            self._note(line, trouble)

    def _react(self, person: Person, room: str, to: str, key: str, why: str) -> None:
        """Reacts to a message, as a thumb on a phone does."""
        _out(f"  {_strong(person.user)}  [{key}]      {_faint(why)}")
        relation = {"rel_type": "m.annotation", "event_id": to, "key": key}
        person.client.send_event(self._rooms[room], "m.reaction", {"m.relates_to": relation})

    def _is_live(self, event: dict[str, Any]) -> bool:
        """Whether it shows what a run prints while it runs."""
        content = event.get("content", {})
        step = str(content.get("org.quarterdeck.step", ""))
        return event["sender"] == self._bot and "/live/" in step and "m.new_content" in content

    def _ends(self, event: dict[str, Any], began: float) -> bool:
        """Whether it tells the end of a request; what is said on the way is shown."""
        state = event["content"].get("org.quarterdeck.request", {}).get("state")
        if state in ("succeeded", "failed", "refused", "denied", "expired", "cancelled", "timed_out", "interrupted"):
            return True
        self._show(event, began)
        return False

    def _show(self, event: dict[str, Any], began: float) -> None:
        """Prints an answer as its readers see it."""
        shown = str(event["content"].get("body", "")).splitlines()
        _out(f"      {shown[0] if shown else ''}{_faint(f'   {time.monotonic() - began:.1f} s')}")
        for further in shown[1:]:
            _out(f"      {further}")

    def _answers(self, event: dict[str, Any], command: str) -> bool:
        """Whether it is the bot's last word on the command, seen from the thread or the reply."""
        content = event.get("content", {})
        relation = content.get("m.relates_to", {})
        about = (relation.get("event_id"), relation.get("m.in_reply_to", {}).get("event_id"))
        body = str(content.get("body", ""))
        if event["sender"] != self._bot or command not in about:
            return False
        if event["type"] == "m.reaction":
            _out(f"      [{relation.get('key')}]")
            return False
        if event["type"] != "m.room.message" or relation.get("rel_type") == "m.replace":
            return False
        if body.startswith("⏳"):
            _out(f"      {body.splitlines()[0]}")
            return False
        return True

    def _note(self, line: Line, what: str) -> None:
        self.wrong.append(f"{line.who.user} typed `{line.text}`: {what}")
        _out(f"      {_strong('NOT AS IT SHOULD BE:')} {what}")


def example(people: dict[str, Person], state: Path) -> list[Line]:
    """The session of the example."""
    alice, bob = people["alice"], people["bob"]
    current = _version(state, "web@staging")
    new = "v1.4.2" if current != "v1.4.2" else "v1.4.1"
    lines = [
        Line(bob, "deploy", "!web-status web", "✅", (str(current),), why="what there is"),
        Line(alice, "deploy", f"!deploy web staging {new}", "✅", (f"web@staging is at {new}",), _serves(state, "web@staging", new), why="a success"),
        Line(bob, "deploy", "!probe web staging --for 4s", "✅", ("web@staging was healthy",), why="a long one"),
        Line(bob, "deploy", "!probe web staging --for 60s", "🛑", ("Stopped by", alice.user), why="its output as it comes, and somebody stops it", stopped_by=alice),
        Line(bob, "deploy", f"!deploy web production {new}", "⛔", ("production-is-for-leads",), why="a refusal"),
        Line(bob, "deploy", f"!why deploy web production {new}", "", ("production-is-for-leads",), why="what the rules say of it"),
        _release(alice, bob, state, new),
        Line(alice, "deploy", f"!depoly web staging {new}", "", ("Did you mean", "deploy web staging"), why="a typing error"),
        Line(alice, "deploy", "!deploy web staging v1.5.0", "❌", ("still serves",), _serves(state, "web@staging", new), why="a failure"),
        Line(alice, "database", "!db-backup before-lunch --keep 3", "✅", ("before-lunch.dump",), why="a backup of the demo's own database"),
        Line(alice, "database", "!db-address", "✅", ("[secret backup-database-url]",), why="a program prints its secret"),
    ]
    if "carol" in people:
        carol = people["carol"]
        api = "v2.3.1" if _version(state, "api@staging") != "v2.3.1" else "v2.3.0"
        lines += [
            Line(carol, "deploy", f"!deploy api staging {api}", "✅", (f"api@staging is at {api}",), _serves(state, "api@staging", api), why="a partner, from her own homeserver"),
            Line(carol, "deploy", f"!deploy web staging {new}", "⛔", ("partner-ceiling",), why="under the same rules"),
        ]
    lines.append(Line(bob, "deploy", "!audit", "", (alice.user, "`deploy web@production` · not run"), why="all of it is on the record"))
    return lines


def _release(alice: Person, bob: Person, state: Path, version: str) -> Line:
    """A release in production: one asks, another lead approves. At the turn of the year the example's rules forbid it."""
    line = f"!deploy web production {version}"
    if date(2026, 12, 19) <= datetime.now(timezone.utc).date() < date(2027, 1, 4):
        return Line(alice, "deploy", line, "⛔", ("year-end-freeze",), why="nothing is released these days")
    holds = (f"web@production is at {version}",)
    return Line(alice, "deploy", line, "✅", holds, _serves(state, "web@production", version), why="two people", approved_by=bob)


def own(ops: Ops, people: dict[str, Person]) -> list[Line]:
    """The session in somebody's own ops folder: what there is in a room, and one of its commands' own examples."""
    person = next(person for person in people.values() if ops.rooms_of(person.user))
    key = ops.rooms_of(person.user)[0]
    lines = [Line(person, key, f"{ops.prefix}commands", "", why="what there is here")]
    listed = ops.rooms()[key].get("commands", [])
    for name, command in ops.commands().items():
        here = name in listed or any(f"#{tag}" in listed for tag in command.get("tags", []))
        if here and command.get("examples"):
            # The rules may refuse it: any answer will do.
            lines.append(Line(person, key, f"{ops.prefix}{command['examples'][0]}", "", why=str(command.get("summary", ""))))
            break
    return lines


def _version(state: Path, app: str) -> str | None:
    try:
        return (state / "example" / "data" / "apps" / app / "current").read_text().strip()
    except FileNotFoundError:
        return None


def _serves(state: Path, app: str, version: str) -> Callable[[], str | None]:
    """Looks at the application itself: does it serve that version?"""

    def look() -> str | None:
        try:
            facts = json.loads((state / "example" / "data" / "apps" / app / "running.json").read_text())
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{facts['port']}/health", timeout=5) as answer:
                said = answer.read().decode().strip()
        except (OSError, ValueError, KeyError) as error:
            return f"asked {app} itself for its health: {error}"
        return None if version in said else f"asked {app} itself for its health and it said {said!r}, not {version}"

    return look


def _out(text: str) -> None:
    print(text, flush=True)


def _strong(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def _faint(text: str) -> str:
    return f"\033[2m{text}\033[0m" if sys.stdout.isatty() else text
