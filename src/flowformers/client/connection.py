"""Where the server is and how to be let in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from flowformers.errors import InvalidInput, NotFound

SCHEMES = {"http": 8501, "https": 8501, "grpc": 8500, "grpcs": 8500}
# What both protocols carry (RFC 9110, section 5; gRPC over HTTP/2, ASCII-Value).
HEADER_NAME, HEADER_VALUE = re.compile(r"[0-9a-z_.!#$%&'*+^`|~-]+"), re.compile(r"[ -~]*")
FORMS = "http://HOST:PORT, https://HOST:PORT, grpc://HOST:PORT, grpcs://HOST:PORT or unix:PATH"


@dataclass(frozen=True)
class Tls:
    """PEM files. ca: whom to trust instead of the system's list; certificate and key: who we are, where it is asked."""

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InvalidInput("expected certificate and key together; one is missing")
        for path in (self.ca, self.certificate, self.key):
            if path is not None and not Path(path).is_file():
                raise NotFound(f"expected a PEM file at {path}; there is none")


@dataclass(frozen=True)
class Connection:
    """url: one of FORMS. headers go with every request: HTTP headers or gRPC metadata. Raises InvalidInput."""

    url: str
    api_key: str | None = None
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tls is not None and not self.secure:
            raise InvalidInput(f"tls is for https:// and grpcs://; got {self.url!r}")
        for name, value in self.all_headers.items():
            if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
                raise InvalidInput(f"expected a header of printable ASCII on one line; that of {name!r} is not")

    @property
    def is_grpc(self) -> bool:
        return self._parts.scheme in ("grpc", "grpcs", "unix")

    @property
    def secure(self) -> bool:
        return self._parts.scheme in ("https", "grpcs")

    @property
    def _parts(self) -> SplitResult:
        parts = urlsplit(self.url)
        if parts.scheme == "unix" and parts.path:
            return parts
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise InvalidInput(f"expected {FORMS}; got {self.url!r}")
        return parts

    @property
    def base_url(self) -> str:
        """For REST: the URL with its port and without a slash at the end."""
        parts = self._parts
        return f"{parts.scheme}://{self.address}{parts.path.rstrip('/')}"

    @property
    def address(self) -> str:
        """HOST:PORT, or unix:PATH, as gRPC takes it."""
        parts = self._parts
        if parts.scheme == "unix":
            return self.url
        try:
            port = parts.port or SCHEMES[parts.scheme]
        except ValueError as error:
            raise InvalidInput(f"expected {FORMS}; got {self.url!r}: {error}") from error
        return f"[{parts.hostname}]:{port}" if ":" in str(parts.hostname) else f"{parts.hostname}:{port}"

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers with the API key, in lower case as gRPC wants them."""
        key = {"authorization": f"Bearer {self.api_key}"} if self.api_key is not None else {}
        return {name.lower(): value for name, value in self.headers.items()} | key

    def read_tls(self, name: str) -> bytes | None:
        """The content of a file of `tls`."""
        path: Any = getattr(self.tls, name, None)
        return None if path is None else Path(path).read_bytes()
