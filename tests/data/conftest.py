"""A local server of files, and archives made of texts."""

import gzip
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = "".join(f"{i}\t리뷰 {i}\t{i % 2}\n" for i in range(20_000)).encode()


class Server(ThreadingHTTPServer):
    """Serves ``content`` under any name and notes the Range header of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.cut: int | None = None  # stop after so many bytes
        self.status: int | None = None  # answer with this error
        self.stalls = False
        self.pieces = 1
        self.url = f"http://127.0.0.1:{self.server_port}/ratings.txt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.status:
            self.send_error(self.server.status)
            return
        if self.server.stalls:
            threading.Event().wait(1)
            return
        content = self.server.content
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.knows_ranges else 0
        body = content[start:]
        if start and not body:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
        else:
            self.send_response(206 if start else 200)
        if start and body:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if "gzip" in self.headers.get("Accept-Encoding", ""):  # as hosts of raw files do
            body = gzip.compress(content)[start:]
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body if self.server.cut is None else body[: self.server.cut]
        for i in range(self.server.pieces):
            self.wfile.write(body[i * len(body) // self.server.pieces : (i + 1) * len(body) // self.server.pieces])
            if self.server.pieces > 1:
                threading.Event().wait(0.02)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def archive_of(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
