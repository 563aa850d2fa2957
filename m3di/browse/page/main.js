// The page: opens the data, and keeps filters, grid, graph and address in step.
import { Crossfilter, inBits, inRange, isOneOf } from "./crossfilter.js";
import { curvesFigure } from "./curves.js";
import { byId, h, tell } from "./dom.js";
import { EncodingMap } from "./encodings.js";
import { graphs, legend } from "./graph.js";
import { Grid } from "./grid.js";
import { Histograms } from "./histograms.js";
import { pairFigure } from "./pair.js";
import { Sample } from "./sample.js";
import { openSource } from "./source.js";
import { blankState, copiesOf, fromHash, toHash } from "./state.js";
import { Rows, Table } from "./table.js";

const SEARCH = "caption";

class Page {
  async open() {
    this.source = openSource();
    const about = await this.source.about();
    this.table = new Table(about, this.source);
    await this.table.load();
    this.rows = new Rows(this.source);
    this.cross = new Crossfilter(about.n_rows);
    this.state = blankState();
    this.histograms = new Histograms(this.table, this.cross, (name, filter) => this.filter(name, filter));
    this.grid = new Grid(this.table, this.rows, this.source, (row) => this.look(row));
    this.sample = new Sample(this.table, this.rows, this.source, {
      step: (step) => this.step(step),
      open: (row) => this.look(row),
      closed: () => this.changed({ open: null }),
    });
    this.lay(about);
    this.listen();
    window.addEventListener("hashchange", () => this.restore());
    await this.restore();
    document.body.dataset.ready = "true";
  }

  lay(about) {
    document.title = `${about.name}: m3di`;
    byId("name").textContent = about.name;
    byId("name").title = about.about;
    byId("filters").append(this.histograms.element);
    const sortable = about.columns.filter((each) => !each.same_as && each.greatest > each.least);
    byId("sort").append(h("option", { value: "" }, "as they are"), ...sortable.map((each) => h("option", { value: each.name }, each.name)));
    const views = about.views.filter((each) => each.kind === "rendered").map((each) => each.name);
    byId("view").append(h("option", { value: "" }, "all"), ...views.map((each) => h("option", {}, each)));
    byId("view-choice").hidden = views.length < 2;
    byId("boxes").parentElement.hidden = !about.views.some((each) => each.box);
    byId("search").parentElement.hidden = !about.views.some((each) => each.kind === "told");
    this.pair = h("div", { id: "pair", "aria-live": "polite" });
    const oneAbout = about.datasets.every((each) => each.about === about.about);
    const datasets = about.datasets.map((each, number) => h("li", {}, h("b", { class: `own-${number}` }, each.name), ` ${about.datasets.every(({ spec }) => spec === each.spec) ? "" : `spec ${each.spec}, `}${each.process.join("; ")}; ${each.made}; `, h("code", {}, each.fingerprint.slice(0, 12)), oneAbout ? null : h("p", { class: "about" }, each.about)));
    byId("graph").append(h("ul", { class: "datasets" }, ...datasets), oneAbout ? h("p", { class: "about" }, about.about) : "", legend(about), ...graphs(about, (...pair) => this.changed({ pair })), this.pair);
    if (about.encodings.length) {
      this.map = new EncodingMap(this.table, this.cross, this.rows, this.source, (row) => this.look(row));
      byId("graph").append(this.map.element);
    } else if (about.encoded) byId("graph").append(h("p", {}, `No map: ${about.encoded}.`));
    if (about.run) byId("graph").append(curvesFigure(this.source, about.run));
  }

