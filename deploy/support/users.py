"""Registers users on a homeserver by its shared secret."""

from __future__ import annotations

import hashlib
import hmac

from .client import Client, MatrixError


def register(url: str, shared_secret: str, localpart: str, password: str, admin: bool = False) -> Client:
    """A client logged in as the user, who is registered first if not there."""
    client = Client(url)
    path = "/_synapse/admin/v1/register"
    nonce = client.call("GET", path)["nonce"]
    parts = (nonce, localpart, password, "admin" if admin else "notadmin")
    mac = hmac.new(shared_secret.encode(), b"\x00".join(part.encode() for part in parts), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
    try:
        client.take(client.call("POST", path, body))
    except MatrixError as error:
        if error.code != "M_USER_IN_USE":
            raise
        client.log_in(localpart, password)
    return client
