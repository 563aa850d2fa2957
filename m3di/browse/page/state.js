// The state of the page, and the part of its address behind `#` that says the same.

/** As it is without a word in the address. */
export function blankState() {
  return { filters: {}, search: "", sort: "", descending: false, view: "", boxes: false, open: null, pair: null };
}

/** Filters are `low..high` of numbers, codes with commas of categories. */
export function toHash(state) {
  const words = new URLSearchParams();
  for (const [name, filter] of Object.entries(state.filters)) {
    words.set(`f.${name}`, filter.chosen ? filter.chosen.join(",") : `${filter.low}..${filter.high}`);
  }
  if (state.search) words.set("q", state.search);
  if (state.sort) words.set("sort", state.sort);
  if (state.descending) words.set("desc", "1");
  if (state.view) words.set("view", state.view);
  if (state.boxes) words.set("boxes", "1");
  if (state.pair) words.set("pair", state.pair.join(" "));
  if (state.open !== null) words.set("open", state.open);
  return words.toString();
}

/** The state that an address says; what it says of columns that there are not is passed over. */
export function fromHash(hash, table) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const state = blankState();
  for (const [word, value] of words) {
    const column = word.startsWith("f.") ? table.column(word.slice(2)) : null;
    if (!column) continue;
    if (column.values) {
      const chosen = [...new Set(value.split(",").map(numberIn))].filter((each) => each in column.values);
      if (chosen.length) state.filters[column.name] = { chosen };
    } else {
      const [low, high] = value.split("..").map(numberIn);
      if (low <= high) state.filters[column.name] = { low, high };
    }
  }
  state.search = words.get("q") ?? "";
  state.sort = table.column(words.get("sort"))?.name ?? "";
  state.descending = words.get("desc") === "1";
  state.boxes = words.get("boxes") === "1";
  const views = table.about.views.filter((each) => each.kind === "rendered").map((each) => each.name);
  state.view = views.includes(words.get("view")) ? words.get("view") : ""; // all
  const pair = words.get("pair")?.split(" ") ?? [];
  state.pair = pair.length === 3 ? pair : null;
  const open = words.has("open") ? numberIn(words.get("open")) : null;
  state.open = Number.isInteger(open) && open >= 0 && open < table.n ? open : null;
  return state;
}

/** What a text says as a number: not one where it says nothing, or no end. */
function numberIn(text) {
  const number = text.trim() ? Number(text) : NaN;
  return Number.isFinite(number) ? number : NaN;
}

const python = (text) => JSON.stringify(text);

/** The filters as a condition of m3di's: for `m3di subset --where` and `Multimodal3DIdent(filter=...)`. */
export function whereText(state, table) {
  const parts = [];
  for (const [name, filter] of Object.entries(state.filters)) {
    if (name === "split" || name === "dataset") continue;
    const values = table.column(name).values;
    if (!filter.chosen) parts.push(`${filter.low} <= ${name} <= ${filter.high}`);
    else if (filter.chosen.length === 1) parts.push(`${name} == ${python(values[filter.chosen[0]])}`);
    else parts.push(`${name} in [${filter.chosen.map((each) => python(values[each])).join(", ")}]`);
  }
  return parts.join(" and ");
}

/** Texts to copy: the filter for the command line and for Python. */
export function copiesOf(state, table) {
  const { about } = table;
  const where = whereText(state, table);
  const chosen = (name) => state.filters[name]?.chosen.map((each) => table.column(name).values[each]);
  const datasets = about.datasets.filter((each) => (chosen("dataset") ?? [about.datasets[0].name]).includes(each.name));
  const options = (chosen("split") ?? []).map((each) => ` --split ${each}`).join("");
  const told = where ? ` --where ${shell(where)}` : "";
  return {
    "--where": datasets.map((each) => `m3di subset ${shell(each.root)} --out OUT${options}${told}`).join("\n"),
    Python: pythonText(state, table, where, chosen("split") ?? about.splits, datasets.map((each) => each.root)),
    ...(state.search ? { note: "The search in captions has no --where: the Python above says it." } : {}),
  };
}

/** The samples in Python: a dataset, or several as one. */
function pythonText(state, table, where, splits, roots) {
  const filter = state.search ? ", filter=wanted" : where ? `, filter=${python(where)}` : "";
  const [root, split] = [roots.length > 1 ? "root" : python(roots[0]), splits.length > 1 ? "split" : python(splits[0])];
  const loops = (roots.length > 1 ? ` for root in ${list(roots)}` : "") + (splits.length > 1 ? ` for split in ${list(splits)}` : "");
  const data = `Multimodal3DIdent(${root}, split=${split}${filter})`;
  return [
    state.search ? "import pyarrow.compute as pc" : null,
    "from m3di import Multimodal3DIdent",
    loops ? "from torch.utils.data import ConcatDataset" : null,
    "",
    state.search ? `wanted = ${expressionText(state, table)}` : null,
    `data = ${loops ? `ConcatDataset([${data}${loops}])` : data}`,
  ].filter((line) => line !== null).join("\n");
}

/** Filters and search as an expression of Arrow's: a condition as text has no word for a part of a caption. */
function expressionText(state, table) {
  const field = (name) => `pc.field(${python(name)})`;
  const parts = [];
  for (const [name, filter] of Object.entries(state.filters)) {
    if (name === "split" || name === "dataset") continue;
    if (filter.chosen) parts.push(`${field(name)}.isin([${filter.chosen.join(", ")}])`);
    else parts.push(`(${field(name)} >= ${filter.low})`, `(${field(name)} <= ${filter.high})`);
  }
  const told = table.about.views.filter((each) => each.kind === "told").map((each) => `pc.match_substring(${field(`${each.name}.caption`)}, ${python(state.search)}, ignore_case=True)`);
  return [...parts, told.length > 1 ? `(${told.join(" | ")})` : told[0]].join(" & ");
}

const list = (texts) => `[${texts.map(python).join(", ")}]`;
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** A sample as one cites it. */
export function citation(row, about) {
  const own = about.datasets[row.dataset];
  return `${own.spec} (${own.name}), fingerprint ${own.fingerprint}, split ${row.split}, key ${row.key}`;
}
