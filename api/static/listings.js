// The listings of the show: the spotlight, and below it the rest by what is going on, with a box to find one.
// Only what can be seen is on the page: a show may offer more than a thousand.

import { Card, standing } from "./card.js";
import { count } from "./format.js";

const PAGE = matchMedia("(min-width: 62rem)").matches ? 48 : 12; // On a phone more than listings is to be reached.
const SORT_EVERY_MS = 4_000;
const FEW = 6; // are found without looking for them.
const byName = new Intl.Collator();
const HALF_LIFE_MS = 20_000;
const RANKS = { countdown: 0, open: 1, in_checkout: 2, scheduled: 3, sold_out: 4, closed: 4, draft: 5, withdrawn: 6 };

export class Listings {
  #listings = new Map();
  #activity = new Map();
  #cards = new Map();
  #dirty = new Set();
  #order = [];
  #sortedAt = 0;
  #shown = PAGE;
  #pins = [];
  #onAir = null;
  #stage = "ahead";

  constructor(page, clock) {
    this.page = page;
    this.clock = clock;
    page.filter.addEventListener("input", () => this.#restart());
    page.more.addEventListener("click", () => {
      this.#shown += PAGE;
      this.arrange();
    });
  }

  load(listings) {
    this.#listings = new Map(listings.map((each) => [each.listing_id, each]));
    this.#dirty = new Set(this.#listings.keys());
    this.arrange();
  }

  get(listingId) {
    return this.#listings.get(listingId);
  }

  /** Take changed listings in; what moved is busy. */
  change(listings) {
    for (const each of listings) {
      const known = this.#listings.get(each.listing_id);
      if (known) this.#busy(each.listing_id, Math.abs((each.available ?? known.available) - known.available));
      this.#listings.set(each.listing_id, { ...known, ...each });
      this.#dirty.add(each.listing_id);
      if (!known || known.status !== each.status) this.#sortedAt = 0;
    }
  }

  /** Say what comes first, and whether the show is `ahead`, `on` or `over`. */
  spotlight(pins, onAir, stage) {
    [this.#pins, this.#onAir, this.#stage] = [pins, onAir, stage];
    this.arrange();
  }

  /** Whether units are held that may still be paid. */
  held() {
    return [...this.#listings.values()].some((each) => each.reserved > 0);
  }

  /** Bring what is on the page up to date: only the changed cards, or all when a second has passed. */
  refresh(everySecond) {
    const now = this.clock.now();
    if (now - this.#sortedAt > SORT_EVERY_MS && !this.#inUse()) this.arrange();
    const due = everySecond ? this.#cards.keys() : this.#dirty;
    for (const listingId of due) this.#cards.get(listingId)?.show(this.#listings.get(listingId), now, this.#spot(listingId));
    if (everySecond) this.#count();
    this.#dirty.clear();
  }

  arrange() {
    this.#sortedAt = this.clock.now();
    const featured = [...new Set([this.#onAir, ...this.#pins])].filter((each) => this.#listings.has(each));
    this.#order = this.#sorted().filter((each) => !featured.includes(each));
    const shown = this.#order.slice(0, this.#shown);
    this.#place(this.page.featured, featured);
    this.#place(this.page.listings, shown);
    this.page.featuredSection.hidden = !featured.length;
    this.#forget(new Set([...featured, ...shown]));
    this.#say(shown.length);
  }

  #sorted() {
    const wanted = this.page.filter.value.trim().toLocaleLowerCase();
    const now = this.clock.now();
    const found = [...this.#listings.values()].filter((each) => !wanted || `${each.title} ${each.sku}`.toLocaleLowerCase().includes(wanted));
    const keyed = found.map((each) => [
      RANKS[standing(each, now)], -this.#busyness(each.listing_id, now), -(each.committed + each.shipped), each.title, each.listing_id,
    ]);
    keyed.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || byName.compare(a[3], b[3]));
    return keyed.map((key) => key[4]);
  }

  #place(list, listingIds) {
    const now = this.clock.now();
    listingIds.forEach((listingId, index) => {
      const card = this.#card(listingId);
      card.show(this.#listings.get(listingId), now, this.#spot(listingId));
      if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
    });
    while (list.children.length > listingIds.length) list.lastElementChild.remove();
  }

  #card(listingId) {
    if (!this.#cards.has(listingId)) this.#cards.set(listingId, new Card(this.page.template));
    return this.#cards.get(listingId);
  }

  #forget(kept) {
    for (const listingId of this.#cards.keys()) if (!kept.has(listingId)) this.#cards.delete(listingId);
  }

  #spot(listingId) {
    return { pinned: this.#pins.includes(listingId), onAir: listingId === this.#onAir };
  }

  #busy(listingId, moved) {
    const now = this.clock.now();
    this.#activity.set(listingId, { at: now, score: this.#busyness(listingId, now) + moved });
  }

  /** How much has moved lately; half as much counts after every half-life. Rounded, so that ranks hold still. */
  #busyness(listingId, now) {
    const known = this.#activity.get(listingId);
    return known ? Math.round(known.score * 0.5 ** ((now - known.at) / HALF_LIFE_MS)) : 0;
  }

  /** Whether somebody reads or uses the list: what is under a finger must not move. */
  #inUse() {
    return this.page.listings.matches(":hover, :focus-within");
  }

  #restart() {
    this.#shown = PAGE;
    this.arrange();
  }

  /** Count what can be bought now; after the show, what was offered. */
  #count() {
    const now = this.clock.now();
    const all = [...this.#listings.values()];
    const counted = this.#stage === "on" ? all.filter((each) => standing(each, now) === "open") : this.#stage === "over" ? all : [];
    this.page.count.textContent = all.length ? count(counted.length) : "";
  }

  #say(shown) {
    const hidden = this.#order.length - shown;
    this.#count();
    this.page.filter.hidden = this.#listings.size <= FEW;
    this.page.more.hidden = hidden <= 0;
    this.page.more.textContent = `Show ${count(Math.min(PAGE, hidden))} more of ${count(hidden)}`;
    const nothing = this.page.filter.value ? "Nothing by that name or SKU in this show." : "Nothing is offered in this show yet.";
    this.page.empty.hidden = this.#order.length > 0 || (!this.page.filter.value && this.#listings.size > 0);
    this.page.empty.textContent = nothing;
  }
}
