"""What is made of the rows, and that it adds up to what the file says."""

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.demo.matching import PaidLines
from api.demo.plan import HOSTS, Line, Order, Show, TakeBack, allotment, orders_of, plan
from api.demo.rows import Row, read_orders
from domain.money import percent, split
from tests.demo.by_hand import SLICE, by_hand

MORNING = datetime(2010, 12, 1, 8, 0)  # noqa: DTZ001


def row(number: int, invoice: str = "1", code: str = "A1", quantity: int = 1, **fields: object) -> Row:
    """Return a row, a minute after the one before; only what a test is about is named."""
    told = {"title": code, "at": MORNING + timedelta(minutes=number), "price_minor": 100, "customer": "ann"} | fields
    return Row(number, invoice, code, quantity=quantity, **told)  # type: ignore[arg-type]


def orders(shows: tuple[Show, ...]) -> list[Order]:
    """Return all orders of all shows."""
    return [step for show in shows for step in show.steps if isinstance(step, Order)]


def test_an_invoice_is_one_order_summed_by_code() -> None:
    """A code that stands twice on an invoice is one line."""
    (order,) = orders_of([row(1, quantity=2), row(2, code="B2"), row(3, quantity=5)])
    assert order.lines == (Line("A1", 7, 100), Line("B2", 1, 100))


def test_a_second_price_of_a_code_makes_a_second_order() -> None:
    """A listing has one price at a time; what else is on the invoice stays together."""
    rows = [row(1), row(2, code="B2"), row(3, price_minor=80), row(4, price_minor=60), row(5, quantity=9)]
    assert [(order.order_key, order.lines) for order in orders_of(rows)] == [
        ("1-1", (Line("A1", 10, 100), Line("B2", 1, 100))),
        ("1-2", (Line("A1", 1, 80),)),
        ("1-3", (Line("A1", 1, 60),)),
    ]


def test_an_invoice_stands_where_its_first_row_is() -> None:
    """Rows of others in between, and a midnight, do not cut it in two."""
    late = MORNING + timedelta(days=1)
    shows = plan([row(1, "1"), row(2, "2"), row(3, "1", at=late), row(4, "3", at=late)])
    assert [[step.order_key for step in show.steps if isinstance(step, Order)] for show in shows] == [
        ["1-1", "2-1"],
        ["3-1"],
    ]
    assert orders(shows)[0].lines == (Line("A1", 2, 100),)


def test_a_missing_customer_is_a_guest_of_that_invoice_alone() -> None:
    """Two guests are two buyers, and neither is a customer."""
    shows = plan([row(1, "1", customer=""), row(2, "2", customer=""), row(3, "3"), row(4, "4")])
    assert [order.buyer_id for order in orders(shows)] == ["guest-1", "guest-2", "customer-ann", "customer-ann"]


def test_a_cancellation_stands_at_its_row() -> None:
    """What was bought later cannot have come back earlier."""
    (show,) = plan([row(1), row(2, "C1", cancels=True, quantity=3), row(3, "2")])
    assert [type(step) for step in show.steps] == [Order, TakeBack, Order]
    assert show.steps[1] == TakeBack(2, MORNING + timedelta(minutes=2), "ann", "A1", 3)


def test_a_day_is_a_show_and_hosts_take_turns() -> None:
    """The fourth show is the first host's again."""
    shows = plan([row(day, str(day), at=MORNING + timedelta(days=day)) for day in range(4)])
    assert [show.day for show in shows] == [date(2010, 12, day) for day in (1, 2, 3, 4)]
    assert [show.host for show in shows] == [*HOSTS, HOSTS[0]]


def test_a_listing_opens_at_the_first_price_and_with_the_days_demand() -> None:
    """Every order of the day counts, at whatever price; tomorrow's is another listing."""
    rows = [row(1, quantity=2), row(2, "2", quantity=3, price_minor=50), row(3, "3", at=MORNING + timedelta(days=1))]
    first, second = plan(rows)
    assert [(each.price_minor, each.demand) for each in first.offerings] == [(100, 5)]
    assert [(each.price_minor, each.demand) for each in second.offerings] == [(100, 1)]


@pytest.mark.parametrize(
    ("demand", "share", "units"),
    [(10, "1", 10), (10, "0.8", 8), (9, "0.8", 8), (1, "0.01", 1), (7, "0", 0), (10, "1.1", 11)],
)
def test_an_allotment_is_rounded_up(demand: int, share: str, units: int) -> None:
    """In decimals: ten times 1.1 is eleven, not twelve."""
    assert allotment(demand, Decimal(share)) == units


