"""``livetill serve`` as a process: how it starts, shares, stops and comes back."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from api.auth import Authenticator, issue
from tests.stories.shopfront import SECRET, Client, Server, environment, free_port, livetill, serving


@contextmanager
def process(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the program beside the test; killed at the end if it still runs."""
    command = [sys.executable, "-m", "api", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as running:
        try:
            yield running
        finally:
            running.kill()


def servers_in(data_dir: Path) -> list[str]:
    """Name the processes that work on a data directory."""
    return [
        each.name()
        for each in psutil.process_iter(["cmdline"])
        if str(data_dir) in " ".join(each.info["cmdline"] or [])
    ]


def test_the_first_line_says_where_it_sells_and_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    """With nothing given everything comes along, a free port is taken, and SIGTERM closes it all with exit code 0."""
    with process("serve", "--port", "0", "--data-dir", str(tmp_path)) as shop:
        assert shop.stderr is not None
        first = shop.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:[0-9]+", first)
        assert url, first
        assert f"data in {tmp_path}" in first
        assert httpx.get(f"{url[0]}/health/ready").status_code == 200
        assert "postgres" in servers_in(tmp_path)
        shop.send_signal(signal.SIGTERM)
        assert shop.wait(30) == 0
        assert shop.stderr.read() == "The shop is closed.\n"
    assert servers_in(tmp_path) == []


def test_an_interrupt_while_it_starts_ends_it(tmp_path: Path) -> None:
    """Ctrl-C before it sells leaves no server behind."""
    with process("serve", "--port", "0", "--data-dir", str(tmp_path)) as shop:
        deadline = time.monotonic() + 30
        while not (tmp_path / "postgres").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        shop.send_signal(signal.SIGINT)
        shop.wait(60)
        assert shop.stderr is not None
        assert "Traceback" not in shop.stderr.read()
    assert servers_in(tmp_path) == []


@pytest.mark.parametrize("group", [False, True], ids=["the process", "the terminal"])
def test_interrupts_in_a_row_while_it_starts_leave_no_server(tmp_path: Path, *, group: bool) -> None:
    """A second Ctrl-C does not end the wait for the server that is being started; nor does one that counts twice.

    It came in two ways, by the loop that runs the start and by our own handler, when it fell between the two.
    """
    command = [sys.executable, "-m", "api", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    ) as shop:
        deadline = time.monotonic() + 30
        while not (tmp_path / "postgres").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        for _ in range(3):
            (os.killpg if group else os.kill)(shop.pid, signal.SIGINT)
            time.sleep(0.05)
        shop.wait(60)
        assert shop.stderr is not None
        assert "Traceback" not in shop.stderr.read()
    assert servers_in(tmp_path) == []


async def test_servers_share_a_data_directory_and_survive_a_kill(tmp_path: Path) -> None:
    """Two servers sell from one journal; one that is killed leaves its port free and comes back on it."""
    with serving(tmp_path, 2) as (one, two):
        async with httpx.AsyncClient(timeout=30) as http:
            first, second = Client(one.url, http), Client(two.url, http)
            stream_id, (listing_id,) = await first.show(1)
            order = {"stream_id": stream_id, "buyer_id": "b1", "lines": [{"listing_id": listing_id, "quantity": 1}]}
            await second.must("/v1/orders", order)
            assert (await first.post("/v1/orders", order)).json()["available"] == 0
            one.kill()
            assert (await second.post("/v1/orders", order)).status_code == 409
            again = Server(tmp_path, one.port).start()
            try:
                assert (await first.post("/v1/orders", order)).status_code == 409
            finally:
                again.stop()
        verified = livetill("verify", "--json", "--data-dir", str(tmp_path))
        assert json.loads(verified.stdout)["counts"]["refusals"] == 3
        assert verified.returncode == 0, verified.stderr


def test_the_next_command_stops_what_a_killed_server_left(tmp_path: Path) -> None:
    """PostgreSQL and NATS outlive a kill for the next server; who only asks leaves nothing running behind it."""
    with serving(tmp_path) as (shop,):
        shop.kill()
    assert set(servers_in(tmp_path)) == {"postgres", "nats-server"}
    asked = livetill("verify", "--data-dir", str(tmp_path))
    assert asked.returncode == 0, asked.stderr
    assert servers_in(tmp_path) == []


async def test_a_stop_finishes_what_is_in_flight_and_sends_viewers_away(
    tmp_path: Path, shop_url: str, nats_url: str
) -> None:
    """A request that has begun is answered, a live feed ends, and nobody new is let in."""
    shop = Server(tmp_path, free_port(), ("--database-url", shop_url, "--nats-url", nats_url)).start()
    try:
        async with httpx.AsyncClient(timeout=30) as http:
            client = Client(shop.url, http)
            feed = asyncio.create_task(watched(http, f"{shop.url}/v1/streams/stream-1/live", seen := asyncio.Event()))
            body = b'{"stream_id":"stream-1","buyer_id":"b","lines":[{"listing_id":"listing-none","quantity":1}]}'
            headers = client.headers()
            reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
            head = [b"POST /v1/orders HTTP/1.1", b"Host: shop", b"Content-Type: application/json"]
            head += [f"{name}: {value}".encode() for name, value in headers.items()]
            writer.write(b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body[:10]]))
            await writer.drain()
            await seen.wait()
            assert shop.process is not None
            shop.process.send_signal(signal.SIGTERM)
            while await _takes(shop.port):
                await asyncio.sleep(0.01)
            writer.write(body[10:])
            status = await reader.readline()
            assert status.startswith(b"HTTP/1.1 404"), status
            assert b"event: snapshot" in await feed
            writer.close()
        assert await asyncio.to_thread(shop.process.wait, 9) == 0
    finally:
        shop.stop()


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_cuts_off_what_is_in_flight_and_leaves_nothing_behind(
    tmp_path: Path, signals: Sequence[signal.Signals]
) -> None:
    """Whoever is still sending is not waited for; all else is closed in order, and nothing is made a fault of."""
    with process("serve", "--port", "0", "--data-dir", str(tmp_path)) as shop:
        assert shop.stderr is not None
        port = int(shop.stderr.readline().partition("127.0.0.1:")[2].partition(",")[0])
        with socket.create_connection(("127.0.0.1", port)) as sending:
            token = issue("admin", "tests", 3600, SECRET)
            head = ("POST /v1/orders HTTP/1.1", "Host: shop", f"Authorization: Bearer {token}", "Idempotency-Key: k")
            sending.sendall("\r\n".join([*head, "Transfer-Encoding: chunked", "", "4", "half", ""]).encode())
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
            for number in signals:
                shop.send_signal(number)
            assert shop.wait(30) == 0
        said = shop.stderr.read()
    assert "The shop is closed." in said
    assert not [word for word in ("Traceback", "xception", "graceful shutdown exceeded") if word in said], said
    assert servers_in(tmp_path) == []


