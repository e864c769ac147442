"""Addresses of servers: `host:port`, or what else gRPC understands, such as `unix:/run/intarsia.sock`."""

from __future__ import annotations

import re

from intarsia import errors

_OTHER = re.compile(r"(unix|unix-abstract|vsock|dns|ipv4|ipv6|xds|passthrough):", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?P<host>[^\s:/\[\]@]+|\[[^\s/\[\]@]+\]):(?P<port>[0-9]{1,5})")


def check(server: str) -> None:
    """Raises `InvalidRequest` for an address that cannot be one, with the one that was probably meant."""
    if _OTHER.match(server):
        return
    found = _HOST_AND_PORT.fullmatch(server)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise errors.InvalidRequest(_remedy(server), field="server")


def is_local(server: str) -> bool:
    """True if a server is on this machine."""
    host = server.rsplit("/", 1)[-1].rsplit(":", 1)[0].strip("[]")
    return server.startswith("unix:") or host in ("localhost", "127.0.0.1", "::1")


def _remedy(server: str) -> str:
    scheme, is_url, rest = server.partition("://")
    if is_url:
        how = " and use TLS" if scheme.lower() in ("https", "grpcs") else ""
        rest = rest.split("/")[0]
        return f"{server!r} is a URL; write {rest if ':' in rest else f'{rest}:50051'}{how}"
    if ":" not in server and re.fullmatch(r"[^\s/\[\]@]+", server):
        return f"{server!r} names no port; write for example {server}:50051"
    if server.count(":") > 1 and "[" not in server:
        return f"{server!r} is not host:port; write an IPv6 address in brackets, for example [::1]:50051"
    return f"{server!r} is not host:port, with a port from 1 to 65535; write for example localhost:50051"
