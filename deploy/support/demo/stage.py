"""Everything that runs in the demo, in the order in which it starts; it stops in the reverse order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .. import packages, paths, ports, venv
from ..postgres import Cluster
from ..processes import Process
from ..progress import Problem, say, step
from ..synapse import Choices, Homeserver
from . import cost
from .ops import Ops, Place, bring_example, bring_own

OWNER, RUNTIME, BACKUP, DATABASE = "quarterdeck_owner", "quarterdeck", "backup", "quarterdeck"


class Stage:
    """The parts in one state folder."""

    def __init__(self, state: Path, federated: bool, listen: str, own: Path | None, real: bool, profile: str = "debug") -> None:
        self.state = state.resolve()
        self.federated = federated
        self.listen = listen
        self.own = own
        self.real = real
        self.profile = profile
        self.examples: list[str] = []
        """What else is built."""
        self.registrations: list[Path] = []
        """Of further application services on the first homeserver."""
        self.python = venv.folder() / "bin" / "python"
        self.one = Homeserver(self.state / "homeservers" / "one", self.python)
        self.two = Homeserver(self.state / "homeservers" / "two", self.python)
        self.serve = Process(self.state, "serve")
        self.ops: Ops
        self._lock_file = self.state / "lock"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else uses this state folder meanwhile."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o711)
        with self._lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise Problem(f"a demo runs in {self.state} already (process {lock.read().strip()}): end it with Ctrl-C, or use --state") from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    # Up

    def up(self) -> None:
        """Sets up what is missing and starts everything."""
        cost.announce(not self.one.made(), self.profile)
        packages.install_missing()
        venv.make()
        self._build()
        self.down()  # what a run that was killed has left
        self.cluster = Cluster(self.state)
        with step("PostgreSQL, a private cluster without network"):
            self.cluster.start()
            self._roles()
        self._bring_ops()
        registration = self._registration()
        names = "two homeservers" if self.federated else "a homeserver"
        with step(f"{names}: Synapse on loopback"):
            certificates = self.state / "certificates"
            self.one.configure([registration, *self.registrations], certificates, Choices(listen=self.listen))
            self.one.begin()
            if self.federated:
                self.two.configure([], certificates)
                self.two.begin()
                self.two.wait()
            self.one.wait()
        with step("the database's schema: quarterdeck migrate"):
            self._migrate()
        if self.own is None:
            with step("the company's applications, web and api, each in staging and in production"):
                self._world("up")
        self._quarterdeck("audit", "key", "--ops", str(self.ops.folder))
        with step("quarterdeck serve"):
            self.start_serve()

    def _build(self) -> None:
        argv = ["cargo", "build", "--locked", "--bin", "quarterdeck"]
        if self.profile == "release":
            # A server alone needs no Matrix client, and builds in half the time.
            argv += ["--release", "--no-default-features"]
        argv += [part for example in self.examples for part in ("--example", example)]
        if sys.stderr.isatty():
            say("  building Quarterdeck")
            done = subprocess.run(argv, cwd=paths.REPOSITORY, env=paths.cargo_environment(), stdout=sys.stderr)
        else:
            with step("building Quarterdeck"):
                done = subprocess.run([*argv, "--quiet"], cwd=paths.REPOSITORY, env=paths.cargo_environment(), stdout=sys.stderr)
        if done.returncode != 0:
            raise Problem(f"tried `{' '.join(argv)}` and it failed: see above")

    def _roles(self) -> None:
        for role in (OWNER, RUNTIME, BACKUP):
            self.cluster.make_role(role)
        self.cluster.make_database(DATABASE, OWNER)
        self.cluster.psql(DATABASE, "-c", f"GRANT pg_read_all_data TO {BACKUP}")

    def _migrate(self) -> None:
        owner = self.cluster.url(DATABASE, OWNER)
        try:
            self._quarterdeck("migrate", "--ops", str(self.ops.folder), "--runtime-role", RUNTIME, QUARTERDECK_OWNER_DATABASE_URL=owner)
        except Problem as problem:
            raise Problem(f"{problem}\nWhere {self.state} is from other sources than these, --fresh forgets it.") from None

    def _bring_ops(self) -> None:
        self.one.make()
        if self.federated:
            self.two.make()
        place = Place(self.one.url, self.one.name, self.two.name if self.federated else None, f"127.0.0.1:{self.port()}")
        if self.own is None:
            self.ops = bring_example(self.state, place)
        else:
            # The folder itself first: in the copy a mistake would stand on another line.
            self._quarterdeck("check", str(self.own))
            self.ops = bring_own(self.own.resolve(), self.state, place, self.real)
        self._quarterdeck("check", str(self.ops.folder))

    def port(self) -> int:
        """Where serve listens; drawn once."""
        note = self.state / "port.json"
        if not note.exists():
            note.write_text(json.dumps(ports.free(1)[0]))
        return int(json.loads(note.read_text()))

    def _registration(self) -> Path:
        file = self.ops.folder.parent / "registration.yaml"
        if not file.exists():
            self._quarterdeck("registration", "--ops", str(self.ops.folder), "--out", str(file), "--url", f"http://127.0.0.1:{self.port()}")
        return file

    def start_serve(self) -> None:
        """Starts serve, and waits until it is ready."""
        extra = {
            "QUARTERDECK_DATABASE_URL": self.cluster.url(DATABASE, RUNTIME),
            "EXAMPLE_DATABASE_URL": f"postgresql:///{DATABASE}?host={self.cluster.socket}&user={BACKUP}",
        }
        self.serve.start([cost.binary(self.profile), "serve", "--ops", str(self.ops.folder)], {**paths.environment(), **extra}, cwd=self.state)
        self.serve.wait_until(self._ready, 60, every=0.01)

    def _ready(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port()}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _quarterdeck(self, *arguments: str, **extra: str) -> None:
        argv = [cost.binary(self.profile), *arguments]
        done = subprocess.run(argv, env={**paths.environment(), **extra}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Problem(f"tried `quarterdeck {' '.join(arguments)}` and it ended with status {done.returncode}:\n{(done.stdout + done.stderr).strip()}")

    def _world(self, verb: str) -> None:
        program = self.state / "example" / "bin" / "world"
        if program.exists():
            # A file, not a pipe: the servers that it starts would hold the pipe open.
            with (self.state / "world.log").open("w") as log:
                done = subprocess.run([str(program), verb], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=paths.environment(), start_new_session=True)
            if done.returncode != 0:
                raise Problem(f"tried `{program} {verb}` and it failed: {(self.state / 'world.log').read_text().strip()}")

    # Down

    def ended(self) -> Process | None:
        """A part that has ended by itself."""
        parts = [self.serve, self.one.process, *([self.two.process] if self.federated else [])]
        return next((part for part in parts if part.pid() is None), None)

    def down(self) -> None:
        """Stops exactly what was started in this state folder, by pid and start time."""
        self.serve.stop(seconds=40)
        with contextlib.suppress(Problem):
            self._world("down")
        self.one.stop()
        self.two.stop()
        if (self.state / "cluster.json").exists():
            Cluster(self.state).stop()
