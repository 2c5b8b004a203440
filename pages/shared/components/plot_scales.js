// Numbers, formatted text and axes, as plotly's figures describe them.

const MINUS = "−";
const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', "#x27": "'", "#39": "'" };
const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const pen = document.createElement("canvas").getContext("2d");

// A number of at most `digits` digits; powers of ten only where zeros would have to be counted.
function spoken(v, digits = 6) {
  if (typeof v !== "number") return v === null || v === undefined ? "–" : String(v);
  const rounded = Number(v.toPrecision(digits));
  const size = Math.abs(rounded);
  const text = size && (size < 1e-4 || size >= 10 ** Math.max(digits, 6))
    ? rounded.toExponential().replace("e+", "e")
    : String(rounded);
  return text.replaceAll("-", MINUS);
}

// The formats that our charts use: ".4g" and its like for digits, ".2f" for decimals.
function formatted(v, spec) {
  const [, digits, kind] = /^\.(\d+)([gf])$/.exec(spec || "") || [];
  if (!kind || typeof v !== "number") return spoken(v);
  return kind === "f" ? v.toFixed(+digits).replace("-", MINUS) : spoken(v, +digits);
}

// "%{y:.4g}", "%{customdata[1]}": filled in from one point; what hangs on as <extra> is not shown.
function filled(template, point) {
  return template.replace(/<extra>.*?<\/extra>/g, "").replace(
    /%\{(\w+)(?:\[(\d+)\])?(?::([^}]+))?\}/g,
    (_, name, index, spec) => formatted(index === undefined ? point[name] : point[name]?.[index], spec),
  );
}

// Text with <b>, <i>, <sub>, <sup>, <span style="font-size">, <br>, in pieces: {text, bold, ...}.
// Any other sign is text: what a reader typed can't become markup.
function pieces(text) {
  const lines = [[]];
  const open = [];
  for (const part of String(text ?? "").split(/(<\/?(?:b|i|sub|sup|span|br)\b[^<>]*>)/i)) {
    const [, closing, tag, rest] = /^<(\/?)(b|i|sub|sup|span|br)\b([^<>]*)>$/i.exec(part) || [];
    if (!tag) {
      const plain = part.replace(/&(#?\w+);/g, (all, name) => ENTITIES[name] ?? all);
      if (plain) lines.at(-1).push({ text: plain, ...Object.assign({}, ...open.map((o) => o.style)) });
    } else if (tag === "br") lines.push([]);
    else if (closing) {
      const at = open.findLastIndex((o) => o.tag === tag);
      if (at >= 0) open.splice(at, 1);
    } else {
      const size = /font-size:\s*([\d.]+)px/.exec(rest);
      open.push({ tag, style: tag === "span" ? (size ? { size: +size[1] } : {}) : { [tag]: true } });
    }
  }
  return lines;
}

const plain = (text) => pieces(text).map((line) => line.map((p) => p.text).join("")).join(" ");

// Pixels that text takes, near enough: it decides where lines break and how wide a margin must be.
function widthOf(text, size) {
  pen.font = `${size}px ${widthOf.font || "sans-serif"}`;
  return Math.max(...pieces(text).map((line) =>
    line.reduce((sum, p) => {
      const scale = (p.sub || p.sup ? 0.75 : 1) * ((p.size ?? size) / size) * (p.b ? 1.06 : 1);
      return sum + scale * pen.measureText(p.text).width;
    }, 0)));
}

// One SVG text; x and y are where its first line stands.
function textAt(x, y, text, { size = 12, color, anchor = "middle", middle = true, turn = 0, bold } = {}) {
  const lines = pieces(text);
  const first = middle ? y + 0.35 * size - 0.6 * size * (lines.length - 1) : y;
  const spans = lines.map((line, n) => {
    let drop = 0; // how far below the line the last piece left the pen
    const inner = line.map((p) => {
      const want = p.sub ? 0.22 * size : p.sup ? -0.38 * size : 0;
      const dy = want - drop;
      drop = want;
      const small = p.sub || p.sup ? 0.75 * (p.size ?? size) : p.size;
      const look = `${dy ? ` dy="${dy.toFixed(1)}"` : ""}${small ? ` font-size="${small}"` : ""}` +
        `${p.b ? ' font-weight="600"' : ""}${p.i ? ' font-style="italic"' : ""}`;
      return look ? `<tspan${look}>${escaped(p.text)}</tspan>` : escaped(p.text);
    }).join("");
    return n ? `<tspan x="${x.toFixed(1)}" y="${(first + 1.2 * size * n).toFixed(1)}">${inner}</tspan>` : inner;
  }).join("");
  return `<text x="${x.toFixed(1)}" y="${first.toFixed(1)}" font-size="${size}" text-anchor="${anchor}"` +
    `${color ? ` style="fill:${escaped(color)}"` : ""}${bold ? ' font-weight="600"' : ""}` +
    `${turn ? ` transform="rotate(${turn} ${x} ${y})"` : ""}>${spans}</text>`;
}

// Round numbers about `space` apart.
function niceStep(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((m) => m * power >= rough * 0.999) * power;
}

function tickLabel(v, step) {
  if (Math.abs(v) < step / 1e6) return "0";
  if (step < 1e-4) {
    const [digits, power] = Number(v.toPrecision(4)).toExponential().split("e");
    return `${digits}×10<sup>${+power}</sup>`.replaceAll("-", MINUS);
  }
  if (Math.abs(v) >= 10000) return `${Number((v / 1000).toPrecision(6))}k`.replace("-", MINUS);
  return v.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))).replace("-", MINUS);
}

