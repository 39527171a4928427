"""A connection without a network: what it takes, how much of it is left over and how it ends is up to the test."""

import asyncio
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar

from api.commands.serve import _server
from api.express import ExpressProtocol


class Wire(asyncio.Transport):
    """A connection that notes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent = 0
        """Bytes that the system has not taken yet."""
        self.end = ""
        self.system, self.far_end = socket.socketpair()
        """Where the system would keep what it has taken."""

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        """Note it."""
        assert not self.end
        self.written.append(bytes(data))

    @property
    def statuses(self) -> list[int]:
        """What was answered."""
        return [int(each) for each in re.findall(rb"HTTP/1.1 (\d+)", b"".join(self.written))]

    def get_write_buffer_size(self) -> int:
        """Return what is left over."""
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell of the system's side of it."""
        return self.system if name == "socket" else default

    def is_closing(self) -> bool:
        """Tell whether it ends."""
        return bool(self.end)

    def close(self) -> None:
        """Note the end."""
        self.end = self.end or "closed"

    def abort(self) -> None:
        """Note the end."""
        self.end = "aborted"

    def write_eof(self) -> None:
        """Say no more."""

    def pause_reading(self) -> None:
        """Take no more."""

    def resume_reading(self) -> None:
        """Take more."""


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A connection."""
    made = Wire()
    with made.system, made.far_end:
        yield made


def connected(app: Litestar, wire: Wire) -> ExpressProtocol:
    """Connect a wire with the shop, as ``livetill serve`` would."""
    server = _server(app)
    server.config.load()
    protocol = server.config.http_protocol_class(  # type: ignore[call-arg]
        config=server.config, server_state=server.server_state, app_state={}
    )
    assert isinstance(protocol, ExpressProtocol)
    protocol.connection_made(wire)
    return protocol


async def answered(protocol: ExpressProtocol) -> None:
    """Wait until all that was asked is answered."""
    while protocol.tasks:
        await asyncio.gather(*protocol.tasks)
