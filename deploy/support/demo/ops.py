"""The ops folder of the demo: a copy of the example, or of somebody's own, fitted to the homeserver of the demo."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import paths
from ..progress import Problem, say
from . import toml

EXAMPLE = paths.REPOSITORY / "deploy" / "example"


@dataclass(frozen=True)
class Place:
    """What an ops folder must be told of the demo."""

    homeserver_url: str
    server_name: str
    partner_name: str | None
    listen: str


class Ops:
    """A folder of which the demo has a copy; what is read of it is read anew each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise Problem(f"tried to read {path}: {error}") from None

    @property
    def settings(self) -> dict[str, Any]:
        """quarterdeck.toml."""
        return self._read(self.folder / "quarterdeck.toml")

    @property
    def server_name(self) -> str:
        """The homeserver that it is for."""
        return self.settings.get("homeserver", {}).get("name", "")

    @property
    def bot(self) -> str:
        """Quarterdeck's whole MXID."""
        return f"@{self.settings.get('homeserver', {}).get('bot', 'quarterdeck')}:{self.server_name}"

    @property
    def prefix(self) -> str:
        """What a command begins with."""
        return self.settings.get("prefix", "!")

    def rooms(self) -> dict[str, dict[str, Any]]:
        """The rooms by key, each with its whole alias as `address`."""
        prefix = self.settings.get("homeserver", {}).get("alias_prefix", "ops-")
        rooms = {}
        for path in sorted((self.folder / "rooms").glob("*.toml")):
            room = self._read(path)
            rooms[path.stem] = {**room, "address": f"#{prefix}{room.get('alias', path.stem)}:{self.server_name}"}
        return rooms

    def teams(self) -> dict[str, dict[str, Any]]:
        """The teams by key."""
        return {path.stem: self._read(path) for path in sorted((self.folder / "teams").glob("*.toml"))}

    def commands(self) -> dict[str, dict[str, Any]]:
        """The commands by name."""
        declared = (self._read(path) for path in sorted((self.folder / "commands").glob("*.toml")))
        return {command.get("name", ""): command for command in declared}

    def rooms_of(self, user: str) -> list[str]:
        """The keys of the rooms into which this user is invited."""
        mine = {key for key, team in self.teams().items() if user in [*team.get("users", []), *team.get("leads", [])]}
        return [key for key, room in self.rooms().items() if mine & set(room.get("teams", []))]


def bring_example(state: Path, place: Place) -> Ops:
    """Copies the example into the state folder, with its placeholders filled in as its README says.

    A copy that somebody has edited since is left as it is: people try things there.
    """
    copy, note = state / "example", state / "example.json"
    wanted = hashlib.sha256(f"{_digest(EXAMPLE)} {place}".encode()).hexdigest()
    if copy.exists():
        try:
            known = json.loads(note.read_text())
        except (FileNotFoundError, ValueError):
            known = {"source": "", "copy": ""}
        if known["source"] == wanted:
            return Ops(copy / "ops")
        if _digest(copy) != known["copy"]:
            say(f"  {copy} was edited since it was copied, and stays as it is; delete it to have it copied again")
            return Ops(copy / "ops")
    for part in ("ops", "bin", "releases"):
        shutil.rmtree(copy / part, ignore_errors=True)
        shutil.copytree(EXAMPLE / part, copy / part)
    for path in (copy / "ops").rglob("*"):
        if path.is_file():
            path.write_text(_fill_in(path.read_text(), copy, place))
    if not place.partner_name:
        # Their cases speak of carol, who is in no team then.
        (copy / "ops" / "policies" / "tests" / "partner.toml").unlink()
    settings = copy / "ops" / "quarterdeck.toml"
    settings.write_text(f'listen = "{place.listen}"\n' + re.sub(r"(?m)^listen\b.*\n", "", settings.read_text()))
    note.write_text(json.dumps({"source": wanted, "copy": _digest(copy)}))
    return Ops(copy / "ops")


def _fill_in(text: str, copy: Path, place: Place) -> str:
    text = text.replace("/opt/quarterdeck/example", str(copy)).replace("http://127.0.0.1:8008", place.homeserver_url)
    if place.partner_name:
        text = text.replace("partner.example", place.partner_name)
    else:
        cases = text.split("\n[[test]]")
        text = "\n[[test]]".join(cases[:1] + [case for case in cases[1:] if "@carol:partner.example" not in case])
        text = text.replace('"@carol:partner.example"', "")
    return text.replace("example.org", place.server_name)


KEPT = ("prefix", "administrators", "time_zone", "space", "limits", "approvals")
"""The settings of somebody's own folder that the demo takes over. All others are left out: they may name what the real server
uses, such as its socket, the key of its log, its witnesses, its repository, its secrets."""


