"""Registration files of application services, as the specification writes them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from . import ports


@dataclass(frozen=True)
class Appservice:
    """One entry of a pool: a bot, its namespaces, its tokens, and the port on which its homeserver will call."""

    id: str
    port: int
    registration: Path
    bot: str
    alias_prefix: str
    as_token: str
    hs_token: str

    def write(self) -> None:
        """Writes the registration file. What is not written is off: to-device messages, device lists, presence."""
        self.registration.parent.mkdir(parents=True, exist_ok=True)
        self.registration.write_text(
            f"""\
id: "{self.id}"
url: "http://127.0.0.1:{self.port}"
as_token: "{self.as_token}"
hs_token: "{self.hs_token}"
sender_localpart: "{self.bot}"
rate_limited: false
receive_ephemeral: false
namespaces:
  users:
    - exclusive: true
      regex: "@{self.alias_prefix}.*"
  aliases:
    - exclusive: true
      regex: "#{self.alias_prefix}.*"
  rooms: []
"""
        )
        self.registration.chmod(0o600)

    def description(self) -> dict[str, object]:
        """What a test needs to know of it."""
        return {
            "id": self.id, "port": self.port, "registration": str(self.registration), "bot": self.bot,
            "alias_prefix": self.alias_prefix, "as_token": self.as_token, "hs_token": self.hs_token,
        }  # fmt: skip


def pool(folder: Path, count: int) -> list[Appservice]:
    """So many application services, written to the folder."""
    entries = []
    for number, port in enumerate(ports.free(count)):
        name = f"qd{number:02}"
        entry = Appservice(
            id=name, port=port, registration=folder / f"{name}.yaml", bot=f"{name}_bot", alias_prefix=f"{name}_",
            as_token=secrets.token_hex(32), hs_token=secrets.token_hex(32),
        )  # fmt: skip
        entry.write()
        entries.append(entry)
    return entries
