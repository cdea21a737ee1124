"""A certificate authority and one certificate for localhost, made by openssl: federation's checks stay on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .progress import Problem


def make(folder: Path) -> None:
    """Writes `ca.crt`, `hs.crt` and `hs.key` into the folder, unless they are there."""
    if (folder / "hs.crt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", "/CN=Quarterdeck on loopback",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    _openssl(folder, "req", *key, "-keyout", "hs.key", "-out", "hs.csr", "-subj", "/CN=localhost")
    _openssl(folder, "x509", "-req", "-in", "hs.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
             "-out", "hs.new", "-days", "3650", "-extfile", "san")  # fmt: skip
    (folder / "hs.new").rename(folder / "hs.crt")


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise Problem(f"tried `openssl {' '.join(arguments)}` in {folder} and it failed: {done.stderr.strip()}")
