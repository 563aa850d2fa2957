// The causal graph of each view; an arrow shows how parent and child lie together in the rows that are left.
import { h, s } from "./dom.js";

const COLUMN = 150;
const ROW = 34;

/** The graphs as elements; `choose(view, parent, child)` is called for an arrow. */
export function graphs(about, choose) {
  return about.graph.map((graph) => {
    const place = new Map(graph.nodes.map((each) => [each.name, { x: (each.column + 0.5) * COLUMN, y: (each.row + 0.5) * ROW }]));
    const width = COLUMN * (1 + Math.max(...graph.nodes.map((each) => each.column)));
    const height = ROW * (1 + Math.max(...graph.nodes.map((each) => each.row)));
    const half = COLUMN * 0.45;
    const arrows = graph.edges.map(([parent, child]) => {
      const [from, to] = [place.get(parent), place.get(child)];
      const bend = 14 * ((to.x - from.x) / COLUMN - 1);
      const path = `M${from.x + half} ${from.y}Q${(from.x + to.x) / 2} ${(from.y + to.y) / 2 - bend} ${to.x - half - 4} ${to.y}`;
      const act = () => choose(graph.view, parent, child);
      const arrow = s(
        "g", { class: "arrow", role: "button", tabindex: 0, "aria-label": `${parent} causes ${child}: show both`, "data-edge": `${parent} ${child}`, onclick: act },
        s("path", { d: path, class: "wide" }), s("path", { d: path, class: "line", "marker-end": `url(#head-${graph.view})` }),
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
      return s("g", { class: each.role === "not seen" ? "node unseen" : "node" }, s("title", {}, `${each.name}: ${each.role}`), box, s("text", { x, y: y + 4 }, each.name));
    });
    const head = s("marker", { id: `head-${graph.view}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, s("path", { d: "M0 0L8 4L0 8z" }));
    return h(
      "figure", { class: "graph" }, h("figcaption", {}, `${graph.view} (${graph.modality})`),
      s("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `causal graph of ${graph.view}` }, s("defs", {}, head), ...nodes, ...arrows),
    );
  });
}

/** What the colours of the roles stand for. */
export function legend(about) {
  return h("p", { class: "legend" }, ...Object.entries(about.role_colors).map(([role, color]) => {
    const swatch = h("i", { class: "swatch" });
    swatch.style.background = color;
    return h("span", {}, swatch, role);
  }));
}
