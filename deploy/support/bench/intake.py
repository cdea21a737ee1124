"""A stub homeserver: hands over transactions one after the other, as fast as they are taken."""

from __future__ import annotations

import http.client
import json
import time


def measure(port: int, hs_token: str, room: str, sender: str, transactions: int, size: int) -> float:
    """Events taken (stored, committed, answered with 200) in a second, by one homeserver that sends one transaction at a time."""
    bodies = [_body(room, sender, f"{number}", size) for number in range(transactions)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {hs_token}", "Content-Type": "application/json"}
    began = time.perf_counter()
    for number, body in enumerate(bodies):
        connection.request("PUT", f"/_matrix/app/v1/transactions/intake-{number}", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"transaction {number} was answered with {answer.status}: {text[:200]!r}")
    took = time.perf_counter() - began
    connection.close()
    return transactions * size / took


def _body(room: str, sender: str, name: str, size: int) -> bytes:
    now = int(time.time() * 1000)
    events = [
        {
            "type": "m.room.message", "room_id": room, "sender": sender, "event_id": f"$intake-{name}-{number}",
            "origin_server_ts": now, "unsigned": {}, "content": {"msgtype": "m.text", "body": f"talk among people, {name} {number}"},
        }
        for number in range(size)
    ]  # fmt: skip
    return json.dumps({"events": events}).encode()
