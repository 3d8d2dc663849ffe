"""How does a file come about that somebody keeps, and that needs no portal to be read?"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.template.loader import render_to_string


@dataclass(frozen=True)
class Document:
    """A file, and the SHA-256 of every line above its last one, which says it."""

    content: bytes
    sha256: str


def document(folder: str, context: Mapping[str, Any]) -> Document:
    """Give the file that a folder of templates makes: `pack.html` with the style `pack.css`, and `_last_line.html`.

    It is not a page of the portal: its style is inside, its own policy allows exactly that style and nothing else.
    """
    style = render_to_string(f"{folder}/pack.css")
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    above = render_to_string(f"{folder}/pack.html", {**context, "policy": policy}).rstrip() + "\n"
    hash_ = sha256(above.encode()).hexdigest()
    last = render_to_string(f"{folder}/_last_line.html", {"hash": hash_})
    return Document((above + last.strip() + "\n").encode(), hash_)
