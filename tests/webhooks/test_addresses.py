"""No webhook reaches what is not public (P17): every reserved range, however it is written or resolved."""

import ipaddress
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.addresses import Allowed, HostUnknown, Target, UrlRefused, addresses_of, is_public, parse_url

NOBODY = Allowed()

RESERVED = [
    # IANA IPv4 Special-Purpose Address Registry, multicast, 6to4 relays
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.0.1",
    "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.170",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    # IANA IPv6 Special-Purpose Address Registry, multicast, what was never given out
    "::", "::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    "ff0e::1", "4000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "2001:4860:4860::8888",
          "2606:4700::1111", "2a00:1450::1"]  # fmt: skip


def wrapped(address: str) -> list[str]:
    """Every IPv6 address that leads to an IPv4 address."""
    number = int(ipaddress.IPv4Address(address))
    return [
        f"::ffff:{address}",
        str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number)),
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
    ]


ALL_RESERVED = RESERVED + [form for text in RESERVED if ":" not in text for form in wrapped(text)]
ALL_PUBLIC = PUBLIC + [form for text in PUBLIC if ":" not in text for form in wrapped(text)]


@pytest.mark.parametrize("address", ALL_RESERVED)
def test_a_reserved_address_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(UrlRefused):
        addresses_of(target("hooks.example.com"), lambda _h, _p: [address], 1.0)
    with pytest.raises(UrlRefused):
        parse_url(f"https://{bracketed(address)}/", NOBODY)


@pytest.mark.parametrize("address", ALL_PUBLIC)
def test_a_public_address_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert addresses_of(target("hooks.example.com"), lambda _h, _p: [address], 1.0) == [address]
    parsed = parse_url(f"https://{bracketed(address)}/", NOBODY)
    assert addresses_of(parsed, no_resolver, 1.0) == [str(ipaddress.ip_address(address))]


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def target(host: str) -> Target:
    return parse_url(f"https://{host}/", NOBODY)


def no_resolver(_host: str, _port: int) -> list[str]:
    raise AssertionError("an address is not resolved")


@pytest.mark.parametrize("addresses", [["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"], ["8.8.8.8", "fe80::1%eth0"]])
def test_one_bad_address_among_good_ones_is_enough(addresses: list[str]) -> None:
    with pytest.raises(UrlRefused) as caught:
        addresses_of(target("hooks.example.com"), lambda _h, _p: addresses, 1.0)
    assert not any(address in str(caught.value) for address in addresses)


@pytest.mark.parametrize(
    "url",
    [
        # IPv4 in other spellings: decimal, octal, hexadecimal, fewer parts, with a dot at the end
        "https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
        "https://0x7f.0.0.1/", "https://127.0.1/", "https://0xa9fea9fe/", "https://2852039166/", "https://127.0.0.1./",
        "https://a.0x7f/", "https://1.2.3.4.5/", "https://08.8.8.8/",
        # names of this machine and of a local network
        "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://a.localhost/", "https://router/",
        # other schemes, ports and parts
        "http://example.com/", "https://example.com:8443/", "https://example.com:80/", "https://example.com:0/",
        "https://example.com:65536/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
        "https://user@example.com/", "https://user:word@example.com/", "https://example.com@127.0.0.1/",
        "https://example.com/#part", "https://example.com\\@127.0.0.1/", "https://example.com\\.evil.test/",
        "//example.com", "https:example.com", "https:///example.com", "https://", "https://[::1", "https://[fe80::1%25eth0]/",
        "https://exa mple.com/", "https://example.com/a b", "https://example.com/\r\nHost: x", "https://example.com/\t",
        " https://example.com/", "https://example.com/\n", "https://exämple.com/", "https://example.com/ä",
        "https://example..com/", "https://-a.example.com/", "https://.example.com/", f"https://{'a' * 64}.com/",
        f"https://{'a.' * 130}com/", f"https://example.com/{'a' * 2048}", "", "https://127。0。0。1/", "https://①②⑦.0.0.1/",
        "https://example.com:443:443/", "https://example.com:/", "https://[::ffff:127.0.0.1]/", "https://[1.2.3.4]/",
    ],
)  # fmt: skip
def test_a_url_that_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        parse_url(url, NOBODY)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://Example.COM", "example.com", "/"),
        ("https://example.com:443/a/b?c=d&e=%20", "example.com", "/a/b?c=d&e=%20"),
        ("https://example.com?x=1", "example.com", "/?x=1"),
        ("HTTPS://my_hook.example.com./", "my_hook.example.com", "/"),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", "/"),
        ("https://example.com/a@b:c//d", "example.com", "/a@b:c//d"),
    ],
)
def test_a_url_by_its_parts(url: str, host: str, path: str) -> None:
    assert parse_url(url, NOBODY) == Target("https", host, 443, path, "public")


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/", f"https://example.com/{text}"):
        try:
            parsed = parse_url(url, NOBODY)
        except UrlRefused:
            continue
        assert (parsed.scheme, parsed.port) == ("https", 443)
        assert parsed.host.isascii()
        parsed.host.encode("idna")  # as the resolver and TLS do
        assert parsed.path.isascii()


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_wrapped_in_ipv6_is_as_public_as_it_is_bare(number: int) -> None:
    address = ipaddress.IPv4Address(number)
    assert {is_public(ipaddress.ip_address(form)) for form in wrapped(str(address))} == {is_public(address)}


