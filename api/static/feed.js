// The connection to the live feed: it comes back by itself, says so, and knows what time it is at the till.

const SILENCE_MS = 35_000; // The server speaks at least every 15 seconds.
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
const SAMPLES = 8;
const EVENTS = ["snapshot", "stock", "pin", "window", "stream", "sold_out", "back_in_stock", "order", "boards", "tick"];

/** The till's clock. Every message says when it was made; the one that travelled fastest is the least wrong. */
export class ServerClock {
  #offsets = [];

  hear(instant) {
    this.#offsets.push(Date.parse(instant) - Date.now());
    if (this.#offsets.length > SAMPLES) this.#offsets.shift();
  }

  now() {
    return Date.now() + (this.#offsets.length ? Math.max(...this.#offsets) : 0);
  }
}

export class Feed {
  #source = null;
  #retry = null;
  #silence = null;
  #pause = FIRST_PAUSE_MS;

  /** `told(name, data)` for each event; `link(state)` with connecting, live, reconnecting or gone. */
  constructor(streamId, told, link) {
    this.url = `/v1/streams/${encodeURIComponent(streamId)}/live`;
    this.told = told;
    this.link = link;
    addEventListener("online", () => this.#again(0));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#source?.readyState === EventSource.CLOSED) this.#again(0);
    });
  }

  open() {
    this.#source?.close();
    const source = (this.#source = new EventSource(this.url));
    for (const name of EVENTS) source.addEventListener(name, (event) => this.#heard(name, event));
    source.onerror = () => this.#lost(source);
    this.#listen();
  }

  #heard(name, event) {
    this.#pause = FIRST_PAUSE_MS;
    this.#listen();
    this.told(name, JSON.parse(event.data));
    this.link("live");
  }

  #lost(source) {
    this.link("reconnecting");
    // The browser tries again by itself unless it was refused; then it is for us, after a while.
    if (source.readyState === EventSource.CLOSED) this.#refused();
  }

  async #refused() {
    const exists = await this.#exists();
    if (exists) this.#again(this.#pause);
    else this.link("gone");
  }

  async #exists() {
    const asking = new AbortController();
    try {
      const answer = await fetch(this.url, { signal: asking.signal, headers: { Accept: "text/event-stream" } });
      return answer.status !== 404;
    } catch {
      return true;
    } finally {
      asking.abort();
    }
  }

  #listen() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.link("reconnecting");
      this.open();
    }, SILENCE_MS);
  }

  #again(pause) {
    clearTimeout(this.#retry);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    // Not all at once: after an outage every page in the audience comes back.
    this.#retry = setTimeout(() => this.open(), pause * (0.5 + Math.random()));
  }
}
