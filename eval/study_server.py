"""The page of a user study, served by the standard library to this machine.

GET  /                                  the page
GET  /items?participant=ID              what is still to be decided, in this participant's order
GET  /pictures/NAME.png
POST /answers  {"participant", "item", "picture", "milliseconds"}
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from eval.answers import Answer, Answers

if TYPE_CHECKING:
    from eval.study import Study

MAX_BODY = 1024
MAX_MILLISECONDS = 24 * 3600 * 1000
_PARTICIPANT = re.compile(r"[0-9a-f]{32}")
_PAGE = Path(__file__).with_name("study.html")
_KEYS = {"participant": str, "item": str, "picture": str, "milliseconds": int}


class _Refusal(Exception):
    """A request that is not served: status and one line."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class StudyServer(ThreadingHTTPServer):
    """Serves one study; every picture is in memory, so no request names a file."""

    daemon_threads = True

    def __init__(self, study: Study, pictures: Path, answers: Answers, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.study, self.answers = study, answers
        self.items = {item.id: item for item in study.items}
        names = {name for item in study.items for name in (item.source, *item.options.values())}
        self.pictures = {name: (pictures / f"{name}.png").read_bytes() for name in names}
        self.page = _PAGE.read_text(encoding="utf-8").replace("{{question}}", escape(study.question)).encode()
        self.is_local = host in ("127.0.0.1", "localhost", "::1")

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{self.server_address[0]!s}:{self.server_port}/"

    def run(self) -> None:
        """Serve until Ctrl-C."""
        sys.stderr.write(f"the study is at {self.address}; Ctrl-C ends it\n")
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            sys.stderr.write("\n")

    def __enter__(self) -> Self:
        return self

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is nobody's mistake; anything else is one line, and the others are served on."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")

    def for_participant(self, participant: str) -> dict[str, Any]:
        """What a participant has still to decide; sides and order are theirs alone, and the same after a reload."""
        done = self.answers.of(participant)
        draw = random.Random(hashlib.sha256(participant.encode()).digest())
        items = []
        for item in self.study.items:
            options = sorted(item.options.values())
            draw.shuffle(options)
            items.append({"id": item.id, "source": item.source, "options": options, "wanted": item.wanted})
        draw.shuffle(items)
        return {"total": len(items), "items": [item for item in items if item["id"] not in done]}

    def take(self, body: bytes) -> None:
        """Store an answer.

        Raises:
            _Refusal: it is not one.
        """
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "expected JSON") from None
        if not isinstance(content, dict) or content.keys() != _KEYS.keys():
            raise _Refusal(HTTPStatus.BAD_REQUEST, f"expected an object with {', '.join(_KEYS)}")
        for name, kind in _KEYS.items():
            if type(content[name]) is not kind:
                raise _Refusal(HTTPStatus.BAD_REQUEST, f"{name}: expected {kind.__name__}")
        if not _PARTICIPANT.fullmatch(content["participant"]):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "participant: expected 32 hex digits")
        item = self.items.get(content["item"])
        if item is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "no such item")
        rows = {picture: row for row, picture in item.options.items()}
        if content["picture"] not in rows:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "picture: not one of this item's")
        if not 0 <= content["milliseconds"] <= MAX_MILLISECONDS:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "milliseconds: expected 0 to a day")
        row = rows[content["picture"]]
        self.answers.add(Answer(content["participant"], item.id, row, content["milliseconds"]))


def serve(study: Study, pictures: Path, answers: Answers, host: str = "127.0.0.1", port: int = 0) -> StudyServer:
    """A server that listens; `run` serves.

    Raises:
        ValueError: the port is not one, or the answers are no database.
        OSError: the port is taken; the message has it.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port: expected 0 to 65535, got {port}")
    answers.of("")  # a broken database shows now, not with the first answer
    try:
        return StudyServer(study, pictures, answers, host, port)
    except OSError as error:
        raise OSError(f"--host {host} --port {port}: cannot listen there: {error.strerror or error}") from error


class _Handler(BaseHTTPRequestHandler):
    server: StudyServer
    timeout = 30
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "geotrans", ""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, make: Any) -> None:
        try:
            self._check_host()
            status, kind, body = make()
        except _Refusal as refusal:
            self._refuse(refusal.status, refusal.text)
        except (ConnectionError, TimeoutError):
            raise  # nobody is there to be told
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{error}\n")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the answers cannot be stored")
        else:
            self._send(status, kind, body)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses, another method or a broken request line say, in one line too."""
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _get(self) -> tuple[HTTPStatus, str, bytes]:
        address = urlsplit(self.path)
        if address.path == "/":
            return HTTPStatus.OK, "text/html; charset=utf-8", self.server.page
        if address.path == "/items":
            participant = parse_qs(address.query).get("participant", [""])[0]
            if not _PARTICIPANT.fullmatch(participant):
                raise _Refusal(HTTPStatus.BAD_REQUEST, "participant: expected 32 hex digits")
            return HTTPStatus.OK, "application/json", json.dumps(self.server.for_participant(participant)).encode()
        name = address.path.removeprefix("/pictures/").removesuffix(".png")
        if address.path == f"/pictures/{name}.png" and name in self.server.pictures:
            return HTTPStatus.OK, "image/png", self.server.pictures[name]
        raise _Refusal(HTTPStatus.NOT_FOUND, "no such page")

    def _post(self) -> tuple[HTTPStatus, str, bytes]:
        if self.path != "/answers":
            raise _Refusal(HTTPStatus.NOT_FOUND, "no such page")
        if self.headers.get_content_type() != "application/json":  # so that another site's page cannot send one
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length[:8]) > MAX_BODY or len(length) > 8:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BODY} bytes")
        self.server.take(self.rfile.read(int(length)))
        return HTTPStatus.NO_CONTENT, "text/plain", b""

    def _check_host(self) -> None:
        """On this machine's own address, refuse other names for it: a stranger's page may have been pointed here."""
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.is_local and name not in ("127.0.0.1", "localhost", "::1"):
            raise _Refusal(HTTPStatus.MISDIRECTED_REQUEST, "unknown host")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        policy = "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'"
        self.send_header("Content-Security-Policy", f"{policy}; script-src 'unsafe-inline'; frame-ancestors 'none'")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the answers are the log."""
