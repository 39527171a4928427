// One listing on the page: a card that is made once and then only changed where something changed.

import { count, money, span, when } from "./format.js";

const SOON_MS = 60 * 60 * 1000;
const HURRY_MS = 10_000;
const FEW = 10;

/** Say where a listing stands now: the recorded times decide, whatever was announced. */
export function standing(listing, now) {
  const { window: period, status } = listing;
  if (status === "withdrawn") return status;
  if (!period) return "draft";
  const [opens, closes] = [Date.parse(period.opens_at), period.closes_at ? Date.parse(period.closes_at) : Infinity];
  if (period.state === "closed" || now >= closes) return soldAll(listing) ? "sold_out" : "closed";
  if (now < opens) return now >= opens - period.countdown_seconds * 1000 ? "countdown" : "scheduled";
  if (listing.available > 0) return "open";
  return listing.reserved > 0 ? "in_checkout" : "sold_out";
}

/** Nothing is left and nothing is held, and that because it was sold. */
const soldAll = ({ available, reserved, committed, shipped }) => available <= 0 && reserved <= 0 && committed + shipped > 0;

/** Of these it is told what was sold, of the others what is left. */
const OVER = new Set(["closed", "withdrawn", "sold_out"]);
const TAGS = {
  draft: "Not on sale",
  scheduled: "Coming up",
  countdown: "Opens soon",
  in_checkout: "All in checkout",
  sold_out: "Sold out",
  closed: "Closed",
  withdrawn: "Withdrawn",
};

export class Card {
  #texts = new Map();
  #parts = {};

  constructor(template) {
    this.element = template.content.firstElementChild.cloneNode(true);
    const names = ["name", "tag", "sku", "price", "was", "left-text", "limit", "holds", "bar", "bar-left", "bar-held", "clock", "clock-label", "clock-time"];
    for (const name of names) this.#parts[name] = this.element.querySelector(`.${name}`);
  }

  /** Show a listing as of an instant. */
  show(listing, now, { pinned, onAir }) {
    const state = standing(listing, now);
    this.#data("state", state);
    this.#data("spot", onAir ? "air" : pinned ? "pin" : "");
    this.#text("name", listing.title);
    this.#text("sku", listing.sku);
    this.#prices(listing);
    this.#tag(state, listing, { pinned, onAir });
    this.#stock(state, listing);
    this.#clock(state, listing, now);
  }

  #prices({ quote, price }) {
    const reduced = quote.amount_minor < price.amount_minor;
    this.#text("price", money(quote));
    this.#text("was", reduced ? money(price) : "");
    this.#data("reduced", String(reduced));
  }

  #tag(state, listing, { pinned, onAir }) {
    const few = state === "open" && listing.available <= Math.min(FEW, listing.allotted / 4);
    const open = few ? "Almost gone" : onAir ? "On air" : pinned ? "Pinned" : "";
    this.#text("tag", TAGS[state] ?? open);
    this.#data("few", String(few));
  }

  /** A look has no units of its own: it is only told how many can be had. */
  #stock(state, listing) {
    const { available, reserved, committed, shipped, purchase_limit: limit } = listing;
    const [over, look] = [OVER.has(state), listing.components?.length > 0];
    const own = (text) => (look ? "" : text);
    this.#parts.bar.hidden = look;
    this.#bar(over, listing);
    this.#text("left-text", over ? own(`${count(committed + shipped)} sold`) : leftText(state, available));
    this.#text("limit", limit && !over ? own(`at most ${count(limit)} each`) : "");
    const unsold = over && available > 0 ? own(`${count(available)} not sold`) : "";
    this.#text("holds", reserved > 0 ? `${count(reserved)} in checkout` : unsold);
  }

  /** Fill with what is left of what was allotted; when it is over, with what was sold of what could be. */
  #bar(over, { available, reserved, allotted, committed, shipped }) {
    const sold = committed + shipped;
    const [filled, whole] = over ? [sold, sold + reserved + available] : [available, allotted];
    const part = (number) => (whole > 0 ? Math.min(1, Math.max(0, number / whole)) : 0);
    this.#fill("bar-left", 0, part(filled));
    this.#fill("bar-held", part(filled), part(filled + reserved));
  }

  #clock(state, { window: period }, now) {
    const ends = { scheduled: "opens_at", countdown: "opens_at", open: "closes_at", in_checkout: "closes_at" }[state];
    const until = ends && period[ends];
    const left = until ? Date.parse(until) - now : Infinity;
    const counts = left < SOON_MS;
    const label = state === "open" || state === "in_checkout" ? "Closes" : "Opens";
    this.#parts.clock.hidden = !until;
    this.#text("clock-label", until ? `${label} ${counts ? "in" : "at"}` : "");
    this.#text("clock-time", until ? (counts ? span(left) : when(until)) : "");
    this.#data("hurry", String(counts && left <= HURRY_MS));
  }

  #text(name, text) {
    if (this.#texts.get(name) === text) return;
    this.#texts.set(name, text);
    this.#parts[name].textContent = text;
  }

  #fill(name, from, to) {
    const value = `inset(0 ${(100 - to * 100).toFixed(2)}% 0 ${(from * 100).toFixed(2)}%)`;
    if (this.#texts.get(name) === value) return;
    this.#texts.set(name, value);
    this.#parts[name].style.clipPath = value;
  }

  #data(name, value) {
    if (this.element.dataset[name] !== value) this.element.dataset[name] = value;
  }
}

function leftText(state, available) {
  if (state === "in_checkout") return "None left for now";
  return state === "open" ? `${count(available)} left` : `${count(available)} to sell`;
}
