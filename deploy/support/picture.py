#!/usr/bin/env python3
"""Draws a room as an SVG, from the messages that are really in it: the picture of the README.

    deploy/support/picture.py --url http://127.0.0.1:8008 --user alice --password ... --room '#ops-deploy:example.org' > docs/room.svg

Logs in as an ordinary member, reads the room's last messages through the client API, and sets each command with the answers
of its thread below it. Nothing is made up and nothing is left out but edits, reactions and what `--first` and `--last` cut off.
"""

from __future__ import annotations

import argparse
import html
import html.parser
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.support.client import Client, quote

WIDTH, MARGIN, INDENT, SIZE, LINE = 860, 24, 28, 15, 22
NARROW, WIDE = set("iljtfrI.,:;'`|!()[] "), set("mwMW@✅❌⛔⏳⏸🛑⌛❓")
STYLES = {
    "code": 'font-family="ui-monospace, SFMono-Regular, Menlo, DejaVu Sans Mono, monospace" font-size="13" fill="#1f4b6e"',
    "strong": 'font-weight="600"',
    "em": 'font-style="italic"',
}
PEOPLE = ["#8a3ffc", "#0b7a75", "#b5541c", "#2b6cb0"]


class Lines(html.parser.HTMLParser):
    """A formatted_body as lines of (style, text)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[list[tuple[str, str]]] = [[]]
        self.styles: list[str] = []
        self.verbatim = False
        self.feed(text)
        self.lines = [line for line in self.lines if line]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in ("br", "ul", "li", "pre", "p"):
            self.lines.append([])
        if tag == "li":
            self.handle_data("• ")
        if tag == "pre":
            self.verbatim = True
        if tag in STYLES:
            self.styles.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("ul", "pre", "p"):
            self.lines.append([])
        if tag == "pre":
            self.verbatim = False
        if tag in STYLES and tag in self.styles:
            self.styles.remove(tag)

    def handle_data(self, data: str) -> None:
        style = self.styles[-1] if self.styles else ""
        if not self.verbatim:
            self.lines[-1].append((style, data))
            return
        for index, line in enumerate(data.rstrip("\n").split("\n")):
            if index:
                self.lines.append([])
            self.lines[-1].append((style, line))


def width(style: str, text: str) -> float:
    """About how wide a text is; generous, because every viewer has other fonts."""
    if style == "code":
        return len(text) * 8.1
    factors = (0.34 if c in NARROW else 0.95 if c in WIDE or ord(c) > 0x2000 else 0.6 for c in text)
    return sum(factors) * SIZE * (1.06 if style == "strong" else 1)


def wrap(line: list[tuple[str, str]], room: float) -> list[list[tuple[str, str]]]:
    """A line as several that fit."""
    wrapped: list[list[tuple[str, str]]] = [[]]
    left = room
    for style, text in line:
        for word in text.replace(" ", "\0 ").split("\0"):
            if width(style, word) > left and wrapped[-1]:
                wrapped.append([])
                left, word = room, word.lstrip(" ")
            wrapped[-1].append((style, word))
            left -= width(style, word)
    return wrapped


class Picture:
    """An SVG that grows downwards."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 0.0

    def line(self, spans: list[tuple[str, str]], x: float, extra: str = "") -> None:
        """One line of text."""
        self.y += LINE
        pieces = "".join(f"<tspan {STYLES.get(style, '')}>{html.escape(text)}</tspan>" for style, text in spans)
        self.parts.append(f'<text x="{x}" y="{self.y:.0f}" xml:space="preserve" {extra}>{pieces}</text>')

    def message(self, sender: str, lines: list[list[tuple[str, str]]], depth: int, colour: str) -> None:
        """A message: who, then what."""
        x, top = MARGIN + depth * INDENT, self.y
        self.line([("strong", sender)], x, f'fill="{colour}"')
        for line in lines:
            for part in wrap(line, WIDTH - MARGIN - x):
                self.line(part, x)
        if depth:
            self.parts.append(f'<path d="M{x - 12} {top + 8:.0f}V{self.y + 4:.0f}" stroke="#c9d3dc" stroke-width="2"/>')
        self.y += 10

    def svg(self, title: str) -> str:
        """The whole of it."""
        height = self.y + MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img" '
            f'font-family="system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif" font-size="{SIZE}" fill="#1b2733">\n'
            f"<title>{html.escape(title)}</title>\n"
            f'<rect width="{WIDTH}" height="{height:.0f}" rx="10" fill="#fbfcfd" stroke="#c9d3dc"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


def messages(client: Client, room: str) -> list[dict[str, Any]]:
    """The room's last messages, the oldest first; an edit is not one."""
    path = f"/_matrix/client/v3/rooms/{quote(room)}/messages"
    chunk = client.call("GET", path, dir="b", limit="200")["chunk"]
    there = [event for event in reversed(chunk) if event["type"] == "m.room.message" and "body" in event["content"]]
    return [event for event in there if relation(event).get("rel_type") != "m.replace"]


def relation(event: dict[str, Any]) -> dict[str, Any]:
    """What an event refers to."""
    return event["content"].get("m.relates_to") or {}


def state(client: Client, room: str, kind: str) -> dict[str, Any]:
    """An event of the room's state."""
    return client.call("GET", f"/_matrix/client/v3/rooms/{quote(room)}/state/{kind}")


def draw(client: Client, room: str, first: int, last: int) -> str:
    """The room as an SVG; of the commands, those from `first` to `last`."""
    picture = Picture()
    name, topic = state(client, room, "m.room.name")["name"], state(client, room, "m.room.topic")["topic"]
    picture.y = 14
    picture.line([("strong", name)], MARGIN, 'font-size="18"')
    picture.line([("", topic)], MARGIN, 'fill="#5b6b7a" font-size="13"')
    picture.y += 12
    colours: dict[str, str] = {}
    events = messages(client, room)
    roots = [event for event in events if relation(event).get("rel_type") != "m.thread"]
    for root in roots[first - 1 : last]:
        thread = [event for event in events if relation(event).get("event_id") == root["event_id"]]
        for depth, event in [(0, root), *((1, answer) for answer in thread)]:
            sender, content = event["sender"], event["content"]
            colour = colours.setdefault(sender, PEOPLE[len(colours) % len(PEOPLE)])
            body = content.get("formatted_body") or html.escape(content["body"]).replace("\n", "<br>")
            if depth == 0 and "formatted_body" not in content:
                body = f"<code>{body}</code>"
            picture.message(sender, Lines(body).lines, depth, colour)
    return picture.svg(f"The room {name}: {topic}")


def main() -> None:
    """Reads the arguments, and writes the picture to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="the homeserver's client-server API")
    parser.add_argument("--user", required=True, help="the localpart of a member of the room")
    parser.add_argument("--password", required=True)
    parser.add_argument("--room", required=True, help="the room's alias")
    parser.add_argument("--first", type=int, default=1, help="the first message of the main timeline to draw")
    parser.add_argument("--last", type=int, default=1000, help="the last one")
    options = parser.parse_args()
    client = Client(options.url)
    client.log_in(options.user, options.password)
    room = client.resolve(options.room)
    if room is None:
        sys.exit(f"picture: there is no room {options.room}")
    sys.stdout.write(draw(client, room, options.first, options.last))


if __name__ == "__main__":
    main()
