"""What deploy/ promises: pinned installs, closed containers, and a proxy that is really run.

The proxy's part needs nginx (Debian: apt install nginx) and is skipped without it.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
LOCK = (DEPLOY / "requirements.lock").read_text(encoding="utf-8")
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


def pinned() -> dict[str, tuple[str, int]]:
    """Name -> version and number of hashes."""
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", LOCK).strip())
    found = {}
    for entry in entries:
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry)
        assert match, entry
        found[match[1].lower()] = (match[2], entry.count("--hash=sha256:"))
    return found


def test_the_lock_has_every_requirement_with_its_hashes() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = dict(line.split(";")[0].split("==") for line in lines if "==" in line)
    found = pinned()
    assert len(wanted) > 4
    assert {name: found[name][0].split("+")[0] for name in wanted} == wanted
    assert all(hashes >= 1 for _, hashes in found.values())


def test_the_lock_names_no_index() -> None:
    assert "://" not in LOCK
    assert "-url" not in LOCK


def test_the_image_installs_only_what_is_locked() -> None:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install.*", text)
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[0]
    assert "requirements-dev" not in text
    assert re.search(r"(?m)^USER [1-9]\d*", text)
    assert "HEALTHCHECK" in text
    copied = re.findall(r"(?m)^COPY (.*) \S+$", text)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for path in " ".join(copied).split():
        assert (ROOT / path).exists()
        assert f"!{path}\n" in allowed


def test_every_service_is_closed_and_bounded() -> None:
    services, networks = (DEPLOY / "compose.yaml").read_text().split("\nnetworks:\n")
    app, proxy = re.split(r"\n(?=  proxy:\n)", services.split("\nservices:\n")[1])
    for service in (app, proxy):
        assert "    read_only: true\n" in service
        assert "    cap_drop: [ALL]\n" in service
        assert re.search(r"limits:\n( {10}(cpus|memory|pids): \S+\n){3}", service)
    assert re.search(r"replicas: [2-9]", app)
    assert "ports:" not in app
    assert "    networks: [inside]\n" in app
    assert "  inside:\n    internal: true\n" in networks


def test_the_proxy_lets_through_what_the_app_takes() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    limit = re.search(r"client_max_body_size\s+(\d+)k", (DEPLOY / "nginx.conf").read_text())
    assert limit
    assert int(limit[1]) > 1024 * config["server"]["maxUploadSize"]


class Echo(BaseHTTPRequestHandler):
    """A replica that answers with its own port, and with the host it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, or switch protocols as a websocket does."""
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.readline().upper())
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"{self.server.server_address[1]} {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx, as deployed but for its own port, before two replicas."""
    if NGINX is None:
        pytest.skip("NO NGINX: the proxy's configuration was not run (Debian: apt install nginx)")
    folder = tmp_path_factory.mktemp("nginx")
    replicas = [ThreadingHTTPServer(("127.0.0.1", 0), Echo) for _ in range(2)]
    for replica in replicas:
        threading.Thread(target=replica.serve_forever, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (DEPLOY / "nginx.conf").read_text()
    one = re.search(r"server app:8501 (.*)", text)
    assert one
    both = " ".join(f"server 127.0.0.1:{r.server_address[1]} {one[1]}" for r in replicas)
    for old, new in {
        "/tmp/": f"{folder}/",  # first: what is put in below may lie in /tmp itself
        one[0]: both,
        "listen 8080": f"listen 127.0.0.1:{port}",
        "/etc/nginx/headers.conf": str(DEPLOY / "headers.conf"),
    }.items():
        assert old in text
        text = text.replace(old, new)
    if os.geteuid() == 0:  # its workers would be nobody, who may not write here
        text = f"user root;\n{text}"
    config = folder / "nginx.conf"
    config.write_text(text)
    command = [NGINX, "-p", str(folder), "-c", str(config), "-g", "daemon off;"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        for replica in replicas:
            replica.shutdown()
            replica.server_close()


def asked(url: str, cookie: str = "", body: bytes | None = None) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of one request."""
    request = urllib.request.Request(url, data=body, method="PUT" if body else "GET")
    if cookie:
        request.add_header("Cookie", f"replica={cookie}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, "", dict(error.headers)


def given(headers: dict[str, str]) -> str:
    """The cookie that an answer sets."""
    match = re.match(r"replica=([0-9a-f]{32}); .*HttpOnly; SameSite=Lax$", headers["Set-Cookie"])
    assert match, headers["Set-Cookie"]
    return match[1]


def test_a_reader_stays_with_one_replica_and_a_class_is_spread(proxy: str) -> None:
    cookies = [given(asked(proxy)[2]) for _ in range(40)]
    assert len(set(cookies)) == 40
    homes = {cookie: asked(proxy, cookie)[1] for cookie in cookies}
    assert len(set(homes.values())) == 2  # one in 2**39 that all forty fall to the same
    assert all(asked(proxy, cookie)[1] == home for cookie, home in homes.items())
    assert all(given(asked(proxy, cookie)[2]) == cookie for cookie in cookies)


def test_the_replica_sees_the_readers_host(proxy: str) -> None:
    """Streamlit takes a websocket from the page's own host only."""
    assert asked(proxy)[1].endswith(proxy.removeprefix("http://"))


def test_a_made_up_cookie_is_replaced(proxy: str) -> None:
    assert given(asked(proxy, "me")[2]) != "me"


def test_every_answer_has_the_headers(proxy: str) -> None:
    text = (DEPLOY / "headers.conf").read_text()
    wanted = dict(re.findall(r'(?m)^add_header ([\w-]+) "([^"]+)" always;$', text))
    assert len(wanted) > 4
    for status, _, sent in (asked(proxy), asked(proxy, body=b"x" * 3_000_000)):
        assert {name: sent.get(name) for name in wanted} == wanted, status


def test_uploads_are_limited(proxy: str) -> None:
    assert asked(proxy, body=b"x" * 2 * 1024 * 1024)[0] == 200
    assert asked(proxy, body=b"x" * 2_300_000)[0] == 413


def test_a_websocket_passes(proxy: str) -> None:
    host, port = proxy.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(
            b"GET /_stcore/stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n\r\n"
        )
        client.sendall(b"both ways\n")
        received = b""
        while data := client.recv(4096):
            received += data
    assert received.startswith(b"HTTP/1.1 101")
    assert received.endswith(b"BOTH WAYS\n")
