#!/usr/bin/env python3
"""For tests that stop, slow down or specially configure what they stand on: parts of their own, by one command each.

    control.py postgres up FOLDER                  a cluster; prints its description as JSON
    control.py postgres down FOLDER                stops and deletes it
    control.py homeserver up FOLDER [options]      a homeserver with a pool; prints its description as JSON
    control.py homeserver start FOLDER             starts it again, as it was
    control.py homeserver stop|kill FOLDER         stops it with TERM or KILL, and keeps everything
    control.py homeserver down FOLDER              stops and deletes it

Stopping and starting a cluster is done by the commands in its description.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.support import progress, registrations, rig, scratch, venv
from deploy.support.postgres import Cluster
from deploy.support.synapse import Choices, Homeserver


def _postgres(options: argparse.Namespace) -> None:
    cluster = Cluster(options.folder.resolve(), {"fsync": "off" if not options.durable else "on", "max_connections": "200"})
    if options.verb == "up":
        cluster.start()
        print(json.dumps(rig.describe_cluster(cluster)))
    else:
        cluster.remove()
        shutil.rmtree(options.folder, ignore_errors=True)


def _homeserver(options: argparse.Namespace) -> None:
    folder: Path = options.folder.resolve()
    homeserver = Homeserver(folder, venv.make())
    match options.verb:
        case "up":
            homeserver.make(options.host)
            pool = registrations.pool(folder / "registrations", options.appservices)
            files = [entry.registration for entry in pool] + [Path(path).resolve() for path in options.registration]
            choices = Choices(stock_limits=options.stock_limits, encrypts=options.encrypts, extra=json.loads(options.extra))
            homeserver.configure(files, (options.certificates or folder / "certificates").resolve(), choices)
            homeserver.start()
            print(json.dumps({**rig.describe_homeserver(homeserver), "appservices": [entry.description() for entry in pool]}))
        case "start":
            homeserver.start()
        case "stop":
            homeserver.stop()
        case "kill":
            homeserver.stop(kill=True)
        case "down":
            homeserver.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _run() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    postgres = parts.add_parser("postgres")
    postgres.add_argument("verb", choices=["up", "down"])
    postgres.add_argument("folder", type=Path)
    postgres.add_argument("--durable", action="store_true", help="wait for the disk at each commit, as in real installations")
    postgres.set_defaults(run=_postgres)
    homeserver = parts.add_parser("homeserver")
    homeserver.add_argument("verb", choices=["up", "start", "stop", "kill", "down"])
    homeserver.add_argument("folder", type=Path)
    homeserver.add_argument("--appservices", type=int, default=1, help="how many to register")
    homeserver.add_argument("--registration", action="append", default=[], help="a registration file of your own; may be repeated")
    homeserver.add_argument("--stock-limits", action="store_true", help="Synapse's own rate limits")
    homeserver.add_argument("--encrypts", choices=["off", "invite", "all"], default="off", help="which new rooms it encrypts by itself")
    homeserver.add_argument("--certificates", type=Path, help="the folder of the authority that other homeservers trust")
    homeserver.add_argument("--host", choices=["localhost", "127.0.0.1"], default="localhost", help="the host in its name")
    homeserver.add_argument("--extra", default="{}", help="further settings of homeserver.yaml, as JSON")
    homeserver.set_defaults(run=_homeserver)
    options = parser.parse_args()
    run = os.environ.get("QUARTERDECK_TEST_STATE")
    part = options.folder.resolve()
    if options.verb != "down":
        scratch.note_part(run, part)
    options.run(options)
    if options.verb == "down":
        scratch.forget_part(run, part)
    else:
        scratch.note_part(run, part)
    return 0


if __name__ == "__main__":
    progress.main(_run)
