"""Installs what is missing with the system's package manager, after saying what and why."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .postgres import find_binaries
from .progress import Problem, say


@dataclass(frozen=True)
class Need:
    """Something that must be on the machine, how to see that it is, and the Debian package that has it."""

    what: str
    why: str
    package: str
    present: Callable[[], bool]


NEEDS = (
    Need("PostgreSQL's server", "Quarterdeck's database, in a private cluster", "postgresql", lambda: find_binaries() is not None),
    Need("psql", "to look into the database and to back it up", "postgresql-client", lambda: find_binaries() is None or shutil.which("psql") is not None),
    Need("Python's venv", "the homeserver's own packages", "python3-venv", lambda: importlib.util.find_spec("ensurepip") is not None),
    Need("bubblewrap", "the sandbox in which commands run", "bubblewrap", lambda: shutil.which("bwrap") is not None),
    Need("openssl", "certificates for federation on loopback", "openssl", lambda: shutil.which("openssl") is not None),
    Need("a C compiler", "some of the Rust crates hold C", "build-essential", lambda: shutil.which("cc") is not None),
)


# What only the tests need.
GO = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")
NEEDS_OF_TESTS = (
    Need("Go", "to check the log with an implementation that nobody here wrote", "golang-go", lambda: shutil.which("go") is not None),
    Need("sshd", "the other host of commands that run by SSH, on loopback", "openssh-server", lambda: Path("/usr/sbin/sshd").exists()),
    Need("chromium", "the pages in a real browser", "chromium", lambda: shutil.which("chromium") is not None),
    Need("chromedriver", "what drives it", "chromium-driver", lambda: shutil.which("chromedriver") is not None),
    Need("Go's sumdb packages", "notes and trees, for the same", "golang-golang-x-mod-dev", GO.is_dir),
)


def missing(tests: bool = False) -> list[Need]:
    """What is not on this machine."""
    return [need for need in NEEDS + (NEEDS_OF_TESTS if tests else ()) if not need.present()]


def install_missing(tests: bool = False) -> None:
    """Installs what is missing, or says what to install where there is no apt-get."""
    needs = missing(tests)
    if needs:
        _install(needs)
    if shutil.which("cargo") is None:
        raise Problem("looked for cargo on PATH and found none: install Rust 1.95 or newer from https://rustup.rs, then run this again")


def _install(needs: list[Need]) -> None:
    packages = sorted({need.package for need in needs})
    say("Missing on this machine:")
    for need in needs:
        say(f"  {need.what} ({need.why}): package {need.package}")
    if shutil.which("apt-get") is None:
        raise Problem(f"there is no apt-get here: install {', '.join(packages)} (or what holds them) and run this again")
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and shutil.which("sudo") is None:
        raise Problem(f"there is no sudo here: as root, run apt-get install {' '.join(packages)}, then run this again")
    if "postgresql" in packages:
        say("  Debian's postgresql also makes a cluster of its own, on 127.0.0.1:5432; nothing here touches it.")
    if "openssh-server" in packages:
        say("  Debian's openssh-server also starts a server of its own where there is systemd; nothing here uses it (systemctl disable --now ssh).")
    commands = (
        [*prefix, "apt-get", "update", "-q"],
        [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
    )
    for command in commands:
        say(f"  $ {' '.join(command)}")
        done = subprocess.run(command, stdout=sys.stderr)
        if done.returncode != 0 and "install" in command:
            raise Problem(f"tried `{' '.join(command)}` and it ended with status {done.returncode}: mend what it says above, then run this again")
    left = [need.what for need in needs if not need.present()]
    if left:
        raise Problem(f"installed {', '.join(packages)}, but still cannot find {', '.join(left)}: install it by hand, then run this again")
