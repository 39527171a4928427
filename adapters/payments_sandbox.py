"""A payment provider for shows without real money: the token says how a payment goes.

===================== ================================================================================
``tok_ok``            succeeds
``tok_declined``      is declined
``tok_timeout``       takes the money but never answers; asked again with the same key, it says so
``tok_late``          answers ``pending``; the success comes as a callback a moment later
``tok_late_declined`` answers ``pending``; the decline comes as a callback a moment later
``tok_twice``         succeeds, and says so by callback twice more
===================== ================================================================================

Any other token is declined as unknown. Like a real provider it keeps its word per key: the payment's id is made from
the key, so a repeated charge is the same payment even after this process was killed. Callbacks are signed as Standard
Webhooks say, and sent again when the shop does not take them.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from standardwebhooks.webhooks import Webhook

from application.ports import Clock, Payment, ProviderError

Send = Callable[[bytes, Mapping[str, str]], Awaitable[int]]
"""Delivers a callback's body and headers; returns the HTTP status."""

ATTEMPTS = 10
_LATE = {"tok_late": "payment.succeeded", "tok_late_declined": "payment.failed"}


class SandboxProvider:
    """The ``PaymentProvider`` of demos and tests, and of nothing that costs money."""

    def __init__(self, secret: str, clock: Clock, send: Send, *, late_seconds: float = 1.0) -> None:
        self._webhook, self._clock, self._send, self._late_seconds = Webhook(secret), clock, send, late_seconds
        self._heard: set[str] = set()
        self._due: set[asyncio.Task[None]] = set()
        self.refunds: dict[str, tuple[str, int]] = {}
        """What went back, by key: payment and amount."""

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Charge a token; see the table above for what becomes of it."""
        payment_id = f"pay_{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        again, paid = key in self._heard, Payment(payment_id, "succeeded", amount_minor)
        self._heard.add(key)
        facts = {"payment_id": payment_id, "order_id": order_id, "amount_minor": amount_minor, "currency": currency}
        match token:
            case "tok_ok":
                return paid
            case "tok_timeout":
                if again:
                    return paid
                raise ProviderError("the provider did not answer in time")
            case "tok_late" | "tok_late_declined":
                if not again:
                    self._later(_LATE[token], facts)
                return Payment(payment_id, "pending")
            case "tok_twice":
                if not again:
                    self._later("payment.succeeded", facts)
                    self._later("payment.succeeded", facts)
                return paid
            case "tok_declined":
                return Payment(payment_id, "declined", reason="insufficient_funds")
            case _:
                return Payment(payment_id, "declined", reason="unknown_token")

    async def refund(self, *, key: str, payment_id: str, amount_minor: int) -> None:
        """Give money back, once a key."""
        self.refunds.setdefault(key, (payment_id, amount_minor))

    async def close(self) -> None:
        """Drop the callbacks that are still to come."""
        for task in self._due:
            task.cancel()
        await asyncio.gather(*self._due, return_exceptions=True)

    def _later(self, kind: str, facts: Mapping[str, Any]) -> None:
        task = asyncio.create_task(self._call_back(kind, facts))
        self._due.add(task)
        task.add_done_callback(self._due.discard)

    async def _call_back(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Deliver a callback, again and again until it is taken."""
        for _ in range(ATTEMPTS):
            await asyncio.sleep(self._late_seconds)
            if await self._delivered(kind, facts):
                return

    async def _delivered(self, kind: str, facts: Mapping[str, Any]) -> bool:
        now = self._clock.now()
        body, headers = self.signed(kind, facts, now)
        try:
            return 200 <= await self._send(body, headers) < 300  # noqa: PLR2004 - any success
        except OSError:
            return False

    def signed(self, kind: str, facts: Mapping[str, Any], now: datetime) -> tuple[bytes, dict[str, str]]:
        """Return a callback's body and its headers."""
        body = msgspec.json.encode({"type": kind, "timestamp": now, "data": facts})
        message_id = f"msg_{hashlib.sha256(body).hexdigest()[:24]}"
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body.decode()),
        }
        return body, headers