def bring_own(source: Path, state: Path, place: Place, real: bool) -> Ops:
    """Copies somebody's ops folder, its homeserver replaced by the demo's, and its programs by a printer unless `real`.

    Says what was left out. The folder itself is read and nothing else.
    """
    if not (source / "quarterdeck.toml").is_file():
        raise Problem(f"looked for quarterdeck.toml in {source} and found none: is it an ops folder?")
    name = Ops(source).server_name
    if not name:
        raise Problem(f"looked for `name` of [homeserver] in {source}/quarterdeck.toml and found none: write it there, the demo passes over the environment")
    copy = state / "own" / "ops"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".git"))
    for path in copy.rglob("*"):
        if path.suffix in (".toml", ".cedar") and path.is_file():
            path.write_text(_rename(path.read_text(), name, place.server_name))
    own = Ops(copy).settings
    settings = {key: own[key] for key in KEPT if key in own}
    names = {key: own["homeserver"][key] for key in ("bot", "alias_prefix") if key in own["homeserver"]}
    settings["listen"] = place.listen
    settings["state"] = str(state / "own" / "spool")
    settings["homeserver"] = {**names, "url": place.homeserver_url, "name": place.server_name, "registration": "../registration.yaml"}
    if real and "secrets" in own:
        settings["secrets"] = _in_place(own["secrets"], source)
    left_out = sorted(set(own) - set(settings) - {"instance", "database"})
    if left_out:
        say(f"  left out of quarterdeck.toml: {', '.join(left_out)}")
    (copy / "quarterdeck.toml").write_text(toml.dumps(settings))
    if not real:
        _disarm(copy, _printer(state / "own"))
    return Ops(copy)


def _in_place(secrets: dict[str, Any], source: Path) -> dict[str, Any]:
    """[secrets] as the folder itself means it: its identity is relative to there."""
    if "identity" in secrets:
        secrets["identity"] = str(source / secrets["identity"])
    return secrets


def _disarm(copy: Path, printer: Path) -> None:
    """Takes out of a copied folder whatever could reach a real system."""
    commands = [path for path in sorted((copy / "commands").glob("*.toml")) if _only_print(path, printer)]
    if commands:
        say(f"  {len(commands)} commands only print what they would run; --real runs it")
    for path in sorted((copy / "endpoints").glob("*")):
        if path.suffix == ".toml":
            say(f"  the endpoint {path.stem} is not asked: of its methods there are those that a file of commands/ names")
            endpoint = tomllib.loads(path.read_text())
            # Its tags and its first word stay known to rooms and rules. Nothing listens there, and no key is at hand.
            path.write_text(toml.dumps({**endpoint, "url": f"http://{NOWHERE}/", "private": True, "methods": "declared", "refresh": "1d"}))
        else:
            path.unlink()
    secrets = sorted((copy / "secrets").glob("*"))
    for path in secrets:
        path.unlink()
        path.with_suffix(".toml").write_text('environment = "A_SECRET_THAT_THE_DEMO_LEFT_OUT"\n')
    if secrets:
        say(f"  left out of secrets/: {', '.join(path.stem for path in secrets)}")


NOWHERE = "127.0.0.1:9"
"""The port of `discard`, on which nothing listens."""


def _rename(text: str, old: str, new: str) -> str:
    """The homeserver's name, as a whole string or after the colon of an id; not where it is part of an address."""
    whole = re.escape(old)
    text = re.sub(rf'(?<=["\']){whole}(?=["\'])', new, text)
    return re.sub(rf'((?<=["\'\s])[@#!][^:"\'\s]+:){whole}(?![\w.:-])', rf"\g<1>{new}", text)


def _only_print(path: Path, printer: Path) -> bool:
    """Replaces what a command runs by the printer of it; whether there was something to replace."""
    command = tomllib.loads(path.read_text())
    run = command.get("run")
    if not isinstance(run, dict) or run.get("executor", "process") == "builtin":
        return False
    kept = {key: run[key] for key in ("timeout", "lock", "on_busy", "idempotent") if key in run}
    # Nothing of theirs is in it: no environment, no credentials, no folder, no user, no host.
    command["run"] = {"executor": "process", "program": str(printer), "arguments": _what(run), "sandbox": "none", **kept}
    path.write_text(toml.dumps(command))
    return True


def _what(run: dict[str, Any]) -> list[str]:
    """What a command runs, in the words that the printer shows; arguments of the command stay placeholders."""
    match run.get("executor", "process"):
        case "ssh":
            on = ", ".join(str(host) for host in run.get("hosts", []))
            return [f"on {on}", str(run.get("program")), *run.get("arguments", [])]
        case "http":
            return [f"{run.get('method')} {run.get('url')}", *(f"{key}={value}" for key, value in run.get("query", {}).items())]
        case "chatops_rpc":
            return [f"method {run.get('method')} of endpoint {run.get('endpoint')}"]
        case _:
            return [str(run.get("program")), *run.get("arguments", [])]


def _printer(folder: Path) -> Path:
    program = folder / "print-arguments"
    program.write_text(
        "#!/bin/sh\n# Stands in for the programs of an ops folder that is only being tried.\n"
        'program=$1\nshift\nfor argument in "$@"; do printf "  %s\\n" "$argument"; done\n'
        'echo "would have run $program with $# arguments"\n'
    )
    program.chmod(0o755)
    return program


def _digest(folder: Path) -> str:
    """Of all that is copied; what the programs write beside it does not count."""
    digest = hashlib.sha256()
    for path in sorted(path for part in ("ops", "bin", "releases") for path in (folder / part).rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
