// The true reverse step on a number line. Everything is drawn from the closed forms here, from the
// table of alpha_bar that the server sends, so that it follows the finger; on release the scene goes
// to the server, whose numbers then stand in the table. Streamlit calls the default export on every
// data or theme change; all state lives in one Axis per parentElement.

const SEND_MS = 250; // after the last key press
const TOP = 26; // room above the curves for their names
const FOOT = 20; // room below the axis for its numbers
const EDGE = 22; // as --edge in the style sheet
const BESIDE_LANE = EDGE - 14; // a name begins 14 pixels from its handle, and the lane ends EDGE before the screen
const NODES = 161; // per bell, from -REACH to REACH standard deviations, as in true_reverse.py
const REACH = 10;
let nothing = 0; // a divergence below this is rounding: the page says which

const svg = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  parent.append(element);
  return element;
};
const clamp = (x, lo, hi) => Math.min(hi, Math.max(lo, x));
const minus = (text) => text.replace("-", "−");
const fixed = (x, digits) => minus(Math.abs(x) < 0.5 * 10 ** -digits ? (0).toFixed(digits) : x.toFixed(digits));
const logNormal = (x, m, v) => -0.5 * ((x - m) ** 2 / v + Math.log(2 * Math.PI * v));
const normal = (x, m, v) => Math.exp(logNormal(x, m, v));
const dot = (weights, values) => weights.reduce((sum, w, i) => sum + w * values[i], 0);

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const raised = (n) => String(n).replace(/./g, (c) => SUPERSCRIPT[c]);

function nats(x) {
  if (x === Infinity) return "∞";
  if (x < nothing) return `< 10${raised(Math.round(Math.log10(nothing)))}`;
  if (x >= 0.001) return x >= 1000 ? x.toPrecision(3).replace(/e\+?(\d+)/, (_, n) => ` · 10${raised(n)}`) : x.toPrecision(3);
  const [digits, power] = x.toExponential(1).split("e");
  return `${digits} · 10${raised(Number(power))}`;
}

function many(x) {
  if (x < 1e6) return Math.ceil(x).toLocaleString("en");
  const [digits, power] = x.toExponential(0).split("e+");
  return `${digits} · 10${raised(Number(power))}`;
}

// KL between two Gaussians; 0 where both are the same point.
function klGaussian(m1, v1, m2, v2) {
  if (v1 === 0 || v2 === 0) return v1 === v2 && m1 === m2 ? 0 : Infinity;
  return 0.5 * (v1 / v2 - 1 - Math.log(v1 / v2) + (m1 - m2) ** 2 / v2);
}

// The mixture, its nearest Gaussian and the divergence between them: as in diffusion_core.
function step(table, { points, chosen, x_t, t, T }) {
  const s = Math.max(0, t - Math.round((table.length - 1) / T));
  const [at, as] = [table[t], table[s]];
  const beta = (as - at) / as;
  const weight0 = (Math.sqrt(as) * beta) / (1 - at);
  const weightT = (Math.sqrt(at / as) * (1 - as)) / (1 - at);
  const variance = (beta * (1 - as)) / (1 - at);
  const logs = points.map((p) => logNormal(x_t, Math.sqrt(at) * p, 1 - at));
  const most = Math.max(...logs);
  const raw = logs.map((log) => Math.exp(log - most));
  const sum = raw.reduce((a, b) => a + b, 0);
  const weights = raw.map((w) => w / sum);
  const centres = points.map((p) => weight0 * p + weightT * x_t);
  const mean = dot(weights, centres);
  const matched = variance + dot(weights, centres.map((c) => (c - mean) ** 2));
  const density = (x) => dot(weights, centres.map((c) => normal(x, c, variance)));
  let j = matched > 0 ? Infinity : 0;
  if (variance > 0) {
    const sd = Math.sqrt(variance);
    const logWeights = weights.map((w) => Math.log(w));
    const logDensity = (x) => {
      const each = centres.map((c, i) => logWeights[i] - 0.5 * ((x - c) ** 2 / variance));
      const top = Math.max(...each);
      return top + Math.log(each.reduce((a, e) => a + Math.exp(e - top), 0)) - 0.5 * Math.log(2 * Math.PI * variance);
    };
    j = 0;
    let total = 0;
    for (let k = 0; k < NODES; k += 1) total += Math.exp(-0.5 * ((2 * REACH * k) / (NODES - 1) - REACH) ** 2);
    centres.forEach((c, i) => {
      if (weights[i] === 0) return;
      for (let k = 0; k < NODES; k += 1) {
        const z = (2 * REACH * k) / (NODES - 1) - REACH;
        const x = c + sd * z;
        j += weights[i] * (Math.exp(-0.5 * z * z) / total) * (logDensity(x) - logNormal(x, mean, matched));
      }
    });
    j = Math.max(0, j);
  }
  const model = mean; // the mean is linear in x_0, so the best guess E[x_0|x_t] gives the mixture's
  const known = centres[chosen];
  return {
    s, variance, weights, centres, mean, matched, density, j, known, model,
    klModel: j + klGaussian(mean, matched, model, variance),
    klKnown: j + klGaussian(mean, matched, known, variance),
  };
}

