"""Files of credentials for a nats-server that trusts an operator: JWTs, signed with nkeys."""

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import nkeys


def _pair(prefix: int) -> tuple[bytes, nkeys.KeyPair]:
    seed = nkeys.encode_seed(secrets.token_bytes(32), prefix)
    return seed, nkeys.from_seed(bytearray(seed))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _jwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str, **claims: Any) -> str:
    body = {
        "jti": secrets.token_hex(16),
        "iat": 1_700_000_000,
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": kind,
        "nats": {"type": kind, "version": 2, **claims},
    }
    head = _text(b'{"typ":"JWT","alg":"ed25519-nkey"}')
    signed = f"{head}.{_text(json.dumps(body).encode())}"
    return f"{signed}.{_text(issuer.sign(signed.encode()))}"


def make_credentials(path: Path) -> str:
    """Write a user's file of credentials to `path`. Returns the lines of the server's configuration."""
    _, operator = _pair(nkeys.PREFIX_BYTE_OPERATOR)
    _, account = _pair(nkeys.PREFIX_BYTE_ACCOUNT)
    seed, user = _pair(nkeys.PREFIX_BYTE_USER)
    limits = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1}
    account_jwt = _jwt(operator, account, "account", limits={**limits, "wildcards": True})
    user_jwt = _jwt(account, user, "user", subs=-1, data=-1, payload=-1)
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return (
        f"operator: {_jwt(operator, operator, 'operator')}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public_key.decode()}: {account_jwt} }}\n"
    )
