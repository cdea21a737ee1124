"""What the tests stand on: PostgreSQL and two federating homeservers, with a pool of application services on each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import paths, registrations, scratch, venv
from .postgres import Cluster
from .progress import step
from .synapse import Choices, Homeserver

# The tests kill programs, never the machine: what the disk has seen does not matter, and each commit saves milliseconds.
_POSTGRES = {"max_connections": "400", "fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
POOLS = {"one": 12, "two": 2}


class Rig:
    """The rig in a state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state.resolve()
        self.file = self.state / "state.json"
        self.cluster = Cluster(self.state, _POSTGRES)
        self.homeservers = {name: Homeserver(self.state / "homeservers" / name, venv.folder() / "bin" / "python") for name in POOLS}

    def up(self) -> Path:
        """Starts what does not run, and gives the path of the file that describes it all."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o711)
        (self.state / "leases").mkdir(exist_ok=True)
        python = venv.make()
        pools: dict[str, list[registrations.Appservice]] = {}
        running = self.file.exists() and all(one.process.pid() for one in self.homeservers.values())
        with step("PostgreSQL"):
            self.cluster.start()
        with step("two homeservers"):
            if not running:
                for name, homeserver in self.homeservers.items():
                    homeserver.stop()  # of two, one may have been left over: its pool is about to change
                    homeserver.make()
                    pools[name] = registrations.pool(homeserver.folder / "registrations", POOLS[name])
                    files = [entry.registration for entry in pools[name]]
                    homeserver.configure(files, self.state / "certificates", Choices())
                    homeserver.begin()
            for homeserver in self.homeservers.values():
                homeserver.wait()
        if not running:
            self._describe(python, pools)
        return self.file

    def down(self, remove: bool = False) -> None:
        """Stops what runs; with `remove`, deletes all that it wrote."""
        for homeserver in self.homeservers.values():
            homeserver.stop()
        if remove:
            scratch.clear(self.state)
        else:
            self.cluster.stop()

    def _describe(self, python: Path, pools: dict[str, list[registrations.Appservice]]) -> None:
        control = [sys.executable, str(paths.SUPPORT / "control.py")]
        description = {
            "postgres": describe_cluster(self.cluster),
            "homeservers": [
                {**describe_homeserver(self.homeservers[name]), "appservices": [entry.description() for entry in pools[name]]} for name in POOLS
            ],
            "control": control,
            "python": str(python),
            "state": str(self.state),
            "support": str(paths.SUPPORT),
        }
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(description, indent=2) + "\n")
        new.chmod(0o600)
        new.replace(self.file)


def describe_cluster(cluster: Cluster) -> dict[str, object]:
    """What a test needs to know of a cluster."""
    return {
        "socket": str(cluster.socket), "port": cluster.port, "superuser": cluster.superuser,
        "control": {"start": cluster.start_argv(), "stop": cluster.stop_argv(), "kill": cluster.stop_argv("immediate")},
    }  # fmt: skip


def describe_homeserver(homeserver: Homeserver) -> dict[str, object]:
    """What a test needs to know of a homeserver."""
    return {
        "name": homeserver.name, "url": homeserver.url, "shared_secret": homeserver.shared_secret,
        "config": str(homeserver.config), "folder": str(homeserver.folder),
    }  # fmt: skip