const decade = (k, always) =>
  k === 0 ? "1" : k === 1 ? "10" : always || k < -3 || k > 4
    ? `10<sup>${String(k).replace("-", MINUS)}</sup>` : String(Number(`1e${k}`));

// One axis: where a value stands, in pixels from the plot's left or top, and its ticks.
class Axis {
  constructor(spec = {}, seen, vertical) {
    this.spec = spec;
    this.vertical = vertical;
    this.log = spec.type === "log";
    const names = seen.values.filter((v) => typeof v === "string");
    this.names = names.length ? [...new Set(names)] : null;
    const numbers = seen.values.map((v) => this.number(v)).filter(Number.isFinite);
    let [low, high] = numbers.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    if (low > high) [low, high] = [0, 1];
    if (low === high) [low, high] = this.log ? [low - 0.5, high + 0.5] : [low - 1, high + 1];
    const room = seen.cells || this.names ? 0 : (vertical || seen.marks ? 0.06 : 0) * (high - low);
    if (seen.cells || this.names) [low, high] = [low - 0.5, high + 0.5];
    this.low = seen.bars && low >= 0 && vertical ? 0 : low - room;
    this.high = high + room;
    if (spec.autorange === "reversed") [this.low, this.high] = [this.high, this.low];
    if (spec.range) [this.low, this.high] = spec.range;
  }

  number(v) {
    if (this.names && typeof v === "string") return this.names.indexOf(v);
    if (v === null || v === undefined) return NaN;
    return this.log ? (v > 0 ? Math.log10(v) : NaN) : v;
  }

  // `place` of a shape or a note on a logarithmic axis is a logarithm already.
  at(v, place = false) {
    const share = ((place ? v : this.number(v)) - this.low) / (this.high - this.low);
    return this.length * (this.vertical ? 1 - share : share);
  }

  get ticks() {
    const { spec } = this;
    const [low, high] = [Math.min(this.low, this.high), Math.max(this.low, this.high)];
    const inside = (v) => v >= low - 1e-9 * (high - low) && v <= high + 1e-9 * (high - low);
    if (spec.showticklabels === false) return [];
    if (spec.tickvals)
      return spec.tickvals.map((v, k) => ({ at: this.number(v), label: spec.ticktext?.[k] ?? spoken(v) }))
        .filter((t) => inside(t.at));
    if (this.names) return this.names.map((label, at) => ({ at, label }));
    const most = Math.max(2, Math.min(spec.nticks ?? 99, Math.floor(this.length / (this.vertical ? 34 : 70))));
    if (this.log) return this.decades(low, high, Math.floor(this.length / (this.vertical ? 22 : 38)));
    const found = this.rounded(low, high, spec.dtick ?? niceStep(low, high, most));
    return found.length > 1 ? found : this.rounded(low, high, niceStep(low, high, 2 * most));
  }

  rounded(low, high, step) {
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && found.length < 60; k += 1)
      found.push({ at: k * step, label: tickLabel(k * step, step) });
    return found;
  }

  decades(low, high, most) {
    const always = this.spec.exponentformat === "power";
    const found = [];
    let stride = typeof this.spec.dtick === "number" ? this.spec.dtick : 1;
    while ((high - low) / stride > Math.max(2, most)) stride += 1;
    for (let k = Math.ceil(low - 1e-9); k <= high + 1e-9; k += 1)
      if (k % stride === 0) found.push({ at: k, label: decade(k, always) });
    if (found.length > 1) return found;
    // Less than a decade or two: 2 and 5 help.
    const finer = [];
    for (let k = Math.floor(low); k <= high; k += 1)
      for (const m of [1, 2, 5]) {
        const at = k + Math.log10(m);
        if (at >= low && at <= high) finer.push({ at, label: spoken(Number(`${m}e${k}`)) });
      }
    return finer;
  }
}
