// The leaders: three boards, each by units or by sales, as the server ranks them: units without what came back, of which
// there is a word then; sales as they were paid.

import { count, money } from "./format.js";

const EMPTY = "Nobody yet: boards count what is paid.";

export class Boards {
  #boards = {};
  #board = "listings";
  #metric = "units";
  #list;

  constructor(list, root) {
    this.#list = list;
    root.addEventListener("click", (event) => this.#choose(event.target.closest("button")));
  }

  load(boards) {
    this.#boards = boards;
    this.#show();
  }

  #choose(button) {
    if (!button) return;
    const chosen = button.dataset.board ? "board" : "metric";
    if (chosen === "board") this.#board = button.dataset.board;
    else this.#metric = button.dataset.metric;
    for (const each of button.parentElement.children) each.setAttribute("aria-pressed", String(each === button));
    this.#show();
  }

  #show() {
    const places = this.#boards[this.#board]?.[this.#metric] ?? [];
    const value = (place) => (this.#metric === "units" ? place.units : place.gmv.amount_minor);
    const most = Math.max(1, ...places.map(value));
    const rows = places.map((place) => this.#row(place, Math.max(0, value(place)) / most));
    this.#list.replaceChildren(...(rows.length ? rows : [element("li", "empty", EMPTY)]));
  }

  #row(place, part) {
    const row = element("li", "place");
    const bar = element("i", "place-bar");
    bar.style.transform = `scaleX(${part})`;
    const shown = this.#metric === "units" ? count(place.units) : money(place.gmv);
    const other = this.#metric === "units" && place.returned_units ? `${count(place.returned_units)} came back` : "";
    row.append(
      element("span", "rank", String(place.rank)),
      element("span", "who", place.title ?? place.subject_id),
      element("span", "value", shown),
      element("span", "other", other),
      bar,
    );
    return row;
  }
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