class Axis {
  constructor(parent) {
    this.root = parent.querySelector(".reverse");
    const find = (selector) => this.root.querySelector(selector);
    this.wide = find(".wide .drawing");
    this.close = find(".close .drawing");
    this.names = Object.fromEntries(["true", "known", "model"].map((kind) => [kind, find(`.name.${kind}`)]));
    this.rows = Object.fromEntries(["true", "matched", "model", "known"].map((kind) => [kind, find(`tr.${kind}`)]));
    this.lanes = { points: find(".lane.points"), x_t: find(".lane.xt"), t: find(".lane.t"), T: find(".lane.steps") };
    this.handles = { x_t: find(".handle.xt"), t: find(".handle.t"), T: find(".handle.steps") };
    this.dots = [];
    this.el = { verdict: find(".verdict"), odds: find(".odds"), ends: this.root.querySelectorAll(".lane.steps .end"), gap: find(".gap b"), said: find(".said"), between: find(".between"), stops: find(".stops"), add: find(".add"), drop: find(".drop") };
    this.at = null;
    this.sent = 0;
    this.life = 0;
    this.held = null;
    this.root.reverseStats = { draws: 0, least: Infinity };
    Object.entries(this.handles).forEach(([key, handle]) => this.listen(handle, key));
    Object.entries(this.lanes).forEach(([key, lane]) => lane.addEventListener("click", (event) => this.clicked(event, key, lane)));
    this.el.add.onclick = () => this.add();
    this.el.drop.onclick = () => this.drop();
  }

  // -- what the server says --

  receive(header, table) {
    this.data = header;
    nothing = header.smallest;
    this.table = table;
    this.whole = table.length - 1;
    Object.entries(header.colors).forEach(([name, hex]) => this.root.style.setProperty(`--c-${name}`, hex));
    this.root.setAttribute("aria-label", header.label);
    if (this.el.stops.children.length !== header.steps.length) {
      [header.steps[0], header.steps[header.steps.length - 1]].forEach((T, i) => (this.el.ends[i].textContent = T));
      this.el.stops.replaceChildren(...header.steps.map((_, i) => {
        const mark = document.createElement("i");
        mark.style.left = `${(100 * i) / (header.steps.length - 1)}%`;
        return mark;
      }));
    }
    // What is under the finger, or was let go after the server last looked, is not moved back.
    const stale = this.at && (this.held !== null || this.waiting || header.echo < this.sent);
    if (!stale) this.at = { ...header.at, points: [...header.at.points] };
    this.draw();
  }

  attach(send) {
    this.send = send;
    this.life += 1;
    if (!this.resize) {
      this.resize = new ResizeObserver(() => {
        if (this.root.clientWidth !== this.width) this.draw();
      });
      this.resize.observe(this.root);
    }
    return this.life;
  }

