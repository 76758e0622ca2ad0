"""A server on loopback that is not ours: what an address leads to that a user chose."""

from __future__ import annotations

import ssl
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.fake_provider import Answer, FakeProvider, FakeReply, Received


class Receiver(FakeProvider):
    """Answers each path with what was queued for it, the last one again and again; a path without gets 200 and "ok"."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)

    def on(self, path: str, *answers: Answer) -> str:
        """Queue answers for a path and return its address."""
        self._answers[path].extend(answers)
        return f"{self.url}{path}"

    def route(self, request: Received) -> Answer:
        queued = self._answers[request.path]
        if not queued:
            return Answer(body=b"ok")
        return queued.popleft() if len(queued) > 1 else queued[0]

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.path for request in self.received]


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"location": to})


def hanging(*frames: bytes) -> Answer:
    """An answer that stops after these pieces and never ends."""
    return Answer(frames=(*frames, b"x"), reply=FakeReply(hang_after=len(frames)))


def certificate_for(name: str, folder: Path) -> Path:
    """A PEM file with a key and a certificate that the name has signed for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
