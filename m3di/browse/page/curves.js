// Losses of a run as they come.
import { h, s, short } from "./dom.js";

const EVERY_MS = 2000;
const [ACROSS, TALL] = [340, 180];
const MOST_POINTS = 600;

/** A figure of the losses; it asks for them again and again while the page is in sight. */
export function curvesFigure(source, name) {
  const said = h("figcaption", {});
  const picture = s("svg", { viewBox: `-34 -6 ${ACROSS + 44} ${TALL + 26}`, role: "img" });
  const figure = h("figure", { class: "curves" }, said, picture);
  const again = async () => {
    if (!document.hidden) {
      try {
        drawCurves(picture, said, await source.curves(), name);
      } catch (error) {
        said.textContent = error.message;
      }
    }
    if (source.isLive) setTimeout(again, EVERY_MS);
  };
  again();
  return figure;
}

function drawCurves(picture, said, curves, name) {
  const lines = Object.entries(curves).flatMap(([run, own]) => ["loss", "val_loss"].map((key) => ({
    run, key, points: own.step.map((step, each) => [step, own[key][each]]).filter(([, value]) => value !== null),
  }))).filter((each) => each.points.length);
  const all = lines.flatMap((each) => each.points);
  if (!all.length) {
    said.textContent = `${name}: no step yet`;
    return;
  }
  const range = (axis) => all.reduce(([least, most], point) => [Math.min(least, point[axis]), Math.max(most, point[axis])], [Infinity, -Infinity]);
  const [[first, last], [least, most]] = [range(0), range(1)];
  const x = (step) => (ACROSS * (step - first)) / Math.max(1, last - first);
  const y = (loss) => TALL - (TALL * (loss - least)) / Math.max(1e-9, most - least);
  const runs = Object.keys(curves);
  picture.replaceChildren(
    s("path", { class: "axis", d: `M0 0V${TALL}H${ACROSS}` }),
    s("text", { x: -4, y: 8, class: "end" }, short(most)), s("text", { x: -4, y: TALL, class: "end" }, short(least)),
    s("text", { x: 0, y: TALL + 14 }, `step ${short(first)}`), s("text", { x: ACROSS, y: TALL + 14, class: "end" }, short(last)),
    ...lines.map(({ run, key, points }) => {
      const every = Math.ceil(points.length / MOST_POINTS);
      const kept = points.filter((_, number) => number % every === 0 || number === points.length - 1);
      const path = kept.map(([step, loss], number) => `${number ? "L" : "M"}${x(step).toFixed(1)} ${y(loss).toFixed(1)}`).join("");
      return s("path", { class: `curve curve-${key} curve-${runs.indexOf(run) % 6}`, d: path }, s("title", {}, `${run}: ${key}`));
    }),
  );
  const latest = lines.map(({ run, key, points }) => `${runs.length > 1 ? `${run} ` : ""}${key} ${short(points.at(-1)[1])}`);
  said.textContent = `${name}, step ${short(last)}: ${latest.slice(0, 4).join(", ")}${latest.length > 4 ? ", …" : ""}`;
  picture.setAttribute("aria-label", said.textContent);
}
