"""An OpenID Connect issuer on loopback: it signs what a test has it say, and holds the client to the protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "portal", "canary client secret"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer(ThreadingHTTPServer):
    """Runs while it is entered. `away` makes it answer nothing that can be used: `drip`, `html`, `list`, `error`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.issuer = self.url
        self.away = ""
        self.key = KEY
        self.granted: dict[str, tuple[dict[str, list[str]], dict[str, Any]]] = {}
        self.asked: list[str] = []

    def __enter__(self) -> Issuer:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def sign_in(self, address: str, **claims: Any) -> str:
        """Sign somebody in who was sent here, and give the address that they are sent back to."""
        query = parse_qs(urlsplit(address).query)
        assert address.startswith(f"{self.url}/authorize?")
        assert query["client_id"] == [CLIENT_ID]
        assert query["response_type"] == ["code"]
        assert query["code_challenge_method"] == ["S256"]
        assert "openid" in query["scope"][0].split()
        code = f"code-{len(self.granted)}"
        self.granted[code] = (query, claims)
        return f"{query['redirect_uri'][0]}?code={code}&state={query['state'][0]}"

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def keys(self) -> dict[str, Any]:
        return {"keys": [{**json.loads(RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "k1", "alg": "RS256"}]}

    def token(self, form: dict[str, list[str]]) -> dict[str, Any]:
        query, claims = self.granted.pop(form["code"][0])
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest()).rstrip(b"=")
        assert challenge.decode() == query["code_challenge"][0]
        assert form["redirect_uri"] == query["redirect_uri"]
        assert (form["client_id"], form["client_secret"]) == ([CLIENT_ID], [CLIENT_SECRET])
        now = int(time.time())
        said = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        signed = jwt.encode(said, self.key, algorithm="RS256", headers={"kid": "k1"})
        return {"access_token": "a", "token_type": "Bearer", "id_token": signed}


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        found = {"/.well-known/openid-configuration": self.server.discovery, "/keys": self.server.keys}
        self.server.asked.append(self.path)
        self._answer(found[self.path]())

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer(self.server.token(form))

    def _answer(self, data: Any) -> None:
        status, kind, body = 200, "application/json", json.dumps(data).encode()
        if self.server.away == "html":
            kind, body = "text/html", b"<html>"
        if self.server.away == "list":
            body = b"[]"
        if self.server.away == "error":
            status = 500
        if self.server.away == "redirect":
            status = 302
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", f"{self.server.url}/.well-known/openid-configuration")
        self.end_headers()
        if self.server.away == "drip":
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
