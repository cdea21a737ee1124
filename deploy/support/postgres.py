"""A private PostgreSQL cluster: its own folder, its own socket, no network; it clashes with nothing else on the machine."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from .progress import Problem

# Unix sockets have at most 107 bytes of path; PostgreSQL adds "/.s.PGSQL.5432.lock".
LONGEST_FOLDER = 85


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl: the newest of Debian's, or the one on PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _user() -> str | None:
    """The user that the server must run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise Problem("looked for a user `postgres` or `nobody` to run PostgreSQL as and found neither: run this as a plain user")


def _others_may_enter(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _argv(binaries: Path, program: str, *arguments: str) -> list[str]:
    user = _user()
    prefix = ["runuser", "-u", user, "--"] if user else []
    return [*prefix, str(binaries / program), *arguments]


def _run(argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    # Files, not pipes: the server would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(argv, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        output.seek(0)
        done.stdout = output.read()
    return done


def remove_home(home: Path) -> None:
    """Stops the server of a cluster's folder, if one runs, and deletes the folder."""
    binaries = find_binaries()
    if binaries is not None and (home / "data" / "postmaster.pid").exists():
        _run(_argv(binaries, "pg_ctl", "-D", str(home / "data"), "-m", "immediate", "-w", "-s", "stop"))
    shutil.rmtree(home, ignore_errors=True)


class Cluster:
    """The cluster that belongs to a state folder.

    Its place is written in `cluster.json` there: where another user must run it and could not enter the state
    folder, or where the socket's path would be too long, it lies below /var/tmp.
    """

    def __init__(self, state: Path, settings: dict[str, str] | None = None) -> None:
        self.state = state
        self.note = state / "cluster.json"
        self.settings = settings or {}
        self.port = 5432
        self.superuser = "postgres"
        binaries = find_binaries()
        if binaries is None:
            raise Problem("looked for PostgreSQL's initdb in /usr/lib/postgresql and on PATH and found none: install the package `postgresql`")
        self.binaries = binaries

    # Where

    @property
    def home(self) -> Path:
        """The folder of data, socket and log; made on first use."""
        if self.note.exists():
            home = Path(json.loads(self.note.read_text())["home"])
            if home.is_dir():
                return home
        self.state.mkdir(parents=True, exist_ok=True)
        home = (self.state / "postgres").resolve()
        if len(os.fsencode(str(home))) > LONGEST_FOLDER - 4 or (_user() and not _others_may_enter(self.state.resolve())):
            home = Path(tempfile.mkdtemp(prefix="qd-postgres-", dir="/var/tmp"))
        home.mkdir(mode=0o700, exist_ok=True)
        user = _user()
        if user:
            shutil.chown(home, user)
        self.note.write_text(json.dumps({"home": str(home)}))
        return home

    @property
    def socket(self) -> Path:
        """The folder of the socket: what goes after `host=`."""
        return self.home / "run"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "log"

    # Life

    def argv(self, program: str, *arguments: str) -> list[str]:
        """The argument vector that runs one of PostgreSQL's programs as the right user."""
        return _argv(self.binaries, program, *arguments)

    def start_argv(self) -> list[str]:
        """What starts the server and waits for it."""
        return self.argv("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-w", "-s", "start")

    def stop_argv(self, mode: str = "fast") -> list[str]:
        """What stops exactly this server and waits for it."""
        return self.argv("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-s", "stop")

    def running(self) -> bool:
        """Whether this cluster's server runs."""
        if not (self.note.exists() and self.data.is_dir()):
            return False
        return _run(self.argv("pg_ctl", "-D", str(self.data), "status")).returncode == 0

    def start(self) -> None:
        """Makes the cluster if there is none, and starts it if it does not run."""
        if not (self.data / "PG_VERSION").exists():
            self._create()
        if self.running():
            return
        self._write_settings()
        done = _run(self.start_argv())
        if done.returncode != 0:
            raise Problem(f"tried `{' '.join(self.start_argv())}` and it failed: {done.stdout.decode(errors='replace').strip()}\n{self._tail()}")

    def stop(self, mode: str = "fast") -> None:
        """Stops it if it runs."""
        if self.running():
            done = _run(self.stop_argv(mode))
            if done.returncode != 0:
                raise Problem(f"tried `{' '.join(self.stop_argv(mode))}` and it failed: {done.stdout.decode(errors='replace').strip()}")

    def remove(self) -> None:
        """Stops it and deletes its data."""
        if self.note.exists():
            remove_home(self.home)
            self.note.unlink(missing_ok=True)

    def _create(self) -> None:
        argv = self.argv(
            "initdb", "-D", str(self.data), "-U", self.superuser, "--auth=trust",
            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        if self.data.exists():  # an initdb that was cut short
            shutil.rmtree(self.data)
        done = _run(argv)
        if done.returncode != 0:
            raise Problem(f"tried `{' '.join(argv)}` and it failed: {done.stdout.decode(errors='replace').strip()}")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("include 'quarterdeck.conf'\n")

    def _write_settings(self) -> None:
        user = _user()
        self.socket.mkdir(mode=0o700, exist_ok=True)
        # Whoever can enter the socket's folder is trusted: it is closed to all but the server's user (and root).
        self.socket.chmod(0o700)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket),
            "port": str(self.port),
            "logging_collector": "off",
            "log_min_messages": "warning",
            **self.settings,
        }
        conf = self.data / "quarterdeck.conf"
        conf.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        if user:
            shutil.chown(self.socket, user)
            shutil.chown(conf, user)

    def _tail(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        except FileNotFoundError:
            return ""

    # Use

    def url(self, database: str, user: str = "") -> str:
        """A connection URL through the socket."""
        host = str(self.socket).replace("/", "%2F")
        return f"postgres://{user or self.superuser}@{host}:{self.port}/{database}"

    def psql(self, database: str, *arguments: str, stdin: str | None = None) -> str:
        """Runs psql as the superuser and gives its output; any error in a statement is a problem."""
        argv = [
            str(self.binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
            "-h", str(self.socket), "-p", str(self.port), "-U", self.superuser, "-d", database, *arguments,
        ]  # fmt: skip
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            raise Problem(f"tried `{' '.join(argv)}` and it failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def make_role(self, name: str) -> None:
        """A role that may log in, if there is none of that name."""
        if not self.psql("postgres", "-c", f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
            self.psql("postgres", "-c", f'CREATE ROLE "{name}" LOGIN')

    def make_database(self, name: str, owner: str) -> None:
        """A database of that owner, if there is none of that name."""
        if not self.psql("postgres", "-c", f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.psql("postgres", "-c", f"CREATE DATABASE \"{name}\" OWNER \"{owner}\" TEMPLATE template0")
