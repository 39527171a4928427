"""``livetill serve``: one process that holds the event loop, the till and everything beside it.

The port is taken before anything heavy starts, so that a taken one is said at once, and handed to uvicorn as an open
socket. A stop signal ends the live feeds, lets requests in flight finish, then closes the shop and lets the embedded
servers go; a second one does not wait for requests. Measured against granian in docs/decisions/0006-server.md.
"""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import rich_click as click
from attrs import evolve

from api.commands.numbers import WholeNumber
from api.commands.options import servers
from api.commands.output import say
from api.commands.troubles import CommandError
from api.secrets import token_secret, webhook_secret

if TYPE_CHECKING:
    import uvicorn
    from litestar import Litestar

    from api.services import Settings

BACKLOG = 2048
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep idle connections, so that they close them and never find one closed."""
CLOSING_SECONDS = 0.1


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="LIVETILL_HOST",
    show_envvar=True,
    help="The address to listen on.",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    default=8000,
    show_default=True,
    envvar="LIVETILL_PORT",
    show_envvar=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--until-input-ends", "tied", is_flag=True, hidden=True, help="Close when whoever holds our input is gone."
)
@servers
def serve_command(
    host: str, port: int, data_dir: Path, database_url: str | None, nats_url: str | None, *, tied: bool
) -> None:
    """Open the shop: the HTTP API, the pages and everything behind them.

    Without URLs a PostgreSQL and a NATS come along and keep their data in the data directory. Several servers may share
    a data directory or a database; each takes orders, and what needs one leader has one.

    \b
    Examples:
      livetill serve
      livetill serve --port 8001
      LIVETILL_PORT=80 livetill serve --database-url postgresql://shop@db/shop
    """
    from api.services import Settings

    with bound(host, port) as listening:
        settings = Settings(
            host=host,
            port=listening.getsockname()[1],
            data_dir=data_dir,
            database_url=database_url or None,
            nats_url=nats_url or None,
        )
        settings = evolve(settings, jwt_secret=token_secret(data_dir), webhook_secret=webhook_secret(data_dir))
        _run(settings, listening, tied=tied)


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address; ``CommandError`` when that cannot be. Clients that come early wait in the backlog."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(f"there is no address {host}: choose another --host ({error.strerror})") from error
    with listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            raise CommandError(_not_bound(host, port, error)) from error
        yield listening


def _not_bound(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken: stop what listens there or choose another --port"
        case errno.EACCES:
            return f"port {port} needs more rights than this user has: choose a --port from 1024 on"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine: choose another --host"
        case _:
            return f"{host} port {port} cannot be listened on: {error.strerror}"


def _run(settings: "Settings", listening: socket.socket, *, tied: bool) -> None:
    import uvloop

    from api.logs import configure_logs

    configure_logs()
    uvloop.run(_serve(settings, listening, tied=tied))


async def _serve(settings: "Settings", listening: socket.socket, *, tied: bool) -> None:
    from api.compose import composed

    with _Stopping() as stopping:
        if tied:
            stopping.when_input_ends(sys.stdin.fileno())
        async with composed(settings) as services:
            from api.app import create_app
            from api.housekeeping import keep_house, settle

            app = create_app(services)
            settle()
            server = _server(app)
            stopping.server(server, app)
            say(f"livetill sells at {_url(settings)}, {_where(settings)}. Ctrl-C closes the shop.")
            house = asyncio.create_task(keep_house(lambda: services.till.counts.batches))
            try:
                await server.serve(sockets=[listening])
            finally:
                house.cancel()
    say("The shop is closed.")


def _server(app: "Litestar") -> "uvicorn.Server":
    import uvicorn

    from api.express import EXPRESS, ExpressProtocol

    class Server(uvicorn.Server):
        """Leaves signals to us: uvicorn would raise them again while the shop still has to be closed."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Capture none."""
            yield

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Shut down; in a hurry uvicorn forgets the application, which would be cut off while it listens."""
            await super().shutdown(sockets)
            if self.force_exit:
                await self.lifespan.shutdown()

    config = uvicorn.Config(
        app,
        http=partial(ExpressProtocol, app.state[EXPRESS]),  # type: ignore[arg-type]  # called like a class
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config)


class _Stopping:
    """What a stop signal does: before the server runs it ends the start, then it closes the server in good order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._stop: Callable[[], object] = task.cancel
        self._closing: asyncio.Task[None] | None = None
        self.signalled = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._signalled)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)
        if self._closing is not None:
            self._closing.cancel()
        return kind is asyncio.CancelledError and self.signalled

    def server(self, server: "uvicorn.Server", app: "Litestar") -> None:
        """From now on, close this server."""

        async def close() -> None:
            from api.live import close_hub

            server.should_exit = True
            while True:  # A feed may still have been opening; it would be waited for like any other request.
                await close_hub(app)
                await asyncio.sleep(CLOSING_SECONDS)

        def stop() -> None:
            if self._closing is None:
                self._closing = self._loop.create_task(close())
            else:
                server.force_exit = True

        self._stop = stop

    def when_input_ends(self, descriptor: int) -> None:
        """Stop when a pipe ends: the one process that holds its other end is gone, however it went."""

        def look() -> None:
            if not os.read(descriptor, 4096):
                self._loop.remove_reader(descriptor)
                self._signalled()

        self._loop.add_reader(descriptor, look)

    def _signalled(self) -> None:
        self.signalled = True
        self._stop()


def _url(settings: "Settings") -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _where(settings: "Settings") -> str:
    if settings.database_url is None:
        return f"data in {os.path.abspath(settings.data_dir)}"  # noqa: PTH100 - resolve() would hide a link's name
    return f"data in the database given, secrets in {settings.data_dir.absolute()}"
