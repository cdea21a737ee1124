#!/usr/bin/env python3
"""How long the first page of each kind of search takes, on logs of several sizes.

    benches/search.py --quarterdeck target/release/quarterdeck --postgres URL [--entries 10000 1000000]

For each size: makes a database, fills it with a log of that many entries (benches/trail.sql), has the trail made of it by
`extend_trail`, as a server does, and asks for the first 16 of each search, with the statement of src/storage/trail.rs, as it is
planned there: once cold, then 20 times. Prints the first and the median in milliseconds. Ten million entries need 16 GB of disk and
half an hour. Needs psql. The databases are dropped at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMES = 20
AIM = 50.0


def statement() -> str:
    """The search's own statement, out of the code that runs it."""
    code = (HERE.parent / "src/storage/trail.rs").read_text()
    found = re.search(r'r#"\s*(SELECT t\.place, t\.at AS .*?LIMIT \$10)\s*"#', code, re.S)
    if not found:
        raise SystemExit("src/storage/trail.rs has no such statement any more: mend statement() here")
    return re.sub(r' AS "[^"]*"', "", found[1])


def searches(requests: int) -> list[tuple[str, dict[int, str]]]:
    """What is searched for: the parameters of the statement by number, those that are not given are NULL."""
    tags = lambda *those: {3: "ARRAY[" + ",".join(f"'{tag}'" for tag in those) + "]::text[]"}
    team = "ARRAY[" + ",".join(f"'by:@person{number}:example.org'" for number in range(100, 120)) + "]"
    rare = subprocess.run(["md5sum"], input=str(requests // 2).encode(), capture_output=True, check=True).stdout[:32].decode()
    return [
        ("everything", {}),
        ("a room", {1: "ARRAY['!room3:example.org']"}),
        ("a person who asks much", tags("by:@person1:example.org")),
        ("a person who asks rarely", tags("by:@person199:third.example")),
        ("a team of 20", {4: team}),
        ("a frequent command", tags("command:command0")),
        ("a rare command", tags("command:command39")),
        ("a frequent argument", tags("argument:system=system0@staging")),
        ("a rare argument", tags("argument:system=system59@production")),
        ("an outcome", tags("outcome:failed")),
        ("an outcome that nothing has", tags("outcome:waiting")),
        ("a frequent rule", tags("rule:rule0")),
        ("a rare rule", tags("rule:rule29")),
        ("a person, a command and an outcome", tags("by:@person3:example.org", "command:command5", "outcome:failed")),
        ("the same, where nothing has all three", tags("by:@person150:example.org", "command:command30", "outcome:failed")),
        ("a rare person in a room", {1: "ARRAY['!room4:example.org']"} | tags("by:@person199:third.example")),
        ("a word of nearly all outputs", {6: "'well'"}),
        ("a word of one request", {6: f"'{rare}'"}),
        ("a word of none", {6: "'nosuchword'"}),
        ("a phrase", {6: "'\"command3 is well\"'"}),
        ("a frequent word, of a rare person", {6: "'well'"} | tags("by:@person199:third.example")),
    ]


TYPES = ["text[]", "bigint", "text[]", "text[]", "timestamptz", "text", "timestamptz", "timestamptz", "bigint", "bigint"]


def measured(psql: list[str], sql: str, given: dict[int, str]) -> list[float]:
    given = {3: "'{}'", 10: "16"} | given
    arguments = ", ".join(f"{given.get(number, 'NULL')}::{kind}" for number, kind in enumerate(TYPES, 1))
    lines = ["SET plan_cache_mode = force_custom_plan;", f"PREPARE search ({', '.join(TYPES)}) AS {sql};", r"\o /dev/null", r"\timing on"]
    lines += [f"EXECUTE search ({arguments});"] * (1 + TIMES)
    done = subprocess.run(psql, input="\n".join(lines), capture_output=True, text=True, check=True)
    times = [float(number) for number in re.findall(r"^Time: ([\d.]+) ms", done.stdout, re.M)]
    if len(times) != 1 + TIMES:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quarterdeck", required=True)
    parser.add_argument("--postgres", required=True, help="a superuser's URL, without a database")
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 1_000_000])
    options = parser.parse_args()
    url, sql = options.postgres.rstrip("/"), statement()
    for entries in options.entries:
        database = f"quarterdeck_search_{os.getpid()}_{entries}"
        server = ["psql", "-q", "-v", "ON_ERROR_STOP=1", f"{url}/postgres", "-c"]
        psql = ["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", f"{url}/{database}"]
        subprocess.run([*server, f"CREATE DATABASE {database}"], check=True)
        try:
            environment = os.environ | {
                "QUARTERDECK_OWNER_DATABASE_URL": f"{url}/{database}",
                "QUARTERDECK_DATABASE_URL": f"{url}/{database}",
            }
            subprocess.run([options.quarterdeck, "migrate"], env=environment, check=True, capture_output=True)
            requests = entries // 4
            subprocess.run([*psql, "-v", f"requests={requests}", "-f", str(HERE / "trail.sql")], check=True)
            whole = "DO $$ BEGIN WHILE extend_trail(20000) > 0 LOOP COMMIT; END LOOP; END $$"
            subprocess.run([*psql, "-c", whole, "-c", "VACUUM ANALYZE trail"], check=True)
            print(f"\n{entries} entries, {requests} requests; load {os.getloadavg()[0]:.1f}")
            print("| search | first | median |\n|---|---|---|")
            for name, given in searches(requests):
                first, *others = measured(psql, sql, given)
                median = statistics.median(others)
                print(f"| {name} | {first:.1f} | {median:.1f} |{'' if median < AIM else ' misses the aim'}", flush=True)
        finally:
            subprocess.run([*server, f"DROP DATABASE {database} WITH (FORCE)"], check=True)


if __name__ == "__main__":
    main()
