// A histogram for every column: drag over it, or click categories, to filter.
import { h, s, short } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 46;
const MOST_LISTED = 60; // categories of more values are listed by how often they are there

/** The histograms of a table; `change(name, filter)` is called with a new filter, or null. */
export class Histograms {
  constructor(table, cross, change) {
    Object.assign(this, { table, cross, change, drawn: [] });
    this.nDatasets = table.about.datasets.length;
    this.element = h("div", { class: "histograms" });
    let view = null;
    for (const column of table.about.columns) {
      if (column.same_as) continue;
      const varies = column.greatest > column.least || column.values?.length > 1;
      if (column.view !== view) {
        view = column.view;
        if (view) this.element.append(h("h2", {}, view));
      }
      if (varies && column.greatest > column.least) this.add(column);
      else this.element.append(h("p", { class: "constant" }, `${column.label}: ${this.always(column)}`));
    }
  }

  /** What is said of a column with one value, or none. */
  always(column) {
    const value = this.worded(column, column.least);
    return { all: "never a number", some: `${value}, or no number` }[column.lacking] ?? `always ${value}`;
  }

  worded(column, value) {
    return column.values ? column.values[value] : short(value);
  }

  add(column) {
    const bins = this.table.bins(column);
    this.cross.addHistogram(column.name, this.coded(column), (bins.n + 1) * this.nDatasets);
    const one = column.values ? this.categories(column) : this.numbers(column, bins);
    this.element.append(one.element);
    this.drawn.push({ column, bins, ...one });
  }

  /** The bin of each row and, where several datasets are shown, its dataset. */
  coded(column) {
    const found = this.table.binned(column);
    if (this.nDatasets === 1) return found;
    const dataset = this.table.numbers("dataset");
    return Uint16Array.from(found, (bin, row) => bin * this.nDatasets + dataset[row]);
  }

  heading(column) {
    const several = Object.keys(column.roles ?? {}).length > 1;
    const roles = Object.entries(column.roles ?? {}).map(([role, of]) => h("span", { class: `role role-${role}`, title: `role: ${role}${several ? ` (${of.join("; ")})` : ""}` }, role));
    const clear = h("button", { type: "button", class: "small", onclick: () => this.change(column.name, null) }, "all");
    return h("div", { class: "heading" }, h("h3", {}, column.label), ...roles, h("output", {}), clear);
  }

  categories(column) {
    const { all } = this.cross.histograms.get(column.name);
    const codes = column.values.map((_, code) => code);
    const times = (code) => this.summed(all, code);
    if (codes.length > MOST_LISTED) codes.sort((one, other) => times(other) - times(one));
    const buttons = codes
      .filter((code) => times(code) > 0)
      .map((code) => {
        const swatch = column.colors ? h("i", { class: "swatch" }) : null;
        if (swatch) swatch.style.background = column.colors[code];
        const bars = Array.from({ length: this.nDatasets }, () => h("i", { class: "bar" }));
        const number = h("span", { class: "n" });
        const button = h(
          "button",
          { type: "button", class: "category", "aria-pressed": "false", "data-code": code },
          ...bars, swatch, h("span", { class: "value" }, column.values[code]), number,
        );
        button.addEventListener("click", () => this.toggle(column, code));
        return { code, button, bars, number };
      });
    const list = h("div", { class: "categories", role: "group", "aria-label": column.name }, ...buttons.map((each) => each.button));
    const element = h("section", { class: "histogram", "data-column": column.name }, this.heading(column), list);
    const greatest = Array.from({ length: this.nDatasets }, (_, dataset) =>
      codes.reduce((most, code) => Math.max(most, all[code * this.nDatasets + dataset]), 1),
    ); // each dataset by its own measure: a small one is seen beside a large one
    const draw = (counts, filter) => {
      for (const { code, button, bars, number } of buttons) {
        number.textContent = this.summed(counts, code).toLocaleString("en");
        button.setAttribute("aria-pressed", String(filter?.chosen.includes(code) ?? false));
        bars.forEach((bar, dataset) => {
          bar.style.width = `${(100 * counts[code * this.nDatasets + dataset]) / greatest[dataset]}%`;
        });
      }
    };
    return { element, draw };
  }

  toggle(column, code) {
    const chosen = new Set(this.filters[column.name]?.chosen ?? []);
    if (!chosen.delete(code)) chosen.add(code);
    const sorted = [...chosen].sort((one, other) => one - other);
    this.change(column.name, sorted.length ? { chosen: sorted } : null);
  }

