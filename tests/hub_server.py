"""A Hub on the loopback interface: what the client asks for in a push and a pull, and failures on command.

Large files (safetensors, pictures) go through the LFS protocol, as on the real Hub, and are refused when their sha256
is not the one announced. A version is whole or absent: a commit that names an unknown object changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

FAULTS = ("500", "cut", "slow", "stall", "wrong", "429")
SLOW = 0.5  # seconds until a slow answer; a stalled one never comes
LFS_SUFFIXES = (".safetensors", ".png", ".jpg", ".bin")

# (step, method, path): the first that matches names the request
STEPS = (
    ("create", "POST", r"/api/repos/create"),
    ("validate", "POST", r"/api/validate-yaml"),
    ("preupload", "POST", r"/api/\w+/[^/]+/[^/]+/preupload/.+"),
    ("commit", "POST", r"/api/\w+/[^/]+/[^/]+/commit/.+"),
    ("branch", "POST", r"/api/\w+/[^/]+/[^/]+/branch/.+"),
    ("tree", "GET", r"/api/\w+/[^/]+/[^/]+/tree/.+"),
    ("list", "GET", r"/api/(models|datasets)"),
    ("info", "GET", r"/api/(models|datasets)/[^/]+/[^/]+(/revision/.+)?"),
    ("batch", "POST", r"/.+\.git/info/lfs/objects/batch"),
    ("put", "PUT", r"/lfs/.+"),
    ("verify", "POST", r"/lfs-verify"),
    ("head", "HEAD", r"/.+/resolve/.+"),
    ("get", "GET", r"/.+/resolve/.+"),
)
PUSH_STEPS = ("create", "info", "tree", "validate", "preupload", "batch", "put", "verify", "commit")
PULL_STEPS = ("info", "head", "get")


@dataclass
class Repo:
    """Commits are whole listings, path -> bytes; heads are branch -> commit."""

    kind: str
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """Make `files` the newest version of a branch."""
        listing = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())})
        sha = hashlib.sha1(f"{len(self.commits)} {branch} {listing}".encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.heads[branch] = sha
        return sha

    def find(self, revision: str) -> str | None:
        """The commit that a branch or a hash names."""
        return self.heads.get(revision, revision if revision in self.commits else None)


class Hub(ThreadingHTTPServer):
    """The server and its memory. `fail` makes the next requests of a step go wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.token: str | None = None
        self.fault, self.step, self.times = "", "", 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def fail(self, step: str, fault: str, times: int = 1) -> None:
        """Let the next `times` requests of `step` fail; "" for none. Answers held back so far are dropped."""
        self.over.set()
        self.over = threading.Event()
        self.step, self.fault, self.times = step, fault, times

    def take_fault(self, step: str) -> str:
        """The fault for a request of this step, counted down."""
        with self.lock:
            self.requests.append(step)
            if step != self.step or self.times <= 0:
                return ""
            self.times -= 1
            return self.fault

    def create(self, repo_id: str, kind: str = "models", private: bool = False) -> Repo:
        """A repository as the Hub makes it, with one commit."""
        repo = self.repos[repo_id] = Repo(kind, private)
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        return repo

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""

    def _serve(self) -> None:
        self.path, _, self.query = self.path.partition("?")
        self.path = unquote(urlsplit(self.path).path)
        self.body = self._read_body()
        self.step = next(
            (s for s, method, path in STEPS if method == self.command and re.fullmatch(path, self.path)), ""
        )
        self.wrong, self.late = False, None
        over = self.server.over
        fault = self.server.take_fault(self.step)
        if fault in ("500", "429"):
            return self._error(int(fault), "on command")
        if fault == "cut" and self.step != "get":
            if self.step == "commit":  # the version is made, and nobody is told
                self._route(silent=True)
            return self._hang_up()
        self.late = {"slow": lambda: over.wait(SLOW), "stall": over.wait}.get(fault)
        self.wrong, self.cut = fault == "wrong", fault == "cut"
        self._route()

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

    def _route(self, silent: bool = False) -> None:
        self.silent = silent
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            private = [name for name, repo in self.server.repos.items() if repo.private and name in self.path]
            if private:
                return self._error(401, "no such repository or no right", "RepoNotFound")
        getattr(self, f"_{self.step}", self._unknown)()

    def _unknown(self) -> None:
        self._error(404, f"no route {self.command} {self.path}")

    def _create(self) -> None:
        data = json.loads(self.body)
        repo_id = f"{data['organization']}/{data['name']}" if data.get("organization") else data["name"]
        if repo_id in self.server.repos:
            return self._error(409, "exists", url=f"{self.server.url}/{repo_id}")
        visible = data.get("visibility") != "private" and not data.get("private")
        self.server.create(repo_id, (data.get("type") or "model") + "s", not visible)
        self._json({"url": f"{self.server.url}/{repo_id}"})

    def _validate(self) -> None:
        self._json({"errors": [], "warnings": []})

    def _preupload(self) -> None:
        files = self._files(self.path.rpartition("/preupload/")[2])
        if files is None:
            return None
        answer = []
        for file in json.loads(self.body)["files"]:
            lfs = file["path"].endswith(LFS_SUFFIXES)
            row = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            if file["path"] in files:
                row["oid"] = (sha256 if lfs else blob_id)(files[file["path"]])
            answer.append(row)
        self._json({"files": answer})

    def _batch(self) -> None:
        objects = []
        for item in json.loads(self.body)["objects"]:
            row: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.server.objects:
                actions = {"upload": f"/lfs/{item['oid']}", "verify": "/lfs-verify"}
                row["actions"] = {name: {"href": self.server.url + path} for name, path in actions.items()}
            objects.append(row)
        self._json({"transfer": "basic", "objects": objects})

    def _put(self) -> None:
        oid = self.path.rpartition("/")[2]
        data = self.body[:-1] + bytes([self.body[-1] ^ 1]) if self.wrong else self.body
        self.wrong = False
        if sha256(data) != oid:
            return self._error(500, "the object has another sha256 than its name")
        self.server.objects[oid] = data
        self._json({})

    def _verify(self) -> None:
        item = json.loads(self.body)
        data = self.server.objects.get(item["oid"])
        if data is None or len(data) != item["size"]:
            return self._error(404, "no such object")
        self._json({})

    def _commit(self) -> None:
        branch = self.path.rpartition("/commit/")[2]
        before = self._files(branch)
        if before is None:
            return None
        files = dict(before)
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                if value["oid"] not in self.server.objects:
                    return self._error(400, f"unknown object for {value['path']}")
                files[value["path"]] = self.server.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        repo, proposed = self._repo(), "create_pr=1" in self.query
        if proposed:
            branch = f"refs/pr/{1 + sum(name.startswith('refs/pr/') for name in repo.heads)}"
        sha = repo.commit(branch, files)
        answer = {"commitUrl": f"{self.server.url}/{self._repo_id()}/commit/{sha}", "commitOid": sha}
        if proposed:
            answer["pullRequestUrl"] = f"{self.server.url}/{self._repo_id()}/discussions/{branch.rpartition('/')[2]}"
        self._json(answer)

    def _branch(self) -> None:
        name = self.path.rpartition("/branch/")[2]
        repo = self._repo()
        if name in repo.heads:
            return self._error(409, "exists")
        repo.heads[name] = repo.heads["main"]
        self._json({})

    def _tree(self) -> None:
        files = self._files(self.path.rpartition("/tree/")[2])
        if files is not None:
            self._json([{"type": "file", "path": name, **facts(name, data)} for name, data in files.items()])

    def _list(self) -> None:
        kind = self.path.rpartition("/")[2]
        author = parse_qs(self.query).get("author", [""])[0]
        self._json(
            [
                {"id": name, "tags": ["geotrans"], "private": repo.private}
                for name, repo in self.server.repos.items()
                if repo.kind == kind and name.startswith(author)
            ]
        )

    def _info(self) -> None:
        revision = self.path.partition("/revision/")[2] or "main"
        files = self._files(revision)
        if files is None:
            return None
        siblings = []
        for name, data in files.items():
            row: dict[str, Any] = {"rfilename": name}
            if "blobs" in self.query:
                known = facts(name, data)
                row |= {"size": known["size"], "blobId": known["oid"]}
                if "lfs" in known:
                    row["lfs"] = {"sha256": known["lfs"]["oid"], "size": len(data), "pointerSize": 130}
            siblings.append(row)
        repo = self._repo()
        self._json(
            {
                "id": self._repo_id(),
                "sha": repo.find(revision),
                "private": repo.private,
                "siblings": siblings,
                "tags": [],
            }
        )

    def _head(self) -> None:
        self._resolve()

    def _get(self) -> None:
        self._resolve()

    def _resolve(self) -> None:
        revision, _, name = self.path.partition("/resolve/")[2].partition("/")
        files = self._files(revision)
        if files is None:
            return
        if name not in files:
            self._error(404, "no such file", "EntryNotFound")
            return
        data = files[name]
        known = facts(name, data)
        headers = {"X-Repo-Commit": str(self._repo().find(revision)), "Accept-Ranges": "bytes"}
        headers["ETag"] = '"%s"' % (known["lfs"]["oid"] if "lfs" in known else known["oid"])
        if self.wrong and self.command == "GET":
            data, self.wrong = bytes([data[0] ^ 1]) + data[1:], False
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if start and int(start[1]) < len(data):
            headers["Content-Range"] = f"bytes {start[1]}-{len(data) - 1}/{len(data)}"
            self._send(206, data[int(start[1]) :], headers)
        else:
            self._send(200, data, headers)

    def _repo_id(self) -> str:
        path = re.sub(r"^/(api/)?(models/|datasets/)?", "", self.path)
        return "/".join(path.split("/")[:2])

    def _repo(self) -> Repo:
        return self.server.repos[self._repo_id()]

    def _files(self, revision: str) -> dict[str, bytes] | None:
        """The listing of a version; None after an answer that says what is missing."""
        repo = self.server.repos.get(self._repo_id())
        if repo is None:
            self._error(404, "no such repository", "RepoNotFound")
            return None
        commit = repo.find(revision)
        if commit is None:
            self._error(404, "no such revision", "RevisionNotFound")
            return None
        return repo.commits[commit]

    def _json(self, value: Any) -> None:
        data = b"<html>a proxy's page</html>" if self.wrong else json.dumps(value).encode()
        self._send(200, data, {"Content-Type": "application/json"})

    def _error(self, status: int, text: str, code: str = "", **more: str) -> None:
        headers = {"X-Error-Message": text, **({"X-Error-Code": code} if code else {})}
        self._send(status, json.dumps({"error": text, **more}).encode(), headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        if getattr(self, "silent", False):
            return
        if getattr(self, "late", None) and self.late():  # what was asked for is done, and the test went on
            self._hang_up()
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if getattr(self, "cut", False) and status < 300:
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
        else:
            self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def facts(name: str, data: bytes) -> dict[str, Any]:
    """Size and digests of a file, as a listing states them."""
    if not name.endswith(LFS_SUFFIXES):
        return {"size": len(data), "oid": blob_id(data)}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()
    return {
        "size": len(data),
        "oid": blob_id(pointer),
        "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 130},
    }
