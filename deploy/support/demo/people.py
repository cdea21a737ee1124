"""The people of the demo: registered, logged in, and in their rooms."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from .. import users
from ..client import Client, MatrixError
from ..progress import Problem
from ..synapse import Homeserver
from .ops import Ops


@dataclass
class Person:
    """Somebody with a password and a session."""

    localpart: str
    password: str
    homeserver: Homeserver
    client: Client

    @property
    def user(self) -> str:
        """The whole MXID."""
        return self.client.user


class People:
    """Everybody, with what must be kept of them in `people.json`: passwords, and sessions to go on with."""

    def __init__(self, state: Path) -> None:
        self._note = state / "people.json"
        try:
            self._known: dict[str, dict[str, str]] = json.loads(self._note.read_text())
        except FileNotFoundError:
            self._known = {}

    def bring(self, localpart: str, homeserver: Homeserver) -> Person:
        """Registers them, or finds them again."""
        key = f"@{localpart}:{homeserver.name}"
        known = self._known.setdefault(key, {"password": f"{localpart}-{secrets.token_hex(4)}"})
        client = Client(homeserver.url, known.get("token"))
        try:
            if not client.token:
                raise MatrixError("", "", 401, "M_MISSING_TOKEN", "")
            session = client.call("GET", "/_matrix/client/v3/account/whoami")
            client.user, client.device = session["user_id"], session.get("device_id", "")
        except MatrixError as error:
            if error.status != 401:
                raise
            client = users.register(homeserver.url, homeserver.shared_secret, localpart, known["password"])
            client.call("PUT", f"/_matrix/client/v3/profile/{client.user}/displayname", {"displayname": localpart.capitalize()})
        known["token"] = client.token or ""
        self._keep()
        return Person(localpart, known["password"], homeserver, client)

    def _keep(self) -> None:
        new = self._note.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._known, file, indent=2)
        new.replace(self._note)


def join_all(people: list[Person], ops: Ops, seconds: float) -> dict[str, str]:
    """Each joins the rooms of their teams as soon as they are invited; the rooms' ids by key."""
    rooms = ops.rooms()
    ids: dict[str, str] = {}
    deadline = time.monotonic() + seconds
    for person in people:
        joined = set(person.client.call("GET", "/_matrix/client/v3/joined_rooms")["joined_rooms"])
        for key in ops.rooms_of(person.user):
            while True:
                trouble = _join(person, rooms[key]["address"], joined, ids, key)
                if trouble is None:
                    break
                if time.monotonic() > deadline:
                    raise Problem(f"{person.user} waited {seconds:.0f} s to be invited into {rooms[key]['address']}: {trouble}")
                time.sleep(0.15)
    return ids


def _join(person: Person, address: str, joined: set[str], ids: dict[str, str], key: str) -> str | None:
    """Joins, or says why not yet."""
    room = ids.get(key) or person.client.resolve(address)
    if room is None:
        return "there is no such room"
    ids[key] = room
    if room in joined:
        return None
    try:
        person.client.join(room, via=address.partition(":")[2])
    except MatrixError as error:
        return str(error)
    return None
