// Orders a second over the last minute and a half, drawn on a canvas: one bar a second, refused orders faint on top of
// those taken.

const SECONDS = 90;
const GAP = 1;

export class Plot {
  #seconds = new Map();
  #canvas;
  #colours = {};

  constructor(canvas) {
    this.#canvas = canvas;
    const repaint = () => this.#readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    this.#readColours();
  }

  /** Start again from what the server remembers. */
  load(recent) {
    this.#seconds.clear();
    for (const each of recent) this.add(each.at, each.orders, each.refused);
  }

  add(at, orders, refused) {
    if (!at) return;
    const second = Math.floor(Date.parse(at) / 1000);
    const known = this.#seconds.get(second) ?? { orders: 0, refused: 0 };
    this.#seconds.set(second, { orders: known.orders + orders, refused: known.refused + refused });
  }

  /** Draw as of an instant; return the rate over the last five whole seconds and the highest bar. */
  draw(now) {
    const last = Math.floor(now / 1000);
    for (const second of this.#seconds.keys()) if (second < last - SECONDS) this.#seconds.delete(second);
    const bars = Array.from({ length: SECONDS }, (_, i) => this.#seconds.get(last - SECONDS + 1 + i) ?? { orders: 0, refused: 0 });
    const peak = Math.max(1, ...bars.map((bar) => bar.orders + bar.refused));
    this.#paint(bars, peak);
    const rate = bars.slice(-6, -1).reduce((sum, bar) => sum + bar.orders, 0) / 5;
    return { rate, peak: Math.max(...bars.map((bar) => bar.orders)) };
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["accent", "faint", "line"]) this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
  }

  #paint(bars, peak) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = this.#colours.line;
    pen.fillRect(0, height - 1, width, 1);
    const step = width / bars.length;
    const room = height - 4;
    bars.forEach((bar, i) => {
      const x = i * step;
      const tall = (bar.orders / peak) * room;
      const more = (bar.refused / peak) * room;
      pen.fillStyle = this.#colours.faint;
      if (more) pen.fillRect(x, height - 1 - tall - more, step - GAP, more);
      pen.fillStyle = this.#colours.accent;
      if (tall) pen.fillRect(x, height - 1 - tall, step - GAP, tall);
    });
  }
}
