"""The last scene: the log of what just happened is checked without its database, and a single changed byte is found."""

from __future__ import annotations

import subprocess
import time

from .. import paths
from . import cost
from .stage import DATABASE, RUNTIME, Stage


def scene(stage: Stage) -> list[str]:
    """Exports the log, checks it, changes a byte, and checks it again. Gives what is not as it should be."""
    bundle = stage.state / "log-bundle"
    bundle.unlink(missing_ok=True)
    url = stage.cluster.url(DATABASE, RUNTIME)
    time.sleep(1)  # within which all that happened is signed
    print("\nthe log, checked by whoever does not trust us", flush=True)
    wrong = []

    def quarterdeck(*arguments: str, well: bool = True, holds: str = "", **extra: str) -> None:
        argv = [str(cost.binary(stage.profile)), *arguments]
        done = subprocess.run(argv, env={**paths.environment(), **extra}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip()
        print(f"  $ quarterdeck {' '.join(arguments)}".replace(str(stage.state), "STATE"), flush=True)
        for line in said.splitlines():
            print(f"      {line}".replace(str(stage.state), "STATE"), flush=True)
        if (done.returncode == 0) is not well or holds not in said:
            wrong.append(f"`quarterdeck {' '.join(arguments)}` ended with status {done.returncode} and said: {said}")

    ops = str(stage.ops.folder)
    quarterdeck("audit", "verify", "--ops", ops, holds="fit", QUARTERDECK_DATABASE_URL=url)
    quarterdeck("audit", "export", "--ops", ops, str(bundle), holds="Wrote", QUARTERDECK_DATABASE_URL=url)
    quarterdeck("audit", "verify", str(bundle), holds="none left out")
    if bundle.exists():
        data = bytearray(bundle.read_bytes())
        at = data.index(b'"type":"command.refused"') if b'"type":"command.refused"' in data else len(data) // 2
        data[at + 10] ^= 1
        bundle.write_bytes(data)
        print(f"  byte {at + 10} of the bundle is changed, in an entry that tells of a refusal", flush=True)
        quarterdeck("audit", "verify", str(bundle), well=False, holds="does not fit")
    return wrong
