// Encodings of a run as a map: a dot for each sample, coloured by any column; a click opens the sample, and so do keys.
import { h, tell } from "./dom.js";
import { captionsOf } from "./table.js";

const MAP = 340;
const TOWARDS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

export class EncodingMap {
  constructor(table, cross, rows, source, open) {
    Object.assign(this, { table, cross, rowsOf: rows, source, open, current: null });
    const { about } = table;
    this.view = h("select", { "aria-label": "encodings of", onchange: () => this.draw() }, ...about.encodings.map((each) => h("option", {}, each)));
    const columns = about.columns.filter((each) => !each.same_as && each.greatest > each.least);
    this.color = h("select", { "aria-label": "coloured by", onchange: () => this.draw() }, ...columns.map((each) => h("option", {}, each.name)));
    this.color.value = columns.find((each) => each.roles?.content)?.name ?? columns.find((each) => each.view)?.name ?? columns[0].name;
    this.canvas = h("canvas", { width: MAP, height: MAP, tabindex: 0, role: "application", "aria-label": "map of encodings: arrow keys go from dot to dot, Enter opens the sample" });
    this.said = h("p", { role: "status" });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      const row = this.nearest(((event.clientX - box.left) * MAP) / box.width, ((event.clientY - box.top) * MAP) / box.height);
      if (row !== null) this.go(row).then(() => open(row));
    });
    this.element = h("figure", { class: "map" }, h("figcaption", {}, "encodings of ", this.view, " coloured by ", this.color), this.canvas, h("p", {}, `The two directions in which they differ most (PCA): ${about.encoded}.`), this.said);
    this.places = new Map();
  }

  async draw() {
    const view = this.view.value;
    this.rows ??= await this.source.mapRows();
    if (!this.places.has(view)) this.places.set(view, await this.source.map(view));
    const column = this.table.column(this.color.value);
    const [values, bins] = [this.table.numbers(column.name), this.table.bins(column)];
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, MAP, MAP);
    this.drawnAt = [];
    this.rows.forEach((row, number) => {
      const [x, y] = this.at(this.places.get(view), number);
      const share = (values[row] - bins.low) / Math.max(1e-9, (bins.n - (bins.whole ? 1 : 0)) * bins.width);
      const circular = column.values || column.kind === "hue" || column.kind === "angle";
      context.fillStyle = circular ? `hsl(${(share * (column.values ? 300 : 360)).toFixed(0)} 75% 45%)` : `hsl(${(260 - 200 * share).toFixed(0)} 75% ${(30 + 35 * share).toFixed(0)}%)`;
      context.globalAlpha = this.cross.failing[row] ? 0.06 : 0.8;
      context.fillRect(x - 1.5, y - 1.5, 3, 3);
      if (!this.cross.failing[row]) this.drawnAt.push([x, y, row]);
    });
    const own = this.place();
    if (own) this.frame(context, own);
    else this.said.textContent = "";
  }

  /** The dot of the current row, where that is shown. */
  place() {
    return this.drawnAt?.find(([, , row]) => row === this.current);
  }

  frame(context, [x, y]) {
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.strokeRect(x - 5, y - 5, 10, 10);
  }

  key(event) {
    const own = this.place();
    if (event.key !== "Enter" && !(event.key in TOWARDS)) return;
    event.preventDefault(); // Enter would press a button of the sample, too
    if (event.key === "Enter") {
      if (own) this.open(this.current);
      return;
    }
    const row = own ? this.next(own, TOWARDS[event.key]) : this.nearest(MAP / 2, MAP / 2, Infinity);
    if (row !== null) this.go(row);
  }

  /** Make a row the current one, and say which it is. */
  async go(number) {
    this.current = number;
    try {
      await this.draw();
      const [row] = await this.rowsOf.get([number]);
      if (number === this.current) this.said.textContent = `${row.split} ${row.key}: ${captionsOf(this.table.about, row).join(" / ")}`;
    } catch (error) {
      tell(error.message);
    }
  }

  /** The row of the next dot this way: a near one, and one that lies little aside. */
  next([left, top, own], [right, down]) {
    let [least, found] = [Infinity, null];
    for (const [x, y, row] of this.drawnAt) {
      const along = (x - left) * right + (y - top) * down;
      const far = along + 2 * Math.abs((x - left) * down + (y - top) * right);
      if (row !== own && along > 0 && far < least) [least, found] = [far, row];
    }
    return found;
  }

  at(places, number) {
    return [MAP / 2 + (places[2 * number] * MAP) / 2.1, MAP / 2 - (places[2 * number + 1] * MAP) / 2.1];
  }

  nearest(x, y, within = 64) {
    let [least, found] = [within, null];
    for (const [left, top, row] of this.drawnAt ?? []) {
      const far = (left - x) ** 2 + (top - y) ** 2;
      if (far < least) [least, found] = [far, row];
    }
    return found;
  }
}
