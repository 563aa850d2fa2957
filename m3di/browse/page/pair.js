// Two columns against each other: dots where both are numbers and few, else a heat map of their bins.
import { h, short } from "./dom.js";

const SIDE = 300;
const MOST_DOTS = 3000;

/** Draw `child` over `parent` of the rows that pass; returns the figure. */
export function pairFigure(table, cross, parent, child) {
  const canvas = h("canvas", { width: SIDE, height: SIDE });
  const dots = !parent.values && !child.values && cross.nPassing <= MOST_DOTS;
  const [across, up] = [table.bins(parent), table.bins(child)];
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).color;
  if (dots) drawDots(context, table, cross, parent, child, across, up);
  else drawHeat(context, table, cross, parent, child, across, up);
  const what = `${child.name} over ${parent.name}, ${cross.nPassing.toLocaleString("en")} samples`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${dots ? "scatter" : "heat map"} of ${what}`);
  const ends = (column, bins) => column.values
    ? (column.values.length > 8 ? `${column.values.length} values` : column.values.join(" · "))
    : `${short(bins.low)} … ${short(bins.low + bins.n * bins.width)}`;
  return h(
    "figure", { class: "pair", "data-kind": dots ? "dots" : "heat" },
    h("figcaption", {}, what), canvas,
    h("p", {}, `→ ${parent.label}: ${ends(parent, across)}`), h("p", {}, `↑ ${child.label}: ${ends(child, up)}`),
  );
}

function drawDots(context, table, cross, parent, child, across, up) {
  const [xs, ys] = [table.numbers(parent.name), table.numbers(child.name)];
  context.globalAlpha = 0.5;
  for (let each = 0; each < cross.nPassing; each++) {
    const row = cross.passing[each];
    const x = (SIDE * (xs[row] - across.low)) / (across.n * across.width);
    const y = SIDE - (SIDE * (ys[row] - up.low)) / (up.n * up.width);
    context.fillRect(x - 1, y - 1, 2, 2);
  }
}

function drawHeat(context, table, cross, parent, child, across, up) {
  const counts = pairCounts(table, cross, parent, child);
  const greatest = counts.reduce((one, other) => Math.max(one, other), 1);
  const [width, height] = [SIDE / across.n, SIDE / up.n];
  for (let x = 0; x < across.n; x++) {
    for (let y = 0; y < up.n; y++) {
      const count = counts[x * up.n + y];
      if (!count) continue;
      context.globalAlpha = 0.12 + 0.88 * (count / greatest);
      const [left, top] = [Math.round(x * width), Math.round(SIDE - (y + 1) * height)];
      context.fillRect(left, top, Math.max(1, Math.round((x + 1) * width) - left), Math.max(1, Math.round(SIDE - y * height) - top));
    }
  }
}

/** How many rows that pass are in each pair of bins, `parent` first. */
export function pairCounts(table, cross, parent, child) {
  const [across, up] = [table.bins(parent), table.bins(child)];
  const [first, second] = [table.binned(parent), table.binned(child)];
  const counts = new Uint32Array(across.n * up.n);
  for (let each = 0; each < cross.nPassing; each++) {
    const row = cross.passing[each];
    if (first[row] < across.n && second[row] < up.n) counts[first[row] * up.n + second[row]]++;
  }
  return counts;
}
