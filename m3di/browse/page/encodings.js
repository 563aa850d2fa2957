// Encodings of a run as a map: a dot for each sample, coloured by any column; a click opens the sample.
import { h } from "./dom.js";

const MAP = 340;

export class EncodingMap {
  constructor(table, cross, source, open) {
    Object.assign(this, { table, cross, source });
    const { about } = table;
    this.view = h("select", { "aria-label": "encodings of", onchange: () => this.draw() }, ...about.encodings.map((each) => h("option", {}, each)));
    const columns = about.columns.filter((each) => !each.same_as && each.greatest > each.least);
    this.color = h("select", { "aria-label": "coloured by", onchange: () => this.draw() }, ...columns.map((each) => h("option", {}, each.name)));
    this.color.value = columns.find((each) => each.roles?.content)?.name ?? columns.find((each) => each.view)?.name ?? columns[0].name;
    this.canvas = h("canvas", { width: MAP, height: MAP, role: "img", "aria-label": "map of encodings" });
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      const row = this.nearest(((event.clientX - box.left) * MAP) / box.width, ((event.clientY - box.top) * MAP) / box.height);
      if (row !== null) open(row);
    });
    this.element = h("figure", { class: "map" }, h("figcaption", {}, "encodings of ", this.view, " coloured by ", this.color), this.canvas, h("p", {}, `The two directions in which they differ most (PCA): ${about.encoded}.`));
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
  }

  at(places, number) {
    return [MAP / 2 + (places[2 * number] * MAP) / 2.1, MAP / 2 - (places[2 * number + 1] * MAP) / 2.1];
  }

  nearest(x, y) {
    let [least, found] = [64, null];
    for (const [left, top, row] of this.drawnAt ?? []) {
      const far = (left - x) ** 2 + (top - y) ** 2;
      if (far < least) [least, found] = [far, row];
    }
    return found;
  }
}
