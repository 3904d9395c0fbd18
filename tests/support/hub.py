"""A Hugging Face hub and GitHub's raw files on loopback: as much as huggingface_hub asks for."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 20  # entries of a tree in one answer
LARGE = 1000  # bytes from which a file is kept apart (LFS), with a SHA-256


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``data_sets``: repo -> revision -> {path: content}, and ``raw``: path -> content."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data_sets: dict[str, dict[str, str | dict[str, bytes]]] = {}
        self.raw: dict[str, bytes] = {}
        self.damaged: dict[str, bytes] = {}  # path -> what arrives in its place
        self.cut: dict[str, int] = {}  # path -> after how many bytes the connection breaks, once
        # path -> event: the second half is sent once that is set
        self.held: dict[str, threading.Event] = {}
        self.gone: set[str] = set()  # repos that may not be read
        self.gets: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""

    def put(self, repo: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Commit ``files`` to a branch; return the commit."""
        tree = sorted((path, git_sha1(content)) for path, content in files.items())
        commit = hashlib.sha1(json.dumps(tree).encode()).hexdigest()
        revisions = self.data_sets.setdefault(repo, {})
        revisions |= {revision: commit, commit: files}
        return commit

    def files(self, repo: str, revision: str) -> dict[str, bytes] | None:
        found = self.data_sets.get(repo, {}).get(revision)
        return self.files(repo, found) if isinstance(found, str) else found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.server.headers.append({key.lower(): value for key, value in self.headers.items()})
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/(.+)", path):
            self.about(match[1], match[2])
        elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([0-9a-f]{40})", path):
            self.tree(match[1], match[2], int(parse_qs(url.query).get("cursor", ["0"])[0]))
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
            self.file(match[1], match[2], match[3], body)
        elif path.lstrip("/") in self.server.raw:
            self.server.gets.append(path)
            self.send(200, self.server.raw[path.lstrip("/")], {})
        else:
            self.refuse(404, "EntryNotFound")

    def about(self, repo: str, revision: str) -> None:
        if repo in self.server.gone:
            self.refuse(401, "GatedRepo")
        elif repo not in self.server.data_sets:
            self.refuse(404, "RepoNotFound")
        elif self.server.files(repo, revision) is None:
            self.refuse(404, "RevisionNotFound")
        else:
            named = self.server.data_sets[repo][revision]
            commit = named if isinstance(named, str) else revision
            self.send(200, json.dumps({"id": repo, "sha": commit}).encode(), {})

    def tree(self, repo: str, commit: str, start: int) -> None:
        entries = []
        for path, content in (self.server.files(repo, commit) or {}).items():
            entry: dict[str, object] = {
                "type": "file",
                "path": path,
                "size": len(content),
                "oid": git_sha1(content),
            }
            if len(content) >= LARGE:
                oid = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
            entries.append(entry)
        more = {}
        if start + PAGE < len(entries):
            where = f"{self.server.url}/api/datasets/{repo}/tree/{commit}?cursor={start + PAGE}"
            more = {"Link": f'<{where}&recursive=True>; rel="next"'}
        self.send(200, json.dumps(entries[start : start + PAGE]).encode(), more)

    def file(self, repo: str, commit: str, path: str, body: bool) -> None:
        content = (self.server.files(repo, commit) or {})[path]
        large = len(content) >= LARGE
        etag = hashlib.sha256(content).hexdigest() if large else git_sha1(content)
        content = self.server.damaged.get(path, content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}
        if body:
            self.server.gets.append(path)
        cut = self.server.cut.pop(path, None) if body else None
        self.send(200, content, headers, cut, self.server.held.get(path))

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": "no"})

    def send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str],
        cut: int | None = None,
        held: threading.Event | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut is not None:
            self.wfile.write(content[:cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        half = len(content) // 2
        self.wfile.write(content[:half])
        if held is not None:
            self.wfile.flush()
            held.wait()
        self.wfile.write(content[half:])
