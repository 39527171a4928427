"""HEAD: what GET answers, without the body (RFC 9110, section 9.3.2). Monitors and load balancers ask so."""

from typing import Any

from attrs import define
from litestar.types import ASGIApp, Message, Receive, Scope, Send


@define(eq=False)
class Heads:
    """Wraps the whole application: wherever GET is answered, so is HEAD."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; for HEAD let the application answer GET, and pass on the head alone."""
        if scope.get("method") != "HEAD":
            await self.app(scope, receive, send)
            return

        async def head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def gone() -> Any:
            return {"type": "http.disconnect"}  # so that a live feed ends after its head

        asked: Any = {**scope, "method": "GET"}
        await self.app(asked, gone, head)


def allowed(methods: str) -> str:
    """Return an ``Allow`` header's methods with HEAD, where GET is among them."""
    names = {each.strip() for each in methods.split(",")}
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))
