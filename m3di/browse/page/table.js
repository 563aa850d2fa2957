// The columns of the data: values, bins and what each is called.

export const N_BINS = 40;

export class Table {
  constructor(about, source) {
    this.about = about;
    this.n = about.n_rows;
    this.source = source;
    this.columns = new Map(about.columns.map((each) => [each.name, each]));
    this.values = new Map();
  }

  /** Load what every histogram needs. */
  async load() {
    const own = this.about.columns.filter((each) => !each.same_as);
    await Promise.all(
      own.map(async (each) => this.values.set(each.name, await this.source.column(each.name, each.dtype))),
    );
  }

  /** What is said of a column, where it has values of its own: content is told by its first view. */
  column(name) {
    const found = this.columns.get(name);
    return found?.same_as ? this.columns.get(found.same_as) : found;
  }

  numbers(name) {
    return this.values.get(this.column(name).name);
  }

  /** The column of a factor in a view, or where that does not see it, in the first view that does. */
  ofFactor(view, factor) {
    const views = this.about.views.map((each) => each.name);
    const name = [view, ...views].map((each) => `${each}.${factor}`).find((each) => this.columns.has(each));
    return name ? this.column(name) : null;
  }

  /** How a column is cut into bins: one a category or whole number, else equal widths. */
  bins(column) {
    if (column.values) return { n: column.values.length, low: 0, width: 1, whole: true };
    const low = column.low ?? column.least;
    const high = column.high ?? column.greatest;
    const whole = column.dtype !== "float64" && high - low < N_BINS;
    if (whole) return { n: high - low + 1, low, width: 1, whole };
    return { n: N_BINS, low, width: (high - low) / N_BINS || 1, whole: false };
  }

  /** The bin of every row; those without a number have the one after the last. */
  binned(column) {
    const { n, low, width } = this.bins(column);
    const values = this.numbers(column.name);
    const found = n < 255 ? new Uint8Array(this.n) : new Uint16Array(this.n);
    for (let row = 0; row < this.n; row++) {
      const bin = Math.floor((values[row] - low) / width);
      found[row] = bin >= 0 ? Math.min(bin, n - 1) : bin < 0 ? 0 : n;
    }
    return found;
  }

  /** Rows of `passing`, by a column: those without a number come last. */
  sorted(passing, name, descending) {
    const rows = passing.slice();
    if (!name) return descending ? rows.reverse() : rows;
    const values = this.numbers(name);
    const sign = descending ? -1 : 1;
    return rows.sort((one, other) => {
      const a = values[one];
      const b = values[other];
      if (a === b) return one - other;
      if (a !== a || b !== b) return a !== a ? (b !== b ? one - other : 1) : -1;
      return a < b ? -sign : sign;
    });
  }

  /** The process of the split that a row lies in: its roles and its graph. */
  process(row) {
    return this.about.processes[this.about.blocks.find((each) => row >= each.first && row < each.first + each.n).process];
  }
}

/** Rows as the tables have them, asked for once and kept. */
export class Rows {
  constructor(source) {
    this.source = source;
    this.kept = new Map();
  }

  async get(chosen) {
    const missing = chosen.filter((row) => !this.kept.has(row));
    if (missing.length) for (const each of await this.source.rows(missing)) this.kept.set(each.row, each);
    const found = chosen.map((row) => this.kept.get(row));
    for (const row of this.kept.keys()) {
      if (this.kept.size <= 5000) break;
      this.kept.delete(row); // the oldest first
    }
    return found;
  }
}

/** The captions of a row, one a view that tells. */
export function captionsOf(about, row) {
  return about.views
    .filter((each) => each.kind === "told" && row[`${each.name}.caption`])
    .map((each) => row[`${each.name}.caption`]);
}
