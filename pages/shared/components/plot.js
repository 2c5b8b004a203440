// A chart from a figure as plotly describes it; what of plotly's language it knows is what the app's
// charts use, and a test holds them to it. Streamlit calls the default export on every data or theme
// change; all state lives in one Plot per parentElement, and a new figure is drawn once.

const DASHES = { dash: "7 5", dot: "2 3.5", dashdot: "7 4 2 4", longdash: "12 5" };
const SHAPES = { // from their middle
  circle: (r) => `m${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  square: (r) => `m${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  diamond: (r) => `m0 ${-1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}Z`,
  "line-ew": (r) => `m${-r} 0h${2 * r}`,
};
const REACH = 24; // pixels from the pointer to a point that it means

const each = (value, k) => (Array.isArray(value) ? value[k] : value);
const axisName = (letter, ref = letter) => letter + "axis" + ref.slice(1);
const safe = (value) => escaped(String(value));

// "rgba(…)" and "#rrggbb" as four numbers.
function channels(color) {
  if (color[0] === "#") {
    const full = color.length === 4 ? color.replace(/[^#]/g, "$&$&") : color;
    return [1, 3, 5].map((i) => parseInt(full.slice(i, i + 2), 16)).concat(1);
  }
  const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
  return [r, g, b, a];
}

// The colour of a word: it needs more contrast than a line in the same colour.
function inked(color) {
  if (!color || color === "currentColor") return color;
  const [r, g, b] = channels(color);
  const colourful = Math.max(r, g, b) - Math.min(r, g, b) > 40;
  return colourful ? `color-mix(in srgb, ${color} 70%, var(--st-text-color))` : color;
}

// The colours of a scale for shares of 0 to 1, [r, g, b, alpha] of 0 to 255; each is worked out once.
function shades(scale) {
  const ends = scale.map(([at, color]) => [at, channels(color)]);
  const known = new Map();
  return (share) => {
    if (!known.has(share)) {
      const upper = Math.max(1, ends.findIndex(([at]) => share <= at));
      const [[from, a], [to, b]] = [ends[upper - 1], ends[upper]];
      const part = to > from ? Math.min(1, Math.max(0, (share - from) / (to - from))) : 1;
      known.set(share, a.map((v, i) => (v + part * (b[i] - v)) * (i === 3 ? 255 : 1)));
    }
    return known.get(share);
  };
}

class Plot {
  constructor(parent) {
    this.parent = parent;
    this.root = parent.querySelector(".plot");
    this.drawing = parent.querySelector(".drawing");
    this.tip = parent.querySelector(".tip");
    this.said = parent.querySelector(".said");
    this.at = -1; // the target that is pointed at
    this.width = 0; // told by the observer: to ask for it after a change makes the page lay itself out
    new ResizeObserver(([{ contentRect }]) => {
      const width = Math.round(contentRect.width);
      if (width === this.width) return;
      this.width = width;
      this.font = getComputedStyle(this.root).fontFamily;
      this.draw();
    }).observe(this.root);
    this.root.onpointermove = (event) => this.point(event);
    this.root.onpointerleave = () => this.leave();
    this.root.onblur = () => this.leave();
    this.root.onclick = (event) => { this.point(event); this.choose(); };
    this.root.onkeydown = (event) => this.key(event);
  }

  receive({ figure, alt, clickable }) {
    this.root.setAttribute("aria-label", alt + (clickable ? ". Arrow keys move, Enter chooses" : ""));
    this.root.classList.toggle("clickable", clickable);
    this.clickable = clickable;
    if (figure !== this.text) {
      this.text = figure;
      const { data, layout } = JSON.parse(figure);
      [this.traces, this.layout] = [data, layout];
      this.height = layout.height ?? 300;
      this.root.style.minHeight = `${this.height}px`;
      this.draw();
    }
  }

  // --- drawing ------------------------------------------------------------------------------------

  draw() {
    if (!this.traces || this.width < 20) return; // hidden: drawn when it has a width
    widthOf.font = this.font;
    const { width, height } = this;
    this.leave();
    this.targets = [];
    this.under = [];
    const places = this.places();
    const margin = this.margin(places);
    const [W, H] = [width - margin.l - margin.r, height - margin.t - margin.b];
    let out = "";
    for (const place of places) {
      const [x0, x1] = place.x.spec.domain ?? [0, 1];
      const [y0, y1] = place.y.spec.domain ?? [0, 1];
      place.x.length = W * (x1 - x0);
      place.y.length = H * (y1 - y0);
      place.left = margin.l + W * x0;
      place.top = margin.t + H * (1 - y1);
      out += this.frame(place) + this.inside(place);
    }
    out += this.notes(places[0], margin, W, H) + this.heading(margin);
    this.drawing.innerHTML = `<svg width="${width}" height="${height}" aria-hidden="true">${out}<g class="pointer"></g></svg>`;
    this.drawing.prepend(...this.under);
    this.pointer = this.drawing.querySelector("g.pointer");
    // The first one is where the arrow keys begin.
    this.targets.sort((a, b) => a.px - b.px || a.py - b.py);
  }

  // The pairs of axes that are drawn on, each with its traces.
  places() {
    const { layout } = this;
    const pairs = new Map();
    for (const trace of this.traces) {
      const pair = `${trace.xaxis ?? "x"} ${trace.yaxis ?? "y"}`;
      pairs.set(pair, [...(pairs.get(pair) ?? []), trace]);
    }
    if (!pairs.size) pairs.set("x y", []);
    return [...pairs].map(([pair, traces]) => {
      const [xref, yref] = pair.split(" ");
      const seen = (letter) => ({
        values: traces.flatMap((t) => this.extent(t, letter)),
        cells: traces.some((t) => t.type === "heatmap"),
        bars: traces.some((t) => t.type === "bar"),
        marks: traces.some((t) => t.type === "bar" || (t.mode ?? "").includes("markers")),
      });
      const x = new Axis(layout[axisName("x", xref)], seen("x"), false);
      const y = new Axis(layout[axisName("y", yref)], seen("y"), true);
      return { xref, yref, x, y, traces };
    });
  }

  // The values that an axis has to show of a trace.
  extent(trace, letter) {
    const values = trace[letter] ?? [];
    if (trace.type !== "bar") {
      const error = letter === "y" && trace.error_y?.array;
      return error ? values.flatMap((v, k) => [v - error[k], v + error[k]]) : values;
    }
    if (letter === "x") {
      const half = (trace.width ?? 1 - (this.layout.bargap ?? 0.2)) / 2;
      return values.flatMap((v) => (typeof v === "string" ? [v] : [v - half, v + half]));
    }
    if (this.layout.barmode !== "stack") return [0, ...values];
    const piles = this.traces.filter((t) => t.type === "bar");
    return [0, ...values.map((_, k) => piles.reduce((sum, t) => sum + t.y[k], 0))];
  }

  // What the layout asks for, and more where a label is wider.
  margin(places) {
    const margin = { l: 40, r: 8, t: 30, b: 40, ...this.layout.margin };
    const least = {};
    for (const { x, y } of places) {
      if (y.spec.domain?.[0] && x.spec.domain?.[0]) continue; // only what stands at the edge
      y.length = this.height - margin.t - margin.b;
      const size = y.spec.tickfont?.size ?? 12;
      const widest = Math.max(0, ...y.ticks.map((t) => widthOf(t.label, size)));
      least.l = Math.max(least.l ?? 0, widest + 8 + (y.spec.title?.text ? 20 : 0));
    }
    margin.l = Math.min(Math.max(margin.l, least.l ?? 0), this.width / 2);
    return margin;
  }

  // Grid, labels and titles of one pair of axes.
  frame({ x, y, left, top }) {
    let out = "";
    const [w, h] = [x.length, y.length];
    for (const tick of y.ticks) {
      const at = top + y.at(tick.at, true);
      if (y.spec.showgrid !== false && !y.names)
        out += `<path class="grid" d="M${left} ${Math.round(at) + 0.5}h${w}"/>`;
      out += `<g class="soft">${textAt(left - 6, at, tick.label, { size: y.spec.tickfont?.size ?? 12, anchor: "end" })}</g>`;
    }
    let free = -Infinity; // labels that would cover the one before are left out
    const size = x.spec.tickfont?.size ?? 12;
    const across = x.ticks.map((tick) => ({ ...tick, px: left + x.at(tick.at, true) }));
    for (const { px: at, ...tick } of across.sort((a, b) => a.px - b.px)) {
      if (x.spec.showgrid) out += `<path class="grid" d="M${Math.round(at) + 0.5} ${top}v${h}"/>`;
      const half = widthOf(tick.label, size) / 2;
      if (at - half < free) continue;
      free = at + half + 3;
      out += `<g class="soft">${textAt(at, top + h + 6 + 0.6 * size, tick.label, { size })}</g>`;
    }
    const xTitle = x.spec.title?.text, yTitle = y.spec.title?.text;
    if (xTitle) out += textAt(left + w / 2, top + h + size + 18, xTitle, { size: 13 });
    if (yTitle) out += textAt(12, top + h / 2, yTitle, { size: 13, turn: -90 });
    return out;
  }

  // What lies between the axes: traces, shapes and marks, cut at the plot's edge.
  inside(place) {
    const { x, y, left, top, traces } = place;
    const shapes = (below) => (this.layout.shapes ?? [])
      .filter((shape) => (shape.layer === "below") === below)
      .map((shape) => this.shape(shape, place)).join("");
    let out = shapes(true);
    const bars = traces.filter((t) => t.type === "bar");
    const base = bars.length ? bars[0].x.map(() => 0) : [];
    for (const trace of traces) {
      if (trace.type === "heatmap") out += this.heat(trace, place);
      else if (trace.type === "bar") out += this.bar(trace, place, base);
      else out += this.scatter(trace, place);
    }
    out += shapes(false);
    return `<svg x="${left}" y="${top}" width="${x.length}" height="${y.length}" style="overflow:hidden">${out}</svg>`;
  }

  heat(trace, place) {
    const { x, y, left, top } = place;
    const [rows, columns] = [trace.z.length, trace.z[0]?.length ?? 0];
    if (!rows || !columns) return "";
    const shade = shades(trace.colorscale);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const pixels = new ImageData(columns, rows);
    const xs = trace.x ?? trace.z[0].map((_, j) => j), ys = trace.y ?? trace.z.map((_, i) => i);
    // Cells are as wide as their places are apart.
    const apart = (axis, all) => {
      const [a, b] = all.length > 1 ? [axis.number(all[0]), axis.number(all[1])] : [0, 1];
      return Math.abs(axis.at(b, true) - axis.at(a, true));
    };
    const near = apart(x, xs), high = apart(y, ys);
    // Cells are drawn upwards where the axis is: the first row is the highest on the page or the lowest.
    const upwards = y.at(y.number(ys[0])) > y.at(y.number(ys.at(-1)));
    trace.z.forEach((row, i) => row.forEach((v, j) => {
      if (v === null) return;
      const rgba = shade((v - trace.zmin) / (trace.zmax - trace.zmin));
      pixels.data.set(rgba, 4 * ((upwards ? rows - 1 - i : i) * columns + j));
    }));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const [fromX, fromY] = [x.at(x.number(xs[0]), true) - near / 2,
      y.at(y.number(upwards ? ys.at(-1) : ys[0]), true) - high / 2];
    canvas.style.cssText = `left:${left + fromX}px;top:${top + fromY}px;` +
      `width:${near * columns}px;height:${high * rows}px`;
    this.under.push(canvas);
    if (trace.hoverinfo !== "skip")
      ys.forEach((v, i) => xs.forEach((u, j) => this.target(place, trace, {
        x: u, y: v, z: trace.z[i][j], customdata: trace.customdata?.[i][j], text: trace.text?.[i][j],
      }, x.at(x.number(u), true), y.at(y.number(v), true), { cell: [near, high] })));
    if (!trace.xgap) return "";
    let lines = "";
    for (let j = 0; j <= columns; j += 1) lines += `M${fromX + near * j} ${fromY}v${high * rows}`;
    for (let i = 0; i <= rows; i += 1) lines += `M${fromX} ${fromY + high * i}h${near * columns}`;
    return `<path class="gap" stroke-width="${trace.xgap}" d="${lines}"/>`;
  }

  bar(trace, place, base) {
    const { x, y } = place;
    const stacked = this.layout.barmode === "stack";
    const wide = Math.abs(x.at(trace.width ?? 1 - (this.layout.bargap ?? 0.2), true) - x.at(0, true));
    const color = trace.marker?.color ?? "gray";
    return trace.x.map((u, k) => {
      const from = stacked ? base[k] : 0, to = from + trace.y[k];
      if (stacked) base[k] = to;
      const [px, py, foot] = [x.at(x.number(u), true), y.at(to), y.at(from)];
      this.target(place, trace, { x: u, y: trace.y[k], text: each(trace.text, k) }, px, Math.min(py, foot),
        { cell: [wide, Math.abs(foot - py)], from: Math.min(py, foot), color });
      return `<rect x="${(px - wide / 2).toFixed(1)}" y="${Math.min(py, foot).toFixed(1)}" width="${wide.toFixed(1)}" ` +
        `height="${Math.abs(foot - py).toFixed(1)}" style="fill:${safe(each(color, k))};fill-opacity:${trace.opacity ?? 1}"/>`;
    }).join("");
  }

  scatter(trace, place) {
    const { x, y } = place;
    const mode = trace.mode ?? "lines";
    const points = trace.x.map((u, k) => [x.at(x.number(u), true), y.at(y.number(trace.y[k]), true)]);
    const known = ([px, py]) => Number.isFinite(px) && Number.isFinite(py);
    const color = trace.line?.color ?? each(trace.marker?.color, 0) ?? "gray";
    let out = "";
    if (mode.includes("lines")) {
      let path = "", open = false;
      points.forEach(([px, py], k) => {
        if (!known([px, py])) { open = false; return; }
        const to = `${px.toFixed(1)} ${py.toFixed(1)}`;
        if (!open) path += `M${to}`;
        else path += trace.line?.shape === "hv" ? `H${px.toFixed(1)}V${py.toFixed(1)}` : `L${to}`;
        open = true;
      });
      const dash = DASHES[trace.line?.dash];
      if (trace.fill === "toself") out += `<path d="${path}Z" style="fill:${safe(trace.fillcolor)}" opacity="${trace.opacity ?? 1}"/>`;
      else out += `<path d="${path}" fill="none" style="stroke:${safe(color)}" stroke-width="${trace.line?.width ?? 2}" ` +
        `stroke-linejoin="round"${dash ? ` stroke-dasharray="${dash}"` : ""} opacity="${trace.opacity ?? 1}"/>`;
    }
    if (trace.error_y) out += points.filter(known).map(([px], k) => {
      const [a, b] = [1, -1].map((sign) => y.at(trace.y[k] + sign * trace.error_y.array[k]));
      return `<path d="M${px} ${a}V${b}M${px - 4} ${a}h8M${px - 4} ${b}h8" style="stroke:${safe(trace.error_y.color ?? color)}" stroke-width="2"/>`;
    }).join("");
    if (mode.includes("markers")) out += this.marks(trace.marker ?? {}, points, known, color);
    if (mode.includes("text")) out += this.words(trace, points, known);
    if (trace.hoverinfo !== "skip") points.forEach((p, k) => {
      if (known(p)) this.target(place, trace, {
        x: trace.x[k], y: trace.y[k], text: each(trace.text, k), customdata: trace.customdata?.[k],
      }, ...p, { color });
    });
    return out;
  }

  // Points that look alike are one path: each element costs the browser its style, layout and paint.
  marks(marker, points, known, fallback) {
    const alike = !marker.line && !Object.values(marker).some(Array.isArray) && (marker.opacity ?? 1) === 1;
    if (!alike) return points.map((p, k) => (known(p) ? this.mark(marker, [p], k, fallback) : "")).join("");
    return this.mark(marker, points.filter(known), 0, fallback);
  }

  mark(marker, places, k, fallback) {
    const symbol = each(marker.symbol, k) ?? "circle";
    const open = symbol.endsWith("-open");
    const color = safe(each(marker.color, k) ?? fallback);
    const path = (SHAPES[symbol.replace("-open", "")] ?? SHAPES.circle)((each(marker.size, k) ?? 6) / 2);
    const edge = open || symbol.startsWith("line") ? color : marker.line?.color && safe(marker.line.color);
    const stroke = edge ? `stroke:${marker.line?.color ? safe(marker.line.color) : edge};stroke-width:${marker.line?.width ?? 1.5}` : "";
    return `<path d="${places.map(([px, py]) => `M${px.toFixed(1)} ${py.toFixed(1)}${path}`).join("")}" ` +
      `style="fill:${open ? "none" : color};${stroke}" opacity="${each(marker.opacity, k) ?? 1}"/>`;
  }

  // A place's word; a single sign that stands at many of them is one element, which has a list of places.
  words(trace, points, known) {
    const look = (k) => ({ size: trace.textfont?.size ?? 12, color: each(trace.textfont?.color, k) });
    const alike = /^\w$/.test(trace.text?.[0]) && trace.text.every((word) => word === trace.text[0]);
    if (!alike || Array.isArray(trace.textfont?.color))
      return points.map((p, k) => (known(p) ? textAt(...p, each(trace.text, k), look(k)) : "")).join("");
    const [seen, { size, color }] = [points.filter(known), look(0)];
    const list = (values) => values.map((v) => v.toFixed(1)).join(" ");
    return `<text x="${list(seen.map(([px]) => px))}" y="${list(seen.map(([, py]) => py + 0.35 * size))}" ` +
      `font-size="${size}" text-anchor="middle"${color ? ` style="fill:${safe(color)}"` : ""}>` +
      `${trace.text[0].repeat(seen.length)}</text>`;
  }

  // Rectangles and lines; an end on "paper" or a "domain" is a share of the plot.
  shape(shape, { x, y, xref, yref }) {
    const own = (ref, name) => (ref ?? name).split(" ")[0];
    if (![xref, "paper"].includes(own(shape.xref, "x")) || ![yref, "paper"].includes(own(shape.yref, "y"))) return "";
    const share = (ref) => ref === "paper" || ref?.endsWith("domain");
    const [x0, x1] = [shape.x0, shape.x1].map((v) => (share(shape.xref) ? v * x.length : x.at(v, x.names)));
    const [y0, y1] = [shape.y0, shape.y1].map((v) => (share(shape.yref) ? (1 - v) * y.length : y.at(v, y.names)));
    const dash = DASHES[shape.line?.dash];
    const look = `style="stroke:${safe(shape.line?.color ?? "gray")};fill:${safe(shape.fillcolor ?? "none")}" ` +
      `stroke-width="${shape.line?.width ?? 1}"${dash ? ` stroke-dasharray="${dash}"` : ""} opacity="${shape.opacity ?? 1}"`;
    if (shape.type === "line") return `<path d="M${x0} ${y0}L${x1} ${y1}" ${look}/>`;
    return `<rect x="${Math.min(x0, x1)}" y="${Math.min(y0, y1)}" width="${Math.abs(x1 - x0)}" height="${Math.abs(y1 - y0)}" ${look}/>`;
  }

  notes(first, margin, W, H) {
    const notes = (this.layout.annotations ?? []).map((note) => {
      const { x, y, left, top } = first;
      const px = note.xref === "paper" ? margin.l + note.x * W : left + x.at(note.x, x.log);
      const py = note.yref === "paper" || note.yref?.endsWith("domain") ? margin.t + (1 - note.y) * H : top + y.at(note.y, y.log);
      if (!Number.isFinite(px) || !Number.isFinite(py)) return "";
      const size = note.font?.size ?? 12;
      const anchor = { left: "start", right: "end" }[note.xanchor] ?? "middle";
      // A name stays inside, whatever its line does.
      const wide = widthOf(note.text, size), at = px + (note.xshift ?? 0);
      const begin = at - { start: 0, middle: wide / 2, end: wide }[anchor];
      const moved = Math.max(margin.l + 4, Math.min(begin, this.width - wide - 2)) - begin;
      // Nor does it stand on the labels of the axis below.
      const lowest = note.yref === "paper" ? Infinity : margin.t + H + 2 - 0.5 * size;
      return textAt(at + moved, Math.min(py - (note.yshift ?? 0), lowest) - (note.yanchor === "bottom" ? 0.5 * size : 0), note.text,
        { size, color: inked(note.font?.color), anchor });
    });
    return `<g class="notes">${notes.join("")}</g>`;
  }

  // The title, in as many lines as it needs.
  heading(margin) {
    const { title } = this.layout;
    if (!title?.text) return "";
    const size = title.font?.size ?? 14;
    const words = title.text.includes("<") ? [title.text] : title.text.split(" ");
    const lines = [words.shift()];
    for (const word of words)
      if (widthOf(`${lines.at(-1)} ${word}`, size) < this.width - 4) lines[lines.length - 1] += ` ${word}`;
      else lines.push(word);
    return textAt(0, size, lines.join("<br>"), { size, anchor: "start", middle: false, color: inked(title.font?.color) });
  }

  // --- pointing -----------------------------------------------------------------------------------

  target(place, trace, point, px, py, more) {
    const cell = more.cell && trace.type === "heatmap" ? { left: px - more.cell[0] / 2, top: py - more.cell[1] / 2 } : null;
    this.targets.push({ place, trace, point, px: place.left + px, py: place.top + py, more, cell });
  }

  get together() { return this.layout.hovermode === "x unified"; }

  point(event) {
    if (!this.targets) return;
    const box = this.drawing.getBoundingClientRect();
    const [mx, my] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1, least = this.together ? 60 : REACH;
    this.targets.forEach((target, k) => {
      const { more, trace } = target;
      const [dx, dy] = [Math.abs(mx - target.px), Math.abs(my - target.py)];
      let far = this.together ? dx : Math.hypot(dx, dy);
      if (trace.type === "heatmap") far = dx <= more.cell[0] / 2 && dy <= more.cell[1] / 2 ? 0 : Infinity;
      else if (trace.type === "bar") {
        const top = target.place.top + more.from;
        far = dx <= more.cell[0] / 2 && my >= top - 3 && my <= top + more.cell[1] + 3 ? 0.5 : Infinity;
      }
      if (far < least) [best, least] = [k, far];
    });
    this.aim(best);
  }

  aim(k, aloud = false) {
    if (k === this.at) return;
    this.at = k;
    const target = this.targets?.[k];
    if (!target) { this.leave(); return; }
    const { place, px, py } = target;
    const group = this.together
      ? this.targets.filter((t) => t.place === place && Math.abs(t.px - px) < 0.5) : [target];
    this.tip.textContent = "";
    if (this.together) this.line(spoken(target.point.x), null, true);
    for (const { trace, point, more } of group) {
      const told = filled(trace.hovertemplate ?? "%{y}", point);
      const named = this.together && trace.name ? `${trace.name}: ${told}` : told;
      this.line(named, group.length > 1 || this.together ? more.color : null);
    }
    const { x, y, left, top } = place;
    let drawn = "";
    if (this.together) drawn = `<path d="M${px} ${top}v${y.length}"/>`;
    else if (target.cell) {
      const [w, h] = target.more.cell;
      drawn = `<rect x="${px - w / 2}" y="${py - h / 2}" width="${w}" height="${h}" stroke-width="2"/>`;
      if (x.spec.showspikes) drawn += `<path d="M${left} ${py}h${x.length}M${px} ${top}v${y.length}"/>`;
    }
    if (!target.cell) for (const t of group) if (t.trace.type !== "bar" && t.more.color !== "gray")
      drawn += `<circle cx="${t.px}" cy="${t.py}" r="4" style="fill:${safe(t.more.color)};stroke:none"/>`;
    this.pointer.innerHTML = drawn;
    this.tip.hidden = false;
    const beside = px + 14 + this.tip.offsetWidth < this.width ? px + 14 : Math.max(0, px - 14 - this.tip.offsetWidth);
    const beneath = Math.max(0, Math.min(this.together ? top : py + 12, this.height - this.tip.offsetHeight));
    this.tip.style.transform = `translate(${beside}px, ${beneath}px)`;
    if (aloud) this.said.textContent = this.tip.innerText;
  }

  // One line of what is told; `filled` text may hold <b> and <br>.
  line(text, color, strong = false) {
    const row = document.createElement("div");
    row.className = "row";
    if (color) {
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = color;
      row.append(dot);
    }
    const said = document.createElement("span");
    pieces(text).forEach((line, n) => {
      if (n) said.append(document.createElement("br"));
      for (const p of line) {
        const part = document.createElement(p.b || strong ? "b" : p.sub ? "sub" : p.sup ? "sup" : "span");
        part.textContent = p.text;
        said.append(part);
      }
    });
    row.append(said);
    this.tip.append(row);
  }

  leave() {
    this.at = -1;
    this.tip.hidden = true;
    this.said.textContent = "";
    if (this.pointer) this.pointer.innerHTML = "";
  }

  choose() {
    const target = this.targets?.[this.at];
    if (!this.clickable || !target) return;
    const { x, y } = target.place;
    this.send("clicked", { x: x.number(target.point.x), y: y.number(target.point.y) });
  }

  // Arrow keys go to the nearest target that way; Enter chooses it.
  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") this.leave();
    if (event.key === "Enter" || event.key === " ") { if (this.clickable) event.preventDefault(); this.choose(); }
    if (!way || !this.targets?.length) return;
    if (this.together && way[1]) return; // up and down scroll the page
    event.preventDefault();
    const from = this.targets[this.at];
    let best = from ? -1 : 0, least = Infinity;
    if (from) this.targets.forEach((t, k) => {
      const [dx, dy] = [t.px - from.px, t.py - from.py];
      const along = dx * way[0] + dy * way[1], aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (along < 0.5) return;
      const far = this.together ? along : along + 3 * aside;
      if (far < least) [best, least] = [k, far];
    });
    if (best >= 0) this.aim(best, true);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  let plot = parentElement.__plot;
  if (!plot || !parentElement.contains(plot.root)) {
    plot = new Plot(parentElement);
    parentElement.__plot = plot;
  }
  plot.send = setTriggerValue;
  plot.receive(data);
}
