"""E2B on loopback: its API makes machines that are folders here, and their commands run with our own Python."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

#: Where the product keeps its files on a machine; here it is a folder of the fake.
THERE = "/tmp/ade"


class FakeE2b:
    """What was asked for, machines that live, and answers that a test prepares."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.killed: list[str] = []
        self.keys: set[str | None] = set()
        #: Given instead of a machine: status, body.
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="ade-e2b-"))
        fake = self

        class Handler(_Handler):
            e2b = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        shutil.rmtree(self.folder)

    def place(self, path: str) -> Path:
        """Where a path of the machine is here."""
        return self.folder / path.removeprefix(THERE).lstrip("/")


class _Handler(BaseHTTPRequestHandler):
    e2b: FakeE2b
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        body = self._body()
        match urlsplit(self.path).path:
            case "/v2/sandboxes" | "/sandboxes":
                self._create(json.loads(body))
            case "/files":
                self._write(body)
            case "/process.Process/Start":
                self._start(json.loads(body[5:]))
            case _:
                self._send(404, {"code": 404, "message": "no such route"})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != "/files":
            self._send(204, None)
            return
        place = self.e2b.place(parse_qs(parts.query)["path"][0])
        if place.exists():
            self._send_bytes(200, place.read_bytes(), "application/octet-stream")
        else:
            self._send(404, {"code": 404, "message": "no such file"})

    def do_DELETE(self) -> None:
        self.e2b.killed.append(self.path.rpartition("/")[2])
        self._send(204, None)

    def _create(self, wanted: dict[str, Any]) -> None:
        self.e2b.keys.add(self.headers.get("X-API-Key"))
        self.e2b.created.append(wanted)
        if self.e2b.refusal is not None:
            self._send(*self.e2b.refusal)
            return
        name = f"machine{len(self.e2b.created)}"
        made = {
            "sandboxID": name,
            "templateID": "base",
            "clientID": "c",
            "envdVersion": "0.6.2",
            "domain": None,
        }
        self._send(201, made)

    def _write(self, body: bytes) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        written = []
        for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
            name = str(part.get_filename())
            place = self.e2b.place(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            place.write_bytes(content)
            written.append({"name": place.name, "path": name, "type": "file"})
        self._send(200, written)

    def _start(self, request: dict[str, Any]) -> None:
        """Run the command and send its events as a stream of envelopes, each a flag, a length and JSON."""
        self.send_response(200)
        self.send_header("Content-Type", "application/connect+json")
        self.send_header("Connection", "close")
        self.end_headers()
        arguments = [each.replace(THERE, str(self.e2b.folder)) for each in request["process"]["args"]]
        arguments = [each.replace("python3 -c", f"{sys.executable} -c") for each in arguments]
        process = subprocess.Popen(
            ["/bin/bash", "-c", arguments[-1]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **request["process"].get("envs", {})},
        )
        try:
            self._event({"start": {"pid": process.pid}})
            limit = int(self.headers.get("Connect-Timeout-Ms") or 60_000) / 1000
            try:
                stdout, stderr = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                self._envelope(2, {"error": {"code": "deadline_exceeded", "message": "too long"}})
                return
            for name, data in (("stdout", stdout), ("stderr", stderr)):
                if data:
                    self._event({"data": {name: _base64(data)}})
            code = process.returncode
            self._event({"end": {"exitCode": code, "exited": True, "status": f"exit status {code}"}})
            self._envelope(2, {})
        except OSError:
            pass  # the client has gone, as after its own timeout
        finally:
            process.kill()
            process.communicate()
            self.close_connection = True

    def _event(self, event: dict[str, Any]) -> None:
        self._envelope(0, {"event": event})

    def _envelope(self, flag: int, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        self.wfile.write(struct.pack(">BI", flag, len(data)) + data)
        self.wfile.flush()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, body: Any) -> None:
        self._send_bytes(status, b"" if body is None else json.dumps(body).encode(), "application/json")

    def _send_bytes(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()
