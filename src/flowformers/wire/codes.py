"""Error kinds on both protocols, side by side (TF Serving protocol, section 9)."""

from __future__ import annotations

from flowformers.errors import Kind

# Kind: (HTTP status, gRPC code's number)
CODES: dict[Kind, tuple[int, int]] = {
    Kind.OK: (200, 0),
    Kind.CANCELLED: (499, 1),
    Kind.UNKNOWN: (500, 2),
    Kind.INVALID_ARGUMENT: (400, 3),
    Kind.DEADLINE_EXCEEDED: (504, 4),
    Kind.NOT_FOUND: (404, 5),
    Kind.ALREADY_EXISTS: (409, 6),
    Kind.PERMISSION_DENIED: (403, 7),
    Kind.RESOURCE_EXHAUSTED: (429, 8),
    Kind.FAILED_PRECONDITION: (400, 9),
    Kind.ABORTED: (409, 10),
    Kind.OUT_OF_RANGE: (400, 11),
    Kind.UNIMPLEMENTED: (501, 12),
    Kind.INTERNAL: (500, 13),
    Kind.UNAVAILABLE: (503, 14),
    Kind.DATA_LOSS: (500, 15),
    Kind.UNAUTHENTICATED: (401, 16),
}
# What kind_of_http can't read off the table: several kinds have 400, and proxies have words of their own.
FROM_HTTP = {400: Kind.INVALID_ARGUMENT, 408: Kind.DEADLINE_EXCEEDED, 502: Kind.UNAVAILABLE}


def http_status(kind: Kind) -> int:
    """The HTTP status of a kind."""
    return CODES[kind][0]


def grpc_code(kind: Kind) -> int:
    """The gRPC code's number of a kind."""
    return CODES[kind][1]


def kind_of_grpc(code: int) -> Kind:
    """The kind of a gRPC code's number; UNKNOWN for one that gRPC does not define."""
    return next((kind for kind, (_, number) in CODES.items() if number == code), Kind.UNKNOWN)


def kind_of_http(status: int) -> Kind:
    """The kind that an HTTP status most likely means; the tables are not one to one, and a proxy has more of them."""
    if status in FROM_HTTP:
        return FROM_HTTP[status]
    other = Kind.INVALID_ARGUMENT if 400 <= status < 500 else Kind.UNKNOWN
    return next((kind for kind, (number, _) in CODES.items() if number == status), other)