@given(st.integers(1, 10**9), st.integers(0, 10**4))
def test_an_allotment_is_the_least_whole_number_that_suffices(demand: int, per_mille: int) -> None:
    """Never below the share, never a whole unit above it."""
    units = allotment(demand, Decimal(per_mille) / 1000)
    assert demand * per_mille <= units * 1000 < demand * per_mille + 1000


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3", "C4"]), st.sampled_from(["A1", "B2"]), st.integers(1, 9),
        st.sampled_from([80, 100]), st.integers(0, 2),
    ),
    max_size=30,
)  # fmt: skip


@given(ROWS)
def test_no_unit_is_lost_or_made_in_planning(told: list[tuple[str, str, int, int, int]]) -> None:
    """By code and price the orders ask for what the rows say, and listings are sized for what orders ask."""
    rows = [
        row(n, invoice, code, units, price_minor=price, at=MORNING + timedelta(days=day), cancels=invoice == "C4")
        for n, (invoice, code, units, price, day) in enumerate(told)
    ]
    shows = plan(rows)
    in_file, in_plan = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for each in rows:
        in_file[each.stock_code, each.price_minor] += 0 if each.cancels else each.quantity
    for order in orders(shows):
        assert len({line.stock_code for line in order.lines}) == len(order.lines)
        for line in order.lines:
            in_plan[line.stock_code, line.price_minor] += line.quantity
    assert +in_plan == +in_file
    assert sum(offering.demand for show in shows for offering in show.offerings) == in_plan.total()
    assert len({order.order_key for order in orders(shows)}) == len(orders(shows))


def test_the_plan_of_the_slice_adds_up_to_what_the_file_says() -> None:
    """Units, amounts, returns and commissions, each computed twice: from the plan and from the CSV alone."""
    found, expected = read_orders(SLICE), by_hand(SLICE)
    shows = plan(found.rows)
    assert (found.rows_read, found.skipped.total()) == (expected.rows_read, expected.rows_skipped)
    assert sum(len(show.offerings) for show in shows) == len(expected.listings)
    assert len(orders(shows)) == len(expected.orders)
    lines = [(order, line) for order in orders(shows) for line in order.lines]
    assert sum(line.quantity for _, line in lines) == expected.units
    assert sum(line.quantity * line.price_minor for _, line in lines) == expected.gmv_minor
    back = returned(shows)
    assert back.pop(None) == expected.units_unmatched
    assert back.total() == expected.units_returned
    assert sum(units * key[2] for key, units in back.items() if key) == expected.refunds_minor
    assert commissions(shows, back) == (expected.accrued, expected.reversed)


Key = tuple[str, str, int]


def returned(shows: tuple[Show, ...]) -> Counter[Key | None]:
    """Return the units that come back by order, code and price; under None those that match nothing."""
    paid, back = PaidLines[Key](), Counter[Key | None]()
    for step in (step for show in shows for step in show.steps):
        if isinstance(step, Order):
            for line in step.lines:
                key = (step.order_key, line.stock_code, line.price_minor)
                paid.add(step.customer, line.stock_code, key, line.quantity)
        else:
            taken, unmatched = paid.take(step.customer, step.stock_code, step.quantity)
            back.update({None: unmatched})
            for each in taken:
                back[each.line] += each.quantity
    return back


def commissions(shows: tuple[Show, ...], back: Counter[Key | None]) -> tuple[Counter[str], Counter[str]]:
    """Return what is accrued and reversed by payee, by the rules of the domain."""
    accrued, reversed_ = Counter[str](), Counter[str]()
    for show in shows:
        for order in (step for step in show.steps if isinstance(step, Order)):
            for line in order.lines:
                units_back = back[order.order_key, line.stock_code, line.price_minor]
                first = shared(show, line.quantity * line.price_minor)
                last = shared(show, (line.quantity - units_back) * line.price_minor)
                for payee in first:
                    accrued[payee] += first[payee]
                    reversed_[payee] += first[payee] - last[payee]
    return accrued, reversed_


def shared(show: Show, base_minor: int) -> dict[str, int]:
    """Return the commission on a base by payee."""
    weights = [bps for _, bps in show.host.shares] or [1]
    return dict(zip(show.host.payees, split(percent(base_minor, show.host.rate_bps), weights), strict=True))
