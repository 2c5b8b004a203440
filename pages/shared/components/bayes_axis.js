// Bayes' rule on one number line. Everything is drawn from the closed form here, from the table of
// alpha_bar that the server sends, so that it follows the finger; on release the four numbers go to
// the server, which answers with what diffusion_core makes of them. Streamlit calls the default
// export on every data or theme change; all state lives in one Axis per parentElement.

const SEND_MS = 250; // after the last key press
const TOP = 58; // room above the curves for their names
const PEAK = 24; // room on both sides of the posterior's peak that no other name covers
const FOOT = 20; // room below the axis for its numbers
const EDGE = 22; // as --edge in the style sheet
const WIDER = 2; // times that a close-up widens the bells at least; less is not worth its place
const NEAR = 60; // extra points on either side of a curve's middle, 12 to a standard deviation

const svg = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  parent.append(element);
  return element;
};
const clamp = (x, lo, hi) => Math.min(hi, Math.max(lo, x));
const minus = (text) => text.replace("-", "−");
const fixed = (x, digits) => minus(Object.is(x, -0) || Math.abs(x) < 0.5 * 10 ** -digits ? (0).toFixed(digits) : x.toFixed(digits));
const logNormal = (x, m, v) => -0.5 * ((x - m) ** 2 / v + Math.log(2 * Math.PI * v));
const normal = (x, m, v) => Math.exp(logNormal(x, m, v));

// Six significant digits where they fit, else a power of ten; 0 is said as 0.
function significant(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e5) return minus(x.toFixed(clamp(5 - Math.floor(Math.log10(size)), 0, 6)));
  return minus(x.toExponential(3));
}

// A density far out in the tail underflows; its logarithm does not.
function fromLog(log) {
  if (log > -690) return significant(Math.exp(log));
  return `10${(log / Math.LN10).toFixed(0).replace(/./g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻")}`;
}

// The closed form, as in GaussianDiffusion.q_posterior (Ho et al. 2020, eq. 7, for any s < t).
function posterior(table, { x0, xt, t, s }, points) {
  const [at, as] = [table[t], table[s]];
  const stepVar = (as - at) / as;
  const gain = Math.sqrt(at / as);
  const weight0 = (Math.sqrt(as) * stepVar) / (1 - at);
  const weightT = (gain * (1 - as)) / (1 - at);
  const variance = (stepVar * (1 - as)) / (1 - at);
  const logs = points.map((p) => logNormal(xt, Math.sqrt(at) * p, 1 - at));
  const most = Math.max(...logs);
  const sum = logs.reduce((a, log) => a + Math.exp(log - most), 0);
  return {
    gain, stepVar, weight0, weightT, variance,
    mean: weight0 * x0 + weightT * xt,
    priorMean: Math.sqrt(as) * x0,
    priorVar: 1 - as,
    arrivalMean: xt / gain, // of q(x_t|x_s) read as a function of x_s
    arrivalVar: stepVar / (gain * gain),
    logArea: logNormal(xt, Math.sqrt(at) * x0, 1 - at),
    apart: (weight0 * (Math.max(...points) - Math.min(...points))) / Math.sqrt(variance), // as hump_distance
    weights: logs.map((log) => Math.exp(log - most) / sum),
    centres: points.map((p) => weight0 * p + weightT * xt),
  };
}

class Axis {
  constructor(parent) {
    this.root = parent.querySelector(".bayes");
    const find = (selector) => this.root.querySelector(selector);
    this.el = {
      drawing: find(".drawing"), grid: find(".grid"), ticks: find(".ticks"), axis: find(".axis"),
      spikes: find(".spikes"), bells: find(".bells"), closeup: find(".closeup"), area: find(".area"), last: find(".last"), next: find(".next"),
      words: find(".words"), residual: find(".residual"), said: find(".said"), between: find(".between"),
      steps: find(".lane.steps"),
    };
    this.kinds = ["prior", "arrival", "forgotten", "posterior"];
    this.lines = Object.fromEntries(this.kinds.map((kind) => [kind, find(`.line.${kind}`)]));
    this.names = Object.fromEntries(this.kinds.map((kind) => [kind, find(`.name.${kind}`)]));
    this.guides = { x0: find(".guide.x0"), xt: find(".guide.xt") };
    this.handles = Object.fromEntries(["x0", "xt", "s", "t"].map((key) => [key, find(`.handle.${key}`)]));
    this.rows = Object.fromEntries(["drawn", "closed", "summed"].map((key) => [key, find(`tr.${key}`)]));
    this.tags = {};
    this.at = null; // { x0, xt, t, s }
    this.sent = 0;
    this.life = 0;
    this.held = null;
    this.root.bayesStats = { draws: 0, total: 0, worst: 0 };
    Object.keys(this.handles).forEach((key) => this.listen(key));
    this.el.next.onclick = () => {
      this.move("s", this.at.t - 1);
      this.release();
    };
  }

