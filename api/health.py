"""Is it alive, is it ready, and how is it doing. For load balancers and Prometheus, without a token.

``/metrics`` and ``/health`` say nothing about buyers or sales beyond totals; close them to the outside at the proxy
(``docs/api.md``) if even that is too much.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from attrs import asdict, define
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.answers import Answer, answer
from api.ask import Ask
from api.edge import read
from api.gauges import HELP
from api.services import Services

UNREADY: Final = 503
TILL_HELP: Final[Mapping[str, str]] = {
    "accepted": "Commands accepted by the till of this server, as all counts since it started.",
    "refused": "Commands refused by a rule of the shop, such as sold_out.",
    "replayed": "Commands sent again that got their first answer from the journal.",
    "failures": "Commands left without an answer, for the journal could not be written in time.",
    "batches": "Batches of commands concluded; each was one append to the journal at most.",
    "records": "Records appended to the journal.",
    "conflicts": "Batches decided anew because another server had written to one of their histories.",
    "unknown": "Appends whose outcome was not known at first, for the database was lost meanwhile.",
    "outages": "Appends that failed because the database was away; each is tried again for some seconds.",
    "append_seconds": "Time spent waiting for appends, in seconds; divided by batches, how long one takes.",
}
"""What each of the till's counters means, by its name."""
_NAME: Final = re.compile(r"(?P<name>[a-z_:]+)(?:\{(?P<label>[a-z_]+)=\"(?P<value>[^\"]*)\"\})?")


class LivenessView(msgspec.Struct, frozen=True):
    """The process runs."""

    status: Literal["alive"] = "alive"


class ReadinessView(msgspec.Struct, frozen=True):
    """Whether orders can be taken; ``problems`` says what is wrong, by part."""

    status: Literal["ready", "not_ready"]
    problems: dict[str, str]


@read("/health/live", roles=None)
async def live(_ask: Ask) -> Answer[LivenessView]:
    """Say that the process runs; when this fails, restart it."""
    return answer(LivenessView())


@read("/health/ready", roles=None)
async def ready(ask: Ask) -> Answer[ReadinessView]:
    """Say whether orders can be taken (200), or what is wrong (503); when this fails, send no traffic here."""
    problems = dict(await ask.services.ready())
    return answer(ReadinessView("not_ready" if problems else "ready", problems), status=UNREADY if problems else 200)


@define(eq=False)
class ShopCollector:
    """Turns what the shop counts and measures into Prometheus metrics when they are asked for."""

    services: Services

    def collect(self) -> Iterator[Metric]:
        """Yield the till's counters and the gauges."""
        till = self.services.till
        for name, value in asdict(till.counts).items():
            yield CounterMetricFamily(f"livetill_till_{name}", TILL_HELP[name], value=value)
        waiting = "Commands that wait for their batch; a full queue answers 503."
        yield GaugeMetricFamily("livetill_till_queued", waiting, value=till.queued)
        yield from _gauges(self.services)

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: what there is to measure depends on what runs."""
        return []


def _gauges(services: Services) -> Iterator[Metric]:
    """Yield what is measured, one family a name; a name may carry one label, as Prometheus writes it."""
    families: defaultdict[tuple[str, str | None], list[tuple[str | None, float]]] = defaultdict(list)
    for key, value in services.gauges().items():
        found = _NAME.fullmatch(key)
        if found is not None:
            families[found["name"], found["label"]].append((found["value"], value))
    for (name, label), samples in families.items():
        family = GaugeMetricFamily(
            f"livetill_{name}", HELP.get(name, name.replace("_", " ")), labels=[label] if label else None
        )
        for labelled, value in samples:
            family.add_metric([labelled] if labelled else [], value)
        yield family


def metrics_handler(services: Services, registry: CollectorRegistry) -> HTTPRouteHandler:
    """Return the handler of ``/metrics``."""
    registry.register(ShopCollector(services))

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> ASGIApp:  # noqa: ARG001 - Litestar wants what it knows
        return Answer[Any](generate_latest(registry), 200, [(b"content-type", CONTENT_TYPE_LATEST.encode())])

    return metrics


ENDPOINTS = (live, ready)