def test_the_operator_may_list_hosts() -> None:
    allowed = Allowed.parse("hooks.internal:8443, Plain.internal ,[fd00::5]:8080, 10.0.0.7")
    assert parse_url("http://hooks.internal:8443/x", allowed).permit == "listed"
    assert parse_url("http://plain.internal/", allowed).permit == "listed"
    assert parse_url("https://plain.internal/", allowed).permit == "listed"
    inside = parse_url("http://[fd00::5]:8080/", allowed)
    assert (inside.host, inside.permit) == ("fd00::5", "listed")
    assert addresses_of(inside, no_resolver, 1.0) == ["fd00::5"]
    assert addresses_of(parse_url("https://10.0.0.7/", allowed), no_resolver, 1.0) == ["10.0.0.7"]
    for url in ("http://hooks.internal/", "https://plain.internal:8443/", "http://[fd00::5]/", "http://127.0.0.1/"):
        with pytest.raises(UrlRefused):
            parse_url(url, allowed)


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0"])
def test_a_listed_host_still_does_not_lead_to_a_clouds_metadata(address: str) -> None:
    listed = parse_url("http://plain.internal/", Allowed.parse("plain.internal"))
    with pytest.raises(UrlRefused):
        addresses_of(listed, lambda _h, _p: [address], 1.0)


def test_loopback_is_for_names_of_this_machine_only() -> None:
    allowed = Allowed.parse("loopback")
    for host in ("127.0.0.1", "localhost", "[::1]", "a.localhost"):
        here = parse_url(f"http://{host}:9000/", allowed)
        assert here.permit == "loopback"
        assert addresses_of(here, lambda _h, _p: ["127.0.0.1", "::1"], 1.0)
        if not host[0].isdigit() and host != "[::1]":
            with pytest.raises(UrlRefused):
                addresses_of(here, lambda _h, _p: ["10.0.0.1"], 1.0)
    with pytest.raises(UrlRefused):  # a public name that leads here is still not reached
        addresses_of(parse_url("https://evil.example.com/", allowed), lambda _h, _p: ["127.0.0.1"], 1.0)
    with pytest.raises(UrlRefused):
        parse_url("http://evil.example.com/", allowed)
    assert Allowed.parse(None) == Allowed.parse("  ") == NOBODY


def test_a_name_without_addresses_or_an_answer_is_unknown() -> None:
    never = threading.Event()
    with pytest.raises(HostUnknown):
        addresses_of(target("a.example.com"), lambda _h, _p: [], 1.0)

    def slow(_host: str, _port: int) -> list[str]:
        never.wait(10)
        return ["8.8.8.8"]

    with pytest.raises(HostUnknown):
        addresses_of(target("a.example.com"), slow, 0.02)
    never.set()
