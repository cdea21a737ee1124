"""Writes TOML: the standard library only reads it. Everything goes on one line a key, which TOML allows."""

from __future__ import annotations

import json
from typing import Any


def dumps(table: dict[str, Any]) -> str:
    """A document of these keys."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are among those of TOML's basic strings; DEL is the one character that only TOML bars.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(_value(item) for item in value)}]"
        case dict():
            return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}"
        case _:
            return str(value)
