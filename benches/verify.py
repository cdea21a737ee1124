#!/usr/bin/env python3
"""How fast a log is checked, beside the bare hashing of the same bytes.

    benches/verify.py --quarterdeck target/release/quarterdeck --postgres URL [--entries 1000000]

Makes a database, fills it with a log of that many entries (its tree and its checkpoint made here, by hashlib and another Ed25519 than
Quarterdeck's), has `quarterdeck audit verify` check it, then a bundle of it, and prints leaves per second of processor time beside
`openssl speed sha256` on blocks of the same size. Needs psql, openssl and Python's cryptography. The database is dropped at the end.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import resource
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ORIGIN = "localhost/quarterdeck"
OPS = {
    "quarterdeck.toml": f"""[homeserver]
url = "http://127.0.0.1:8008"
name = "localhost"
[space]
name = "Ops"
[audit]
origin = "{ORIGIN}"
""",
    "teams/web.toml": """summary = "Web"
homeservers = ["localhost"]
users = ["@alice:localhost"]
leads = ["@alice:localhost"]
""",
    "rooms/deploy.toml": """name = "Deploy"
alias = "deploy"
purpose = "Deploys"
teams = ["web"]
commands = []
""",
    "policies/all.cedar": '@id("all") permit (principal, action, resource);',
}


def body(number: int) -> tuple[str, str]:
    """An entry as Quarterdeck writes it, of about the usual length, in canonical JSON."""
    name = str(uuid.UUID(int=number, version=4))
    return name, (
        f'{{"at":"2026-11-23T12:00:00.{number % 1000000:06}Z","by":"@alice:example.org","id":"{name}",'
        f'"query":"the last of deploy, asked for the {number}th time by somebody who wants to know","type":"audit.read"}}'
    )


def tree(leaves: list[bytes]) -> tuple[list[tuple[int, int, bytes, bytes]], bytes]:
    """The full tiles and the root: RFC 6962, section 2.1."""

    def root(hashes: list[bytes]) -> bytes:
        # Left-complete: pairs, and what is over goes up as it is.
        while len(hashes) > 1:
            over = hashes[len(hashes) & ~1 :]
            hashes = [
                hashlib.sha256(b"\x01" + hashes[at] + hashes[at + 1]).digest() for at in range(0, len(hashes) - 1, 2)
            ] + over
        return hashes[0]

    tiles, level, hashes = [], 0, leaves
    while len(hashes) >= 256:
        above = []
        for index in range(len(hashes) // 256):
            tile = hashes[index * 256 : index * 256 + 256]
            above.append(root(tile))
            tiles.append((level, index, b"".join(tile), above[-1]))
        hashes, level = above, level + 1
    return tiles, root(leaves)


def signed(key: Ed25519PrivateKey, size: int, root: bytes) -> str:
    """C2SP tlog-checkpoint."""
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n"
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    number = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
    return f"{text}\n— {ORIGIN} {base64.b64encode(number + key.sign(text.encode())).decode()}\n"


def written(key: Ed25519PrivateKey) -> str:
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    number = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4].hex()
    return f"PRIVATE+KEY+{ORIGIN}+{number}+{base64.b64encode(bytes([1]) + seed).decode()}\n"


def fill(psql: list[str], key: Ed25519PrivateKey, entries: int) -> int:
    """Fills the database; gives the mean length of what is hashed for a leaf."""
    process = subprocess.Popen([*psql, "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stdin
    write = process.stdin.write
    write("BEGIN; SET session_replication_role = replica; ALTER TABLE entries DISABLE TRIGGER ALL;\n")
    write("ALTER TABLE head DISABLE TRIGGER ALL;\n")
    write("COPY entries (id, at, kind, body) FROM stdin;\n")
    leaves, length = [], 0
    for number in range(entries):
        name, text = body(number)
        leaves.append(hashlib.sha256(b"\x00" + text.encode()).digest())
        length += len(text) + 1
        write(f"{name}\t2026-11-23T12:00:00Z\taudit.read\t{text}\n")
    write("\\.\nCOPY leaves (log, index, entry_id, hash) FROM stdin;\n")
    for number, leaf in enumerate(leaves):
        write(f"1\t{number}\t{body(number)[0]}\t\\\\x{leaf.hex()}\n")
    write("\\.\nCOPY tiles (log, level, index, hashes, root) FROM stdin;\n")
    tiles, root = tree(leaves)
    for level, index, hashes, above in tiles:
        write(f"1\t{level}\t{index}\t\\\\x{hashes.hex()}\t\\\\x{above.hex()}\n")
    note = signed(key, entries, root)
    write(f"\\.\nUPDATE head SET size = {entries}, root = '\\x{root.hex()}';\n")
    write(f"INSERT INTO checkpoints (log, size, root, note, signed_at) VALUES (1, {entries}, '\\x{root.hex()}', '{note}', now());\n")
    write("COMMIT; ANALYZE;\n")
    process.stdin.close()
    if process.wait() != 0:
        raise SystemExit("filling the database failed: see above")
    return length // entries


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Processor time, time on the wall, and what was printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall, done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quarterdeck", required=True, help="a release build")
    parser.add_argument("--postgres", required=True, help="a superuser's URL, without a database")
    parser.add_argument("--entries", type=int, default=1_000_000)
    options = parser.parse_args()
    database = f"quarterdeck_bench_{os.getpid()}"
    url = options.postgres.rstrip("/")
    server = ["psql", "-q", "-v", "ON_ERROR_STOP=1", f"{url}/postgres", "-c"]
    subprocess.run([*server, f"CREATE DATABASE {database}"], check=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            key = Ed25519PrivateKey.generate()
            (Path(folder) / "key").write_text(written(key))
            environment = os.environ | {
                "QUARTERDECK_OWNER_DATABASE_URL": f"{url}/{database}",
                "QUARTERDECK_DATABASE_URL": f"{url}/{database}",
                "QUARTERDECK_AUDIT_KEY": f"{folder}/key",
            }
            quarterdeck = [options.quarterdeck]
            timed([*quarterdeck, "migrate"], environment)
            length = fill(["psql", "-q", "-v", "ON_ERROR_STOP=1", f"{url}/{database}"], key, options.entries)
            ops = Path(folder) / "ops"
            for path, text in OPS.items():
                (ops / path).parent.mkdir(parents=True, exist_ok=True)
                (ops / path).write_text(text)
            bundle = f"{folder}/bundle"
            results = [("the database", *timed([*quarterdeck, "audit", "verify", "--ops", str(ops)], environment))]
            timed([*quarterdeck, "audit", "export", "--ops", str(ops), bundle], environment)
            results.append(("a bundle", *timed([*quarterdeck, "audit", "verify", bundle], environment)))
            said = subprocess.run(
                ["openssl", "speed", "-seconds", "3", "-bytes", str(length), "sha256"],
                capture_output=True, text=True, check=True,
            ).stdout
            bare = float(re.findall(r"sha256\s+([\d.]+)k", said)[-1]) * 1000 / length
            print(f"{options.entries} entries of {length} bytes; openssl hashes {bare:,.0f} of these a second")
            for what, processor, wall, told in results:
                rate = options.entries / processor
                print(f"{what}: {rate:,.0f} leaves per second of processor time ({wall:.1f} s on the wall), {rate / bare:.3f} of openssl")
                print(f"  {told.splitlines()[0]}")
    finally:
        subprocess.run([*server, f"DROP DATABASE {database} WITH (FORCE)"], check=True)


if __name__ == "__main__":
    main()
