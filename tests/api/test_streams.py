"""Shows over HTTP, from the announcement to the end."""

from typing import Any

from tests.api.shopfront import Shopfront, problem


async def test_an_announced_show_can_be_found(shop: Shopfront) -> None:
    """201 with its place; what is read there is what was answered."""
    show = {
        "title": "Spring looks", "host_id": "host-1", "brand_id": "brand-1", "currency": "EUR",
        "scheduled_at": "2030-01-01T21:00:00+01:00", "terms": {"rate_bps": 1000, "hold_days": 14},
    }  # fmt: skip
    response = await shop.post("/v1/streams", show, who="brand")
    assert response.status_code == 201
    announced = response.json()
    assert (announced["status"], announced["scheduled_at"]) == ("scheduled", "2030-01-01T20:00:00Z")
    assert announced["terms"] == [
        {"version": 1, "effective_at": "2030-01-01T00:00:00Z", "rate_bps": 1000, "hold_days": 14, "shares": []}
    ]
    assert announced["position"] == await shop.head()
    assert (await shop.get(response.headers["location"], who="")).json() == announced


async def test_a_show_runs_from_start_to_end(shop: Shopfront) -> None:
    """Started, interrupted, resumed, ended and started again; each answer says where it stands."""
    stream_id = await shop.schedule()
    steps: list[tuple[str, Any, str]] = [
        ("start", None, "live"),
        ("interrupt", None, "interrupted"),
        ("resume", None, "live"),
        ("end", {"reason": "technical"}, "ended"),
        ("restart", None, "live"),
        ("end", None, "ended"),
    ]
    for step, body, status in steps:
        told = await shop.must(f"/v1/streams/{stream_id}/{step}", body, who="host")
        assert (told["status"], told["position"]) == (status, await shop.head()), step


async def test_a_show_that_has_not_begun_cannot_be_interrupted(shop: Shopfront) -> None:
    """The answer names what was asked and where the show stands."""
    stream_id = await shop.schedule()
    refused = problem(await shop.post(f"/v1/streams/{stream_id}/interrupt"), 409, "not_allowed_now")
    assert (refused["action"], refused["current_status"]) == ("interrupt_stream", "scheduled")


async def test_a_host_is_live_in_one_show_at_a_time(shop: Shopfront) -> None:
    """The second show waits until the first has ended."""
    first, second = await shop.go_live(), await shop.schedule()
    problem(await shop.post(f"/v1/streams/{second}/start"), 409, "host_is_live_elsewhere")
    await shop.must(f"/v1/streams/{first}/end")
    assert (await shop.must(f"/v1/streams/{second}/start"))["status"] == "live"


async def test_a_show_can_be_moved_and_called_off(shop: Shopfront) -> None:
    """Until it starts; a cancelled show stays cancelled."""
    stream_id = await shop.schedule()
    moved = await shop.must(f"/v1/streams/{stream_id}/reschedule", {"scheduled_at": "2030-03-01T20:00:00Z"})
    assert moved["scheduled_at"] == "2030-03-01T20:00:00Z"
    assert (await shop.must(f"/v1/streams/{stream_id}/cancel"))["status"] == "cancelled"
    problem(await shop.post(f"/v1/streams/{stream_id}/start"), 409, "not_allowed_now")


async def test_a_raise_counts_at_once_and_a_cut_in_a_week(shop: Shopfront) -> None:
    """Nobody on air finds less than was agreed."""
    stream_id = await shop.schedule()
    raised = await shop.must(f"/v1/streams/{stream_id}/terms", {"rate_bps": 1500, "hold_days": 14})
    assert raised["terms"][1]["effective_at"] == "2030-01-01T00:00:00Z"
    cut = await shop.must(f"/v1/streams/{stream_id}/terms", {"rate_bps": 500, "hold_days": 14})
    assert cut["terms"][2]["effective_at"] == "2030-01-08T00:00:00Z"


