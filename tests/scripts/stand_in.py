"""Tiny stand-ins for the archives of face data sets, and a web server that serves them badly on purpose."""

import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

CONTENTS: dict[str, dict[str, str]] = {
    "vggface2": {"vggface2_112x112/n1/a b.jpg": "1", "vggface2_train_ann.txt": "vggface2_112x112/n1/a b.jpg\tn1\n"},
    "ijb": {"IJB-B/meta/b.txt": "b", "IJB-B/loose_crop/1.jpg": "1", "IJB-C/meta/c.txt": "c"},
    "validation": {"lfw_112x112/a.jpg": "1", "lfw_ann.txt": "1 a a\n", "combined_ann.txt": "1 a a\n"},
    "ms1m_refine": {"ms1m_refine_112x112/m1/1.jpg": "1", "ms1m_refine_112x112/m2/1.jpg": "1"},
    "webface": {"webface_112x112/w 1/1.jpg": "1", "webface_112x112/w2/1.jpg": "1"},
    "glint360k": {"glint360k/g1/1.jpg": "1", "glint360k_train_ann.txt": "glint360k/g1/1.jpg g1\n"},
}


def tar(path: Path, members: Mapping[str, str | bytes], mode: str = "w") -> Path:
    """A tar of files with this content."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, members: Mapping[str, str]) -> Path:
    """A zip of files with this content."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def files(folder: Path) -> dict[str, str]:
    """All files below a folder, hidden ones too, with their content."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def setup(script: str, folder: Path, *arguments: str, path: str | None = None, **variables: str):
    """Run a script of `scripts/` in `folder`; links that `variables` do not replace are switched off."""
    links = {f"{name.upper()}_URL": "" for name in CONTENTS} | {"MS1M_REFINE_LIST_URL": ""}
    environment = {
        **{key: value for key, value in os.environ.items() if "proxy" not in key.lower()},
        **links,
        "PYTHON": sys.executable,
        **variables,
    }
    if path is not None:
        environment["PATH"] = path
    command = ["bash", str(SCRIPTS / script), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@dataclass
class Server:
    """What the server gives, and what it was asked for.

    Attributes:
        content: the file.
        ranges: whether it understands a request for the rest of the file.
        breaks_after: the number of bytes of the first answer, after which the connection ends; None: all.
        asked: the Range header of each request.
    """

    content: bytes
    ranges: bool = True
    breaks_after: int | None = None
    url: str = ""
    asked: list[str | None] = field(default_factory=list)


@contextmanager
def serve(server: Server) -> Iterator[Server]:
    """Serve `server.content` at `server.url`, any path below it that begins with "missing" excepted."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            server.asked.append(asked)
            if self.path.startswith("/missing"):
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
            self.send_response(206 if start else 200)
            rest = server.content[start:]
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest if len(server.asked) > 1 else rest[: server.breaks_after])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        server.url = f"http://127.0.0.1:{http_server.server_port}"
        thread = threading.Thread(target=http_server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http_server.shutdown()
            thread.join()