  // Streamlit may clean up after an earlier call once a later one has begun: only the last counts.
  detach(life) {
    if (life !== this.life) return;
    this.resize.disconnect();
    this.resize = null;
    cancelAnimationFrame(this.frame);
    this.frame = null;
    clearTimeout(this.waiting);
    this.waiting = null;
  }

  // -- what the reader does; a key is "x_t", "t", "T" or the number of a point --

  share(key) {
    const { limit, steps } = this.data;
    if (key === "t") return this.at.t / this.whole;
    if (key === "T") return steps.indexOf(this.at.T) / (steps.length - 1);
    const value = key === "x_t" ? this.at.x_t : this.at.points[key];
    return (value + limit) / (2 * limit);
  }

  place(key, share) {
    const { limit, steps } = this.data;
    if (key === "t") this.at.t = clamp(Math.round(share * this.whole), 1, this.whole);
    else if (key === "T") this.at.T = steps[clamp(Math.round(share * (steps.length - 1)), 0, steps.length - 1)];
    else {
      const value = Math.round(clamp((2 * share - 1) * limit, -limit, limit) * 100) / 100;
      if (key === "x_t") this.at.x_t = value;
      else this.at.points[key] = value;
    }
    this.redraw();
  }

  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  choose(number) {
    this.at.chosen = number;
    this.redraw();
  }

  add() {
    const { points } = this.at;
    if (points.length >= this.data.most) return;
    // Into the middle of the widest gap, the ends of the line counting as points.
    const sorted = [-this.data.limit, ...[...points].sort((a, b) => a - b), this.data.limit];
    let best = 0;
    for (let i = 1; i < sorted.length - 1; i += 1) if (sorted[i + 1] - sorted[i] > sorted[best + 1] - sorted[best]) best = i;
    points.push(Math.round(50 * (sorted[best] + sorted[best + 1])) / 100);
    this.at.chosen = points.length - 1;
    this.draw();
    this.release();
  }

  drop() {
    if (this.at.points.length < 2) return;
    this.at.points.splice(this.at.chosen, 1);
    this.at.chosen = Math.min(this.at.chosen, this.at.points.length - 1);
    this.draw();
    this.release();
  }

  release() {
    clearTimeout(this.waiting);
    this.waiting = null;
    // Sorted, as the server writes them, so that both count the points alike.
    const order = this.at.points.map((_, i) => i).sort((a, b) => this.at.points[a] - this.at.points[b]);
    this.at.chosen = order.indexOf(this.at.chosen);
    const focused = this.dots.indexOf(this.root.getRootNode().activeElement);
    this.at.points = order.map((i) => this.at.points[i]);
    this.draw();
    if (focused >= 0) this.dots[order.indexOf(focused)]?.focus({ preventScroll: true });
    this.sent = Math.max(Date.now(), this.sent + 1);
    this.send("scene", { ...this.at, n: this.sent });
    this.el.said.textContent = `step from ${this.at.t} back to ${this.now.s}: divergence from the nearest Gaussian ${nats(this.now.j)} nats`;
  }

  listen(handle, fixedKey) {
    const key = () => fixedKey ?? this.dots.indexOf(handle);
    handle.onpointerdown = (event) => {
      if (event.button || this.held !== null) return;
      event.stopPropagation();
      const box = handle.getBoundingClientRect();
      this.grip = event.clientX - (box.left + box.width / 2); // it moves with the finger, without a jump
      this.held = event.pointerId;
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
    };
    handle.onpointermove = (event) => {
      if (event.pointerId !== this.held || !handle.hasPointerCapture(event.pointerId)) return;
      const box = handle.parentElement.getBoundingClientRect();
      this.place(key(), (event.clientX - box.left - this.grip) / box.width);
    };
    const lift = (event) => {
      if (event.pointerId !== this.held) return;
      this.held = null;
      this.release();
    };
    handle.onpointerup = lift;
    handle.onpointercancel = lift;
    if (fixedKey === undefined) {
      handle.onfocus = () => {
        if (this.at.chosen !== key()) {
          this.choose(key());
          this.later();
        }
      };
    }
    handle.onkeydown = (event) => this.pressed(event, key());
  }

