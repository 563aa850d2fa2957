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
      const chosen = value.split(",").map(Number).filter((each) => each in column.values);
      if (chosen.length) state.filters[column.name] = { chosen };
    } else {
      const [low, high] = value.split("..").map(Number);
      if (low <= high) state.filters[column.name] = { low, high };
    }
  }
  state.search = words.get("q") ?? "";
  state.sort = table.column(words.get("sort"))?.name ?? "";
  state.descending = words.get("desc") === "1";
  state.boxes = words.get("boxes") === "1";
  const views = table.about.views.filter((each) => each.kind === "rendered").map((each) => each.name);
  state.view = views.includes(words.get("view")) ? words.get("view") : (views[0] ?? "");
  const pair = words.get("pair")?.split(" ") ?? [];
  state.pair = pair.length === 3 ? pair : null;
  const open = words.has("open") ? Number(words.get("open")) : null;
  state.open = Number.isInteger(open) && open >= 0 && open < table.n ? open : null;
  return state;
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
  const where = whereText(state, table);
  const chosen = (name) => state.filters[name]?.chosen.map((each) => table.column(name).values[each]);
  const splits = chosen("split") ?? table.about.splits;
  const datasets = chosen("dataset") ?? [table.about.datasets[0].name];
  const root = table.about.datasets.find((each) => each.name === datasets[0]).root;
  const options = (chosen("split") ?? []).map((each) => ` --split ${each}`).join("");
  const told = where ? ` --where ${shell(where)}` : "";
  const python_ = [
    "from m3di import Multimodal3DIdent",
    "",
    `data = Multimodal3DIdent(${python(root)}, split=${python(splits[0])}${where ? `, filter=${python(where)}` : ""})`,
  ];
  if (state.search) {
    const view = table.about.views.find((each) => each.kind === "told").name;
    python_.splice(1, 0, "import pyarrow.compute as pc");
    python_.push(
      `found = pc.match_substring(data.table[${python(`${view}.caption`)}], ${python(state.search)}, ignore_case=True)`,
    );
  }
  return {
    "--where": `m3di subset ${shell(root)} --out OUT${options}${told}`,
    Python: python_.join("\n"),
    ...(state.search ? { note: "The search in captions has no --where: the Python above says it." } : {}),
  };
}

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** A sample as one cites it. */
export function citation(row, about) {
  const own = about.datasets[row.dataset];
  return `${about.name} (${own.name}), fingerprint ${own.fingerprint}, split ${row.split}, key ${row.key}`;
}