  listen() {
    const set = (id, event, change) => byId(id).addEventListener(event, () => this.changed(change(byId(id))));
    let waiting = 0;
    byId("search").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.searched(byId("search").value), 150);
    });
    set("sort", "change", (each) => ({ sort: each.value }));
    set("descending", "change", (each) => ({ descending: each.checked }));
    set("view", "change", (each) => ({ view: each.value }));
    set("boxes", "change", (each) => ({ boxes: each.checked }));
    byId("clear").addEventListener("click", () => this.restore({ ...this.state, filters: {}, search: "" }));
    byId("copy").addEventListener("click", () => this.copies());
    byId("theme").addEventListener("click", () => {
      const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
      document.documentElement.dataset.theme = dark ? "light" : "dark";
      this.aside();
    });
    document.body.dataset.tab = "samples";
    const tabs = [...document.querySelectorAll("#tabs button")];
    const press = () => tabs.forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.tab === document.body.dataset.tab)));
    for (const each of tabs) each.addEventListener("click", () => { document.body.dataset.tab = each.dataset.tab; press(); });
    press();
  }

  passes(name, filter) {
    if (!filter) return null;
    const [column, values] = [this.table.column(name), this.table.numbers(name)];
    return filter.chosen ? isOneOf(values, filter.chosen, column.values.length) : inRange(values, filter.low, filter.high);
  }

  /** One filter has changed. */
  filter(name, filter) {
    if (filter) this.state.filters[name] = filter;
    else delete this.state.filters[name];
    this.cross.setFilter(name, this.passes(name, filter));
    this.filtered();
  }

  async searched(text) {
    this.state.search = text.trim();
    const wanted = this.state.search;
    const passes = await this.found(wanted);
    if (wanted !== this.state.search) return; // something else has been typed
    this.cross.setFilter(SEARCH, passes);
    this.filtered();
  }

  /** The rows in whose captions a text is; where it cannot be searched for, that is told, and none pass. */
  async found(text) {
    try {
      const bits = text ? await this.source.search(text) : null;
      if (this.refused) tell("");
      this.refused = false;
      return bits && inBits(bits, this.table.n);
    } catch (error) {
      this.refused = true;
      tell(error.message);
      return new Uint8Array(this.table.n);
    }
  }

  /** Everything as a state, or the address, has it. */
  async restore(state = fromHash(location.hash, this.table)) {
    if (this.written && location.hash.slice(1) === toHash(this.state) && state !== this.state && !arguments.length) return;
    const names = new Set([...Object.keys(this.state.filters), ...Object.keys(state.filters)]);
    this.state = state;
    byId("search").value = state.search;
    byId("sort").value = state.sort;
    byId("descending").checked = state.descending;
    byId("boxes").checked = state.boxes;
    byId("view").value = state.view;
    const passes = await this.found(state.search);
    this.cross.setFilters([
      ...[...names].map((name) => [name, this.passes(name, state.filters[name])]),
      [SEARCH, passes],
    ]);
    this.filtered();
    if (state.open !== null) await this.look(state.open);
    else if (this.sample.dialog.open) this.sample.dialog.close();
  }

  /** Filters have been counted: draw what hangs on them, the grid a moment later. */
  filtered() {
    this.histograms.draw(this.state.filters);
    byId("count").textContent = `${this.cross.nPassing.toLocaleString("en")} of ${this.table.n.toLocaleString("en")} samples${this.table.about.of > this.table.n ? ` (out of ${this.table.about.of.toLocaleString("en")})` : ""}`;
    this.grid.busy(true);
    clearTimeout(this.soon);
    this.soon = setTimeout(() => { this.ordered(); this.aside(); }, 60);
    this.write();
  }

  ordered() {
    const passing = this.cross.passing.subarray(0, this.cross.nPassing);
    this.grid.show(this.table.sorted(passing, this.state.sort, this.state.descending), this.state);
  }

  aside() {
    const [view, parent, child] = this.state.pair ?? [];
    const columns = [parent, child].map((each) => each && this.table.ofFactor(view, each));
    if (columns[0] && columns[1]) this.pair.replaceChildren(pairFigure(this.table, this.cross, ...columns));
    else this.pair.replaceChildren(h("p", {}, this.table.about.processes.some((each) => each.graph.some(({ edges }) => edges.length)) ? "Click an arrow to see its two factors together." : ""));
    this.map?.draw().catch((error) => tell(error.message));
  }

  /** Something else of the state has changed. */
  changed(change) {
    const before = { ...this.state };
    Object.assign(this.state, change);
    if (["sort", "descending", "view", "boxes"].some((each) => before[each] !== this.state[each])) this.ordered();
    if (before.pair !== this.state.pair) this.aside();
    this.write();
  }

  write() {
    this.written = true;
    history.replaceState(null, "", `#${toHash(this.state)}`);
  }

  async look(row) {
    try {
      if (await this.sample.show(row)) this.changed({ open: row });
    } catch (error) {
      tell(error.message);
    }
  }

  step(step) {
    const row = this.grid.step(step, this.sample.shown);
    if (row !== null) this.look(row);
  }

  copies() {
    const { note, ...texts } = copiesOf(this.state, this.table);
    const dialog = byId("copies");
    dialog.replaceChildren(
      h("div", { class: "heading" }, h("h2", { id: "copies-title" }, "Copy as"), h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
      ...Object.entries(texts).map(([name, text]) => {
        const field = h("textarea", { readonly: true, rows: text.split("\n").length + 1, "data-copy": name });
        field.value = text;
        const copy = h("button", { type: "button" }, "Copy");
        copy.addEventListener("click", async () => {
          field.select();
          await navigator.clipboard?.writeText(text).then(() => { copy.textContent = "Copied"; }, () => {});
        });
        return h("label", {}, name, field, copy);
      }),
      h("p", {}, note ?? "", " The address of this page says the same: a link restores it."),
    );
    dialog.showModal();
  }
}

new Page().open().catch((error) => tell(error.message));
