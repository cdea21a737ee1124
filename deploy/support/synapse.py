"""A Synapse on loopback: its configuration, its start and its stop."""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import certificates, paths, ports
from .processes import Process
from .progress import Problem

_WIDE = {"per_second": 100000, "burst_count": 100000}
# Off for everything but tests about limits: a test of anything else must not wait.
_NO_LIMITS: dict[str, Any] = {
    **{
        name: _WIDE
        for name in (
            "rc_message", "rc_registration", "rc_admin_redaction", "rc_joins_per_room", "rc_3pid_validation", "rc_third_party_invite",
            "rc_media_create", "rc_reports", "rc_room_creation", "rc_delayed_event_mgmt", "rc_user_directory", "rc_key_requests",
        )
    },
    "rc_login": {"address": _WIDE, "account": _WIDE, "failed_attempts": _WIDE},
    "rc_joins": {"local": _WIDE, "remote": _WIDE},
    "rc_invites": {"per_room": _WIDE, "per_user": _WIDE, "per_issuer": _WIDE},
    "rc_presence": {"per_user": _WIDE},
    "rc_federation": {"window_size": 1000, "sleep_limit": 100000, "sleep_delay": 1, "reject_limit": 100000, "concurrent": 100},
}  # fmt: skip


@dataclass
class Choices:
    """How a homeserver differs from the usual one of the tests."""

    stock_limits: bool = False
    """Synapse's own limits, and its own cost of passwords, as in real installations."""
    encrypts: str = "off"
    """`encryption_enabled_by_default_for_room_type`: off, invite or all."""
    listen: str = "127.0.0.1"
    """An address of this machine at which clients reach it, besides loopback."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further settings of homeserver.yaml, put over all others."""


class Homeserver:
    """One homeserver, whose folder holds everything of it. What it is called and where it listens never changes."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.python = python
        self.process = Process(folder, "synapse")
        self.config = folder / "homeserver.yaml"

    # Facts, written once

    def _facts(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "facts.json").read_text())
        except FileNotFoundError:
            raise Problem(f"looked for facts.json in {self.folder} and found none: this homeserver was not made yet") from None

    @property
    def name(self) -> str:
        """The part after the colon in its users' ids."""
        facts = self._facts()
        return f"{facts.get('host', 'localhost')}:{facts['federation_port']}"

    @property
    def url(self) -> str:
        """The client-server API."""
        return f"http://127.0.0.1:{self._facts()['client_port']}"

    @property
    def shared_secret(self) -> str:
        """By which users are registered."""
        return self._facts()["shared_secret"]

    def made(self) -> bool:
        """Whether `make` has run."""
        return (self.folder / "facts.json").exists()

    def make(self, host: str = "localhost") -> None:
        """Draws its ports and secrets, once."""
        if self.made():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        client, federation = ports.free(2)
        facts = {
            "host": host, "client_port": client, "federation_port": federation,
            "shared_secret": secrets.token_hex(32), "macaroon": secrets.token_hex(32), "form": secrets.token_hex(32),
        }  # fmt: skip
        seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        _write_private(self.folder / "signing.key", f"ed25519 a_{secrets.token_hex(2)} {seed}\n")
        _write_private(self.folder / "facts.json", json.dumps(facts, indent=2))

    def configure(self, registrations: list[Path], certificate_folder: Path, choices: Choices | None = None) -> None:
        """Writes homeserver.yaml (JSON is YAML) and where its log goes."""
        choices = choices or Choices()
        certificates.make(certificate_folder)
        facts = self._facts()
        config: dict[str, Any] = {
            "server_name": self.name,
            "public_baseurl": f"http://{choices.listen}:{facts['client_port']}/",
            "pid_file": str(self.folder / "synapse.pid"),
            "listeners": [
                {"port": facts["client_port"], "type": "http", "bind_addresses": sorted({"127.0.0.1", choices.listen}), "tls": False, "x_forwarded": False,
                 "resources": [{"names": ["client", "federation"], "compress": False}]},
                {"port": facts["federation_port"], "type": "http", "bind_addresses": ["127.0.0.1"], "tls": True,
                 "resources": [{"names": ["federation"], "compress": False}]},
            ],
            "tls_certificate_path": str(certificate_folder / "hs.crt"),
            "tls_private_key_path": str(certificate_folder / "hs.key"),
            "federation_custom_ca_list": [str(certificate_folder / "ca.crt")],
            "ip_range_blacklist": [],
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "federation": {
                "client_timeout": "10s", "destination_min_retry_interval": "1s",
                "destination_retry_multiplier": 2, "destination_max_retry_interval": "10s",
            },
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}},
            "media_store_path": str(self.folder / "media"),
            "signing_key_path": str(self.folder / "signing.key"),
            "log_config": str(self.folder / "log.yaml"),
            "registration_shared_secret": facts["shared_secret"],
            "macaroon_secret_key": facts["macaroon"],
            "form_secret": facts["form"],
            "enable_registration": False,
            "report_stats": False,
            "presence": {"enabled": False},
            "url_preview_enabled": False,
            "encryption_enabled_by_default_for_room_type": choices.encrypts,
            "experimental_features": {"msc2409_to_device_messages_enabled": True, "msc3202_transaction_extensions": True},
            "app_service_config_files": [str(path) for path in registrations],
        }  # fmt: skip
        if not choices.stock_limits:
            config |= {"bcrypt_rounds": 4, **_NO_LIMITS}
        _write_private(self.config, json.dumps(config | choices.extra, indent=2))
        log = {
            "version": 1,
            "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "plain"}},
            "root": {"level": "WARNING", "handlers": ["out"]},
            "disable_existing_loggers": False,
        }
        (self.folder / "log.yaml").write_text(json.dumps(log, indent=2))
        (self.folder / "choices.json").write_text(json.dumps(asdict(choices)))

    # Life

    def begin(self) -> None:
        """Starts it, and does not wait."""
        if self.process.pid() is None:
            argv = [str(self.python), "-m", "synapse.app.homeserver", "-c", str(self.config)]
            # Fewer arenas keep the memory of its threads small.
            self.process.start(argv, {**paths.environment(), "MALLOC_ARENA_MAX": "2"}, cwd=self.folder)

    def wait(self, seconds: float = 60, every: float = 0.05) -> None:
        """Waits until it answers."""
        self.process.wait_until(self.healthy, seconds, every)

    def healthy(self) -> bool:
        """Whether it answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/health", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def start(self) -> None:
        """Starts it and waits."""
        self.begin()
        self.wait()

    def stop(self, kill: bool = False) -> None:
        """Stops exactly this one."""
        self.process.stop(kill=kill)


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only we can read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
