"""Free ports that stay free."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from .progress import Problem


def free(count: int) -> list[int]:
    """Ports on which nothing listens now, asked of the operating system one by one.

    They come from below the range from which the kernel takes the ports of outgoing connections: one of those
    could be taken by any connection before whoever is to listen on it has begun to.
    """
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        lowest = 32768
    top = min(lowest, 32768) if lowest > 12000 else 65536
    found: list[int] = []
    for port in random.sample(range(10240, top), min(4000, top - 10240)):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise Problem(f"looked for {count} free ports on 127.0.0.1 and found {len(found)}: end what listens there, then run this again")
