// Linked histograms: what each counts are the rows that pass all filters but its own.
//
// Each filter has a number. `failing[row]` is how many filters a row fails, `which[row]` their numbers, XORed: 0 passes, and
// a row that fails one filter is counted in the histogram of that number, and in no other. So a change costs one pass over
// the rows for its filter, and one over the passing rows for each histogram; and there may be any number of filters.

export class Crossfilter {
  constructor(n) {
    this.n = n;
    this.failing = new Uint16Array(n);
    this.which = new Uint16Array(n);
    this.passing = Uint32Array.from({ length: n }, (_, row) => row);
    this.nPassing = n;
    this.histograms = new Map();
    this.filters = new Map();
  }

  /** Count the rows of each bin: `bins` has the bin of every row. */
  addHistogram(name, bins, nBins) {
    const all = new Uint32Array(nBins);
    for (let row = 0; row < this.n; row++) all[bins[row]]++;
    this.histograms.set(name, { bins, all, counts: all.slice() });
  }

  /** Filter by `passes`, a Uint8Array with 1 for each row that passes; null takes the filter away. */
  setFilter(name, passes) {
    this.setFilters([[name, passes]]);
  }

  /** Several at once, counted once. */
  setFilters(filters) {
    for (const [name, passes] of filters) this.mark(name, passes);
    this.count();
  }

  mark(name, passes) {
    const { failing, which, n } = this;
    const own = this.filters.get(name);
    if (!own && passes === null) return;
    const number = own?.number ?? this.freeNumber();
    const before = own?.passes ?? null;
    for (let row = 0; row < n; row++) {
      const did = before !== null && before[row] === 0;
      const does = passes !== null && passes[row] === 0;
      if (did === does) continue;
      failing[row] += does ? 1 : -1;
      which[row] ^= number;
    }
    if (passes === null) this.filters.delete(name);
    else this.filters.set(name, { number, passes });
  }

  freeNumber() {
    const taken = new Set([...this.filters.values()].map((each) => each.number));
    let number = 1;
    while (taken.has(number)) number++;
    return number;
  }

  count() {
    const { failing, which, passing, n, histograms } = this;
    const own = [];
    for (const [name, { number }] of this.filters) own[number] = histograms.get(name);
    for (const each of histograms.values()) each.counts.fill(0);
    let nPassing = 0;
    for (let row = 0; row < n; row++) {
      const failed = failing[row];
      if (failed === 0) passing[nPassing++] = row;
      else if (failed === 1) {
        const alone = own[which[row]];
        if (alone) alone.counts[alone.bins[row]]++;
      }
    }
    this.nPassing = nPassing;
    for (const { bins, counts, all } of histograms.values()) {
      if (nPassing === n) counts.set(all);
      else for (let each = 0; each < nPassing; each++) counts[bins[passing[each]]]++;
    }
  }
}

/** Rows with low <= value <= high. */
export function inRange(values, low, high) {
  const passes = new Uint8Array(values.length);
  for (let row = 0; row < values.length; row++) passes[row] = values[row] >= low && values[row] <= high ? 1 : 0;
  return passes;
}

/** Rows whose code is one of `chosen`. */
export function isOneOf(codes, chosen, nValues) {
  const wanted = new Uint8Array(nValues);
  for (const each of chosen) wanted[each] = 1;
  const passes = new Uint8Array(codes.length);
  for (let row = 0; row < codes.length; row++) passes[row] = wanted[codes[row]];
  return passes;
}

/** Rows whose bit is set; bit 0 of byte 0 is row 0. */
export function inBits(bits, n) {
  const passes = new Uint8Array(n);
  for (let row = 0; row < n; row++) passes[row] = (bits[row >> 3] >> (row & 7)) & 1;
  return passes;
}
