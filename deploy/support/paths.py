"""Where things are kept."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUPPORT = REPOSITORY / "deploy" / "support"


def cache() -> Path:
    """The user's cache folder for what is slow to make and safe to delete."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "quarterdeck"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def target() -> Path:
    """Cargo's target folder: outside the checkout, so that a fresh clone does not build everything again."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or cache() / "target")


def environment() -> dict[str, str]:
    """This process's environment without proxies, for children that talk to loopback."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def cargo_environment() -> dict[str, str]:
    """The environment for cargo: proxies stay, because it may have to fetch; the target folder is the shared one."""
    return {**os.environ, "CARGO_TARGET_DIR": str(target())}
