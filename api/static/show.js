// The page of a show: finds out which, follows its feed and hands what it hears to the parts of the page.

import { Boards, element } from "./boards.js";
import { Feed, ServerClock } from "./feed.js";
import { apart, count, money, timeWithSeconds, when } from "./format.js";
import { Listings } from "./listings.js";
import { Plot } from "./plot.js";

const FRAME_MS = 100;
const SHOWS_EVERY_MS = 30_000;
const NONE_EVERY_MS = 3_000; // How often a page without a show asks for one.
const SAY_EVERY_MS = 20_000;
const NEWS = 6;
const byId = (id) => document.getElementById(id);
const page = {
  featured: byId("featured"), featuredSection: byId("featured-section"), listings: byId("listings"), filter: byId("filter"),
  more: byId("more"), count: byId("count"), empty: byId("empty"), template: byId("listing"),
};

const clock = new ServerClock();
const listings = new Listings(page, clock);
const plot = new Plot(byId("plot"));
const boards = new Boards(byId("board"), document.querySelector(".side"));
const asked = /^\/shows\/([^/]+)\/?$/.exec(location.pathname);
const said = new Map();
let show = null;
let pins = [];
let dirty = false;

// what is heard

const told = {
  snapshot(data) {
    byId("main").removeAttribute("data-loading");
    listings.load(data.listings);
    plot.load(data.recent);
    boards.load(data.boards);
    totals(data.totals);
    present(data.stream);
  },
  stock: (data) => listings.change(data.listings),
  pin(data) {
    spotlight();
    if (data.pinned) report(`${nameOf(data)} is in the spotlight`, data);
  },
  window(data) {
    if (data.window) listings.change([{ ...(listings.get(data.listing_id) ?? data), listing_id: data.listing_id, window: data.window }]);
    const words = { opened: "is on sale now", extended: "stays open longer", closed: "is closed", countdown: "is about to open" };
    if (words[data.change]) report(`${nameOf(data)} ${words[data.change]}`, data, data.change === "opened");
  },
  stream: (data) => present(data.stream),
  sold_out: (data) => report(`${nameOf(data)} ${data.reserved > 0 ? `is all in checkout: ${count(data.reserved)} held` : "is sold out"}`, data, true),
  back_in_stock: (data) => report(`${nameOf(data)} is back: ${count(data.available)} left`, data, true),
  order(data) {
    plot.add(data.at, data.orders, data.refused);
    totals(data.totals);
  },
  boards: (data) => boards.load(data.boards),
  tick: () => {},
};

function hear(name, data) {
  if (data.server_now) clock.hear(data.server_now);
  if (data.pins) pins = data.pins;
  told[name]?.(data);
  dirty = true;
}

const nameOf = (data) => apart(data.title ?? listings.get(data.listing_id)?.title ?? "A listing");

// what is shown

function present(stream) {
  show = stream;
  const words = { live: "Live", interrupted: "Paused", ended: "Ended", scheduled: "Soon", cancelled: "Cancelled" };
  document.body.dataset.status = byId("badge").dataset.status = stream.status;
  byId("badge").textContent = words[stream.status] ?? stream.status;
  byId("title").textContent = stream.title;
  document.title = `${apart(stream.title)} · livetill`;
  byId("host").textContent = `with ${stream.on_air || stream.host_id}`;
  byId("when").textContent = timing(stream);
  byId("rates").hidden = over(); // Of what is over, nothing happens each second.
  byId("sales-title").textContent = over() ? "Sales" : "Sales so far";
  spotlight();
}

/** What is on air and what is pinned comes first, while there is a show. */
function spotlight() {
  const on = show?.status === "live" || show?.status === "interrupted";
  listings.spotlight(on ? pins : [], on ? show.segment_listing_id : null, on ? "on" : over() ? "over" : "ahead");
  remark();
  byId("listings-heading").textContent = over() ? "What was on sale" : "On sale";
}

const over = () => show?.status === "ended" || show?.status === "cancelled";

/** Say what is to be known of the show as it is. */
function remark() {
  if (!show || "empty" in document.body.dataset) return;
  const note = notes[show.status]?.(show) ?? "";
  byId("note").hidden = !note;
  if (byId("note").textContent !== note) byId("note").textContent = note;
}

const notes = {
  interrupted: () => "The picture is away for a moment. What is open stays open, and deadlines hold.",
  ended: (stream) => `This show ended${stream.ended_at ? ` at ${when(stream.ended_at)}` : ""}.${listings.held() ? " What is held in checkout can still be paid." : ""}`,
  scheduled: (stream) => `This show starts at ${when(stream.scheduled_at)}. The page comes alive by itself.`,
  cancelled: () => "This show was cancelled.",
};

function timing(stream) {
  const views = stream.views ? ` · ${count(stream.views)} views` : "";
  if (stream.ended_at) return `${when(stream.started_at)} – ${when(stream.ended_at)}${views}`;
  if (stream.started_at) return `since ${when(stream.started_at)}${views}`;
  return when(stream.scheduled_at);
}