  later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => (this.held === null ? this.release() : this.later()), SEND_MS);
  }

  pressed(event, key) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.at) return;
    const number = typeof key === "number";
    if (number && (event.key === "Delete" || event.key === "Backspace")) {
      event.preventDefault();
      event.stopPropagation();
      this.at.chosen = key;
      this.drop();
      this.dots[this.at.chosen].focus({ preventScroll: true });
      return;
    }
    const count = { t: this.whole, T: this.data.steps.length - 1 }[key];
    const unit = count ? 1 / count : (event.shiftKey ? 0.01 : 0.05) / (2 * this.data.limit);
    const large = count ? Math.max(1, Math.round(count / 20)) : 10;
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -large, PageUp: large }[event.key];
    const to = { Home: 0, End: 1 }[event.key];
    if (by === undefined && to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // Streamlit has shortcuts of its own
    this.place(key, to ?? this.share(key) + by * unit);
    this.later();
  }

  // A click beside the handle brings it there; among the points, the nearest one.
  clicked(event, key, lane) {
    if (event.target.closest(".handle") || !this.at) return;
    const box = lane.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    let target = key;
    if (key === "points") {
      const gaps = this.at.points.map((_, i) => Math.abs(this.share(i) - share));
      target = gaps.indexOf(Math.min(...gaps));
      this.at.chosen = target;
    }
    this.place(target, share);
    this.release();
    (this.handles[target] ?? this.dots[this.at.chosen]).focus({ preventScroll: true });
  }

  // -- the drawing --

  draw() {
    if (!this.at || !this.data || !this.root.clientWidth) return;
    this.width = this.root.clientWidth;
    const started = performance.now();
    const p = step(this.table, this.at);
    this.now = p;
    this.drawWide(p);
    this.drawClose(p);
    this.drawHandles(p);
    this.write(p);
    const { dataset, reverseStats } = this.root;
    Object.assign(dataset, {
      points: this.at.points.join(" "), chosen: this.at.chosen, xt: this.at.x_t, t: this.at.t, s: p.s, steps: this.at.T,
      mean: p.mean, variance: p.variance, matched: p.matched, j: p.j, klModel: p.klModel, klKnown: p.klKnown, weights: p.weights.join(" "),
    });
    reverseStats.draws += 1;
    reverseStats.least = Math.min(reverseStats.least, performance.now() - started);
  }

  // Evenly spaced places for the picture's width, and close ones where a bell is narrow.
  places(p, lo, hi) {
    const xs = [];
    for (let i = 0; i <= 240; i += 1) xs.push(lo + (i / 240) * (hi - lo));
    const sd = Math.sqrt(p.variance);
    if (sd < (hi - lo) / 60) {
      p.centres.forEach((c) => {
        for (let k = -50; k <= 50; k += 1) {
          const x = c + (k / 10) * sd;
          if (x > lo && x < hi) xs.push(x);
        }
      });
    }
    return xs.sort((a, b) => a - b);
  }

  path(drawing, selector, xs, f, px, py) {
    const line = xs ? xs.map((x, i) => `${i ? "L" : "M"}${px(x).toFixed(2)} ${py(f(x)).toFixed(2)}`).join("") : "";
    drawing.querySelector(selector).setAttribute("d", line);
    return line;
  }

  fill(drawing, line, xs, px, floor) {
    const closed = line ? `${line}L${px(xs.at(-1))} ${floor}L${px(xs[0])} ${floor}Z` : "";
    drawing.querySelector(".area").setAttribute("d", closed);
  }

  drawWide(p) {
    const { limit } = this.data;
    const drawing = this.wide;
    const [width, floor] = [drawing.clientWidth, drawing.clientHeight - FOOT];
    const px = (x) => EDGE + ((x + limit) / (2 * limit)) * (width - 2 * EDGE);
    const point = p.variance === 0;
    const xs = point ? null : this.places(p, -limit, limit);
    const model = (x) => normal(x, p.model, p.variance);
    const known = (x) => normal(x, p.known, p.variance);
    const top = point ? 1 : Math.max(1e-3, normal(0, 0, p.variance));
    const py = (y) => floor - (y / top) * (floor - TOP);
    this.fill(drawing, this.path(drawing, ".line.true", xs, p.density, px, py), xs, px, floor);
    this.path(drawing, ".line.model", xs, model, px, py);
    this.path(drawing, ".line.known", xs, known, px, py);
    const bells = drawing.querySelector(".bells");
    bells.textContent = "";
    const spikes = drawing.querySelector(".spikes");
    spikes.textContent = "";
    const inside = (x) => Math.abs(x) <= limit;
    p.centres.forEach((c, i) => {
      if (!point) {
        const line = xs.map((x, k) => `${k ? "L" : "M"}${px(x).toFixed(1)} ${py(p.weights[i] * normal(x, c, p.variance)).toFixed(1)}`).join("");
        svg("path", { class: "bell", d: line }, bells);
      } else {
        svg("line", { class: "spike true", x1: px(c), x2: px(c), y1: floor, y2: py(p.weights[i]) }, spikes);
      }
    });
    if (point) {
      svg("line", { class: "spike model", x1: px(p.model), x2: px(p.model), y1: floor, y2: py(1) }, spikes);
      svg("line", { class: "spike known", x1: px(p.known), x2: px(p.known), y1: floor, y2: py(1) }, spikes);
    }
    const guide = drawing.querySelector(".guide");
    Object.entries({ x1: px(this.at.x_t), x2: px(this.at.x_t), y1: floor - 6, y2: floor + FOOT }).forEach(([k, v]) => guide.setAttribute(k, v));
    this.axis(drawing, floor, EDGE, width - EDGE);
    if (this.scale !== `${width} ${limit}`) {
      this.scale = `${width} ${limit}`;
      const ticks = drawing.querySelector(".ticks");
      ticks.textContent = "";
      for (let x = -limit; x <= limit; x += 1) {
        svg("line", { x1: px(x), x2: px(x), y1: floor, y2: floor + 4 }, ticks);
        svg("text", { x: px(x), y: floor + 17 }, ticks).textContent = minus(String(x));
      }
    }
    const grid = drawing.querySelector(".grid");
    grid.textContent = "";
    const power = 10 ** Math.floor(Math.log10(top));
    const round = [5, 2, 1].map((n) => n * power).find((n) => n <= top * 1.0001);
    svg("line", { x1: EDGE, x2: width - EDGE, y1: py(round), y2: py(round) }, grid);
    svg("text", { x: EDGE, y: py(round) - 5 }, grid).textContent = `${point ? "probability" : "density"} ${Number(round.toPrecision(1))}`;
    const best = p.weights.indexOf(Math.max(...p.weights));
    const high = point ? p.weights[best] : Math.max(...xs.filter(inside).map(p.density));
    const peak = point ? p.centres[best] : xs.reduce((a, x) => (p.density(x) > p.density(a) ? x : a), xs[0]);
    this.placeNames({ model: [px(p.model), TOP], known: [px(p.known), TOP], true: [px(peak), py(high)] }, width);
  }

  // The window is ten standard deviations of the nearest Gaussian: there, shape is all that differs.
  drawClose(p) {
    const drawing = this.close;
    const [width, floor] = [drawing.clientWidth, drawing.clientHeight - FOOT];
    const sd = Math.sqrt(p.matched);
    const point = p.variance === 0;
    const reach = sd > 0 ? 4 * sd : 1;
    const [lo, hi] = [p.mean - reach, p.mean + reach];
    const px = (x) => ((x - lo) / (hi - lo)) * width;
    const xs = point ? null : this.places(p, lo, hi);
    const model = (x) => normal(x, p.model, p.variance);
    const matched = (x) => normal(x, p.mean, p.matched);
    const top = point ? 1 : 1.08 * Math.max(normal(0, 0, p.matched), ...xs.map(p.density), Math.min(model(p.model), 2.2 * normal(0, 0, p.matched)));
    const py = (y) => floor - (Math.min(y, 2 * top) / top) * (floor - TOP);
    this.fill(drawing, this.path(drawing, ".line.true", xs, p.density, px, py), xs, px, floor);
    this.path(drawing, ".line.model", xs, model, px, py);
    this.path(drawing, ".line.matched", sd > 0 && !point ? xs : null, matched, px, py);
    this.axis(drawing, floor, 0, width);
    const ticks = drawing.querySelector(".ticks");
    ticks.textContent = "";
    const digits = clamp(2 - Math.floor(Math.log10(reach)), 1, 6);
    [-0.5, 0, 0.5].forEach((k) => {
      const x = p.mean + k * reach;
      svg("line", { x1: px(x), x2: px(x), y1: floor, y2: floor + 4 }, ticks);
      svg("text", { x: px(x), y: floor + 17 }, ticks).textContent = fixed(x, digits);
    });
  }

  axis(drawing, y, x1, x2) {
    const axis = drawing.querySelector(".axis");
    Object.entries({ x1, x2, y1: y, y2: y }).forEach(([key, value]) => axis.setAttribute(key, value));
  }

  // Each name over its curve's peak; where two would collide, the later one moves aside.
  placeNames(spots, width) {
    const taken = [];
    Object.entries(spots).forEach(([kind, [x0, y0]]) => {
      const name = this.names[kind];
      const w = name.offsetWidth || 90;
      let x = clamp(x0 - w / 2, 0, width - w);
      const y = Math.max(0, y0 - 24);
      const hit = () => taken.find((o) => x < o.x + o.w + 6 && o.x < x + w + 6 && y < o.y + 20 && o.y < y + 20);
      const found = hit();
      if (found) {
        const right = found.x + found.w + 8;
        const left = found.x - w - 8;
        x = (x0 >= found.middle && right + w <= width) || left < 0 ? right : left;
        const again = hit();
        if (again) x = again.x >= found.x ? again.x + again.w + 8 : again.x - w - 8;
        x = clamp(x, 0, width - w);
      }
      taken.push({ x, y, w, middle: x0 });
      name.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
    });
  }

  drawHandles(p) {
    const { at } = this;
    while (this.dots.length > at.points.length) this.dots.pop().remove();
    while (this.dots.length < at.points.length) {
      const dot = document.createElement("div");
      dot.className = "handle point";
      dot.setAttribute("role", "slider");
      dot.tabIndex = 0;
      dot.innerHTML = '<span class="knob"></span><span class="tag"></span>';
      this.lanes.points.append(dot);
      this.dots.push(dot);
      this.listen(dot);
    }
    const set = (handle, key, text, label, lo, hi, now) => {
      const share = this.share(key);
      handle.style.left = `${100 * share}%`;
      handle.setAttribute("aria-valuemin", lo);
      handle.setAttribute("aria-valuemax", hi);
      handle.setAttribute("aria-valuenow", now);
      handle.setAttribute("aria-valuetext", text);
      const tag = handle.lastElementChild;
      tag.innerHTML = label; // of our own making: numbers only
      // On a phone what stands right of a handle in the middle would be beyond the screen's edge.
      const long = handle.parentElement.clientWidth;
      const room = (1 - share) * long + BESIDE_LANE;
      // A name may not lie on the next data point, if there is none on its other side.
      const gaps = typeof key === "number" ? at.points.map((_, i) => (this.share(i) - share) * long) : [];
      const next = (side) => Math.min(Infinity, ...gaps.map((gap) => side * gap).filter((gap) => gap > 0));
      const need = tag.offsetWidth + 22;
      const crowded = next(1) < need && next(-1) > need && share * long > need;
      tag.classList.toggle("left", share > (key === "T" ? 0.5 : 0.8) || room < tag.offsetWidth || crowded);
    };
    const { limit, steps } = this.data;
    this.dots.forEach((dot, i) => {
      const chosen = i === at.chosen;
      dot.classList.toggle("chosen", chosen);
      dot.setAttribute("aria-label", `data point ${i + 1} of ${at.points.length}${chosen ? ", chosen as x zero" : ""}`);
      const text = fixed(at.points[i], 2);
      set(dot, i, text, `<i>x</i><sub>0</sub> = ${text}`, -limit, limit, at.points[i]);
    });
    set(this.handles.x_t, "x_t", fixed(at.x_t, 2), `<i>x<sub>t</sub></i> = ${fixed(at.x_t, 2)}`, -limit, limit, at.x_t);
    set(this.handles.t, "t", `${at.t}, back to ${p.s}`, `<i>t</i> = ${at.t}, back to <i>s</i> = ${p.s}`, 1, this.whole, at.t);
    set(this.handles.T, "T", `${at.T} jumps`, `<i>T</i> = ${at.T.toLocaleString("en")} <span class="whole">jumps from noise to picture</span>`, 0, steps.length - 1, steps.indexOf(at.T));
    this.el.between.style.left = `${(100 * p.s) / this.whole}%`;
    this.el.between.style.width = `${(100 * (at.t - p.s)) / this.whole}%`;
    this.el.add.setAttribute("aria-disabled", at.points.length >= this.data.most);
    this.el.drop.setAttribute("aria-disabled", at.points.length < 2);
  }

  write(p) {
    const { at, data } = this;
    const same = ["chosen", "x_t", "t", "T"].every((key) => at[key] === data.at[key]) && at.points.join() === data.at.points.join();
    this.root.dataset.answered = same;
    const sd = Math.sqrt(p.variance);
    const own = {
      true: { mean: p.mean, std: Math.sqrt(p.matched), nats: p.j },
      known: { mean: p.known, std: sd, nats: p.klKnown },
      model: { mean: p.model, std: sd, nats: p.klModel },
    };
    const told = same ? data.told : own;
    const real = (x) => (x === null ? Infinity : x);
    const cells = (row, values) => values.forEach((value, i) => {
      const cell = row.children[i + 1];
      if (cell.textContent !== value) cell.textContent = value;
    });
    const digits = sd > 0.05 || sd === 0 ? 3 : 4;
    const both = (kind) => [fixed(told[kind].mean, digits), fixed(told[kind].std, digits)];
    cells(this.rows.true, [...both("true"), "0"]);
    cells(this.rows.matched, [...both("true"), nats(real(told.true.nats))]);
    cells(this.rows.model, [...both("model"), nats(real(told.model.nats))]);
    cells(this.rows.known, [...both("known"), nats(real(told.known.nats))]);
    const [text, odds] = verdict(real(told.true.nats), at, p.s);
    if (this.el.verdict.textContent !== text) this.el.verdict.textContent = text;
    this.el.odds.hidden = !odds;
    this.el.odds.lastElementChild.textContent = odds;
    this.el.gap.textContent = nats(real(told.true.nats));
  }
}

