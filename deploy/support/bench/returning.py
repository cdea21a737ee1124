"""What is answered after an absence, and how soon: of Quarterdeck, and of the homeserver."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..demo.people import Person
from ..demo.stage import Stage
from ..progress import Problem, step

REQUEST = "org.quarterdeck.request"
FINAL = {"succeeded", "failed", "timed_out", "cancelled", "interrupted", "refused", "denied", "expired"}


class Listener:
    """Alice's client, which hears all the time: when did the answer to what arrive?"""

    def __init__(self, person: Person, room: str, bot: str) -> None:
        self._client, self._room, self._bot = person.client, room, bot
        self._client.sync()
        self._arrived: dict[str, list[tuple[float, str]]] = {}
        self._change = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop:
            try:
                answer = self._client.sync(5)
            except Exception:  # noqa: BLE001 - the homeserver is away, whatever that looks like from here
                time.sleep(0.005)
                continue
            now = time.perf_counter()
            with self._change:
                for event in self._client.events(answer):
                    self._take(event, now)
                self._change.notify_all()

    def _take(self, event: dict[str, Any], now: float) -> None:
        content = event.get("content", {})
        state = content.get(REQUEST, {}).get("state")
        if event["room_id"] != self._room or event["sender"] != self._bot or state not in FINAL:
            return
        relation = content.get("m.relates_to", {})
        to = relation.get("m.in_reply_to", {}).get("event_id") or relation.get("event_id")
        self._arrived.setdefault(to, []).append((now, state))

    def wait(self, sent: list[str], seconds: float) -> list[float]:
        """When each was answered, the earliest first. Each must have succeeded, once."""
        deadline = time.monotonic() + seconds
        with self._change:
            while any(event not in self._arrived for event in sent):
                if not self._change.wait(max(deadline - time.monotonic(), 0.001)) and time.monotonic() > deadline:
                    missing = sum(event not in self._arrived for event in sent)
                    raise Problem(f"{missing} of {len(sent)} commands were not answered within {seconds:.0f} s")
            wrong = {event: self._arrived[event] for event in sent if [state for _, state in self._arrived[event]] != ["succeeded"]}
            if wrong:
                raise Problem(f"of {len(sent)} commands these were not answered once, by a success: {wrong}")
            return sorted(self._arrived[event][0][0] for event in sent)

    def stop(self) -> None:
        """Hears no more."""
        self._stop = True
        self._thread.join(30)


def measure(stage: Stage, alice: Person, room: str, bot: str, count: int, absence: float, outage: float) -> None:
    """Both, printed as they come."""
    listener = Listener(alice, room, bot)
    try:
        # Everything once, so that what is made at the first time is made.
        listener.wait([alice.client.send(room, "!pong")], 30)
        _quarterdeck(stage, alice, room, listener, count, absence)
        _homeserver(stage, alice, room, listener, outage)
    finally:
        listener.stop()


def _quarterdeck(stage: Stage, alice: Person, room: str, listener: Listener, count: int, absence: float) -> None:
    stage.serve.stop(seconds=40)
    with step(f"{count} commands, sent while Quarterdeck is down for {absence:.0f} s"):
        began = time.monotonic()
        sent = []
        for number in range(count):
            sent.append(alice.client.send(room, "!pong"))
            time.sleep(max(began + absence * (number + 1) / count - time.monotonic(), 0))
    started = time.perf_counter()
    stage.start_serve()
    ready = time.perf_counter()
    answered = listener.wait(sent, 60)
    print(
        f"{'return':<14} of Quarterdeck after {absence:.0f} s: ready {ready - started:.2f} s after its start; of {count} commands "
        f"the first was answered {_since(ready, answered[0])}, the last {_since(ready, answered[-1])}"
    )


def _homeserver(stage: Stage, alice: Person, room: str, listener: Listener, outage: float) -> None:
    stage.one.stop(kill=True)
    with step(f"the homeserver is killed, and stays away for {outage:.0f} s"):
        time.sleep(outage)
    stage.one.begin()
    stage.one.wait(every=0.01)
    healthy = time.perf_counter()
    event = alice.client.send(room, "!pong")
    sent = time.perf_counter()
    answered = listener.wait([event], 60)
    print(
        f"{'return':<14} of the homeserver after {outage:.0f} s: sending took {sent - healthy:.2f} s, and the first answer arrived "
        f"{_since(healthy, answered[0])}"
    )


def _since(moment: float, other: float) -> str:
    return f"{other - moment:.2f} s after that" if other >= moment else f"{moment - other:.2f} s before that"
