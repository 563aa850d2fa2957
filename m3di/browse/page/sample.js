// One sample as a whole: its picture with passes over it, twins beside it, every factor raw and physical.
import { byId, h, short, tell } from "./dom.js";
import { box } from "./grid.js";
import { citation } from "./state.js";
import { captionsOf } from "./table.js";

export class Sample {
  constructor(table, rows, source, { step, closed, open }) {
    Object.assign(this, { table, rows, source, step, open, shown: null, pass: "", veil: 60, boxes: false });
    this.dialog = byId("sample");
    this.dialog.addEventListener("close", () => {
      this.shown = null;
      closed();
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input, select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) this.step(step);
    });
  }

  /** Show a row; false where another one was asked for, or none, before it was there. */
  async show(number) {
    this.shown = number;
    const [row] = await this.rows.get([number]);
    const { about } = this.table;
    const captions = captionsOf(about, row);
    const close = h("button", { type: "button", onclick: () => this.dialog.close() }, "Close");
    const steps = [["Previous", -1], ["Next", 1]].map(([word, step]) => h("button", { type: "button", onclick: () => this.step(step) }, word));
    const title = `${row.split} ${row.key}${about.datasets.length > 1 ? `, ${about.datasets[row.dataset].name}` : ""}`;
    const twins = await this.twins(row, captions); // of these there is much to see: factors come below
    const content = [
      h("div", { class: "heading" }, h("h2", { id: "sample-title" }, title), ...steps, close),
      ...captions.map((each) => h("blockquote", {}, each)),
      h("div", { class: "both" }, this.rendered().length ? h("div", { class: "pictures" }, ...this.pictures(row, captions)) : null, twins ? null : this.factors(row)),
      twins,
      ...this.neighbours(row),
      twins ? this.factors(row) : null,
      h("label", { class: "citation" }, "to cite it", h("input", { readonly: true, value: citation(row, about), onfocus: (event) => event.target.select() })),
    ];
    if (this.shown !== number) return false;
    const held = document.activeElement?.textContent;
    this.dialog.replaceChildren(...content.filter((each) => each !== null));
    if (this.dialog.open) { // what had the focus is gone, and keys would reach nothing
      const buttons = [...this.dialog.querySelectorAll(".heading button")];
      (buttons.find((each) => each.textContent === held) ?? buttons[0]).focus({ preventScroll: true });
    } else this.dialog.showModal();
    this.dialog.scrollTop = 0;
    return true;
  }

  rendered() {
    return this.table.about.views.filter((each) => each.kind === "rendered");
  }

  pictures(row, captions) {
    return this.rendered().map((view) => {
      const veil = h("img", { class: "pass", alt: "", hidden: true });
      const size = this.table.about.datasets[row.dataset].size_px;
      const picture = h("img", { src: this.source.image(row.row, view.name), alt: captions.join(" / ") || row.key, "data-view": view.name });
      const own = box(this.table.about, row, view.name);
      const known = this.table.about.datasets[row.dataset].passes[view.name] ?? [];
      const frame = h("div", { class: "frame large" }, picture, veil, own);
      frame.style.setProperty("--side", `${Math.max(this.rendered().length > 2 ? 180 : 320, size ?? 0)}px`); // no smaller than it is
      const choose = () => {
        veil.hidden = !known.includes(this.pass);
        if (!veil.hidden) veil.src = this.source.pass(row.row, view.name, this.pass);
        veil.style.opacity = this.veil / 100;
        if (own) own.hidden = !this.boxes;
      };
      const passes = h(
        "select", { "aria-label": `pass over ${view.name}`, onchange: (event) => { this.pass = event.target.value; choose(); } },
        h("option", { value: "" }, "no pass"),
        ...known.map((each) => h("option", { value: each, selected: each === this.pass }, each)),
      );
      const opacity = h("input", { type: "range", min: 0, max: 100, value: this.veil, "aria-label": "how much of the pass shows", oninput: (event) => { this.veil = Number(event.target.value); choose(); } });
      const boxed = h("input", { type: "checkbox", checked: this.boxes, onchange: (event) => { this.boxes = event.target.checked; choose(); } });
      choose();
      const tools = [known.length ? passes : null, known.length ? opacity : null, own ? h("label", {}, boxed, "box") : null];
      return h("figure", {}, frame, h("figcaption", {}, `${view.name}${size ? `, ${size} px` : ""} `, ...tools));
    });
  }

  /** What shows the same sample otherwise: other views of it, and the same one in another dataset or split. */
  async others(row) {
    const { datasets } = this.table.about;
    const views = (each, whose) => this.rendered().map((view) => ({ word: `${view.name}${whose}`, url: this.source.image(each.row, view.name), view, row: each }));
    const twins = await this.rows.get(row.twins);
    return [...views(row, ""), ...twins.flatMap((twin) => {
      const where = [twin.dataset !== row.dataset ? datasets[twin.dataset].name : null, twin.split !== row.split ? twin.split : null, twin.key !== row.key ? twin.key : null];
      return views(twin, ` of ${where.filter(Boolean).join(" ")}`);
    })];
  }

  async twins(row, captions) {
    const all = await this.others(row);
    if (all.length < 2) return null;
    const pick = (at) => h("select", { "aria-label": at ? "compared with" : "twin" }, ...all.map((each, number) => h("option", { value: number, selected: number === at }, each.word)));
    const [first, second] = [pick(0), pick(1)];
    const images = ["first", "second"].map((each) => h("img", { alt: `${each} of two: ${captions.join(" / ")}` }));
    const canvas = h("canvas", { role: "img", "aria-label": "difference of the two pictures" });
    const said = h("figcaption", {});
    const differ = h("p", { class: "differ" });
    const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "how much of the first picture shows" });
    const slide = () => { images[1].style.clipPath = `inset(0 0 0 ${slider.value}%)`; };
    const draw = async () => {
      [first, second].forEach((each, number) => { images[number].src = all[each.value].url; });
      differ.textContent = differing(all[first.value], all[second.value]);
      slide();
      try {
        await Promise.all(images.map((each) => each.decode()));
        said.textContent = difference(images, canvas);
      } catch (error) {
        canvas.width = 0; // what was drawn there is of two others
        said.textContent = `no difference: ${error.name === "EncodingError" ? "a picture cannot be read" : error.message}`;
      }
    };
    for (const each of [first, second]) each.addEventListener("change", draw);
    slider.addEventListener("input", slide);
    draw();
    return h(
      "section", { class: "twins" }, h("h3", {}, "Twins"), h("p", {}, first, " beside ", second), differ,
      h("div", { class: "pictures" }, h("figure", {}, h("div", { class: "frame large" }, images[0], images[1]), slider), h("figure", {}, h("div", { class: "frame large" }, canvas), said)),
    );
  }

  neighbours(row) {
    return this.table.about.encodings.map((view) => {
      const list = h("div", { class: "neighbours" });
      const section = h("section", {}, h("h3", {}, `Nearest in the space of ${view}`), list);
      this.source.nearest(view, row.row).then(async (found) => {
        const others = await this.rows.get(found.map((each) => each.row));
        const picture = this.rendered()[0]?.name;
        list.append(...others.map((other, number) => {
          const caption = captionsOf(this.table.about, other).join(" / ");
          const image = picture ? h("img", { src: this.source.image(other.row, picture), alt: caption }) : other.key;
          return h("button", { type: "button", title: caption, "data-row": other.row, onclick: () => this.open(other.row) }, image, h("span", {}, found[number].cosine.toFixed(3)));
        }));
      }, () => section.replaceChildren(h("p", {}, `This sample has no encoding in ${view}: there are some of ${this.table.about.encoded}.`)));
      return section;
    });
  }

  factors(row) {
    const body = [];
    const { roles } = this.table.process(row.row);
    for (const view of this.table.about.views) {
      for (const [factor, about] of Object.entries(view.factors)) {
        const [raw, ...rest] = about.columns.map((each) => row[`${view.name}.${each}`]);
        if (raw === undefined) continue;
        const role = roles[view.name][factor] ?? "not seen";
        const name = about.columns.findIndex((each) => each === `${factor}_name`);
        const hex = about.columns.findIndex((each) => each === `${factor}_hex`);
        const unit = about.columns.findIndex((each) => each === `${factor}_${about.unit ?? "physical"}`);
        const swatch = hex > 0 ? h("i", { class: "swatch" }) : null;
        if (swatch) swatch.style.background = rest[hex - 1];
        body.push(h(
          "tr", {}, h("td", {}, view.name), h("th", { scope: "row" }, factor), h("td", {}, h("span", { class: `role role-${role}` }, role)),
          h("td", { class: "number" }, String(raw)), h("td", {}, swatch, name > 0 ? rest[name - 1] : ""),
          h("td", { class: "number" }, unit > 0 ? `${short(rest[unit - 1])} ${about.unit ?? ""}` : ""),
        ));
      }
    }
    const known = new Set(["dataset", "split", "row", "key", "twins"]);
    for (const view of this.table.about.views) {
      known.add(`${view.name}.caption`);
      for (const each of Object.values(view.factors)) for (const column of each.columns) known.add(`${view.name}.${column}`);
    }
    const rest = Object.entries(row).filter(([name]) => !known.has(name));
    const head = ["view", "factor", "role", "raw", "name", "physical"].map((each) => h("th", { scope: "col" }, each));
    return h(
      "div", { class: "tables" },
      h("table", {}, h("caption", {}, "factors"), h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body)),
      rest.length ? h("table", {}, h("caption", {}, "measured in the image, and the rest of the row"), h("tbody", {}, ...rest.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, String(value)))))) : null,
    );
  }
}