  // -- what the server says --

  receive(header, table) {
    this.data = header;
    this.table = table;
    this.T = table.length - 1;
    Object.entries(header.colors).forEach(([name, hex]) => this.root.style.setProperty(`--c-${name}`, hex));
    this.root.setAttribute("aria-label", header.label);
    this.el.last.textContent = `step ${this.T}: noise`;
    // What is under the finger, or was let go after the server last looked, is not moved back.
    const stale = this.at && (this.held !== null || this.waiting || header.echo < this.sent);
    if (!stale) this.at = { ...header.at };
    this.at.t = clamp(this.at.t, 1, this.T);
    this.at.s = clamp(this.at.s, 0, this.at.t - 1);
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

  // -- what the reader does --

  range(key) {
    if (key === "x0" || key === "xt") return [-this.data.limit, this.data.limit];
    return key === "s" ? [0, this.T - 1] : [1, this.T];
  }

  // s stays below t: whichever is moved pushes the other one along.
  move(key, value) {
    const [lo, hi] = this.range(key);
    const number = clamp(value, lo, hi);
    if (key === "x0" || key === "xt") this.at[key] = Math.round(number * 100) / 100;
    else {
      this.at[key] = Math.round(number);
      if (key === "s") this.at.t = Math.max(this.at.t, this.at.s + 1);
      else this.at.s = Math.min(this.at.s, this.at.t - 1);
    }
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = null;
        this.draw();
      });
    }
  }

  release() {
    clearTimeout(this.waiting);
    this.waiting = null;
    this.sent = Math.max(Date.now(), this.sent + 1);
    this.send("point", { ...this.at, n: this.sent });
    const p = posterior(this.table, this.at, this.data.points);
    this.el.said.textContent = p.variance
      ? `posterior mean ${fixed(p.mean, 2)}, standard deviation ${fixed(Math.sqrt(p.variance), 3)}`
      : `the posterior is the point ${fixed(p.mean, 2)}`;
  }

  listen(key) {
    const handle = this.handles[key];
    const lane = handle.parentElement;
    const valueAt = (event) => {
      const box = lane.getBoundingClientRect();
      const share = (event.clientX - box.left - this.grip) / box.width;
      if (lane === this.el.steps) return share * this.T;
      const [lo, hi] = this.range(key);
      return lo + share * (hi - lo);
    };
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
      if (event.pointerId === this.held && handle.hasPointerCapture(event.pointerId)) this.move(key, valueAt(event));
    };
    const lift = (event) => {
      if (event.pointerId !== this.held) return;
      this.held = null;
      this.release();
    };
    handle.onpointerup = lift;
    handle.onpointercancel = lift;
    // A click beside the handle brings it there; on the line of steps, the nearer one of the two.
    lane.addEventListener("click", (event) => {
      if (event.target.closest(".handle") || !this.at) return;
      this.grip = 0;
      if (lane === this.el.steps) {
        const step = valueAt(event);
        const nearer = Math.abs(step - this.at.s) <= Math.abs(step - this.at.t) ? "s" : "t";
        if (nearer !== key) return;
      }
      this.move(key, valueAt(event));
      this.release();
      handle.focus({ preventScroll: true });
    });
    handle.onkeydown = (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || !this.at) return;
      const [lo, hi] = this.range(key);
      const continuous = lane !== this.el.steps;
      const small = continuous ? (event.shiftKey ? 0.01 : 0.05) : 1;
      const large = continuous ? 0.5 : Math.max(1, Math.round(this.T / 20));
      const by = { ArrowLeft: -small, ArrowDown: -small, ArrowRight: small, ArrowUp: small, PageDown: -large, PageUp: large }[event.key];
      const to = { Home: lo, End: hi }[event.key];
      if (by === undefined && to === undefined) return;
      event.preventDefault();
      event.stopPropagation(); // Streamlit has shortcuts of its own
      this.move(key, to ?? this.at[key] + by);
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.release(), SEND_MS);
    };
  }

  // -- the drawing --

  draw() {
    if (!this.at || !this.data) return;
    const width = this.root.clientWidth;
    if (!width) return;
    this.width = width;
    const started = performance.now();
    const p = posterior(this.table, this.at, this.data.points);
    this.drawCurves(p, width, this.el.drawing.clientHeight);
    this.drawHandles();
    this.write(p);
    const { dataset, bayesStats } = this.root;
    Object.assign(dataset, this.at, { mean: p.mean, variance: p.variance, logArea: p.logArea, weights: p.weights.join(" ") });
    const took = performance.now() - started;
    bayesStats.draws += 1;
    bayesStats.total += took;
    bayesStats.worst = Math.max(bayesStats.worst, took);
  }

  drawCurves(p, width, height) {
    const { limit, forgotten } = this.data;
    const floor = height - FOOT;
    const px = (x) => EDGE + ((x + limit) / (2 * limit)) * (width - 2 * EDGE);
    const point = p.variance === 0;
    const curves = {
      prior: point ? null : { f: (x) => normal(x, p.priorMean, p.priorVar), around: [[p.priorMean, p.priorVar]] },
      arrival: { f: (x) => normal(this.at.xt, p.gain * x, p.stepVar), around: [[p.arrivalMean, p.arrivalVar]] },
      posterior: point ? null : { f: (x) => normal(x, p.mean, p.variance), around: [[p.mean, p.variance]] },
      forgotten: point || !forgotten ? null : {
        f: (x) => p.centres.reduce((sum, centre, i) => sum + p.weights[i] * normal(x, centre, p.variance), 0),
        around: p.centres.map((centre) => [centre, p.variance]),
      },
    };
    // Evenly spaced points for the picture's width, and close ones where a curve is narrow.
    let top = 0;
    Object.values(curves).forEach((curve) => {
      if (!curve) return;
      const xs = [];
      for (let i = 0; i <= 240; i += 1) xs.push(-limit + (i / 240) * 2 * limit);
      curve.around.forEach(([middle, variance]) => {
        for (let k = -NEAR; k <= NEAR; k += 1) {
          const x = middle + (k / 12) * Math.sqrt(variance);
          if (x > -limit && x < limit) xs.push(x);
        }
      });
      curve.xs = xs.sort((a, b) => a - b);
      curve.ys = curve.xs.map(curve.f);
      curve.peak = curve.ys.reduce((best, y, i) => (y > curve.ys[best] ? i : best), 0);
      top = Math.max(top, curve.ys[curve.peak]);
    });
    if (!(top > 1e-3)) top = 1e-3; // a curve that has nothing on this line stays on the ground
    if (point) top *= 1.3; // the spikes stand taller than the curve beside them
    const py = (y) => floor - (y / top) * (floor - TOP);

    const paths = {};
    this.kinds.forEach((kind) => {
      const curve = curves[kind];
      paths[kind] = curve
        ? curve.xs.map((x, i) => `${i ? "L" : "M"}${px(x).toFixed(2)} ${py(curve.ys[i]).toFixed(2)}`).join("")
        : "";
      this.lines[kind].setAttribute("d", paths[kind]);
    });
    const shape = paths.posterior;
    this.el.area.setAttribute("d", shape ? `${shape}L${px(limit)} ${floor}L${px(-limit)} ${floor}Z` : "");

    this.el.bells.textContent = "";
    if (curves.forgotten) p.centres.forEach((centre, i) => {
      const d = curves.forgotten.xs
        .map((x, k) => `${k ? "L" : "M"}${px(x).toFixed(2)} ${py(p.weights[i] * normal(x, centre, p.variance)).toFixed(2)}`)
        .join("");
      svg("path", { class: "line bell", d }, this.el.bells);
    });
    const closeup = this.drawCloseup(curves.forgotten, p, px, width);

    this.el.spikes.textContent = "";
    const spike = (kind, x, share) => {
      const y = floor - share * (floor - TOP);
      svg("line", { class: `spike ${kind}`, x1: px(x), x2: px(x), y1: floor, y2: y }, this.el.spikes);
      if (kind !== "prior") svg("circle", { class: `spike-end ${kind}`, cx: px(x), cy: y, r: 4 }, this.el.spikes);
    };
    if (point) {
      spike("prior", p.priorMean, 1);
      spike("posterior", p.mean, 1);
      if (forgotten) p.centres.forEach((centre, i) => spike("forgotten", centre, p.weights[i]));
    }

    this.drawAxis(px, py, floor, width, top);
    const peak = (kind) => [px(curves[kind].xs[curves[kind].peak]), py(curves[kind].ys[curves[kind].peak])];
    const best = p.weights.indexOf(Math.max(...p.weights));
    this.placeNames({
      posterior: point ? [px(p.mean), TOP] : peak("posterior"),
      prior: point ? [px(p.priorMean), TOP] : peak("prior"),
      arrival: peak("arrival"),
      forgotten: closeup ?? (!forgotten ? null : point ? [px(p.centres[best]), floor - p.weights[best] * (floor - TOP)] : peak("forgotten")),
    }, width);
  }

  // The bells of the data and their sum, magnified, on the side where the line is empty, where all
  // of them take so little of the line that they look like one. Returns where the sum's name goes,
  // below it: over the narrow peak it would cover that.
  drawCloseup(curve, p, px, width) {
    const { closeup } = this.el;
    closeup.textContent = "";
    if (!curve) return null;
    const std = Math.sqrt(p.variance);
    const lo = Math.min(...p.centres) - 3.2 * std, hi = Math.max(...p.centres) + 3.2 * std;
    const middle = px((lo + hi) / 2), w = Math.min(250, 0.36 * width), h = 104, top = TOP + 20;
    const wide = ((2 * this.data.limit) / (hi - lo)) * (w / (width - 2 * EDGE));
    if (wide < WIDER) return null;
    const left = middle < width / 2 ? width - EDGE - w : EDGE;
    const xs = Array.from({ length: 121 }, (_, k) => lo + (k / 120) * (hi - lo));
    const most = Math.max(...xs.map(curve.f));
    const path = (f) => xs
      .map((x, k) => `${k ? "L" : "M"}${(left + (k / 120) * w).toFixed(2)} ${(top + h - (f(x) / most) * (h - 12)).toFixed(2)}`)
      .join("");
    svg("rect", { x: left, y: top, width: w, height: h }, closeup);
    p.centres.forEach((centre, i) =>
      svg("path", { class: "line bell", d: path((x) => p.weights[i] * normal(x, centre, p.variance)) }, closeup));
    svg("path", { class: "sum", d: path(curve.f) }, closeup);
    svg("text", { x: left + 6, y: top + 15 }, closeup).textContent = `${wide.toFixed(wide < 10 ? 1 : 0)} × wider`;
    return [left + w / 2, top + h + 28];
  }

  drawAxis(px, py, floor, width, top) {
    const { limit } = this.data;
    const { axis, grid, ticks } = this.el;
    const line = (element, x1, y1, x2, y2) =>
      Object.entries({ x1, y1, x2, y2 }).forEach(([key, value]) => element.setAttribute(key, value));
    line(axis, EDGE, floor, width - EDGE, floor);
    // The handles hang below; a dotted line says where on the axis they are.
    const hook = (guide, x) => line(guide, px(x), floor - 6, px(x), floor + FOOT);
    hook(this.guides.x0, this.at.x0);
    hook(this.guides.xt, this.at.xt);
    if (this.scale !== `${width} ${limit}`) {
      this.scale = `${width} ${limit}`;
      ticks.textContent = "";
      for (let x = -limit; x <= limit; x += 1) {
        svg("line", { x1: px(x), x2: px(x), y1: floor, y2: floor + 4 }, ticks);
        svg("text", { x: px(x), y: floor + 17 }, ticks).textContent = minus(String(x));
      }
    }
    // One grid line at a round density tells the height.
    const power = 10 ** Math.floor(Math.log10(top));
    const round = [5, 2, 1].map((n) => n * power).find((n) => n <= top);
    grid.textContent = "";
    svg("line", { x1: EDGE, x2: width - EDGE, y1: py(round), y2: py(round) }, grid);
    svg("text", { x: EDGE, y: py(round) - 5 }, grid).textContent = `density ${Number(round.toPrecision(1))}`;
  }

  // Each name over its curve's peak, but beside the posterior's if it would cover that; where two
  // would collide, the later one moves up.
  placeNames(spots, width) {
    const taken = [];
    ["arrival", "prior", "posterior", "forgotten"].forEach((kind) => {
      const name = this.names[kind];
      const spot = spots[kind];
      name.hidden = !spot;
      if (!spot) return;
      const w = (name.measured ??= {})[width] ??= name.offsetWidth || 90;
      const [middle, high] = spots.posterior;
      let left = spot[0] - w / 2;
      const covers = spot[1] - 6 > high && left < middle + PEAK && middle - PEAK < left + w;
      if (kind !== "posterior" && covers) left = spot[0] < middle ? middle - PEAK - w : middle + PEAK;
      const x = clamp(left, 0, width - w);
      const hits = (y) => taken.find((o) => x < o.x + o.w + 4 && o.x < x + w + 4 && y < o.y + 20 && o.y < y + 20);
      let y = Math.max(0, spot[1] - 26);
      for (let hit = hits(y); hit; hit = hits(y)) y = hit.y - 20;
      if (y < 0) {
        y = 0; // no room above: find it below
        for (let hit = hits(y); hit; hit = hits(y)) y = hit.y + 20;
      }
      taken.push({ x, y, w });
      name.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
    });
  }

  drawHandles() {
    const { at, handles, T } = this;
    const { limit } = this.data;
    const room = this.width - 2 * EDGE;
    const share = { x0: (at.x0 + limit) / (2 * limit), xt: (at.xt + limit) / (2 * limit), s: at.s / T, t: at.t / T };
    const text = { x0: fixed(at.x0, 2), xt: fixed(at.xt, 2), s: `${at.s}`, t: `${at.t}` };
    const label = { x0: "<i>x</i><sub>0</sub>", xt: "<i>x<sub>t</sub></i>", s: "<i>s</i>", t: "<i>t</i>" };
    Object.entries(handles).forEach(([key, handle]) => {
      handle.style.left = `${100 * share[key]}%`;
      const [lo, hi] = this.range(key);
      handle.setAttribute("aria-valuemin", lo);
      handle.setAttribute("aria-valuemax", hi);
      handle.setAttribute("aria-valuenow", at[key]);
      handle.setAttribute("aria-valuetext", text[key]);
      const tag = handle.lastElementChild;
      if (this.tags[key] !== text[key]) {
        this.tags[key] = text[key];
        tag.innerHTML = `${label[key]} = ${text[key]}`; // of our own making: numbers only
      }
    });
    // The tags of s and t stand outside of the pair, where the lane leaves room for them.
    const left = (key, yes) => handles[key].lastElementChild.classList.toggle("left", yes);
    left("x0", share.x0 * room > room - 90);
    left("xt", share.xt * room > room - 90);
    left("s", true);
    const lane = this.width - 2 * 76; // as the style sheet's margins
    ["s", "t"].forEach((key) => handles[key].classList.toggle("near", (share.t - share.s) * lane < 22));
    this.el.between.style.left = `${100 * share.s}%`;
    this.el.between.style.width = `${100 * (share.t - share.s)}%`;
    this.el.next.setAttribute("aria-disabled", at.s === at.t - 1);
  }

  write(p) {
    const { at, data, rows } = this;
    const cells = (row, values) => values.forEach((value, i) => {
      const cell = row.children[i + 1];
      if (cell.textContent !== value) cell.textContent = value;
    });
    cells(rows.drawn, [significant(p.mean), significant(Math.sqrt(p.variance)), fromLog(p.logArea)]);
    const same = ["x0", "xt", "t", "s"].every((key) => at[key] === data.at[key]);
    this.root.dataset.answered = same;
    ["closed", "summed"].forEach((key) => {
      const told = data[key];
      rows[key].classList.toggle("waiting", !same);
      cells(rows[key], [significant(told.mean), significant(told.std), fromLog(told.logArea)]);
    });
    const gap = (x) => (x === 0 ? "exactly 0" : minus(x.toExponential(1)));
    const residual = at.s === 0
      ? "At s = 0 nothing is left to multiply: x₀ is known, so xₛ is x₀ itself and the variance is 0."
      : `Largest gap between the summed product and the formula: ${gap(data.residual)} of the peak; what is left is rounding. The area under the product, before it is divided by it, is q(xₜ | x₀).`;
    const text = same ? residual : "Let go, and the server computes its two rows.";
    if (this.el.residual.textContent !== text) this.el.residual.textContent = text;
    const words = data.forgotten
      ? `Without x₀: ${data.points.map((x, i) => `${fixed(100 * p.weights[i], 1)} % for x₀ = ${fixed(x, 0)}`).join(", ")}. ${p.variance ? `Each value has its own thin bell, ${p.apart < 10 ? p.apart.toPrecision(2) : fixed(p.apart, p.apart < 100 ? 1 : 0)} of their standard deviations apart; dashed is their sum.` : "Each dashed point is as high as it is likely."}`
      : "";
    if (this.el.words.textContent !== words) this.el.words.textContent = words;
  }
}

export default function ({ data, parentElement, setStateValue }) {
  let axis = parentElement.__axis;
  if (!axis || !parentElement.contains(axis.root)) {
    axis = new Axis(parentElement);
    parentElement.__axis = axis;
  }
  const life = axis.attach(setStateValue);
  const length = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  const table = new Float64Array(data.slice(4 + length).buffer); // a copy, which begins at a whole number
  axis.receive(header, table);
  return () => axis.detach(life);
}
