// What a filter costs: the page's own crossfilter beside crossfilter2, on the same rows and histograms.
//
//   npm pack crossfilter2@1.5.4 && tar xzf crossfilter2-1.5.4.tgz
//   node benchmarks/crossfilter.mjs package/crossfilter.min.js 1000000
//
// Times are of the processor, in milliseconds. Counts of both are compared.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [library, n = "1000000"] = process.argv.slice(2);
const nRows = Number(n);
const ours = await import(`data:text/javascript,${encodeURIComponent(readFileSync(new URL("../m3di/browse/page/crossfilter.js", import.meta.url), "utf8"))}`);
const crossfilter = createRequire(import.meta.url)(`${process.cwd()}/${library}`);
const [N_NUMBERS, N_CODES, N_BINS] = [14, 8, 40]; // as many columns as `m3di` has to draw

let seed = 1;
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
const numbers = Array.from({ length: N_NUMBERS }, () => Float64Array.from({ length: nRows }, random));
const codes = Array.from({ length: N_CODES }, () => Uint8Array.from({ length: nRows }, () => Math.floor(7 * random())));
const RANGES = [[0.2, 0.8], [0.2, 0.81], [0.2, 0.9], [0.5, 0.6], [0.0, 0.1], [0.1, 1.0]]; // a brush, as it is drawn

function timed(act) {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const said = (times) => times.map((each) => each.toFixed(0)).join(", ");
const bin = (value) => Math.min(N_BINS - 1, Math.floor(value * N_BINS));

const cross = new ours.Crossfilter(nRows);
console.log(`ours          load ${said([timed(() => {
  numbers.forEach((values, each) => {
    const bins = new Uint8Array(nRows);
    for (let row = 0; row < nRows; row++) bins[row] = bin(values[row]);
    cross.addHistogram(`number ${each}`, bins, N_BINS);
  });
  codes.forEach((values, each) => cross.addHistogram(`code ${each}`, values, 7));
})])} ms`);
const own = [];
const ourTimes = RANGES.map(([low, high]) => timed(() => {
  cross.setFilter("number 0", ours.inRange(numbers[0], low, high));
  own.push([cross.nPassing, ...cross.histograms.get("code 3").counts]);
}));
console.log(`ours          brush ${said(ourTimes)} ms`);
const ourSecond = timed(() => cross.setFilter("code 1", ours.isOneOf(codes[1], [1, 2], 7)));
console.log(`ours          a second filter ${said([ourSecond])} ms`);

const rows = Uint32Array.from({ length: nRows }, (_, row) => row);
let all;
let [dimensions, groups] = [[], []];
console.log(`crossfilter2  load ${said([timed(() => {
  all = crossfilter(Array.from(rows));
  numbers.forEach((values) => dimensions.push(all.dimension((row) => values[row])));
  codes.forEach((values) => dimensions.push(all.dimension((row) => values[row])));
  groups = dimensions.map((each, number) => (number < N_NUMBERS ? each.group(bin) : each.group()));
})])} ms`);
const theirs = [];
const theirTimes = RANGES.map(([low, high]) => timed(() => {
  dimensions[0].filterFunction((value) => value >= low && value <= high);
  theirs.push([all.groupAll().value(), ...groups[N_NUMBERS + 3].all().map((each) => each.value)]);
}));
console.log(`crossfilter2  brush ${said(theirTimes)} ms`);
const ranged = RANGES.map(([low, high]) => timed(() => { dimensions[0].filterRange([low, high + 1e-12]); groups.forEach((each) => each.all()); }));
console.log(`crossfilter2  brush by filterRange ${said(ranged)} ms`);
console.log(`crossfilter2  a second filter ${said([timed(() => dimensions[N_NUMBERS + 1].filterFunction((value) => value === 1 || value === 2))])} ms`);
if (JSON.stringify(own) !== JSON.stringify(theirs)) throw new Error("they count otherwise");
console.log("equal counts");