/** Which factors that both views see have other values in them. */
function differing(one, other) {
  const value = ({ view, row }, factor) => {
    const columns = view.factors[factor].columns.map((each) => `${view.name}.${each}`);
    return row[columns.find((each) => each.endsWith("_name"))] ?? row[columns[0]];
  };
  const found = Object.keys(one.view.factors).filter((factor) => factor in other.view.factors)
    .map((factor) => [factor, value(one, factor), value(other, factor)])
    .filter(([, first, second]) => first !== second && first !== undefined && second !== undefined);
  const shown = (first, second) => (short(first) === short(second) ? `${first} → ${second}` : `${short(first)} → ${short(second)}`);
  return found.length ? `Other values: ${found.map(([factor, ...both]) => `${factor} ${shown(...both)}`).join("; ")}` : "No factor has another value.";
}

/** Draw |one - other| of two pictures, and say how much it is. */
function difference(images, canvas) {
  const { naturalWidth: width, naturalHeight: height } = images[0];
  if (images[1].naturalWidth !== width || images[1].naturalHeight !== height) throw new Error(`one picture has ${width} px, the other ${images[1].naturalWidth} px`);
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [one, other] = images.map((each) => {
    context.drawImage(each, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  });
  const drawn = context.createImageData(width, height);
  let sum = 0;
  for (let each = 0; each < one.length; each++) {
    const far = Math.abs(one[each] - other[each]);
    drawn.data[each] = each % 4 === 3 ? 255 : far;
    if (each % 4 !== 3) sum += far;
  }
  context.putImageData(drawn, 0, 0);
  return `difference: ${short(sum / (width * height * 3))} of 255 on average`;
}
