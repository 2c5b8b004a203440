// A falling curve through points that can be dragged. The curve is the one that the server computes
// (diffusion_core/drawn.py), so what is seen while dragging is what comes back. Streamlit calls the
// default export on every data or theme change; all state lives in one Editor per parentElement.

const SEND_MS = 200; // after a point rests
const PAD = { left: 26, right: 12, top: 12, bottom: 30 };
const REACH = 20; // px round a point that belong to it: a fingertip
const NEAR = 0.02; // of t/T: two points come no closer
const DROP = 0.005; // of ᾱ: the curve falls at least this much from point to point
const STEP = 0.01; // of an arrow key; five times as much with shift
const LEAST = 2;
const FINE = 120; // pieces the curve is drawn with

const clamp = (x, lo, hi) => Math.min(Math.max(x, lo), hi);
const round = (x) => Math.round(x * 1000) / 1000;
const write = (points) => points.map(([u, v]) => `${round(u)}:${round(v)}`).join(",");

const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  parent.append(element);
  return element;
}

// Fritsch and Butland's cubic: see _falling_cubic in diffusion_core/drawn.py.
function slopes(x, y) {
  const h = x.slice(1).map((v, i) => v - x[i]);
  const d = h.map((v, i) => (y[i + 1] - y[i]) / v);
  const n = d.length;
  const m = y.map(() => d[0]);
  for (let i = 1; i < n; i += 1) {
    const [w1, w2] = [2 * h[i] + h[i - 1], h[i] + 2 * h[i - 1]];
    m[i] = (w1 + w2) / (w1 / d[i - 1] + w2 / d[i]);
  }
  if (n > 1) {
    m[0] = Math.min(0, d[0] + (h[0] * (d[0] - d[1])) / (h[0] + h[1]));
    m[n] = Math.min(0, d[n - 1] + (h[n - 1] * (d[n - 1] - d[n - 2])) / (h[n - 1] + h[n - 2]));
  }
  return m;
}

function interpolate(points) {
  const x = [0, ...points.map((p) => p[0])];
  const y = [1, ...points.map((p) => p[1])];
  const m = slopes(x, y);
  return (at) => {
    let i = 0;
    while (i < x.length - 2 && x[i + 1] <= at) i += 1;
    const h = x[i + 1] - x[i];
    const s = (at - x[i]) / h;
    const bend = s * (1 - s) * h * ((1 - s) * m[i] - s * m[i + 1]);
    return y[i] + s * s * (3 - 2 * s) * (y[i + 1] - y[i]) + bend;
  };
}

class Editor {
  constructor(parent) {
    this.root = parent.querySelector(".editor");
    const find = (name) => this.root.querySelector(`.${name}`);
    [this.plot, this.grid, this.curve, this.fixed, this.group, this.addButton, this.removeButton, this.where, this.said] =
      ["plot", "grid", "curve", "fixed", "handles", "add", "remove", "where", "said"].map(find);
    this.pending = []; // sent, and not yet seen to come back
    this.count = 0;
    this.life = 0;
    this.chosen = 0;
    this.points = [];
    this.handles = [];
    this.addButton.onclick = () => this.add();
    this.removeButton.onclick = () => this.remove();
  }

  // The server repeats the points on every run. What this hand sent is known already; only points
  // from elsewhere (a link, a reset, the text field) replace the drawing.
  receive({ text, points, most, color, label }) {
    this.most = most;
    this.root.setAttribute("aria-label", label);
    this.root.style.setProperty("--ours", color);
    const mine = this.pending.indexOf(text);
    if (mine >= 0) this.pending.splice(0, mine + 1);
    else if (text !== this.known && this.dragging === undefined) {
      clearTimeout(this.sending);
      this.pending = [];
      this.points = points.map((p) => [...p]);
      this.chosen = clamp(this.chosen, 0, points.length - 1);
      this.build();
    }
    this.known = text;
  }

  attach(send) {
    this.send = send;
    this.life += 1;
    if (!this.resize) {
      this.resize = new ResizeObserver(() => this.layout());
      this.resize.observe(this.root);
    }
    return this.life;
  }

