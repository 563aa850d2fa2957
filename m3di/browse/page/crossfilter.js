// Linked histograms: what each counts are the rows that pass all filters but its own.
//
// Each filter has a bit. `failing[row]` has the bits of the filters that a row fails: 0 passes, and a row with one bit
// alone is counted in that histogram and in no other. So a change costs one pass over the rows for its filter, and one
// over the passing rows for each histogram.

export const MOST_FILTERS = 31;

export class Crossfilter {
  constructor(n) {
    this.n = n;
    this.failing = new Uint32Array(n);
    this.passing = Uint32Array.from({ length: n }, (_, row) => row);
    this.nPassing = n;
    this.histograms = new Map();
    this.bits = new Map();
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
    const { failing, n } = this;
    if (passes === null) {
      if (!this.bits.has(name)) return;
      const keep = ~(1 << this.bits.get(name));
      for (let row = 0; row < n; row++) failing[row] &= keep;
      this.bits.delete(name);
      return;
    }
    if (!this.bits.has(name)) this.bits.set(name, this.freeBit());
    const bit = 1 << this.bits.get(name);
    for (let row = 0; row < n; row++) {
      if (passes[row]) failing[row] &= ~bit;
      else failing[row] |= bit;
    }
  }

  freeBit() {
    const taken = new Set(this.bits.values());
    for (let bit = 0; bit < MOST_FILTERS; bit++) if (!taken.has(bit)) return bit;
    throw new Error(`at most ${MOST_FILTERS} filters at once`);
  }

  count() {
    const { failing, passing, n, histograms } = this;
    const own = new Array(MOST_FILTERS).fill(null);
    for (const [name, bit] of this.bits) own[bit] = histograms.get(name) ?? null;
    for (const each of histograms.values()) each.counts.fill(0);
    let nPassing = 0;
    for (let row = 0; row < n; row++) {
      const failed = failing[row];
      if (failed === 0) passing[nPassing++] = row;
      else if ((failed & (failed - 1)) === 0) {
        const alone = own[31 - Math.clz32(failed)];
        if (alone !== null) alone.counts[alone.bins[row]]++;
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