async def test_three_listings_are_pinned_at_most(shop: Shopfront) -> None:
    """Pins of this show's listings only; unpinned one by one or all at once."""
    stream_id = await shop.go_live()
    listings = [await shop.offer(stream_id, sku=f"SKU-{n}") for n in range(4)]
    path = f"/v1/streams/{stream_id}"
    for listing_id in listings[:3]:
        await shop.must(f"{path}/pin", {"listing_id": listing_id})
    assert problem(await shop.post(f"{path}/pin", {"listing_id": listings[3]}), 409, "too_many_pins")["limit"] == 3
    assert (await shop.must(f"{path}/unpin", {"listing_id": listings[0]}))["pins"] == listings[1:3]
    assert (await shop.must(f"{path}/unpin"))["pins"] == []
    other = await shop.offer(await shop.go_live(host_id="host-2"))
    problem(await shop.post(f"{path}/pin", {"listing_id": other}), 404, "not_found")


async def test_sales_belong_to_who_is_on_air(shop: Shopfront) -> None:
    """A co-host's segment makes the sales the co-host's; leaving hands over to the host."""
    stream_id, listing_id = await shop.open()
    path = f"/v1/streams/{stream_id}"
    assert (await shop.must(f"{path}/co-hosts", {"host_id": "host-2"}))["co_hosts"] == ["host-2"]
    on_air = await shop.must(f"{path}/segment", {"host_id": "host-2", "listing_id": listing_id})
    assert (on_air["on_air"], on_air["segment_listing_id"]) == ("host-2", listing_id)
    assert (await shop.order(stream_id, listing_id)).json()["host_id"] == "host-2"
    assert (await shop.must(f"{path}/co-hosts/host-2/leave"))["on_air"] == "host-1"
    problem(await shop.post(f"{path}/segment", {"host_id": "host-2"}), 404, "not_found")
    other = await shop.offer(await shop.go_live(host_id="host-3"))
    problem(await shop.post(f"{path}/segment", {"host_id": "host-1", "listing_id": other}), 404, "not_found")
    problem(await shop.post(f"{path}/co-hosts/a%20b/leave"), 404, "not_found")


async def test_a_co_host_is_on_air_in_one_show_at_a_time(shop: Shopfront) -> None:
    """The second show waits until the first hands over to somebody else."""
    first, second = await shop.go_live(), await shop.go_live(host_id="host-2")
    for stream_id in (first, second):
        await shop.must(f"/v1/streams/{stream_id}/co-hosts", {"host_id": "host-3"})
    await shop.must(f"/v1/streams/{first}/segment", {"host_id": "host-3"})
    there = f"/v1/streams/{second}/segment"
    problem(await shop.post(there, {"host_id": "host-3"}), 409, "host_is_live_elsewhere")
    await shop.must(f"/v1/streams/{first}/segment", {"host_id": "host-1"})
    assert (await shop.must(there, {"host_id": "host-3"}))["on_air"] == "host-3"


async def test_the_audience_and_teasers_are_noted(shop: Shopfront) -> None:
    """What is sampled and what is told can be read from the show."""
    stream_id = await shop.go_live()
    counted = await shop.must(f"/v1/streams/{stream_id}/audience", {"views": 1200, "concurrent": 300})
    assert counted["views"] == 1200
    assert (await shop.must(f"/v1/streams/{stream_id}/teasers", {"text": "Hats next"}))["teasers"] == ["Hats next"]


async def test_shows_are_listed_by_where_they_stand(shop: Shopfront) -> None:
    """All, those that run, or those of one status; in pages."""
    scheduled, live = await shop.schedule(), await shop.go_live()
    shop.clock.advance(1)
    interrupted = await shop.go_live(host_id="host-2")
    await shop.must(f"/v1/streams/{interrupted}/interrupt")
    head = await shop.head()

    async def listed(query: str) -> list[str]:
        page = (await shop.get(f"/v1/streams?min_position={head}{query}", who="")).json()
        return [row["stream_id"] for row in page["streams"]]

    assert await listed("&status=live") == [live]
    assert await listed("&status=running") == [live, interrupted]
    assert sorted(await listed("")) == sorted([scheduled, live, interrupted])
    first = (await shop.get("/v1/streams?limit=2", who="")).json()
    second = await listed(f"&limit=2&cursor={first['next_cursor']}")
    assert second == [interrupted]
