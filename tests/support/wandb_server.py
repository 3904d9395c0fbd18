"""Stands in for W&B's server: answers as much of its API as sending an offline run takes."""

import http.server
import json
import re
import threading
from typing import Any, Self
from urllib.parse import unquote


class WandbServer(http.server.ThreadingHTTPServer):
    """Keeps what it was sent.

    Attributes:
        runs: variables of every run that was created or updated.
        uploads: name of a file -> its content.
        history: rows of metrics, run by run.
        keys: credentials that came with requests.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.keys: set[str | None] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """Return the data of one GraphQL operation."""
        named = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = named[1] if named else ""
        file = {"id": "file", "uploadUrl": f"{self.url}/upload/manifest", "uploadHeaders": []}
        if name == "UpsertBucket":
            self.runs.append(variables)
        elif name == "CreateArtifact":
            artifact = {"id": "a", "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
            return {"createArtifact": {"artifact": artifact}}
        elif name == "CreateArtifactManifest":
            return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
        elif name == "CreateArtifactFiles":
            files = variables["input"]["artifactFiles"]
            edges = [{"node": self._upload(item["name"])} for item in files]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        elif name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        elif name == "CreateRunFiles":
            files = [self._upload(file) for file in variables["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return None

    def _upload(self, name: str) -> dict[str, Any]:
        url = f"{self.url}/upload/{name}"
        more = {"artifact": {"id": "a"}, "storagePath": name, "uploadMultipartUrls": None}
        return {"name": name, "uploadUrl": url, "uploadHeaders": [], **more}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.keys.add(self.headers.get("Authorization"))
        content: dict[str, Any] = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            found = self.server.answer(asked["query"], asked.get("variables") or {})
            content = {"data": found}
        elif self.path.startswith("/upload/"):
            self.server.uploads[unquote(self.path.removeprefix("/upload/"))] = body
        elif self.path.endswith("/file_stream"):
            rows = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
            kept = self.server.history.setdefault(self.path.split("/")[-2], [])
            kept += map(json.loads, rows.get("content", []))
        answer = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = _do

    def log_message(self, *_: object) -> None:
        pass
