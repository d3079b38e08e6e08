"""Behind nginx under a path, with the very block that operations shows."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from recountdb.api.services import keys
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.background_server import run_server
from tests.support.pages import blocks
from tests.support.processes import wait_until
from tests.support.programs import need_program

WAIT_SECONDS = 30

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        server_name memory.example.org;
{block}
    }}
}}
"""


def shown_block() -> str:
    (block,) = [block.text for block in blocks("docs/operations.md") if block.language == "nginx"]
    return block


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def proxy(conninfo: str, database: Database, tmp_path: Path) -> Iterator[httpx2.Client]:
    """A client that reaches a server with keys through nginx, as memory.example.org/memory/."""
    nginx = need_program("nginx", "/usr/sbin/nginx")
    _, key = keys.create_key(database, project="default", scopes=["admin", "operator"])
    with run_server(conninfo, Settings(root_path="/memory")) as address:
        port = free_port()
        block = shown_block().replace("http://127.0.0.1:8000", address)
        assert address in block
        text = CONFIGURATION.format(directory=tmp_path, port=port, block=block)
        (tmp_path / "nginx.conf").write_text(text)
        command = [str(nginx), "-p", str(tmp_path), "-e", str(tmp_path / "error.log")]
        with subprocess.Popen([*command, "-c", str(tmp_path / "nginx.conf")]) as process:
            try:
                wait_until(lambda: process.poll() is not None or is_open(port))
                assert process.poll() is None, (tmp_path / "error.log").read_text()
                headers = {"Host": "memory.example.org", "Authorization": f"Bearer {key}"}
                base = f"http://127.0.0.1:{port}/memory"
                with httpx2.Client(base_url=base, headers=headers, timeout=WAIT_SECONDS) as client:
                    yield client
            finally:
                process.terminate()
                process.wait(WAIT_SECONDS)


def add(client: httpx2.Client, path: str) -> httpx2.Response:
    body = {"messages": [{"role": "user", "content": "One chai latte, please."}]}
    return client.post(f"{path}/messages", json=body)


def test_names_with_slashes_and_spaces_arrive_as_they_are(proxy: httpx2.Client) -> None:
    for segment, name in (("x%2Fy", "x/y"), ("a%20b", "a b"), ("%2e%2e%2Fz", "../z"), ("50%25", "50%")):
        answer = add(proxy, f"/v1/sessions/{segment}")
        assert answer.status_code == 201, answer.text
        assert answer.json()["session_id"] == name
        assert proxy.get(f"/v1/sessions/{segment}").json()["session_id"] == name


def test_pages_and_links_are_below_the_path(proxy: httpx2.Client) -> None:
    page = proxy.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert links
    assert all(link.startswith("/memory/") for link in links)
    assert proxy.get("/openapi.json").json()["servers"] == [{"url": "/memory"}]
    assert proxy.get("/docs").status_code == 200
    assert proxy.get("/docs/swagger-ui-bundle.js").status_code == 200
    started = proxy.post("/v1/projections/rebuild", json={"dry_run": True})
    assert started.status_code == 202
    assert started.headers["location"] == "/memory/v1/projections/rebuild"


def test_what_the_proxy_hides_stays_hidden(proxy: httpx2.Client) -> None:
    for headers in ({}, {"X-Forwarded-Prefix": "/memory/x"}):
        assert proxy.get("/metrics", headers=headers).status_code == 404
        assert proxy.get("/x/metrics", headers=headers).status_code == 404


def test_a_live_stream_comes_through_at_once(proxy: httpx2.Client) -> None:
    with proxy.stream("GET", "/v1/events/stream") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": following"
        add(proxy, "/v1/sessions/live")
        assert next(line for line in lines if line.startswith("event: ")).endswith("started")


def test_a_key_in_the_path_comes_through(proxy: httpx2.Client) -> None:
    key = proxy.headers["authorization"].removeprefix("Bearer ")
    without = {"Authorization": ""}
    assert proxy.get(f"/key/{key}/v1/sessions", headers=without).status_code == 200
    assert proxy.get("/v1/sessions", headers=without).status_code == 401
