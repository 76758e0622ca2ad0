"""Requests to addresses that a stranger chose: what is refused, what is kept, what is cut short."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from letta_ade.core import outbound
from letta_ade.core.addresses import Address, AllowList
from letta_ade.core.outbound import (
    Call,
    OutboundFailed,
    OutboundRefused,
    OutboundTooLarge,
    UnknownHost,
    check_url,
    fetch,
    fetch_sync,
)
from tests.support.fake_provider import Answer
from tests.support.receiver import Receiver, certificate_for, hanging, redirect

LOOPBACK = ip_address("127.0.0.1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on loopback, which the operator has excepted."""
    with (
        override_settings(OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1"])),
        Receiver() as server,
    ):
        yield server


class Names:
    """A name server: each name has answers, given one after the other, the last one again and again."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        queued = self.answers.get(host)
        if queued is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = queued.pop(0) if len(queued) > 1 else queued[0]
        return [ip_address(text) for text in found]


REFUSED = {
    "file:///etc/passwd": "neither http nor https",
    "ftp://example.com/x": "neither http nor https",
    "gopher://127.0.0.1:6379/_x": "neither http nor https",
    "//example.com/x": "neither http nor https",
    "example.com": "neither http nor https",
    "data:text/plain,x": "neither http nor https",
    "": "neither http nor https",
    "http://": "names no host",
    "http:///x": "names no host",
    "http://user:secret@example.com/": "holds a user name or a password",
    "http://user@example.com/": "holds a user name or a password",
    "http://ex\\@example.com/": "holds a user name or a password",
    "http://1.1.1.1 &@2.2.2.2# @3.3.3.3/": "holds a user name or a password",
    "http://exa\nmple.com/": "is not an address",
    "http://①②⑦.⓪.⓪.①/": "is not an address",
    "http://example.com:port/": "is not an address",
    "http://example.com:0/": "no possible port",
    "http://example.com:65536/": "no possible port",
    "http://127.0.0.1/": "127.0.0.1 is a loopback address",
    "http://127.0.0.1.:80/": "127.0.0.1 is a loopback address",
    "http://127.1/": "not an IPv4 address of four decimal numbers",
    "http://2130706433/": "not an IPv4 address of four decimal numbers",
    "http://0x7f000001/": "not an IPv4 address of four decimal numbers",
    "http://0177.0.0.1/": "is not an address: Invalid IPv4",
    "http://0/": "not an IPv4 address of four decimal numbers",
    "http://0.0.0.0:8283/": "an unspecified address",
    "http://10.0.0.5/": "a private address",
    "http://172.20.1.1/": "a private address",
    "http://192.168.1.1/": "a private address",
    "http://100.64.3.2/": "behind a carrier's NAT",
    "http://169.254.169.254/latest/meta-data/": "a link-local address",
    "http://168.63.129.16/": "a cloud's own services",
    "http://224.0.0.1/": "a multicast address",
    "http://255.255.255.255/": "a reserved address",
    "http://[::1]/": "a loopback address",
    "http://[::]/": "an unspecified address",
    "http://[::ffff:127.0.0.1]/": "an IPv4 address in IPv6 form",
    "http://[::ffff:7f00:1]/": "an IPv4 address in IPv6 form",
    "http://[::127.0.0.1]/": "a reserved address",
    "http://[64:ff9b::7f00:1]/": "behind NAT64",
    "http://[2002:7f00:1::]/": "a 6to4 tunnel",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/": "a Teredo tunnel",
    "http://[fd00:ec2::254]/": "a private address",
    "http://[fe80::1]/": "a link-local address",
    "http://[fe80::1%25eth0]/": "names a network interface",
    "http://[ff02::1]/": "a multicast address",
    "http://exa%6dple.com/": "is not a host name",
    "http://a..b/": "is not a host name",
}


@pytest.mark.parametrize("url", REFUSED)
async def test_an_address_that_is_not_public_http_is_refused_with_the_reason(url: str) -> None:
    names = Names()
    with pytest.raises(OutboundRefused, match=REFUSED[url]):
        await fetch(Call(url=url), look_up=names)
    with pytest.raises(OutboundRefused, match=REFUSED[url]):
        check_url(url, look_up=names)
    assert names.asked == []


@pytest.mark.parametrize(
    "url", ["http://user:secret@example.com/", "http://u:secret@[::1]:99999/", "ftp://u:secret@h/"]
)
async def test_an_error_does_not_repeat_a_password(url: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        await fetch(Call(url=url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:10.0.0.1"]
)
async def test_a_name_of_an_address_that_is_not_public_is_refused(address: str) -> None:
    names = Names(inside_example=[[address]])
    with pytest.raises(OutboundRefused, match=r"inside\.example leads to an? .*ADE_OUTBOUND_ALLOW"):
        await fetch(Call(url="http://inside.example/"), look_up=names)
    with pytest.raises(OutboundRefused):
        check_url("http://inside.example/", look_up=names)


async def test_localhost_is_refused_by_what_it_means() -> None:
    for name in ("localhost", "LOCALHOST."):
        with pytest.raises(OutboundRefused, match="localhost leads to a loopback address"):
            await fetch(Call(url=f"http://{name}:1/"))


async def test_a_name_without_address_is_refused_and_one_that_is_unknown_fails() -> None:
    with pytest.raises(OutboundRefused, match="leads to no address"):
        await fetch(Call(url="http://empty.example/"), look_up=Names(empty_example=[[]]))
    with pytest.raises(UnknownHost, match=r"There is no host 'no\.example'"):
        await fetch(Call(url="http://no.example/"), look_up=Names())
    with pytest.raises(UnknownHost):
        check_url("http://no.example/", look_up=Names())


async def test_a_name_server_that_fails_is_not_taken_for_an_unknown_host() -> None:
    def fail(host: str, port: int) -> list[Address]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(OutboundFailed, match="could not be looked up: Temporary failure") as caught:
        await fetch(Call(url="http://a.example/"), look_up=fail)
    assert not isinstance(caught.value, UnknownHost)


async def test_a_name_server_that_hangs_counts_into_the_time(receiver: Receiver) -> None:
    answer = threading.Event()

    def hang(host: str, port: int) -> list[Address]:
        answer.wait(10)
        return [LOOPBACK]

    with pytest.raises(OutboundFailed, match=r"did not answer within 0\.1 s"):
        await fetch(Call(url="http://a.example/", total_seconds=0.1), look_up=hang)
    with pytest.raises(OutboundFailed, match="did not answer in time"):
        check_url("http://a.example/", seconds=0.05, look_up=hang)
    answer.set()


async def test_a_plain_request_carries_its_method_headers_and_body(receiver: Receiver) -> None:
    answer = await fetch(
        Call(url=f"{receiver.url}/x?y=1#z", method="POST", headers={"X-One": "1"}, body=b'{"a": 1}')
    )
    (got,) = receiver.received
    assert (answer.status, answer.body, answer.url) == (200, b"ok", f"{receiver.url}/x?y=1#z")
    assert (got.method, got.path, got.query, got.body) == ("POST", "/x", {"y": "1"}, {"a": 1})
    assert got.headers["x-one"] == "1"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["user-agent"].startswith("Letta-ADE/")


def test_a_thread_without_a_loop_fetches_too(receiver: Receiver) -> None:
    assert fetch_sync(Call(url=receiver.url)).body == b"ok"


async def test_an_error_status_is_an_answer(receiver: Receiver) -> None:
    answer = await fetch(Call(url=receiver.on("/gone", Answer(status=410, body=b"no"))))
    assert (answer.status, answer.body) == (410, b"no")


async def test_the_connection_goes_to_the_address_that_was_judged(receiver: Receiver) -> None:
    """The second answer is one that nobody may call: if the name were looked up again, this could not work."""
    names = Names(hooks_example=[["127.0.0.1"], ["127.0.0.9"]])
    url = f"http://hooks.example:{receiver.port}/in"
    assert (await fetch(Call(url=url), look_up=names)).body == b"ok"
    assert names.asked == ["hooks.example"]
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"
    with pytest.raises(OutboundRefused, match="a loopback address"):
        await fetch(Call(url=url), look_up=names)
    assert len(receiver.received) == 1


async def test_of_several_addresses_only_permitted_ones_are_tried(receiver: Receiver) -> None:
    # On the first permitted one nobody listens, and 127.0.0.9 (where the receiver would not be asked) is not permitted.
    with override_settings(OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1", "127.0.0.2"])):
        names = Names(many_example=[["127.0.0.9", "127.0.0.2", "127.0.0.1"]])
        answer = await fetch(Call(url=f"http://many.example:{receiver.port}/"), look_up=names)
    assert answer.body == b"ok"


async def test_an_excepted_name_may_lead_anywhere(receiver: Receiver) -> None:
    with override_settings(OUTBOUND_ALLOW=AllowList.parse(["hooks.internal"])):
        names = Names(hooks_internal=[["127.0.0.1"]], other_internal=[["127.0.0.1"]])
        url = f"http://hooks.internal:{receiver.port}/"
        assert (await fetch(Call(url=url), look_up=names)).body == b"ok"
        check_url(url, look_up=names)
        with pytest.raises(OutboundRefused):
            await fetch(Call(url=f"http://other.internal:{receiver.port}/"), look_up=names)


async def test_redirects_are_followed_and_counted(receiver: Receiver) -> None:
    receiver.on("/1", redirect("/2"))
    receiver.on("/2", redirect(f"{receiver.url}/3", 307))
    receiver.on("/3", redirect("4", 308))
    answer = await fetch(Call(url=f"{receiver.url}/1"))
    assert (answer.body, answer.url) == (b"ok", f"{receiver.url}/4")
    receiver.on("/0", redirect("/1"))
    with pytest.raises(OutboundFailed, match="leads on more than 3 times"):
        await fetch(Call(url=f"{receiver.url}/0"))


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/",
        "http://[::1]/",
        "http://2130706433/",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "//10.0.0.1/x",
    ],
)
async def test_a_redirect_to_what_may_not_be_called_is_refused(receiver: Receiver, to: str) -> None:
    with pytest.raises(OutboundRefused):
        await fetch(Call(url=receiver.on("/away", redirect(to))))


async def test_a_redirect_looks_its_name_up_again(receiver: Receiver) -> None:
    names = Names(a_example=[["127.0.0.1"], ["10.0.0.1"]])
    receiver.on("/1", redirect("/2"))
    with pytest.raises(OutboundRefused, match=r"a\.example leads to a private address"):
        await fetch(Call(url=f"http://a.example:{receiver.port}/1"), look_up=names)
    assert (names.asked, receiver.paths) == (["a.example", "a.example"], ["/1"])


async def test_headers_and_cookies_do_not_follow_to_another_server(receiver: Receiver) -> None:
    with Receiver() as other:
        first = Answer(status=302, headers={"location": f"{other.url}/there", "set-cookie": "a=1; Path=/"})
        receiver.on("/1", redirect("/2"))
        receiver.on("/2", first)
        await fetch(Call(url=f"{receiver.url}/1", headers={"X-Key": "k"}))
    assert [each.headers.get("x-key") for each in receiver.received] == ["k", "k"]
    assert "x-key" not in other.received[0].headers
    assert "cookie" not in other.received[0].headers


async def test_a_post_is_not_sent_on(receiver: Receiver) -> None:
    answer = await fetch(Call(url=receiver.on("/1", redirect("/2")), method="POST", body=b"{}"))
    assert (answer.status, receiver.paths) == (302, ["/1"])


async def test_nothing_of_the_environment_goes_along(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await fetch(Call(url=receiver.url))).body == b"ok"
    assert "authorization" not in receiver.received[0].headers


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_over_the_size_is_cut_off(receiver: Receiver, packed: bool) -> None:
    def answer(size: int) -> Answer:
        body = b"\0" * size
        headers = {"content-encoding": "gzip"} if packed else {}
        return Answer(headers=headers, body=gzip.compress(body) if packed else body)

    fits = await fetch(Call(url=receiver.on("/fits", answer(1000)), most_bytes=1000))
    assert len(fits.body) == 1000
    with pytest.raises(OutboundTooLarge, match="larger than 1,000 bytes"):
        await fetch(Call(url=receiver.on("/over", answer(1001)), most_bytes=1000))


async def test_a_stream_over_the_size_is_not_read_to_its_end(receiver: Receiver) -> None:
    # It never ends: only a reader that stops by itself comes back.
    with pytest.raises(OutboundTooLarge):
        await fetch(Call(url=receiver.on("/", hanging(b"x" * 80_000)), most_bytes=1000))


async def test_a_packed_bomb_is_not_unpacked(receiver: Receiver) -> None:
    unpacked: list[int] = []

    class Counting:
        def __init__(self, bits: int) -> None:
            self._real = zlib.decompressobj(bits)

        def decompress(self, data: bytes, most: int) -> bytes:
            piece = self._real.decompress(data, most)
            unpacked.append(len(piece))
            return piece

        @property
        def eof(self) -> bool:
            return self._real.eof

    bomb = Answer(headers={"content-encoding": "gzip"}, body=gzip.compress(b"\0" * 50_000_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbound, "zlib", _ZlibWith(Counting))
        with pytest.raises(OutboundTooLarge):
            await fetch(Call(url=receiver.on("/", bomb), most_bytes=10_000))
    assert sum(unpacked) == 10_001


class _ZlibWith:
    """The module, but for how it begins to unpack."""

    def __init__(self, decompressobj: Any) -> None:
        self.decompressobj = decompressobj

    def __getattr__(self, name: str) -> Any:
        return getattr(zlib, name)


async def test_packed_answers_are_unpacked_and_broken_ones_are_told(receiver: Receiver) -> None:
    def packed(body: bytes, encoding: str) -> Answer:
        return Answer(headers={"content-encoding": encoding}, body=body)

    whole = gzip.compress(b"hello" * 100)
    for encoding, body in (("gzip", whole), ("deflate", zlib.compress(b"hello" * 100))):
        assert (await fetch(Call(url=receiver.on(f"/{encoding}", packed(body, encoding))))).body == (
            b"hello" * 100
        )
    for name, broken, words in (
        ("half", packed(whole[:-9], "gzip"), "breaks off"),
        ("none", packed(b"plain text", "gzip"), "cannot be unpacked"),
        ("other", packed(b"x", "br"), "packed as 'br'"),
    ):
        with pytest.raises(OutboundFailed, match=words):
            await fetch(Call(url=receiver.on(f"/{name}", broken)))


async def test_an_answer_whose_body_nobody_wants_is_not_read(receiver: Receiver) -> None:
    call = Call(url=receiver.on("/", hanging(b"x")), method="POST", body=b"{}", most_bytes=0)
    answer = await fetch(call)
    assert (answer.status, answer.body) == (200, b"")


async def test_a_body_that_comes_too_slowly_is_given_up(receiver: Receiver) -> None:
    with pytest.raises(OutboundFailed, match=r"did not answer within 0\.2 s"):
        await fetch(Call(url=receiver.on("/", hanging(b"a", b"b")), total_seconds=0.2))


def test_the_time_holds_for_a_thread_too(receiver: Receiver) -> None:
    with pytest.raises(OutboundFailed, match=r"did not answer within 0\.2 s"):
        fetch_sync(Call(url=receiver.on("/", hanging(b"a")), total_seconds=0.2))


async def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    with (
        override_settings(OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1"])),
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(OutboundFailed, match="did not answer within"):
            await fetch(Call(url=url, total_seconds=0.2))


async def test_a_port_on_which_nobody_listens_is_named(receiver: Receiver) -> None:
    port = receiver.port
    receiver.stop()
    with pytest.raises(
        OutboundFailed, match=f"127.0.0.1 could not be reached on port {port}: connection refused"
    ):
        await fetch(Call(url=f"http://127.0.0.1:{port}/"))


@contextmanager
def speaking(said: bytes) -> Iterator[int]:
    """A server of another protocol: it hears a little, says this and hangs up. Its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with override_settings(OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1"])):
            yield server.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize(
    ("scheme", "words"), [("http", "did not answer in HTTP"), ("https", "did not agree on an encrypted")]
)
async def test_an_answer_of_another_protocol_is_told(scheme: str, words: str) -> None:
    with (
        speaking(b"220 mail.example ESMTP\r\n") as port,
        pytest.raises(OutboundFailed, match=f"127.0.0.1 {words}"),
    ):
        await fetch(Call(url=f"{scheme}://127.0.0.1:{port}/"))


async def test_a_connection_that_is_hung_up_is_told() -> None:
    with speaking(b"") as port, pytest.raises(OutboundFailed, match=r"127\.0\.0\.1"):
        await fetch(Call(url=f"http://127.0.0.1:{port}/"))


class TestTls:
    """A receiver behind a certificate that only those trust who are told to."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        return certificate_for("hooks.example", tmp_path)

    @pytest.fixture
    def called(self) -> list[str | None]:
        return []

    @pytest.fixture
    def receiver(self, certificate: Path, called: list[str | None]) -> Iterator[Receiver]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        tls.sni_callback = lambda _socket, name, _context: called.append(name)
        with (
            override_settings(OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1"])),
            Receiver(tls=tls) as server,
        ):
            yield server

    @pytest.fixture
    def trusting(self, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        outbound._tls.cache_clear()
        yield
        outbound._tls.cache_clear()

    async def test_the_name_is_what_tls_asks_for_although_the_address_is_called(
        self, receiver: Receiver, called: list[str | None], trusting: None
    ) -> None:
        names = Names(hooks_example=[["127.0.0.1"]])
        answer = await fetch(Call(url=f"https://hooks.example:{receiver.port}/in"), look_up=names)
        assert (answer.body, called) == (b"ok", ["hooks.example"])
        assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"

    async def test_the_certificate_must_be_of_the_name(self, receiver: Receiver, trusting: None) -> None:
        names = Names(other_example=[["127.0.0.1"]])
        with pytest.raises(
            OutboundFailed, match=r"certificate of other\.example is not valid: Hostname mismatch"
        ):
            await fetch(Call(url=f"https://other.example:{receiver.port}/"), look_up=names)
        assert receiver.received == []

    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, receiver: Receiver) -> None:
        names = Names(hooks_example=[["127.0.0.1"]])
        with pytest.raises(OutboundFailed, match=r"certificate of hooks\.example is not valid: self-signed"):
            await fetch(Call(url=f"https://hooks.example:{receiver.port}/"), look_up=names)

    async def test_a_redirect_out_of_tls_is_refused(self, receiver: Receiver, trusting: None) -> None:
        names = Names(hooks_example=[["127.0.0.1"]])
        receiver.on("/1", redirect(f"http://hooks.example:{receiver.port}/2"))
        with pytest.raises(OutboundRefused, match="from https to http"):
            await fetch(Call(url=f"https://hooks.example:{receiver.port}/1"), look_up=names)