  // Streamlit may clean up after an earlier call once a later one has begun: only the last counts.
  detach(life) {
    if (life !== this.life) return;
    clearTimeout(this.sending);
    this.resize.disconnect();
    this.resize = null;
  }

  changed() {
    clearTimeout(this.sending);
    this.sending = setTimeout(() => {
      const text = write(this.points);
      if (text === (this.pending.at(-1) ?? this.known)) return;
      this.pending.push(text);
      this.count += 1;
      this.send("drawing", { text, count: this.count });
    }, SEND_MS);
  }

  // -- points --

  // Where a point may go: between its neighbours in time and in height. The last one stays at t = T.
  move(i, u, v) {
    const { points } = this;
    const before = points[i - 1] ?? [0, 1];
    const after = points[i + 1];
    const last = !after;
    const to = [
      last ? 1 : round(clamp(u, before[0] + NEAR, after[0] - NEAR)),
      round(clamp(v, last ? 0 : after[1] + DROP, before[1] - DROP)),
    ];
    // Mended text can hold points closer than a hand may put them; those stay until there is room.
    if (!last && after[0] - before[0] < 2 * NEAR) to[0] = points[i][0];
    if ((last ? 0 : after[1]) > before[1] - 2 * DROP) to[1] = points[i][1];
    const moved = to[0] !== points[i][0] || to[1] !== points[i][1];
    points[i] = to;
    this.draw();
    if (moved) this.changed();
  }

  // A new point lies on the curve, in the widest gap: nothing moves before it is moved.
  add() {
    if (this.points.length >= this.most) return;
    const times = [0, ...this.points.map((p) => p[0])];
    let gap = 0;
    for (let i = 1; i < times.length - 1; i += 1) {
      if (times[i + 1] - times[i] > times[gap + 1] - times[gap]) gap = i;
    }
    const u = round((times[gap] + times[gap + 1]) / 2);
    this.points.splice(gap, 0, [u, round(interpolate(this.points)(u))]);
    this.chosen = gap;
    this.build();
    this.tell(gap);
    this.changed();
  }

  remove() {
    if (this.points.length <= LEAST) return;
    const i = Math.min(this.chosen, this.points.length - 2); // the last point is the end
    this.points.splice(i, 1);
    this.chosen = Math.min(i, this.points.length - 1);
    this.build();
    this.said.textContent = `removed; ${this.points.length} points are left`;
    this.changed();
  }

  choose(i) {
    this.chosen = i;
    this.draw();
  }

  tell(i) {
    const [u, v] = this.points[i];
    this.said.textContent = `point ${i + 1} of ${this.points.length}: ᾱ ${v.toFixed(2)} at ${u.toFixed(2)} of T`;
  }

  // -- the page --

  build() {
    const focused = this.handles.indexOf(this.root.getRootNode().activeElement);
    this.group.textContent = "";
    this.handles = this.points.map((_, i) => {
      const handle = svg("g", { class: "handle", tabindex: 0, role: "slider", "aria-orientation": "vertical",
        "aria-valuemin": 0, "aria-valuemax": 1 }, this.group);
      svg("circle", { class: "reach", r: REACH }, handle);
      svg("circle", { class: "ring", r: 11 }, handle);
      svg("circle", { class: "dot", r: 7 }, handle);
      this.listen(handle, i);
      return handle;
    });
    this.layout();
    if (focused >= 0) this.handles[this.chosen]?.focus();
  }

  layout() {
    const width = this.plot.clientWidth;
    const height = this.plot.clientHeight;
    if (!width) return;
    const { left, right, top, bottom } = PAD;
    this.x = (u) => left + u * (width - left - right);
    this.y = (v) => top + (1 - v) * (height - top - bottom);
    this.u = (x) => (x - left) / (width - left - right);
    this.v = (y) => 1 - (y - top) / (height - top - bottom);
    this.grid.textContent = "";
    const text = (x, y, said, anchor) => {
      svg("text", { x, y, "text-anchor": anchor }, this.grid).textContent = said;
    };
    [0, 1].forEach((v) => {
      svg("line", { x1: left, x2: width - right, y1: this.y(v), y2: this.y(v) }, this.grid);
      text(left - 8, this.y(v) + 4, v, "end");
    });
    text(left - 8, this.y(0.5) + 4, "ᾱ", "end");
    text(left, height - 8, "t = 0", "start");
    text(width - right, height - 8, "t = T", "end");
    this.draw();
  }