/** What was sold, and apart from it what was refused and what came back. */
function totals({ orders, refused, units, returned_units: returned, gmv }) {
  byId("orders").textContent = count(orders);
  byId("units").textContent = count(units);
  aside("refused", refused, "refused");
  aside("returned", returned, "came back");
  byId("gmv").textContent = money(gmv);
}

/** A number that is only spoken of when there is one. */
function aside(id, number, word) {
  byId(id).hidden = !number;
  byId(id).textContent = number ? `${count(number)} ${word}` : "";
}

/** Put news on top; what was last said of the same listing goes, for units in checkout come and go. */
function report(text, data, aloud = false) {
  const line = element("li", "news-line");
  line.dataset.listing = data.listing_id;
  for (const each of [...byId("news").children]) if (each.dataset.listing === data.listing_id) each.remove();
  line.append(element("time", "news-time", timeWithSeconds(clock.now())), element("span", "", text));
  byId("news").prepend(line);
  while (byId("news").children.length > NEWS) byId("news").lastElementChild.remove();
  byId("news-section").hidden = false;
  if (aloud) say(text, data.listing_id);
}

/** Say something to those who listen to the page, a listing at most every twenty seconds. */
function say(text, listingId) {
  const now = Date.now();
  if (now - (said.get(listingId) ?? 0) < SAY_EVERY_MS) return;
  said.set(listingId, now);
  byId("announcer").textContent = `${text}.`;
}

function link(state) {
  const words = { connecting: "Connecting", live: "Connected", reconnecting: "Connection lost, trying again", gone: "Not found", idle: "No show is on" };
  const shown = state === "live" && over() ? "Up to date" : words[state];
  byId("link").dataset.state = state;
  if (byId("link-text").textContent !== shown) byId("link-text").textContent = shown;
  if (state === "gone") nothing("There is no such show", "It may have been removed, or the address is wrong.");
}

/** All is well, and there is nothing to follow yet. */
function none() {
  link("idle");
  nothing("No show yet", "As soon as one is announced it appears here.");
}

function nothing(title, note) {
  byId("main").removeAttribute("data-loading");
  document.body.dataset.empty = "";
  byId("title").textContent = title;
  byId("badge").hidden = true;
  byId("note").hidden = false;
  byId("note").textContent = note;
}

// when

let second = 0;

function frame() {
  const now = clock.now();
  const everySecond = Math.floor(now / 1000) !== second;
  if (everySecond) {
    second = Math.floor(now / 1000);
    const { rate, peak } = plot.draw(now);
    byId("rate").textContent = rate >= 10 ? count(Math.round(rate)) : rate.toFixed(1);
    byId("peak").textContent = peak ? `peak ${count(peak)}` : "";
    if (second % 10 === 0) byId("plot").setAttribute("aria-label", `Orders a second over the last 90 seconds: ${rate.toFixed(1)} now, ${peak} at most`);
  }
  if (!document.hidden && (dirty || everySecond)) {
    dirty = false;
    listings.refresh(everySecond);
    if (everySecond) remark();
  }
}

// which show

async function shows() {
  const answer = await fetch("/shows");
  if (!answer.ok) throw new Error(`the shows cannot be had: ${answer.status}`);
  return (await answer.json()).shows;
}

function offer(all, current) {
  const others = all.filter((each) => each.stream_id !== current);
  const rows = others.map((each) => {
    const row = element("li", "show-row");
    const anchor = element("a", "show-link");
    anchor.href = `/shows/${encodeURIComponent(each.stream_id)}`;
    const badge = element("span", "badge small", { live: "Live", interrupted: "Paused", ended: "Ended", scheduled: "Soon" }[each.status]);
    badge.dataset.status = each.status;
    anchor.append(badge, element("strong", "", each.title), element("span", "meta", `with ${each.host_id} · ${when(each.started_at ?? each.scheduled_at)}`));
    row.append(anchor);
    return row;
  });
  byId("shows").replaceChildren(...rows);
  byId("shows-section").hidden = !rows.length;
  point(others.find((each) => each.status === "live"));
}

function point(live) {
  const elsewhere = byId("elsewhere");
  elsewhere.hidden = !live || show?.status === "live";
  if (elsewhere.hidden) return;
  const anchor = element("a", "", `${apart(live.title)} is live now`);
  anchor.href = `/shows/${encodeURIComponent(live.stream_id)}`;
  elsewhere.replaceChildren(anchor);
}

async function begin() {
  let streamId = asked ? decodeURIComponent(asked[1]) : null;
  try {
    const all = await shows();
    streamId ??= all[0]?.stream_id;
    offer(all, streamId);
    if (!streamId) none();
  } catch {
    if (!streamId) link("reconnecting");
  }
  if (!streamId) {
    setTimeout(begin, NONE_EVERY_MS);
    return;
  }
  delete document.body.dataset.empty;
  byId("badge").hidden = false;
  new Feed(streamId, hear, link).open();
  setInterval(frame, FRAME_MS);
  setInterval(() => shows().then((all) => offer(all, streamId)).catch(() => {}), SHOWS_EVERY_MS);
}

begin();
