"""Which addresses a webhook may reach: public ones, and those that the operator lists (SSRF rules).

A URL is taken apart once, by one strict pattern, and connected to by its parts: there is no second parser
that could read it otherwise. A name is resolved once a try; every address must pass, and the connection goes
to one of those, so that a second answer of the resolver changes nothing.
"""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Resolver = Callable[[str, int], list[str]]
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARS = 2048

_EXCEPTIONS = "TRAINYARD_WEBHOOK_ALLOW of the service names exceptions"
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][\x21-\x7e]*)?",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Python's `is_global` lets some of these pass, which ones differs from release to release. IANA's registries of
# special-purpose addresses (RFC 6890 and its successors), and 6to4 relays (RFC 7526).
_V4_SPECIAL = tuple(
    map(ipaddress.IPv4Network, ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/3"))
)
# Only 2000::/3 is given out to the public (RFC 4291 §2.4); in it: Teredo and protocols, documentation.
_V6_PUBLIC = ipaddress.IPv6Network("2000::/3")
_V6_SPECIAL = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")


class UrlRefused(ValueError):
    """An address that a webhook must not, or cannot, be sent to; the text says why, and names no address."""


class HostUnknown(UrlRefused):
    """The host's name has no address, or none in time."""


@dataclass(frozen=True)
class Target:
    """A URL by its parts, and why its host may be reached."""

    scheme: Literal["http", "https"]
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int
    path: str
    permit: Literal["public", "listed", "loopback"]


@dataclass(frozen=True)
class Allowed:
    """The operator's exceptions (`TRAINYARD_WEBHOOK_ALLOW`): hosts, hosts with a port, and `loopback`."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    loopback: bool = False

    @classmethod
    def parse(cls, text: str | None) -> "Allowed":
        """Read `loopback, host, host:8443, [fd00::5]:8080`."""
        hosts = set()
        entries = [entry.strip().lower() for entry in (text or "").split(",") if entry.strip()]
        for entry in entries:
            host, colon, port = entry.rpartition(":")
            has_port = colon and port.isdigit() and not (host.count(":") and not host.endswith("]"))
            name = host if has_port else entry
            hosts.add((name.strip("[]"), int(port) if has_port else None))
        hosts.discard(("loopback", None))
        return cls(frozenset(hosts), "loopback" in entries)

    def permit(self, host: str, port: int) -> Literal["public", "listed", "loopback"]:
        """Return as what `host` may be reached on `port`."""
        if (host, port) in self.hosts or ((host, None) in self.hosts and port in (80, 443)):
            return "listed"
        if self.loopback and _names_loopback(host):
            return "loopback"
        return "public"


def parse_url(url: str, allowed: Allowed) -> Target:
    """Take a URL apart; raise UrlRefused for what no webhook is sent to, whatever its name resolves to."""
    match = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
    if match is None or "#" in url or "\\" in url:
        raise UrlRefused(
            "send an absolute https:// URL of visible ASCII characters, without a user, a password or a fragment"
        )
    scheme: Literal["http", "https"] = "https" if match["scheme"].lower() == "https" else "http"
    host = _plain_host(match["host"].lower())
    port = int(match["port"]) if match["port"] else (443 if scheme == "https" else 80)
    if not 0 < port < 65536:
        raise UrlRefused("a port is from 1 to 65535")
    path = match["target"] or "/"
    target = Target(scheme, host, port, path if path.startswith("/") else f"/{path}", allowed.permit(host, port))
    if target.permit == "public":
        _check_public(target)
    return target


def _plain_host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise UrlRefused("the host is no IPv6 address") from None
    host = host.removesuffix(".")
    labels = host.split(".")
    # WHATWG URL §3.5: a host whose last label is a number is an IPv4 address. Of its many spellings (decimal,
    # octal, hexadecimal, fewer parts) only the usual one is taken.
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise UrlRefused("write an IPv4 address as four decimal numbers") from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefused("the host is no DNS name")
    return host


def _check_public(target: Target) -> None:
    if target.scheme != "https":
        raise UrlRefused(f"only https is allowed; {_EXCEPTIONS}")
    if target.port != 443:
        raise UrlRefused(f"only port 443 is allowed; {_EXCEPTIONS}")
    address = _literal(target.host)
    if address is not None:
        if not is_public(address):
            raise UrlRefused(f"the address is not public; {_EXCEPTIONS}")
    elif _names_loopback(target.host) or "." not in target.host:
        raise UrlRefused(f"the host is not public; {_EXCEPTIONS}")


def addresses_of(target: Target, resolver: Resolver, within_seconds: float) -> list[str]:
    """Resolve the host once and return its addresses, all of which are fit; else raise UrlRefused."""
    literal = _literal(target.host)
    found = [str(literal)] if literal else _resolve_within(resolver, target.host, target.port, within_seconds)
    if not found:
        raise HostUnknown("the host was not found")
    for text in found:
        address = _literal(text.split("%")[0])
        if address is None or not _is_fit(address, target.permit):
            raise UrlRefused("the host resolves to an address that is not allowed")
    return found


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host, in the order in which to try them; none when there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _resolve_within(resolver: Resolver, host: str, port: int, seconds: float) -> list[str]:
    """Resolve in a thread: the system's resolver knows no time-out, and may take half a minute."""
    answer: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(resolver(host, port)), name="resolve", daemon=True).start()
    try:
        return answer.get(timeout=max(seconds, 0.0))
    except queue.Empty:
        raise HostUnknown("the host's name was not resolved in time") from None


def unwrapped(address: IpAddress) -> IpAddress:
    """Return the IPv4 address inside a mapped (::ffff:0:0/96), NAT64 or 6to4 address; any other as it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _6TO4:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return address


def is_public(address: IpAddress) -> bool:
    """Tell whether an address, or the IPv4 address inside it, is one of the public Internet."""
    inner = unwrapped(address)
    if isinstance(inner, ipaddress.IPv4Address):
        return inner.is_global and not any(inner in network for network in _V4_SPECIAL)
    return inner.is_global and inner in _V6_PUBLIC and not any(inner in network for network in _V6_SPECIAL)


def _is_fit(address: IpAddress, permit: str) -> bool:
    inner = unwrapped(address)
    if permit == "public":
        return is_public(address)
    if permit == "loopback":
        return inner.is_loopback
    # A listed host may be inside; what hands out a cloud machine's keys (169.254.169.254) is not for a listed one.
    return not (inner.is_link_local or inner.is_multicast or inner.is_unspecified)


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _names_loopback(host: str) -> bool:
    address = _literal(host)
    if address is not None:
        return unwrapped(address).is_loopback
    return host == "localhost" or host.endswith(".localhost")
