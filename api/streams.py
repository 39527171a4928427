"""Shows: announced by their brand, run by their host."""

from typing import Any

from api import access, bodies, idempotency, params
from api.answers import Answer, answer
from api.ask import Ask
from api.auth import Forbidden, Role
from api.edge import read, write
from api.fields import utc
from api.row_views import StreamRowView, StreamsView
from api.views import StreamView, stream_view, told
from application import commands as c
from domain.refusal import NotFound
from domain.stream import commands as stream
from domain.stream.events import EndReason
from projections import queries
from projections.pages import page_by_key
from projections.streams import STREAMS, StreamRow

NOT_NOW = ("not_allowed_now",)


@write("/v1/streams", roles=access.OWNERS, status=201)
async def schedule_stream(ask: Ask, body: bodies.ScheduleStreamBody) -> Answer[StreamView]:
    """Announce a show with the terms its host agreed to."""
    if ask.principal.role is not Role.ADMIN and body.brand_id != ask.principal.subject:
        raise Forbidden(ask.principal.role.value)
    planned = stream.ScheduleStream(
        body.title, body.host_id, body.brand_id, utc(body.scheduled_at), body.currency, body.terms.terms(),
        ask.now,
    )  # fmt: skip
    verdict = await ask.ring(c.Tell(idempotency.new_id("stream", ask.now), planned, new=True))
    show = await ask.told(verdict, told(verdict, "stream"))
    view = stream_view(show.id, show.state, show.version, verdict.position)
    return answer(view, status=201, version=show.version, location=f"/v1/streams/{show.id}")


async def _edit(ask: Ask, command: Any) -> Answer[StreamView]:
    """Ring up a command to a show and answer with the show."""
    verdict = await ask.ring(command)
    show = await ask.told(verdict, command.target)
    return answer(stream_view(show.id, show.state, show.version, verdict.position), version=show.version)


@write(
    "/v1/streams/{stream_id:str}/start", roles=access.SHOW_STAFF, edits=True,
    refusals=(*NOT_NOW, "host_is_live_elsewhere"),
)  # fmt: skip
async def start_stream(ask: Ask) -> Answer[StreamView]:
    """Go on air. A host is live in one show at a time."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.StartStream(show.id))


@write(
    "/v1/streams/{stream_id:str}/restart", roles=access.SHOW_STAFF, edits=True,
    refusals=(*NOT_NOW, "host_is_live_elsewhere"),
)  # fmt: skip
async def restart_stream(ask: Ask) -> Answer[StreamView]:
    """Come back on air within two hours of an end that was too early."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.StartStream(show.id, restart=True))


