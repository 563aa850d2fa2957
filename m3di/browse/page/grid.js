// Samples in a grid without an end: only those in sight are elements.
import { byId, h, tell } from "./dom.js";
import { captionsOf } from "./table.js";

const CELL = 168; // px, with its gap
const SMALL = 116; // of each picture where a sample has several
const MOST_ACROSS = 4; // of them beside each other
const CAPTION = 62;
const TALLEST = 6e6; // px; browsers lay out no element of any height

export class Grid {
  constructor(table, rows, source, open) {
    Object.assign(this, { table, rows, source, open, order: new Uint32Array(0), cells: new Map(), current: 0 });
    this.rendered = table.about.views.filter((each) => each.kind === "rendered").map((each) => each.name);
    this.room = byId("room");
    this.list = byId("grid");
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.room.parentElement.addEventListener("scroll", () => this.later());
    new ResizeObserver(() => this.later()).observe(this.room.parentElement);
  }

  /** Show rows in this order, from the first. */
  show(order, { view, boxes }) {
    if (view !== this.view || boxes !== this.boxes) this.forget();
    Object.assign(this, { order, view, boxes, current: 0 });
    this.room.parentElement.scrollTop = 0;
    this.draw();
  }

  forget() {
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    this.busy(true);
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  /** The pictures of a sample that are shown: of the chosen view, or of all. */
  get views() {
    return this.view ? [this.view] : this.rendered;
  }

  get nAcross() {
    return Math.min(this.views.length, MOST_ACROSS);
  }

  measure() {
    const box = this.room.parentElement;
    const cell = this.nAcross > 1 ? this.nAcross * SMALL : CELL;
    const nColumns = Math.max(1, Math.floor(box.clientWidth / cell));
    const width = box.clientWidth / nColumns;
    const height = (this.nAcross ? (width / this.nAcross) * Math.ceil(this.views.length / this.nAcross) : 0) + CAPTION;
    const whole = Math.ceil(this.order.length / nColumns) * height;
    const shown = Math.min(whole, TALLEST);
    const inSight = box.clientHeight;
    // Where all would be too tall, the bar of the window stands for a larger one.
    const scale = shown > inSight ? (whole - inSight) / (shown - inSight) : 1;
    return { nColumns, width, height, shown, inSight, scale, top: box.scrollTop * scale };
  }

  /** Whether what is in sight is about to change. */
  busy(is) {
    this.list.setAttribute("aria-busy", String(is));
  }

  async draw() {
    this.busy(true);
    const { nColumns, width, height, shown, inSight, top } = this.measure();
    this.room.style.height = `${shown}px`;
    const first = Math.max(0, Math.floor(top / height) - 1) * nColumns;
    const last = Math.min(this.order.length, (Math.ceil((top + inSight) / height) + 1) * nColumns);
    this.nColumns = nColumns;
    const offset = this.room.parentElement.scrollTop - top;
    const wanted = Array.from(this.order.subarray(first, last));
    const drawing = (this.drawing = {});
    let found;
    try {
      found = await this.rows.get(wanted);
    } catch (error) {
      tell(error.message);
      this.busy(false);
      return;
    }
    if (drawing !== this.drawing) return; // something else is in sight by now
    const kept = new Set(wanted);
    for (const [row, cell] of this.cells) {
      if (kept.has(row)) continue;
      cell.remove();
      this.cells.delete(row);
    }
    found.forEach((row, number) => {
      const cell = this.cells.get(row.row) ?? this.cell(row);
      this.cells.set(row.row, cell);
      const place = first + number;
      cell.style.width = `${width}px`;
      cell.style.height = `${height}px`;
      cell.style.transform = `translate(${(place % nColumns) * width}px, ${Math.floor(place / nColumns) * height + offset}px)`;
      const button = cell.firstElementChild;
      button.dataset.place = place;
      button.tabIndex = place === this.current ? 0 : -1;
      if (this.list.children[number] !== cell) this.list.insertBefore(cell, this.list.children[number] ?? null);
    });
    this.busy(Boolean(this.waiting));
    if (this.focusing) {
      this.focusing = false;
      this.list.querySelector(`[data-place="${this.current}"]`)?.focus({ preventScroll: true });
    }
  }

  /** Pictures and caption of one row: never those of another one. */
  cell(row) {
    const caption = captionsOf(this.table.about, row).join(" / ") || row.key;
    const frames = this.views.map((view) => {
      const alt = this.views.length > 1 ? `${view}: ${caption}` : caption;
      const picture = h("img", { src: this.source.image(row.row, view), alt, title: this.views.length > 1 ? view : null, "data-view": view, loading: "lazy" });
      picture.addEventListener("error", () => picture.replaceWith(h("span", { class: "unreadable" }, "this image cannot be read")));
      return h("span", { class: "frame" }, picture, this.boxes ? box(this.table.about, row, view) : null);
    });
    const shown = frames.length ? h("span", { class: "frames" }, ...frames) : null;
    shown?.style.setProperty("--across", this.nAcross);
    const button = h("button", { type: "button", "data-row": row.row }, shown, h("span", { class: "caption" }, caption));
    button.addEventListener("click", () => {
      this.current = Number(button.dataset.place);
      this.open(row.row);
    });
    return h("li", {}, button);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.measure().inSight / this.measure().height)) * this.nColumns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.nColumns, ArrowUp: -this.nColumns, PageDown: page, PageUp: -page };
    const last = this.order.length - 1;
    const place = event.key === "Home" ? 0 : event.key === "End" ? last : this.current + (steps[event.key] ?? NaN);
    if (Number.isNaN(place)) return;
    event.preventDefault();
    this.go(Math.min(last, Math.max(0, place)));
  }

  /** Make a place the current one, and bring it into sight. */
  go(place) {
    this.current = place;
    const { height, inSight, scale, top, nColumns } = this.measure();
    const at = Math.floor(place / nColumns) * height;
    const box = this.room.parentElement;
    if (at < top) box.scrollTop = at / scale;
    else if (at + height > top + inSight) box.scrollTop = (at + height - inSight) / scale;
    this.focusing = true;
    this.draw();
  }

  /** The row that is `step` places after `row`, or after the current one where `row` is not among those shown; null at an end. */
  step(step, row) {
    const from = this.order.indexOf(row);
    const place = (from < 0 ? this.current : from) + step;
    if (place < 0 || place >= this.order.length) return null;
    this.go(place);
    return this.order[place];
  }
}

/** The box around the object, over its picture; null where the table has none. */
export function box(about, row, view) {
  const own = about.views.find((each) => each.name === view);
  const size = about.datasets[row.dataset].size_px;
  if (!own?.box || !size) return null;
  const [left, top, right, bottom] = ["left", "top", "right", "bottom"].map((each) => row[`${view}.object_${each}_px`]);
  if (!(right > left)) return null; // nothing is there, or this dataset says nothing of it
  const drawn = h("span", { class: "box" });
  drawn.style.left = `${(100 * left) / size}%`;
  drawn.style.top = `${(100 * top) / size}%`;
  drawn.style.width = `${(100 * (right - left)) / size}%`;
  drawn.style.height = `${(100 * (bottom - top)) / size}%`;
  return drawn;
}
