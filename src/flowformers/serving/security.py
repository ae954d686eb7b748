"""TLS and API keys for both ports."""

from __future__ import annotations

import hmac
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowformers.errors import InvalidInput, NotFound
from flowformers.serving.model_config import read_text_proto
from flowformers.wire.ssl_config_pb2 import SSLConfig


@dataclass(frozen=True)
class Tls:
    """PEM texts. ca: who may have signed client certificates, "" for the system's; verify: clients must have one."""

    key: bytes
    certificate: bytes
    ca: bytes
    verify: bool


def read_tls(path: Path) -> Tls:
    """An SSLConfig in text form, which holds the PEM texts themselves. Raises NotFound, InvalidInput."""
    config = read_text_proto(path, SSLConfig())
    if not config.server_key or not config.server_cert:
        raise InvalidInput(f"expected server_key and server_cert, PEM texts, in {path}; one is missing")
    if config.client_verify and not config.custom_ca:
        raise InvalidInput(f"{path} asks for client certificates; expected custom_ca, the PEM text that signs them")
    tls = Tls(
        config.server_key.encode(), config.server_cert.encode(), config.custom_ca.encode(), bool(config.client_verify)
    )
    http_context(tls, path)  # gRPC would take a broken pair and fail with every client
    return tls


def http_context(tls: Tls, path: Path) -> ssl.SSLContext:
    """The context of an HTTPS server. Raises InvalidInput that names the file for PEM texts that are not valid."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # the ssl module reads keys from files only
            file.write(tls.certificate + b"\n" + tls.key)
            file.flush()
            context.load_cert_chain(file.name)
        if tls.ca:
            context.load_verify_locations(cadata=tls.ca.decode())
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(f"the key, certificate or CA in {path} is no PEM text that fits: {error}") from error
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    return context


class ApiKeys:
    """Keys of which a request needs one. None at all: every request may pass."""

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def allow(self, authorization: bytes, api_key: bytes) -> bool:
        """Whether `authorization: Bearer KEY` or `x-api-key: KEY` has one of the keys."""
        scheme, _, bearer = authorization.partition(b" ")
        given = [api_key, bearer.strip() if scheme.lower() == b"bearer" else b""]
        return any(hmac.compare_digest(key, one) for key in self._keys for one in given)

    def allow_metadata(self, metadata: Iterable[tuple[str, Any]]) -> bool:
        """The same for the metadata of a gRPC call."""
        given = {name: value.encode() for name, value in metadata if isinstance(value, str)}
        return self.allow(given.get("authorization", b""), given.get("x-api-key", b""))


def read_api_keys(path: Path | None) -> ApiKeys:
    """One key a line; blank and # lines are skipped. Raises NotFound, InvalidInput for a file without keys."""
    if path is None:
        return ApiKeys([])
    if not path.is_file():
        raise NotFound(f"expected API keys, one a line, in {path}; there is no such file")
    lines = [line.strip() for line in path.read_bytes().splitlines()]
    keys = [line for line in lines if line and not line.startswith(b"#")]
    if not keys:
        raise InvalidInput(f"expected API keys, one a line, in {path}; it has none")
    return ApiKeys(keys)


NO_KEY = "expected an API key, as `authorization: Bearer KEY` or `x-api-key: KEY`; none or another was given"