@write("/v1/streams/{stream_id:str}/interrupt", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def interrupt_stream(ask: Ask) -> Answer[StreamView]:
    """Note that the picture is gone. Open windows keep their deadlines; after half an hour the show is over."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.Tell(show.id, stream.InterruptStream(ask.now)))


@write("/v1/streams/{stream_id:str}/resume", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def resume_stream(ask: Ask) -> Answer[StreamView]:
    """Note that the picture is back."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.Tell(show.id, stream.ResumeStream(ask.now)))


@write("/v1/streams/{stream_id:str}/end", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def end_stream(ask: Ask, body: bodies.EndBody) -> Answer[StreamView]:
    """Go off air. No order is taken from here on, open windows close, holds live to their own expiry."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.EndStream(show.id, EndReason(body.reason)))


@write("/v1/streams/{stream_id:str}/cancel", roles=access.OWNERS, edits=True, refusals=NOT_NOW)
async def cancel_stream(ask: Ask) -> Answer[StreamView]:
    """Call an announced show off. Windows that were planned are closed."""
    show = await ask.stream(access.owns)
    return await _edit(ask, c.Tell(show.id, stream.CancelStream()))


@write("/v1/streams/{stream_id:str}/reschedule", roles=access.OWNERS, edits=True, refusals=NOT_NOW)
async def reschedule_stream(ask: Ask, body: bodies.RescheduleBody) -> Answer[StreamView]:
    """Move an announced show."""
    show = await ask.stream(access.owns)
    return await _edit(ask, c.Tell(show.id, stream.RescheduleStream(utc(body.scheduled_at))))


@write("/v1/streams/{stream_id:str}/terms", roles=access.OWNERS, edits=True, refusals=NOT_NOW)
async def agree_terms(ask: Ask, body: bodies.TermsBody) -> Answer[StreamView]:
    """Change what the host earns: a raise counts at once, a cut after a week's notice.

    A lower rate, a smaller share and longer hold days are cuts. Terms that only soften a cut which is still to come
    count from its day on.
    """
    show = await ask.stream(access.owns)
    return await _edit(ask, c.Tell(show.id, stream.AgreeTerms(body.terms(), ask.now)))


@write("/v1/streams/{stream_id:str}/pin", roles=access.SHOW_STAFF, edits=True, refusals=(*NOT_NOW, "too_many_pins"))
async def pin_listing(ask: Ask, body: bodies.PinBody) -> Answer[StreamView]:
    """Keep a listing of this show on the viewers' screen, three at most. A pin opens no window."""
    show = await ask.stream(access.presents)
    return await _edit(ask, c.PinListing(show.id, body.listing_id))


@write("/v1/streams/{stream_id:str}/unpin", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def unpin_listing(ask: Ask, body: bodies.UnpinBody) -> Answer[StreamView]:
    """Take a listing off the viewers' screen; all of them when none is named."""
    show = await ask.stream(access.presents)
    return await _edit(ask, c.Tell(show.id, stream.UnpinListing(body.listing_id)))


@write(
    "/v1/streams/{stream_id:str}/segment", roles=access.SHOW_STAFF, edits=True,
    refusals=(*NOT_NOW, "host_is_live_elsewhere"),
)  # fmt: skip
async def start_segment(ask: Ask, body: bodies.SegmentBody) -> Answer[StreamView]:
    """Say who is on air from now on, with which listing: sales are attributed to it. Nobody is in two shows at once."""
    show = await ask.stream(access.runs)
    if body.listing_id is not None:
        await _require_of_show(ask, body.listing_id, show.id)
    return await _edit(ask, c.Tell(show.id, stream.StartSegment(body.host_id, body.listing_id, ask.now)))


async def _require_of_show(ask: Ask, listing_id: str, stream_id: str) -> None:
    listing = await ask.seen(listing_id, "listing")
    if listing.state.offer.stream_id != stream_id:
        raise NotFound("listing", listing_id)


@write("/v1/streams/{stream_id:str}/teasers", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def publish_teaser(ask: Ask, body: bodies.TeaserBody) -> Answer[StreamView]:
    """Show viewers what is to come."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.Tell(show.id, stream.PublishTeaser(body.text)))


@write("/v1/streams/{stream_id:str}/audience", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def sample_audience(ask: Ask, body: bodies.AudienceBody) -> Answer[StreamView]:
    """Note how many watch and what they do, so that engagement can be replayed."""
    show = await ask.stream(access.runs)
    counts = stream.SampleAudience(body.views, body.concurrent, body.comments, body.likes, ask.now)
    return await _edit(ask, c.Tell(show.id, counts))


@write("/v1/streams/{stream_id:str}/co-hosts", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW)
async def join_co_host(ask: Ask, body: bodies.CoHostBody) -> Answer[StreamView]:
    """Let somebody else sell in this show too."""
    show = await ask.stream(access.runs)
    return await _edit(ask, c.Tell(show.id, stream.JoinCoHost(body.host_id)))


@write(
    "/v1/streams/{stream_id:str}/co-hosts/{host_id:str}/leave", roles=access.SHOW_STAFF, edits=True, refusals=NOT_NOW
)
async def leave_co_host(ask: Ask) -> Answer[StreamView]:
    """Note that a co-host left; who was on air hands over to the host."""
    show, host_id = await ask.stream(access.runs), ask.named("host_id")
    return await _edit(ask, c.Tell(show.id, stream.LeaveCoHost(host_id)))


@read("/v1/streams/{stream_id:str}", roles=None)
async def get_stream(ask: Ask, query: params.ReadQuery) -> Answer[StreamView]:
    """Return a show, now or as of any position."""
    show, position = await ask.of(await ask.stream(), "stream", query)
    return answer(stream_view(show.id, show.state, show.version, position), version=show.version)


@read("/v1/streams", roles=None)
async def list_streams(ask: Ask, query: params.StreamsQuery) -> Answer[StreamsView]:
    """Return shows, the oldest first; ``running`` means on air, or interrupted and expected back."""
    tables = await ask.tables(query)
    if query.status == "running":
        page = await queries.running_streams(tables, limit=query.limit, cursor=query.cursor)
    else:
        wanted: dict[str, object] = {} if query.status == "all" else {"status": query.status}
        page = await page_by_key(tables, STREAMS, wanted, query.limit, query.cursor)
    return answer(StreamsView(page.position, [_row(each) for each in page.items], page.next_cursor))


def _row(row: StreamRow) -> StreamRowView:
    return StreamRowView(
        row.stream_id, row.status, row.title, row.host_id, row.brand_id, row.currency, row.scheduled_at,
        row.started_at, row.ended_at, row.on_air, tuple(row.pins), row.views,
    )  # fmt: skip


ENDPOINTS = (
    schedule_stream, start_stream, restart_stream, interrupt_stream, resume_stream, end_stream, cancel_stream,
    reschedule_stream, agree_terms, pin_listing, unpin_listing, start_segment, publish_teaser, sample_audience,
    join_co_host, leave_co_host, get_stream, list_streams,
)  # fmt: skip
