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
    """This process's environment for children that talk to loopback: without proxies, and without what a server of this host is told.

    `QUARTERDECK_AUDIT_KEY` and its like go before an ops folder: they would lead a demo to what the real server uses.
    """
    kept = ("QUARTERDECK_LOG", "QUARTERDECK_LOG_FORMAT", "QUARTERDECK_TEST_STATE")

    def stays(name: str) -> bool:
        ours = name.startswith("QUARTERDECK_") and name not in kept
        return not (ours or name == "CREDENTIALS_DIRECTORY" or name.lower().endswith("_proxy"))

    return {name: value for name, value in os.environ.items() if stays(name)}


def cargo_environment() -> dict[str, str]:
    """The environment for cargo: proxies stay, because it may have to fetch; the target folder is the shared one."""
    return {**os.environ, "CARGO_TARGET_DIR": str(target())}