// What stands under the number, and the longer word that unfolds.
// Wald's count, as draws_to_tell in true_reverse.py: each draw adds j nats to the odds, on average.
function verdict(j, at, s) {
  if (at.points.length === 1) return ["With a single data point the true step is exactly Gaussian.", ""];
  if (j === Infinity) return ["The step ends at x₀ itself, which is one of the data points: spikes, as far from a Gaussian as can be.", ""];
  if (s === 0) return ["The step ends on a data point, a bell of width 0. Here one point has all the weight, as far as numbers can tell.", ""];
  if (j < nothing) return ["0 is exactly Gaussian. Nobody could tell this step from one.", ""];
  const draws = Math.max(1, Math.log(20) / j);
  return ["0 is exactly Gaussian.", `To be 20 to 1 sure that the true step is no Gaussian takes about ${many(draws)} ${draws > 1 ? "draws" : "draw"} from it.`];
}

export default function ({ data, parentElement, setStateValue }) {
  let axis = parentElement.__reverse;
  if (!axis || !parentElement.contains(axis.root)) {
    axis = new Axis(parentElement);
    parentElement.__reverse = axis;
  }
  const life = axis.attach(setStateValue);
  const length = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  const table = new Float64Array(data.slice(4 + length).buffer); // a copy, which begins at a whole number
  axis.receive(header, table);
  return () => axis.detach(life);
}
