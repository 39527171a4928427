"""Editing what others may edit too: versions, and what they guard."""

import asyncio

import pytest

from tests.api.shopfront import Shopfront, eur, problem


async def test_a_thing_says_its_version(shop: Shopfront) -> None:
    """The ETag of what was written is the ETag of what is read."""
    stream_id = await shop.schedule()
    written = await shop.post(f"/v1/streams/{stream_id}/teasers", {"text": "Soon"})
    seen = await shop.get(f"/v1/streams/{stream_id}")
    assert written.headers["etag"] == seen.headers["etag"] == f'"{seen.json()["version"]}"'


async def test_an_edit_of_what_has_changed_is_refused(shop: Shopfront) -> None:
    """Who read version 2 does not overwrite version 3, and is told both."""
    stream_id = await shop.schedule()
    path, etag = f"/v1/streams/{stream_id}", (await shop.get(f"/v1/streams/{stream_id}")).headers["etag"]
    assert (await shop.post(f"{path}/teasers", {"text": "Soon"}, If_Match=etag)).status_code == 200
    head = await shop.head()
    stale = problem(await shop.post(f"{path}/teasers", {"text": "Sooner"}, If_Match=etag), 412, "stale_version")
    assert (f'"{stale["seen"]}"', stale["now"]) == (etag, stale["seen"] + 1)
    assert await shop.head() == head


async def test_of_two_edits_at_once_one_wins(shop: Shopfront) -> None:
    """Two who saw the same version: the second is told to look again."""
    _, listing_id = await shop.open()
    etag = (await shop.get(f"/v1/listings/{listing_id}")).headers["etag"]
    path = f"/v1/listings/{listing_id}/price"
    answers = await asyncio.gather(*(shop.post(path, {"price": eur(n)}, If_Match=etag) for n in (1000, 1100)))
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_an_order_can_be_edited_by_version_too(shop: Shopfront) -> None:
    """A cancellation that was decided on a look at the order counts for that look only."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.paid(stream_id, listing_id)
    stale = await shop.post(f"/v1/orders/{order_id}/cancel", who="buyer", If_Match='"1"')
    problem(stale, 412, "stale_version")


@pytest.mark.parametrize("header", ["3", '"three"', '"3" "4"', '"3",', '"', "", '"-1"', '"' + "9" * 30 + '"'])
async def test_a_version_is_named_as_the_etag_was(shop: Shopfront, header: str) -> None:
    """Anything but ETags of ours is a bad request."""
    stream_id = await shop.schedule()
    response = await shop.post(f"/v1/streams/{stream_id}/teasers", {"text": "Soon"}, If_Match=header)
    problem(response, 400, "malformed_if_match")


async def test_several_versions_may_be_named_and_a_weak_one_is_none(shop: Shopfront) -> None:
    """One of a list is enough; whoever marked a tag as weak has not seen exactly this."""
    stream_id = await shop.schedule()
    path = f"/v1/streams/{stream_id}/teasers"
    version = (await shop.get(f"/v1/streams/{stream_id}")).json()["version"]
    for weak in (f'W/"{version}"', f'W/"{version}", "{version + 1}"'):
        assert problem(await shop.post(path, {"text": "Soon"}, If_Match=weak), 412, "stale_version")["now"] == version
    tags = f'"{version + 5}", "{version}"'
    assert (await shop.post(path, {"text": "Soon"}, If_Match=tags)).status_code == 200


async def test_any_version_is_a_star(shop: Shopfront) -> None:
    """``If-Match: *`` asks only that the thing is there."""
    stream_id = await shop.schedule()
    response = await shop.post(f"/v1/streams/{stream_id}/teasers", {"text": "Soon"}, If_Match="*")
    assert response.status_code == 200
    problem(await shop.post("/v1/streams/stream-x/teasers", {"text": "Soon"}, If_Match="*"), 404, "not_found")