  summed(counts, bin) {
    let sum = 0;
    for (let dataset = 0; dataset < this.nDatasets; dataset++) sum += counts[bin * this.nDatasets + dataset];
    return sum;
  }

  numbers(column, bins) {
    const all = s("path", { class: "all" });
    const own = Array.from({ length: this.nDatasets }, (_, dataset) => s("path", { class: `own own-${dataset}` }));
    const brush = s("rect", { class: "brush", y: 0, height: HEIGHT, width: 0 });
    const label = `histogram of ${column.name}; drag to filter`;
    const picture = s(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label, "data-kind": "numbers" },
      all, ...own, brush,
    );
    const high = bins.low + bins.n * bins.width - (bins.whole ? 1 : 0);
    const bounds = ["low", "high"].map((end) =>
      h("input", {
        type: "number", step: "any", "aria-label": `${column.name}: ${end === "low" ? "least" : "greatest"}`,
        placeholder: short(end === "low" ? bins.low : high),
        onchange: () => this.typed(column, bins, high, bounds),
      }),
    );
    this.brushed(picture, column, bins, high);
    const element = h(
      "section", { class: "histogram", "data-column": column.name },
      this.heading(column), picture, h("div", { class: "bounds" }, bounds[0], h("span", {}, "to"), bounds[1]),
    );
    const draw = (counts, filter) => {
      const { all: everything } = this.cross.histograms.get(column.name);
      all.setAttribute("d", this.outline(everything, bins, null));
      own.forEach((path, dataset) => path.setAttribute("d", this.outline(counts, bins, this.nDatasets > 1 ? dataset : null, everything)));
      const place = (value) => (WIDTH * (value - bins.low)) / (bins.n * bins.width);
      brush.setAttribute("x", filter ? place(filter.low) : 0);
      brush.setAttribute("width", filter ? Math.max(0, place(filter.high + (bins.whole ? 1 : 0)) - place(filter.low)) : 0);
      bounds[0].value = filter ? filter.low : "";
      bounds[1].value = filter ? filter.high : "";
    };
    return { element, draw };
  }

  /** Bars as one path: of all datasets together, or of one. */
  outline(counts, bins, dataset, scale = counts) {
    const height = (from, bin) => (dataset === null ? this.summed(from, bin) : from[bin * this.nDatasets + dataset]);
    let greatest = 1;
    for (let bin = 0; bin < bins.n; bin++) greatest = Math.max(greatest, height(scale, bin));
    const width = WIDTH / bins.n;
    let path = "";
    for (let bin = 0; bin < bins.n; bin++) {
      const tall = (HEIGHT * height(counts, bin)) / greatest;
      if (tall) path += `M${(bin * width).toFixed(2)} ${HEIGHT}v${(-tall).toFixed(2)}h${(width * 0.92).toFixed(2)}v${tall.toFixed(2)}z`;
    }
    return path;
  }

  typed(column, bins, high, inputs) {
    const [low, top] = inputs.map((each) => (each.value === "" ? null : Number(each.value)));
    if (low === null && top === null) this.change(column.name, null);
    else if ((low ?? bins.low) <= (top ?? high)) this.change(column.name, { low: low ?? bins.low, high: top ?? high });
  }

  /** Dragging chooses a range; a click takes it away. */
  brushed(picture, column, bins, high) {
    let from = null;
    const value = (event) => {
      const { left, width } = picture.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
      const exact = bins.low + share * bins.n * bins.width;
      return bins.whole ? Math.min(high, Math.floor(exact)) : Number(exact.toPrecision(5));
    };
    picture.addEventListener("pointerdown", (event) => {
      from = { at: event.clientX, value: value(event) };
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      if (from === null || Math.abs(event.clientX - from.at) < 3) return;
      const [low, top] = [from.value, value(event)].sort((one, other) => one - other);
      this.change(column.name, { low, high: top });
    });
    picture.addEventListener("pointerup", (event) => {
      if (from !== null && Math.abs(event.clientX - from.at) < 3) this.change(column.name, null);
      from = null;
    });
  }

  draw(filters) {
    this.filters = filters;
    for (const { column, element, draw } of this.drawn) {
      const filter = filters[column.name];
      draw(this.cross.histograms.get(column.name).counts, filter);
      element.classList.toggle("filtered", Boolean(filter));
      element.querySelector("output").textContent = filter
        ? filter.chosen
          ? `${filter.chosen.length} of ${column.values.length}`
          : `${short(filter.low)} to ${short(filter.high)}`
        : "";
    }
  }
}