  draw() {
    if (!this.x || !this.points.length) return;
    const f = interpolate(this.points);
    let path = "";
    for (let k = 0; k <= FINE; k += 1) {
      path += `${k ? "L" : "M"}${this.x(k / FINE).toFixed(2)} ${this.y(f(k / FINE)).toFixed(2)}`;
    }
    this.curve.setAttribute("d", path);
    this.fixed.setAttribute("cx", this.x(0));
    this.fixed.setAttribute("cy", this.y(1));
    this.handles.forEach((handle, i) => {
      const [u, v] = this.points[i];
      handle.setAttribute("transform", `translate(${this.x(u)} ${this.y(v)})`);
      handle.setAttribute("aria-label", `Point ${i + 1} of ${this.points.length}`);
      handle.setAttribute("aria-valuenow", v);
      handle.setAttribute("aria-valuetext", `ᾱ ${v.toFixed(2)} at ${u.toFixed(2)} of T`);
      handle.classList.toggle("chosen", i === this.chosen);
    });
    const [u, v] = this.points[this.chosen];
    this.where.textContent = `t/T ${u.toFixed(2)} · ᾱ ${v.toFixed(2)}`;
    this.addButton.setAttribute("aria-disabled", this.points.length >= this.most);
    this.removeButton.setAttribute("aria-disabled", this.points.length <= LEAST);
  }

  // -- hands --

  listen(handle, i) {
    const place = (event) => {
      const box = this.plot.getBoundingClientRect();
      return [this.u(event.clientX - box.left), this.v(event.clientY - box.top)];
    };
    handle.onpointerdown = (event) => {
      if (event.button || this.dragging !== undefined) return; // one finger draws, others don't
      event.preventDefault(); // no selection of the text beside
      handle.setPointerCapture(event.pointerId);
      clearTimeout(this.sending);
      this.dragging = event.pointerId;
      const [u, v] = place(event);
      this.grip = [this.points[i][0] - u, this.points[i][1] - v]; // a point doesn't jump to the finger
      handle.focus({ preventScroll: true, focusVisible: false });
      this.choose(i);
    };
    handle.onpointermove = (event) => {
      if (event.pointerId !== this.dragging) return;
      const [u, v] = place(event);
      this.move(i, u + this.grip[0], v + this.grip[1]);
      clearTimeout(this.sending); // sent when it is let go
    };
    const drop = (event) => {
      if (event.pointerId !== this.dragging) return;
      this.dragging = undefined;
      this.changed();
    };
    handle.onpointerup = drop;
    handle.onpointercancel = drop;
    handle.onfocus = () => this.choose(i);
    handle.onkeydown = (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const far = event.shiftKey ? 5 * STEP : STEP;
      const [u, v] = this.points[i];
      const act = {
        ArrowUp: () => this.move(i, u, v + far),
        ArrowDown: () => this.move(i, u, v - far),
        ArrowLeft: () => this.move(i, u - far, v),
        ArrowRight: () => this.move(i, u + far, v),
        PageUp: () => this.move(i, u, v + 0.1),
        PageDown: () => this.move(i, u, v - 0.1),
        Home: () => this.move(i, u, 1),
        End: () => this.move(i, u, 0),
        Delete: () => this.remove(),
        Backspace: () => this.remove(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation(); // Streamlit has shortcuts of its own
      act(); // a screen reader says the slider's new value by itself
    };
  }
}

export default function ({ data, parentElement, setStateValue }) {
  let editor = parentElement.__editor;
  if (!editor || !parentElement.contains(editor.root)) {
    editor = new Editor(parentElement);
    parentElement.__editor = editor;
  }
  const life = editor.attach(setStateValue);
  editor.receive(data);
  return () => editor.detach(life);
}
