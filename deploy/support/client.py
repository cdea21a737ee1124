"""A very small Matrix client: what the scripts need of the client-server API, on urllib."""

from __future__ import annotations

import itertools
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any


class MatrixError(Exception):
    """The homeserver's refusal."""

    def __init__(self, method: str, path: str, status: int, code: str, error: str) -> None:
        super().__init__(f"{method} {path}: {status} {code} {error}")
        self.status = status
        self.code = code


# Without it a homeserver leaves out all but the last ten new messages of a room.
_WHOLE = {"room": {"timeline": {"limit": 1000}}}


def quote(part: str) -> str:
    """A value as one segment of a path."""
    return urllib.parse.quote(part, safe="")


class Client:
    """One person's session."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.user = ""
        self.device = ""
        self.since: str | None = None
        # Everything is on loopback: a proxy in the environment must not see it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._count = itertools.count()
        self._run = secrets.token_hex(4)

    def call(self, method: str, path: str, body: Any = None, patience: float = 60, **query: str) -> dict[str, Any]:
        """One request; its answer as JSON, or a MatrixError."""
        address = self.url + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None and method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(address, data=data, method=method, headers={"Content-Type": "application/json"})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=patience) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                refusal = json.loads(text)
            except ValueError:
                refusal = {"errcode": "", "error": text.decode(errors="replace")[:200]}
            raise MatrixError(method, path, error.code, refusal.get("errcode", ""), refusal.get("error", "")) from None

    def take(self, login: dict[str, Any]) -> None:
        """Takes over a session from the answer to a log-in or registration."""
        self.token, self.user, self.device = login["access_token"], login["user_id"], login.get("device_id", "")

    def log_in(self, localpart: str, password: str) -> None:
        """Logs in with a password."""
        identifier = {"type": "m.id.user", "user": localpart}
        self.take(self.call("POST", "/_matrix/client/v3/login", {"type": "m.login.password", "identifier": identifier, "password": password}))

    def resolve(self, alias: str) -> str | None:
        """The room id of an alias."""
        try:
            return self.call("GET", f"/_matrix/client/v3/directory/room/{quote(alias)}")["room_id"]
        except MatrixError as error:
            if error.status == 404:
                return None
            raise

    def join(self, room: str, via: str | None = None) -> str:
        """Joins a room by id or alias."""
        query = {"server_name": via, "via": via} if via else {}
        return self.call("POST", f"/_matrix/client/v3/join/{quote(room)}", {}, **query)["room_id"]

    def state(self, room: str) -> list[dict[str, Any]]:
        """The state events of a room."""
        found: Any = self.call("GET", f"/_matrix/client/v3/rooms/{quote(room)}/state")
        return found

    def send(self, room: str, text: str) -> str:
        """Says a line, as a person does; the event's id."""
        return self.send_event(room, "m.room.message", {"msgtype": "m.text", "body": text})

    def send_event(self, room: str, kind: str, content: dict[str, Any]) -> str:
        """Sends an event; its id."""
        txn = f"{self._run}-{next(self._count)}"
        return self.call("PUT", f"/_matrix/client/v3/rooms/{quote(room)}/send/{kind}/{txn}", content)["event_id"]

    def sync(self, timeout: float = 0) -> dict[str, Any]:
        """What is new since the last time, waiting for at most so many seconds."""
        query = {"timeout": str(int(timeout * 1000)), "filter": json.dumps(_WHOLE)}
        if self.since:
            query["since"] = self.since
        answer = self.call("GET", "/_matrix/client/v3/sync", patience=timeout + 60, **query)
        self.since = answer["next_batch"]
        return answer

    def events(self, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a sync's answer, each with the id of its room."""
        for room, part in answer.get("rooms", {}).get("join", {}).items():
            for event in part.get("timeline", {}).get("events", []):
                yield {**event, "room_id": room}

    def invitations(self, answer: dict[str, Any]) -> list[str]:
        """The ids of the rooms to which a sync's answer invites."""
        return list(answer.get("rooms", {}).get("invite", {}))

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any] | None:
        """The first new event that is wanted, or None after so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for event in self.events(self.sync(min(left, 10))):
                if wanted(event):
                    return event
        return None
