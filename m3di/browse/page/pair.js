// Two columns against each other: dots where both are numbers and few, else a heat map of their bins.
import { h, s, short } from "./dom.js";

const [PAIR_WIDTH, PAIR_HEIGHT] = [280, 210];
const LEFT = 66; // px for what is written along the axes
const BELOW = 20;
const MOST_DOTS = 3000;
const MOST_NAMED = 8;

/** Draw `child` over `parent` of the rows that pass; returns the figure. */
export function pairFigure(table, cross, parent, child) {
  const dots = !parent.values && !child.values && cross.nPassing <= MOST_DOTS;
  const [across, up] = [table.bins(parent), table.bins(child)];
  const drawn = dots ? drawDots(table, cross, parent, child, across, up) : drawHeat(table, cross, parent, child, across, up);
  const what = `${child.name} over ${parent.name}, ${cross.nPassing.toLocaleString("en")} samples`;
  const picture = s(
    "svg", { viewBox: `${-LEFT} -8 ${PAIR_WIDTH + LEFT + 14} ${PAIR_HEIGHT + BELOW + 8}`, role: "img", "aria-label": `${dots ? "scatter" : "heat map"} of ${what}` },
    ...drawn, s("path", { class: "axis", d: `M0 0V${PAIR_HEIGHT}H${PAIR_WIDTH}` }),
    ...marks(parent, across).map(([share, word, end]) => s("text", { x: PAIR_WIDTH * share, y: PAIR_HEIGHT + 15, class: end }, word)),
    ...marks(child, up).map(([share, word]) => s("text", { x: -5, y: PAIR_HEIGHT * (1 - share) + 3, class: "end" }, word)),
  );
  return h("figure", { class: "pair", "data-kind": dots ? "dots" : "heat" }, h("figcaption", {}, what), picture, h("p", {}, `→ ${parent.label}   ↑ ${child.label}`));
}

/** What is written along an axis, each with its place from 0 to 1: names where they are few, else both ends. */
function marks(column, bins) {
  if (column.values && bins.n <= MOST_NAMED) return column.values.map((word, code) => [(code + 0.5) / bins.n, cut(word), "middle"]);
  const [low, high] = column.values ? [column.values[0], column.values.at(-1)] : [bins.low, bins.low + bins.n * bins.width];
  return [[0, cut(short(low)), "start"], [1, cut(short(high)), "end"]];
}

const cut = (word) => (word.length > 10 ? `${word.slice(0, 9)}…` : word);

/** A dot for each row, as one path. */
function drawDots(table, cross, parent, child, across, up) {
  const [xs, ys] = [table.numbers(parent.name), table.numbers(child.name)];
  const share = (value, bins) => (value - bins.low) / (bins.n * bins.width);
  let path = "";
  for (let each = 0; each < cross.nPassing; each++) {
    const [x, y] = [share(xs[cross.passing[each]], across), share(ys[cross.passing[each]], up)];
    if (x === x && y === y) path += `M${(PAIR_WIDTH * x).toFixed(1)} ${(PAIR_HEIGHT * (1 - y)).toFixed(1)}h0`;
  }
  return [s("path", { class: "dots", d: path })];
}

/** A cell for each pair of bins that has rows; it says how many. */
function drawHeat(table, cross, parent, child, across, up) {
  const counts = pairCounts(table, cross, parent, child);
  const greatest = counts.reduce((one, other) => Math.max(one, other), 1);
  const [width, height] = [PAIR_WIDTH / across.n, PAIR_HEIGHT / up.n];
  const cells = [];
  counts.forEach((count, each) => {
    if (!count) return;
    const [x, y] = [Math.floor(each / up.n), each % up.n];
    const words = `${worded(parent, across, x)}, ${worded(child, up, y)}: ${count.toLocaleString("en")}`;
    const place = { x: x * width, y: PAIR_HEIGHT - (y + 1) * height, width: width + 0.3, height: height + 0.3 };
    cells.push(s("rect", { ...place, "fill-opacity": (0.12 + 0.88 * (count / greatest)).toFixed(3), "data-cell": `${x} ${y} ${count}` }, s("title", {}, words)));
  });
  return cells;
}

function worded(column, bins, bin) {
  if (column.values) return column.values[bin];
  const low = bins.low + bin * bins.width;
  return bins.whole ? short(low) : `${short(low)} to ${short(low + bins.width)}`;
}

/** How many rows that pass are in each pair of bins, `parent` first. */
function pairCounts(table, cross, parent, child) {
  const [across, up] = [table.bins(parent), table.bins(child)];
  const [first, second] = [table.binned(parent), table.binned(child)];
  const counts = new Uint32Array(across.n * up.n);
  for (let each = 0; each < cross.nPassing; each++) {
    const row = cross.passing[each];
    if (first[row] < across.n && second[row] < up.n) counts[first[row] * up.n + second[row]]++;
  }
  return counts;
}
