// The causal graph of each view; an arrow shows how parent and child lie together in the rows that are left.
import { h, s } from "./dom.js";

const COLUMN = 150;
const ROW = 34;
const MARGIN = 40;
const LEAST_SCALE = 0.75;
const MOST_OPEN = 3; // processes whose graphs are unfolded at first

/** The graphs of every process as elements; `choose(view, parent, child)` is called for an arrow. */
export function graphs(about, choose) {
  if (about.processes.length === 1) return drawings(about, 0, choose);
  return about.processes.map(({ name }, number) => h("details", { class: "process", open: number < MOST_OPEN }, h("summary", {}, `graph and roles of ${name}`), ...drawings(about, number, choose)));
}

function drawings(about, number, choose) {
  return about.processes[number].graph.map((graph) => {
    const headId = `head-${number}-${graph.view}`;
    const place = new Map(graph.nodes.map((each) => [each.name, { x: (each.column + 0.5) * COLUMN, y: (each.row + 0.5) * ROW }]));
    const isBack = ([parent, child]) => place.get(child).x <= place.get(parent).x;
    const width = COLUMN * (1 + Math.max(...graph.nodes.map((each) => each.column))) + (graph.edges.some(isBack) ? MARGIN : 0);
    const height = ROW * (1 + Math.max(...graph.nodes.map((each) => each.row)));
    const half = COLUMN * 0.45;
    const arrows = graph.edges.map((edge) => {
      const [parent, child, lag] = edge;
      const [from, to] = [place.get(parent), place.get(child)];
      const bend = 14 * ((to.x - from.x) / COLUMN - 1);
      const path = isBack(edge) // of an earlier frame: out and back on the right
        ? `M${from.x + half} ${from.y}Q${from.x + half + MARGIN} ${(from.y + to.y) / 2} ${to.x + half + 4} ${to.y}`
        : `M${from.x + half} ${from.y}Q${(from.x + to.x) / 2} ${(from.y + to.y) / 2 - bend} ${to.x - half - 4} ${to.y}`;
      const when = lag ? `, ${lag} frame${lag > 1 ? "s" : ""} earlier,` : "";
      const act = () => choose(graph.view, parent, child);
      const arrow = s(
        "g", { class: lag ? "arrow earlier" : "arrow", role: "button", tabindex: 0, "aria-label": `${parent}${when} causes ${child}: show both`, "data-edge": `${parent} ${child}`, onclick: act },
        s("path", { d: path, class: "wide" }), s("path", { d: path, class: "line", "marker-end": `url(#${headId})` }),
      );
      arrow.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        act();
      });
      return arrow;
    });
    const nodes = graph.nodes.map((each) => {
      const { x, y } = place.get(each.name);
      const box = s("rect", { x: x - half, y: y - 12, width: 2 * half, height: 24, rx: 5 });
      box.style.fill = about.role_colors[each.role];
      return s("g", { class: each.role === "not seen" ? "node unseen" : "node" }, s("title", {}, `${each.name}: ${each.role}`), box, s("text", { x, y: y + 4 }, [each.name, ...each.marks].join(" ")));
    });
    const head = s("marker", { id: headId, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, s("path", { d: "M0 0L8 4L0 8z" }));
    const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `causal graph of ${graph.view}` }, s("defs", {}, head), ...nodes, ...arrows);
    drawing.style.minWidth = `${LEAST_SCALE * width}px`; // a wide graph scrolls, rather than shrink to nothing
    return h("figure", { class: "graph" }, h("figcaption", {}, `${graph.view} (${graph.modality})`), h("div", { class: "scrolled" }, drawing));
  });
}

/** What colours, lines and marks stand for. */
export function legend(about) {
  const roles = Object.entries(about.role_colors).map(([role, color]) => {
    const swatch = h("i", { class: "swatch" });
    swatch.style.background = color;
    return h("span", {}, swatch, role);
  });
  const all = about.processes.flatMap((each) => each.graph);
  const marks = all.flatMap((graph) => graph.nodes.flatMap((each) => each.marks.map((mark) => mark.split(" ")[0])));
  const notes = [
    all.some((graph) => graph.edges.some(([, , lag]) => lag)) ? "dashed: of an earlier frame" : null,
    marks.includes("\u21bb") ? "\u21bb: its own past causes it" : null,
    marks.includes("\u2692") ? "\u2692: set in some samples" : null,
  ];
  return h("p", { class: "legend" }, ...roles, ...notes.filter(Boolean).map((note) => h("span", {}, note)));
}
