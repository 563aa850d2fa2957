// Where the page has its data from: the server of `m3di browse`, or the file that it lies in.

const ARRAYS = {
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
};

async function got(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || `${path}: ${answer.status}`);
  return answer;
}

/** The server that the page came from. */
export class ServerSource {
  about = async () => (await got("about.json")).json();
  column = async (name, dtype) =>
    new ARRAYS[dtype](await (await got(`column/${encodeURIComponent(name)}`)).arrayBuffer());
  rows = async (chosen) => (await got(`rows.json?of=${chosen.join(",")}`)).json();
  search = async (text) =>
    new Uint8Array(await (await got(`search?text=${encodeURIComponent(text)}`)).arrayBuffer());
  image = (row, view) => `image/${row}/${encodeURIComponent(view)}`;
  pass = (row, view, name) => `pass/${row}/${encodeURIComponent(view)}/${name}`;
  mapRows = async () => new Float64Array(await (await got("map-rows")).arrayBuffer());
  map = async (view) => new Float32Array(await (await got(`map/${encodeURIComponent(view)}`)).arrayBuffer());
  nearest = async (view, row) => (await got(`nearest.json/${encodeURIComponent(view)}/${row}`)).json();
  curves = async () => (await got("curves.json")).json();
  isLive = true;
}

/** What was written into the page; see m3di/browse/one_file.py. */
export class PageSource {
  constructor(data) {
    this.data = data;
    const { names, values } = data.rows;
    this.table = values.map(([which, ...own]) => Object.fromEntries(own.map((value, each) => [names[which][each], value])));
    this.views = data.about.views.filter((each) => each.kind === "told").map((each) => `${each.name}.caption`);
  }

  about = async () => this.data.about;

  column = async (name, dtype) => {
    const bytes = Uint8Array.from(atob(this.data.columns[name]), (each) => each.charCodeAt(0));
    return new ARRAYS[dtype](bytes.buffer);
  };

  rows = async (chosen) => chosen.map((row) => this.table[row]);

  search = async (text) => {
    const bits = new Uint8Array(Math.ceil(this.table.length / 8));
    const wanted = text.toLowerCase();
    this.table.forEach((row, number) => {
      if (this.views.some((view) => row[view]?.toLowerCase().includes(wanted))) bits[number >> 3] |= 1 << (number & 7);
    });
    return bits;
  };

  image = (row, view) => this.data.pictures[view][row];
  mapRows = async () => this.data.map_rows;
  map = async (view) =>
    new Float32Array(Uint8Array.from(atob(this.data.maps[view]), (each) => each.charCodeAt(0)).buffer);
  nearest = async (view, row) => {
    const found = this.data.nearest[view][this.data.map_rows.indexOf(row)];
    if (!found) throw new Error(`row ${row} has no encoding`);
    return found.map(([row, cosine]) => ({ row, cosine }));
  };
  curves = async () => this.data.curves;
  isLive = false;
}

/** The file's own data where it has some, else the server. */
export function openSource() {
  const own = document.getElementById("data");
  return own ? new PageSource(JSON.parse(own.textContent)) : new ServerSource();
}