async def watched(http: httpx.AsyncClient, url: str, seen: asyncio.Event) -> bytes:
    """Watch a live feed to its end, and say when it has begun."""
    told = b""
    async with http.stream("GET", url) as response:
        async for part in response.aiter_raw():
            told += part
            seen.set()
    return told


async def _takes(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def test_a_data_directory_that_is_removed_is_said_and_nothing_outlives_the_shop(tmp_path: Path) -> None:
    """The shop is no longer ready; at its end both servers are stopped, and the one line says what is gone."""
    data_dir = tmp_path / "shop"
    with process("serve", "--port", "0", "--data-dir", str(data_dir)) as shop:
        assert shop.stderr is not None
        url = re.search(r"http://127\.0\.0\.1:[0-9]+", shop.stderr.readline())
        assert url
        assert set(servers_in(data_dir)) >= {"postgres", "nats-server"}
        shutil.rmtree(data_dir)
        ready = httpx.get(f"{url[0]}/health/ready")
        assert (ready.status_code, set(ready.json()["problems"])) == (503, {"data_dir"})
        shop.send_signal(signal.SIGTERM)
        assert shop.wait(60) == 1
        said = shop.stderr.read()
    assert said.splitlines()[-1].startswith(f"livetill: {data_dir / 'postgres'} is gone")
    assert "Traceback" not in said
    assert servers_in(data_dir) == []


def test_several_hosts_may_be_named(tmp_path: Path, shop_url: str, nats_url: str) -> None:
    """IPv6 works where the machine has it, and the line shows an address that a browser takes."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
    place = ("--database-url", shop_url, "--nats-url", nats_url, "--data-dir", str(tmp_path))
    with process("serve", "--host", "::1", "--port", "0", *place) as shop:
        assert shop.stderr is not None
        first = shop.stderr.readline()
        url = re.search(r"http://\[::1\]:[0-9]+", first)
        assert url, first
        assert httpx.get(f"{url[0]}/health/live").status_code == 200
        shop.send_signal(signal.SIGINT)
        assert shop.wait(30) == 0


def test_a_shop_without_its_nats_sells_and_says_so(tmp_path: Path, shop_url: str) -> None:
    """One line in the log and a metric; it is ready all the same."""
    place = ("--database-url", shop_url, "--nats-url", "nats://127.0.0.1:1", "--data-dir", str(tmp_path))
    with process("serve", "--port", "0", *place) as shop:
        assert shop.stderr is not None
        url = re.search(r"http://127\.0\.0\.1:[0-9]+", "".join(shop.stderr.readline() for _ in range(2)))
        assert url
        assert httpx.get(f"{url[0]}/health/ready").status_code == 200
        deadline = time.monotonic() + 20
        while "livetill_nats_connected 0.0" not in httpx.get(f"{url[0]}/metrics").text and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "livetill_nats_connected 0.0" in httpx.get(f"{url[0]}/metrics").text
        shop.send_signal(signal.SIGINT)
        assert shop.wait(30) == 0
        assert shop.stderr.read().splitlines() == ["The shop is closed."]


@pytest.mark.parametrize("role", ["auditor", "client"])
def test_a_token_opens_the_doors_of_its_role(tmp_path: Path, role: str) -> None:
    """What ``livetill token`` prints is a token that a shop with the same secret takes."""
    done = livetill("token", "--role", role, "--subject", "somebody", "--ttl", "60", "--data-dir", str(tmp_path))
    principal = Authenticator(SECRET).principal(f"Bearer {done.stdout.strip()}".encode())
    assert principal is not None
    assert (principal.role, principal.subject) == (role, "somebody")
    assert not list(tmp_path.iterdir())
