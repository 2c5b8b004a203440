// The player. Streamlit calls the default export on every data or theme change, so all state lives
// in one Player per parentElement and the export only hands it what is new.

const AHEAD = 12; // frames wanted beyond the one shown
const ASK_LEAST = 4;
const ASK_MOST = 8; // the server caps it too
const PATIENCE_MS = 4000; // an unanswered request is lost (a rerun can swallow one): ask again
const BACKOFF_MS = 150; // an answer without anything new: ask again, ever more slowly
const LEAVING_MS = 3000; // after that a link that was pressed led nowhere
const REPORT_MS = 300; // the frame goes to the server when it has rested this long
const HINT_MS = 250; // waiting shorter than this is not worth a word
const CROWD = 2; // other runs at once, from which on it is worth saying
const RUN_SECONDS = 5; // a whole run at normal speed, within the limits below
const FPS_LEAST = 4;
const FPS_MOST = 60;
const SPEEDS = [1, 2, 4, 0.25, 0.5];
const END_MS = 900; // the end is looked at this long before a run goes back to its resting frame
const GAP = 20; // px between pictures, as in the style sheet
const GAP_TIGHT = 8; // if that saves a row from breaking
const GAP_NARROW = 12;
const GAP_LEAST = 6; // on a narrow screen, if that lets pictures be larger
const GAP_ROWS = 48; // px between rows that stand beside each other
const NARROW = 560; // px, as in the style sheet
const BESIDE = 900;
const SMALL = 88; // px: pictures wrap before they get smaller than this
const SMALL_PLANE = 108; // px: and planes before this, with their arrows and points
const LARGE_TYPE = 18; // px: a root font above this is presentation mode
const SHARE = 0.6; // of the window's height is what pictures larger than usual may take
const HISTOGRAM = 168; // px, its least width
const THUMB = 16;
const CHART = { top: 4, bottom: 4 };
const DENSITY_TOP = 0.8; // twice the height of N(0, 1)

const clamp = (x, lo, hi) => Math.min(Math.max(x, lo), hi);
const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---- the bytes ---------------------------------------------------------------------------------

function unpack(bytes) {
  // Typed arrays need aligned offsets, and the message may lie anywhere in a larger buffer.
  const raw = bytes.byteOffset % 4 ? bytes.slice() : bytes;
  const base = raw.byteOffset;
  const length = new DataView(raw.buffer, base, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(raw.subarray(4, 4 + length)));
  let at = 4 + length;
  const take = (Type, count) => {
    const array = new Type(raw.buffer, base + at, count);
    at += Math.ceil(array.byteLength / 4) * 4;
    return array;
  };
  header.panels.forEach((p) => (p.data = take(Uint8Array, header.n * p.h * p.w * p.c)));
  header.histograms.forEach((h) => (h.data = take(Float32Array, header.n * h.bins)));
  header.curves.forEach((c) => (c.data = take(Float32Array, c.n)));
  header.clouds.forEach((cloud, k, all) => takeCloud(cloud, k, all, header.n, take));
  return header;
}

// ---- titles ------------------------------------------------------------------------------------

const SYMBOLS = {
  varepsilon: "ε", epsilon: "ϵ", alpha: "α", beta: "β", gamma: "γ", mu: "μ", sigma: "σ",
  theta: "θ", eta: "η", lambda: "λ", cdot: "·", mid: "|",
};
const ACCENTS = { hat: "ˆ", tilde: "˜", bar: "ˉ" }; // set above the letter: fonts lack the combining ones

// `$x_t$`, `$\hat x_0$`, `$\sqrt{\bar\alpha_t}$`: what a title needs, not TeX. KaTeX's fonts are
// there (the page loads them), its parser is not.
function setTitle(element, text) {
  element.textContent = "";
  text.split("$").forEach((part, i) => {
    if (i % 2 === 0) return element.append(part);
    const math = document.createElement("span");
    math.className = "math";
    setMath(math, part);
    element.append(math);
    return undefined;
  });
}

function setMath(element, tex) {
  let i = 0;
  const group = () => {
    while (tex[i] === " ") i += 1;
    if (tex[i] === "{") {
      let depth = 0;
      const from = i + 1;
      do {
        if (tex[i] === "{") depth += 1;
        if (tex[i] === "}") depth -= 1;
        i += 1;
      } while (depth && i < tex.length);
      return tex.slice(from, i - 1);
    }
    const word = /^\\[a-zA-Z]+/.exec(tex.slice(i));
    const token = word ? word[0] : (tex[i] ?? "");
    i += token.length;
    return token;
  };
  const glyphs = (source) => {
    const span = document.createElement("span");
    setMath(span, source);
    return span;
  };
  while (i < tex.length) {
    const c = tex[i];
    if (c === "_" || c === "^") {
      i += 1;
      const script = document.createElement(c === "_" ? "sub" : "sup");
      script.append(...glyphs(group()).childNodes);
      element.append(script);
    } else if (c === "\\") {
      const name = /^\\([a-zA-Z]+)/.exec(tex.slice(i))?.[1] ?? "";
      i += 1 + name.length;
      if (name in ACCENTS) {
        const letter = glyphs(group());
        make("span", "mark", element).textContent = ACCENTS[name];
        element.append(...letter.childNodes);
      } else if (name === "sqrt") {
        element.append("√");
        const under = glyphs(group());
        under.className = "root";
        element.append(under);
      } else element.append(SYMBOLS[name] ?? name);
    } else {
      if (c === "{" || c === "}" || c === " ") {
        i += 1;
        continue;
      }
      const roman = /^[0-9()+\-=|,.]+/.exec(tex.slice(i))?.[0];
      if (roman) {
        const span = document.createElement("span");
        span.className = "roman";
        span.textContent = roman.replaceAll("-", "−");
        element.append(span);
        i += roman.length;
      } else {
        element.append(c);
        i += 1;
      }
    }
  }
}

const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes = {}, parent = null) {
  const element = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  parent?.append(element);
  return element;
}

function make(name, className, parent) {
  const element = document.createElement(name);
  if (className) element.className = className;
  parent?.append(element);
  return element;
}

const number = (x, digits) =>
  Number.isFinite(x) ? x.toFixed(digits).replace("-", "−") : "–";

// As short as it can be said: 0.5, −10, 2·10⁻⁵.
function shortNumber(x) {
  const size = Math.abs(x);
  if (!size || !Number.isFinite(x)) return number(x, 0);
  let power = Math.floor(Math.log10(size));
  if (power >= -3 && power <= 4) return String(Number(x.toFixed(2 - Math.min(power, 2)))).replace("-", "−");
  let digits = Number((x / 10 ** power).toFixed(1));
  if (Math.abs(digits) === 10) [digits, power] = [digits / 10, power + 1];
  const raised = [...String(power)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  return `${digits === 1 ? "" : `${String(digits).replace("-", "−")}·`}10${raised}`;
}

// Round ends for an axis that is to hold lo..hi; a hair of the curve may stick out.
function roundEnds(lo, hi) {
  const power = 10 ** Math.floor(Math.log10((hi - lo) / 4));
  const unit = power * [5, 2, 1].find((m) => m * power <= (hi - lo) / 4 || m === 1);
  return [Math.floor(lo / unit + 0.1) * unit, Math.ceil(hi / unit - 0.1) * unit];
}

// The same for a logarithmic axis: powers of ten, and 2 and 5 of them if it is short.
function roundLogEnds(lo, hi) {
  const steps = hi > 100 * lo ? [1, 10] : [1, 2, 5, 10];
  const powerOf = (x) => 10 ** Math.floor(Math.log10(x) + 1e-9);
  const down = steps.findLast((m) => m * powerOf(lo) <= lo * 1.03);
  const up = steps.find((m) => m * powerOf(hi) >= hi / 1.03);
  return [down * powerOf(lo), up * powerOf(hi)];
}

// ---- keys --------------------------------------------------------------------------------------

// Whoever has just pressed a button of the page expects the arrows to move time, and so does a
// reader who has touched nothing. One listener for all players of the page.
const players = new Set();
const PAGE = 'body, html, [data-testid="stMain"], [data-testid="stAppViewContainer"]';
const BUTTON = "button:not([role]), button[role=button]";
const OWN_KEYS =
  "[role=radiogroup], [role=group], [role=listbox], [role=menu], [role=tablist], [role=dialog], " +
  "[role=slider], [contenteditable], [aria-haspopup], [aria-expanded=true], " +
  '[data-testid="stButtonGroup"], [data-testid="stNumberInput"]';

function onPageKey(event) {
  if (event.defaultPrevented || event.isComposing) return;
  let focus = document.activeElement ?? document.body;
  while (focus.shadowRoot?.activeElement) focus = focus.shadowRoot.activeElement;
  const onPage = focus.matches(PAGE);
  if (!onPage && (!focus.matches(BUTTON) || focus.closest(OWN_KEYS))) return;
  if (!["ArrowLeft", "ArrowRight", "Home", "End", onPage ? " " : ""].includes(event.key)) return;
  const seen = [...players].filter((player) => player.visible());
  seen.sort((a, b) => b.touched - a.touched || a.top() - b.top());
  seen[0]?.key(event);
}

// ---- moving a control --------------------------------------------------------------------------

// A control that is being moved begins one run after another. Their first frames come with them; the
// rest is asked for only when the control rests, so that no step of a run that nobody will see stands
// before the answer to the next move.
const MOVING_MS = 700; // runs that follow each other sooner
const LULL_MS = 250;
const CONTROL = '[data-testid="stSlider"], [data-testid="stNumberInput"]';
let moved = -Infinity; // when a control was last moved
for (const kind of ["keydown", "pointerdown", "pointermove"]) {
  document.addEventListener(kind, (event) => {
    if (kind === "pointermove" && !event.buttons) return;
    if (event.target.closest?.(CONTROL)) moved = performance.now();
  }, { capture: true, passive: true });
}

// ---- the player --------------------------------------------------------------------------------

class Player {
  constructor(parent) {
    this.root = parent.querySelector(".player");
    const names = ["stage", "charts", "below", "now", "state", "note", "sentence", "room", "first",
      "back", "play", "forward", "last", "scrub", "from", "to", "speed"];
    this.el = Object.fromEntries(names.map((name) => [name, this.root.querySelector(`.${name}`)]));
    this.run = null;
    this.playing = false;
    this.speed = 0; // an index into SPEEDS
    this.life = 0;
    this.jump = 0; // how many a "Show me" has asked for
    this.touched = 0; // when the reader last did something with it
    this.begun = -Infinity; // when the run came
    this.due = 0;
    this.page = location.pathname;
    this.alone = false; // playing by itself, and nobody has touched it since
    this.resting = false; // on its resting frame, where it went by itself
    this.root.playerStats = { draws: 0, total: 0, worst: 0, pulls: 0, postponed: 0, received: 0 };
    this.listen();
  }

  // -- from the server --

  receive(bytes) {
    if (bytes === this.seen || !bytes?.length) {
      this.drawn = null; // a theme change: what a canvas holds in the old colours
      this.draw();
      return this.pull(); // what was put off before a remount
    }
    this.seen = bytes;
    const batch = unpack(bytes);
    const isNew = batch.run !== this.run;
    if (isNew) this.reset(batch);
    this.line = batch.line;
    const before = this.have();
    this.add(batch);
    const gained = this.have() - before;
    this.root.playerStats.received += gained;
    if (this.asked) {
      if (gained) {
        const ms = (performance.now() - this.asked.at) / gained;
        this.pace = this.pace ? 0.7 * this.pace + 0.3 * ms : ms; // ms a frame, smoothed
        this.misses = 0;
        this.asked = null;
      } else {
        // Another rerun's data, or a server that must catch up first.
        this.misses += 1;
        clearTimeout(this.retry);
        this.retry = setTimeout(() => {
          this.asked = null;
          this.pull();
        }, Math.min(BACKOFF_MS * 2 ** this.misses, PATIENCE_MS));
      }
    }
    if (isNew) this.begin(batch);
    else if (batch.jump > this.jump) {
      this.touch();
      this.go(batch.at); // a "Show me" names a frame of the run that is here already
    }
    this.jump = Math.max(this.jump, batch.jump);
    if (this.target !== null) this.seek(this.target);
    this.drawn = null; // its pixels may be new
    this.draw();
    this.pull();
    return undefined;
  }

  reset(batch) {
    // Where the reader was looking, as a share of the way: a changed setting is compared there.
    this.held = batch.hold && this.run !== null ? this.frame / Math.max(this.total - 1, 1) : null;
    this.wasPlaying = this.playing;
    const now = performance.now();
    this.due = now - this.begun < MOVING_MS ? now + LULL_MS : now; // when more is asked for
    this.begun = now;
    this.run = batch.run;
    this.total = batch.total;
    this.batch = batch;
    this.frame = 0;
    this.target = null; // a frame asked for before it exists
    this.asked = null;
    this.misses = 0;
    this.pace = null;
    this.captions = [];
    this.notes = [];
    this.reported = null;
    this.playing = false;
    clearTimeout(this.retry);
    clearTimeout(this.report);
    clearTimeout(this.settling);
    this.build(batch);
  }

  add(batch) {
    batch.captions.forEach((caption, i) => (this.captions[batch.start + i] = caption));
    this.addNotes(batch);
    const place = (sources, kept, size) =>
      sources.forEach((source, j) => {
        for (let i = 0; i < batch.n; i += 1) {
          kept[j].frames[batch.start + i] = source.data.subarray(i * size(source), (i + 1) * size(source));
        }
      });
    place(batch.panels, this.panels, (p) => p.h * p.w * p.c);
    place(batch.histograms, this.histograms, (h) => h.bins);
    batch.clouds.forEach((cloud, j) => {
      for (let i = 0; i < batch.n; i += 1) this.clouds[j].frames[batch.start + i] = cloudFrame(cloud, i);
    });
    batch.curves.forEach((curve, j) => this.curves[j].values.set(curve.data, curve.start));
    this.end = this.contiguous();
    if (batch.curves.length) this.drawCharts();
  }

  // The longest note holds the room for all of them, so that the buttons stay where they are.
  addNotes(batch) {
    const { note, room } = this.el;
    batch.notes.forEach((text, i) => {
      this.notes[batch.start + i] = text;
      if (text.length > room.textContent.length) room.textContent = text;
    });
    note.hidden = !room.textContent && !(batch.notes.length && batch.n < this.total);
  }

  begin(batch) {
    const still = batch.autoplay && reducedMotion();
    let wanted = batch.at ?? (still ? batch.rest : null) ?? 0;
    let playing = batch.autoplay && !still;
    if (this.held !== null) {
      wanted = (this.resting ? batch.rest : null) ?? Math.round(this.held * (this.total - 1));
      playing = this.wasPlaying;
    } else {
      this.alone = playing;
      this.resting = still && batch.at === null && batch.rest !== null;
    }
    this.frame = clamp(wanted, 0, Math.max(this.have() - 1, 0));
    this.target = wanted > this.frame ? Math.min(wanted, this.total - 1) : null;
    this.setPlaying(playing);
    if (this.held !== null && this.alone && !this.playing) this.settle(); // it was just about to
  }

  contiguous() {
    let n = 0;
    while (n < this.total && this.captions[n] !== undefined) n += 1;
    return n;
  }

  have() {
    return this.end ?? 0;
  }

  // -- to the server --

  // Once a link is pressed (code.js notes it) or the browser has turned back, the page that is left
  // asks for nothing more: the server would answer for it after it has drawn the next one, and
  // Streamlit's frontend then shows neither.
  leaving() {
    const { at, from } = window.linkPressed;
    const justNow = performance.now() - at < LEAVING_MS;
    return location.pathname !== this.page || (from === this.page && justNow);
  }

  // Milliseconds until something may be asked for: not before a move's own answer.
  wait() {
    const due = moved > this.begun ? Math.max(this.due, moved + LULL_MS) : this.due;
    return this.leaving() ? LEAVING_MS : due - performance.now();
  }

  pull() {
    const missing = this.total - this.have();
    const ahead = this.have() - 1 - Math.max(this.frame, this.target ?? 0);
    if (!this.alive || this.run === null || this.asked || missing <= 0 || ahead >= AHEAD) return;
    const wait = this.wait();
    if (wait > 0) {
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.pull(), wait);
      this.root.playerStats.postponed += 1;
      return;
    }
    const slow = this.pace !== null && this.pace > 60; // then short answers, so that it keeps moving
    const ask = Math.min(slow ? ASK_LEAST : ASK_MOST, missing);
    const asked = { at: performance.now() };
    this.asked = asked;
    this.root.playerStats.pulls += 1;
    this.send.trigger("pull", { run: this.run, have: this.have(), ask });
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      if (this.asked !== asked) return;
      this.asked = null;
      this.pull();
    }, PATIENCE_MS);
    this.hint();
  }

  // The frame goes to the server when it is let go of, never while it moves.
  rest() {
    clearTimeout(this.report);
    if (!this.batch?.report || this.playing || this.held) return;
    this.report = setTimeout(() => {
      if (this.playing || this.held || this.reported === this.frame || !this.alive) return;
      if (this.wait() > 0) {
        this.rest();
        return;
      }
      this.reported = this.frame;
      this.send.state("frame", { run: this.run, index: this.frame });
    }, Math.max(REPORT_MS, this.wait()));
  }

  // -- moving --

  show(frame) {
    const next = clamp(Math.round(frame), 0, Math.max(this.have() - 1, 0));
    if (next !== this.frame) {
      this.frame = next;
      this.draw();
    }
    this.pull();
  }

  // Go to a frame that may not exist yet: as far as possible now, the rest as it comes.
  seek(frame) {
    this.target = frame > this.have() - 1 && frame < this.total ? frame : null;
    this.show(frame);
    this.hint();
  }

  go(frame) {
    this.setPlaying(false);
    this.resting = false;
    this.seek(clamp(frame, 0, this.total - 1));
    this.rest();
  }

  // For the page's style sheet: whether the frames move, by themselves or under the reader's hand.
  tellPage() {
    this.root.getRootNode().host?.toggleAttribute("data-moving", this.playing || this.held === true);
  }

  setPlaying(on) {
    this.playing = on && this.total > 1;
    if (this.playing) {
      this.target = null;
      clearTimeout(this.report);
      clearTimeout(this.settling);
      if (this.frame >= this.total - 1 || this.resting) this.show(0);
      this.resting = false;
      this.owed = 0;
      this.last = null;
      cancelAnimationFrame(this.tick);
      this.tick = requestAnimationFrame((now) => this.advance(now));
    }
    this.root.classList.toggle("playing", this.playing);
    this.tellPage();
    this.el.play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    this.hint();
  }

  advance(now) {
    if (!this.playing || !this.alive) return;
    const natural = this.batch.fps ?? clamp(this.total / RUN_SECONDS, FPS_LEAST, FPS_MOST);
    this.owed += this.last === null ? 0 : ((now - this.last) / 1000) * natural * SPEEDS[this.speed];
    this.last = now;
    if (this.owed >= 1) {
      const next = this.frame + Math.floor(this.owed);
      this.owed %= 1;
      if (next < this.have()) this.show(next);
      else this.show(this.have() - 1); // the buffer ran dry: wait where we are
      if (this.frame >= this.total - 1) {
        if (this.batch.loop) this.show(0);
        else this.setPlaying(false);
      }
      if (!this.playing) return this.settle();
      this.hint();
    }
    this.tick = requestAnimationFrame((time) => this.advance(time));
    return undefined;
  }

  // At the end: a run that nobody has touched goes back to its most telling frame.
  settle() {
    if (!this.alone || this.batch.rest === null) return this.rest();
    this.settling = setTimeout(() => {
      if (this.alone && !this.playing) {
        this.alone = false;
        this.show(this.batch.rest);
        this.resting = true;
      }
      this.rest();
    }, END_MS);
    return undefined;
  }

  // -- controls --

  visible() {
    const { top, bottom, width } = this.root.getBoundingClientRect();
    return this.run !== null && width > 0 && bottom > 0 && top < window.innerHeight;
  }

  top() {
    return this.root.getBoundingClientRect().top;
  }

  touch() {
    this.touched = performance.now();
    this.alone = false;
  }

  // Whether a key was for the player, which then has acted on it.
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || this.run === null) return false;
    const act = {
      ArrowLeft: () => this.go(this.frame - 1),
      ArrowDown: () => this.go(this.frame - 1),
      ArrowRight: () => this.go(this.frame + 1),
      ArrowUp: () => this.go(this.frame + 1),
      PageDown: () => this.go(this.frame - Math.ceil(this.total / 10)),
      PageUp: () => this.go(this.frame + Math.ceil(this.total / 10)),
      Home: () => this.go(0),
      End: () => this.go(this.total - 1),
      " ": () => this.el.play.onclick(),
    }[event.key];
    if (!act) return false;
    event.preventDefault();
    this.touch();
    act();
    return true;
  }

  listen() {
    const { first, back, play, forward, last, scrub, speed, stage } = this.el;
    ["pointerdown", "click", "input"].forEach((name) => this.root.addEventListener(name, () => this.touch()));
    first.onclick = () => this.go(0);
    back.onclick = () => this.go(this.frame - 1);
    forward.onclick = () => this.go(this.frame + 1);
    last.onclick = () => this.go(this.total - 1);
    play.onclick = () => {
      this.setPlaying(!this.playing);
      this.rest();
    };
    speed.onclick = () => {
      this.speed = (this.speed + 1) % SPEEDS.length;
      const said = { 0.25: "¼", 0.5: "½" }[SPEEDS[this.speed]] ?? SPEEDS[this.speed];
      speed.textContent = `${said}×`;
      speed.setAttribute("aria-label", `Speed ${said} times`);
    };
    scrub.oninput = () => {
      this.setPlaying(false);
      this.resting = false;
      this.held = true;
      this.tellPage();
      this.seek(Number(scrub.value));
      scrub.value = this.frame; // it can't be dragged beyond what exists
    };
    scrub.onchange = () => {
      this.held = false;
      this.tellPage();
      this.rest();
    };
    stage.onclick = () => scrub.focus({ preventScroll: true });
    this.root.onkeydown = (event) => {
      if (event.key === " " && event.target.tagName === "BUTTON") return;
      if (this.key(event)) event.stopPropagation(); // Streamlit has shortcuts of its own
    };
  }

  attach(send) {
    this.send = send;
    this.life += 1;
    if (!this.alive) {
      this.alive = true;
      this.width = null;
      this.resize = new ResizeObserver(() => this.layout());
      this.resize.observe(this.root);
      if (!players.size) document.addEventListener("keydown", onPageKey);
      players.add(this);
      if (this.playing) this.setPlaying(true);
    }
    return this.life;
  }

  // Streamlit may clean up after an earlier call once a later one has begun: only the last counts.
  detach(life) {
    if (life !== this.life) return;
    this.alive = false;
    this.resize.disconnect();
    players.delete(this);
    if (!players.size) document.removeEventListener("keydown", onPageKey);
    cancelAnimationFrame(this.tick);
    [this.retry, this.report, this.hinting, this.settling].forEach(clearTimeout);
    this.asked = null;
  }

  // -- the page --

  build(batch) {
    const { stage, charts, below, room, scrub, from, to } = this.el;
    // The same shape as before: keep the elements, so that a new run changes pixels and no layout.
    const shape = JSON.stringify([
      batch.rows, batch.scale, batch.total, batch.ends, batch.label, batch.ticks, batch.beside,
      batch.panels.map(({ data, ...rest }) => rest),
      batch.histograms.map(({ data, ...rest }) => rest),
      batch.clouds.map(({ data, words, ...rest }) => rest),
      batch.curves.map(({ data, n, start, ...rest }) => rest),
    ]);
    Object.entries(batch.colors).forEach(([name, hex]) => this.root.style.setProperty(`--c-${name}`, hex));
    const fresh = shape !== this.shape;
    this.shape = shape;
    room.textContent = "";
    const forget = (items) => items.forEach((item) => (item.frames = []));
    if (!fresh) {
      forget(this.panels);
      forget(this.histograms);
      forget(this.clouds);
      this.curves.forEach((curve) => curve.values.fill(NaN));
      this.end = 0;
      return;
    }
    this.end = 0;
    this.root.setAttribute("aria-label", batch.label);
    scrub.setAttribute("aria-label", batch.label);
    scrub.max = batch.total - 1;
    [from.textContent, to.textContent] = batch.ends;
    from.parentElement.hidden = !batch.ends.some(Boolean);
    stage.textContent = "";
    charts.textContent = "";
    below.textContent = "";

    const rows = new Map();
    const rowOf = (index) => {
      if (!rows.has(index)) {
        const block = make("div", "block");
        const label = batch.rows[index];
        if (label) setTitle(make("div", "row-label", block), label);
        rows.set(index, { block, line: make("div", "row", block), items: [] });
      }
      return rows.get(index);
    };
    const figure = (item) => {
      const element = make("figure");
      const caption = make("figcaption", "", element);
      const title = make("span", "title", caption);
      title.style.color = `var(--t-${item.color})`;
      setTitle(title, item.title);
      const probe = make("span", "probe", caption);
      probe.setAttribute("aria-hidden", "true");
      const canvas = make("canvas", "", element);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", item.alt);
      this.el.now.id ||= `now-${Math.random().toString(36).slice(2)}`; // which frame it shows
      canvas.setAttribute("aria-describedby", this.el.now.id);
      if (item.badge) {
        const badge = make("div", "badge", null);
        caption.after(badge);
        badge.id = `badge-${Math.random().toString(36).slice(2)}`;
        setTitle(badge, item.badge);
        canvas.setAttribute("aria-describedby", `${badge.id} ${this.el.now.id}`);
      }
      const row = rowOf(item.row);
      row.line.append(element);
      return { ...item, data: null, frames: [], element, canvas, probe, row };
    };
    this.panels = batch.panels.map((panel) => {
      const item = figure(panel);
      item.canvas.width = panel.w;
      item.canvas.height = panel.h;
      item.context = item.canvas.getContext("2d");
      item.image = item.context.createImageData(panel.w, panel.h);
      item.words = new Uint32Array(item.image.data.buffer);
      item.row.items.push(item);
      this.pointAt(item);
      return item;
    });
    this.histograms = batch.histograms.map((histogram) => {
      const item = figure(histogram);
      item.canvas.className = "chart";
      item.context = item.canvas.getContext("2d");
      item.row.items.push(item);
      return item;
    });
    this.clouds = batch.clouds.map((cloud) => {
      const item = figure(cloud);
      item.canvas.className = "plane";
      item.context = item.canvas.getContext("2d");
      item.row.items.push(item);
      return item;
    });
    this.rows = [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([, row]) => row);
    stage.append(...this.rows.map((row) => row.block));
    stage.classList.toggle("ragged", new Set(this.rows.map((row) => row.items.length)).size > 1);
    this.buildCharts(batch);
    this.width = null;
    this.layout();
  }

  buildCharts(batch) {
    this.charts = [];
    const named = new Map();
    const highest = (chart) => Math.max(...batch.curves.filter((c) => c.chart === chart).map((c) => c.high));
    const patterned = new Set(batch.curves.filter((curve) => curve.dash).map(({ chart }) => chart));
    this.curves = batch.curves.map((curve) => {
      if (!named.has(curve.chart)) {
        const line = make("div", "chart-line", this.el.charts);
        const height = highest(curve.chart);
        line.style.setProperty("--high", `${height}px`);
        const labels = make("div", "labels", line);
        if (curve.chart) setTitle(make("span", "of", labels), curve.chart);
        const picture = svg("svg", { "aria-hidden": "true" }, line);
        const range = make("div", "range", line);
        const clip = `past-${Math.random().toString(36).slice(2)}`;
        const window = svg("rect", { x: 0, y: -10, width: 0, height: height + 20 });
        svg("clipPath", { id: clip }, svg("defs", {}, picture)).append(window);
        const chart = {
          height, labels, picture, clip, window, curves: [], lines: [],
          top: make("span", "", range), bottom: make("span", "", range), range,
          axis: svg("line", { class: "axis", x1: 0 }, picture),
          marks: svg("path", { class: "marks" }, picture),
          cursor: svg("line", { class: "cursor", y1: 0, y2: height }, picture),
        };
        named.set(curve.chart, chart);
        this.charts.push(chart);
      }
      const chart = named.get(curve.chart);
      const color = curve.color === "xt" ? "var(--st-text-color)" : `var(--c-${curve.color})`;
      const { ghost } = curve;
      const label = make("span", ghost ? "curve ghost" : "curve", chart.labels);
      label.style.color = `var(--t-${curve.color})`;
      if (patterned.has(curve.chart)) {
        const sample = svg("svg", { class: "sample", "aria-hidden": "true" }, label);
        svg("path", { d: "M1 4h26", "stroke-dasharray": curve.dash }, sample).style.stroke = color;
      }
      setTitle(make("span", "", label), curve.label);
      if (curve.line !== null && !chart.lines.some(({ at }) => at === curve.line)) {
        chart.lines.push({
          at: curve.line,
          mark: svg("line", { class: "hairline" }, chart.picture),
          text: make("span", "level", chart.range),
        });
      }
      const all = svg("path", { class: ghost ? "curve-all ghost" : "curve-all" }, chart.picture);
      const clipped = { class: "curve-past", "clip-path": `url(#${chart.clip})` };
      const past = ghost ? null : svg("path", clipped, chart.picture);
      const dot = ghost ? null : svg("circle", { r: 4 }, chart.picture);
      [all, past].forEach((path) => path && (path.style.stroke = color));
      if (curve.dash) [all, past].forEach((path) => path?.setAttribute("stroke-dasharray", curve.dash));
      if (dot) dot.style.fill = color;
      const item = {
        ...curve, data: null, values: new Float32Array(batch.total).fill(NaN),
        value: make("span", "value", label), all, past, dot,
      };
      chart.curves.push(item);
      return item;
    });
    this.buildTicks(batch);
  }

  // Under the last chart, or under the slider if there is none or the charts follow it.
  buildTicks(batch) {
    this.ticks?.line.remove();
    this.ticks = null;
    if (!batch.ticks.length) return;
    const charted = this.charts.length && !batch.charts_last;
    const line = make("div", charted ? "ticks chart-ticks" : "ticks");
    line.setAttribute("aria-hidden", "true");
    if (charted) this.el.charts.append(line);
    else this.el.scrub.after(line);
    const row = make("div", "", line);
    const texts = batch.ticks.map(([frame, text]) => {
      const element = make("span", "", row);
      element.textContent = text;
      element.style.left = this.stop(frame);
      return element;
    });
    this.ticks = { line, texts };
  }

  // Where the thumb's centre stands at a frame.
  stop(frame) {
    const share = this.total > 1 ? clamp(frame / (this.total - 1), 0, 1) : 1;
    return `calc(${THUMB / 2}px + ${share} * (100% - ${THUMB}px))`;
  }

  // Whole device pixels per picture pixel, so that every pixel is a square of the same size; as
  // many pictures abreast as fit without becoming too small to read.
  layout() {
    if (!this.rows) return;
    const width = Math.floor(this.root.clientWidth);
    const ratio = window.devicePixelRatio || 1;
    const type = parseFloat(getComputedStyle(document.documentElement).fontSize);
    if (!width || (width === this.width && ratio === this.ratio && type === this.type)) return;
    Object.assign(this, { width, ratio, type, large: type > LARGE_TYPE });
    const narrow = width <= NARROW;
    const columns = this.batch.beside && width >= BESIDE ? this.rows.length : 1;
    const room = Math.floor((width - (columns - 1) * GAP_ROWS) / columns);
    this.el.stage.classList.toggle("beside", columns > 1);
    this.root.classList.toggle("charts-last", Boolean(this.batch.charts_last));
    this.rows.forEach((row) => {
      row.block.style.maxWidth = columns > 1 ? `${room}px` : "";
      this.fitRow(row, room, narrow, columns > 1 ? 1 : this.rows.length);
    });
    // Rows beside each other are compared: all as large as the smallest.
    const common = columns > 1 ? Math.min(...this.rows.map((row) => row.zoom)) : null;
    this.rows.forEach((row) => this.layoutRow(row, common ?? row.zoom, room, narrow));
    this.layoutHistograms(room, narrow);
    this.drawn = null;
    this.drawCharts();
    this.layoutTicks();
    this.draw();
  }

  // How many of a row stand abreast, and how many device pixels a picture's pixel gets.
  fitRow(row, width, narrow, stacked) {
    const { ratio } = this;
    const pictures = row.items.filter((item) => item.w);
    const widest = Math.max(1, ...pictures.map((item) => item.w));
    const highest = Math.max(1, ...pictures.map((item) => item.h));
    let { scale } = this.batch;
    if (this.large) scale = clamp((SHARE * window.innerHeight) / (highest * stacked), scale, 2 * scale);
    const wish = Math.max(1, Math.floor(scale * ratio));
    const small = pictures.some((item) => item.units) ? SMALL_PLANE : SMALL;
    const least = Math.min(small, scale * widest);
    const gap = narrow ? GAP_LEAST : GAP;
    Object.assign(row, { zoom: 0, abreast: 1, pictures, widest, highest });
    // Where the usual gap would break the row, or make all smaller, a narrower one may save it.
    const tries = Array.from({ length: row.items.length }, (_, i) => [row.items.length - i, gap]);
    if (!narrow) tries.splice(1, 0, [row.items.length, GAP_TIGHT]);
    for (const [abreast, between] of tries) {
      if (row.zoom) break;
      row.gap = between;
      const room = (width - (abreast - 1) * between) / abreast;
      // A histogram needs its width; what it takes, the pictures beside it don't have.
      const charts = abreast - pictures.length;
      const share = charts > 0 && pictures.length ? (room * abreast - charts * HISTOGRAM) / pictures.length : room;
      const fits = Math.min(wish, Math.floor((Math.min(room, share) * ratio) / widest));
      if (fits >= 1 && ((fits * widest) / ratio >= least || abreast === 1)) Object.assign(row, { zoom: fits, abreast });
    }
  }

  layoutRow(row, zoom, width, narrow) {
    const { ratio } = this;
    const { pictures, widest, highest } = row;
    // On a phone planes stand abreast, whatever is beside them: points need no whole pixels. A
    // picture beside them then has a line of its own.
    const planes = pictures.filter((item) => this.clouds.includes(item));
    const apart = narrow && planes.length > 1 && planes.length < pictures.length;
    // Larger than the column even at one device pixel each: scaled down, smoothly.
    const factor = zoom ? zoom / ratio : width / widest;
    pictures.forEach((item) => {
      const wide = Math.floor((width * ratio) / item.w) / ratio; // alone on its line
      const own = apart && wide ? clamp(wide, factor, this.batch.scale) : factor;
      item.canvas.style.width = `${item.w * own}px`;
      item.canvas.style.height = `${item.h * own}px`;
      item.element.style.width = item.canvas.style.width;
      item.canvas.classList.toggle("smooth", !zoom);
      if (!this.clouds.includes(item)) return;
      item.side = item.w * factor;
      if (apart) {
        item.side = Math.floor((width - GAP_LEAST) / 2);
        item.element.style.width = item.canvas.style.width = item.canvas.style.height = `${item.side}px`;
      }
      item.canvas.width = item.canvas.height = Math.round(item.side * ratio);
    });
    row.wide = pictures.length ? widest * factor : 0;
    row.high = pictures.length ? highest * factor : 0;
    // On a narrow screen the gap is what the pictures leave.
    const left = (width - row.abreast * row.wide) / Math.max(row.abreast - 1, 1);
    if (apart) row.line.style.columnGap = `${GAP_LEAST}px`;
    else if (!narrow) row.line.style.columnGap = row.gap < GAP ? `${row.gap}px` : "";
    else row.line.style.columnGap = `${Math.floor(clamp(left, GAP_LEAST, GAP_NARROW) * ratio) / ratio}px`;
  }

  // Beside the pictures; where that would push the buttons away from the pictures, under them.
  layoutHistograms(width, narrow) {
    const { ratio } = this;
    const moves = ({ row }) => narrow && row.wide > 0 && row.abreast < row.items.length;
    const moved = this.histograms.filter(moves).length;
    this.histograms.forEach((item) => {
      const { row } = item;
      const away = moves(item);
      const home = away ? this.el.below : row.line;
      if (item.element.parentElement !== home) home.append(item.element);
      const h = clamp(row.high, 96, away ? 140 : 15 * this.type);
      const share = moved > 1 ? (width - GAP_NARROW) / 2 : width;
      const w = away ? share : Math.min(width, Math.max(row.wide, HISTOGRAM));
      item.size = [w, h];
      item.canvas.width = Math.round(w * ratio);
      item.canvas.height = Math.round(h * ratio);
      item.canvas.style.width = `${w}px`;
      item.canvas.style.height = `${h}px`;
      item.element.style.width = `${w}px`;
    });
  }

  // A text that would touch the one before is left out; its mark stays.
  layoutTicks() {
    let taken = -Infinity;
    const places = this.ticks?.texts.map((text) => [text, text.offsetLeft, text.offsetWidth]) ?? [];
    places.forEach(([text, centre, wide]) => {
      const fits = centre - wide / 2 > taken;
      text.style.visibility = fits ? "" : "hidden";
      if (fits) taken = centre + wide / 2 + 8;
    });
  }

  // The ends of a chart's axis: what the page says, otherwise round numbers.
  axisOf(chart) {
    const log = chart.curves.some((curve) => curve.log);
    const shown = chart.curves.flatMap((curve) => [...curve.values].filter(Number.isFinite));
    const known = [...shown, ...chart.lines.map(({ at }) => at)].filter((x) => !log || x > 0);
    const given = (name) => chart.curves.map((curve) => curve[name]).find((x) => x !== null);
    const least = known.length ? known.reduce((a, b) => Math.min(a, b)) : log ? 1 : 0;
    const most = known.length ? known.reduce((a, b) => Math.max(a, b)) : log ? 10 : 1;
    let lo = given("lo") ?? least;
    let hi = given("hi") ?? most;
    if (!(hi > lo)) {
      if (log) [lo, hi] = [given("lo") ?? hi / 2, given("lo") ? 2 * lo : hi * 2];
      else if (given("lo") !== undefined) hi = lo + 1;
      else if (given("hi") !== undefined) lo = hi - 1;
      else [lo, hi] = [lo - 1, hi + 1];
    }
    const ends = log ? roundLogEnds(lo, hi) : roundEnds(lo, hi);
    lo = given("lo") ?? ends[0];
    hi = given("hi") ?? ends[1];
    const bounds = [given("lo") ?? Math.min(lo, least), given("hi") ?? Math.max(hi, most)];
    const along = log ? (v) => Math.log10(v > 0 ? v : least) : (v) => v;
    const share = (v) => (along(clamp(v > 0 || !log ? v : least, ...bounds)) - along(lo)) / (along(hi) - along(lo));
    return { lo, hi, share, empty: !shown.length, base: log ? lo : clamp(0, lo, hi) };
  }

  drawCharts() {
    this.charts?.forEach((chart) => {
      const width = chart.picture.clientWidth;
      if (!width) return;
      const { lo, hi, share, empty, base } = this.axisOf(chart);
      const { top, bottom } = CHART;
      const { height } = chart;
      chart.x = (frame) => THUMB / 2 + (this.total > 1 ? frame / (this.total - 1) : 0) * (width - THUMB);
      chart.y = (v) => top + (1 - share(v)) * (height - top - bottom);
      const lay = (line, y) =>
        Object.entries({ x1: THUMB / 2, x2: width - THUMB / 2, y1: y, y2: y })
          .forEach(([key, value]) => line.setAttribute(key, value));
      lay(chart.axis, chart.y(base));
      chart.top.textContent = empty ? "" : shortNumber(hi);
      chart.bottom.textContent = empty ? "" : shortNumber(lo);
      chart.lines.forEach(({ at, mark, text }) => {
        const y = chart.y(at);
        lay(mark, y);
        mark.setAttribute("visibility", at >= lo && at <= hi ? "visible" : "hidden");
        // Its number stands beside the axis unless the axis' ends are there already.
        text.textContent = y > 20 && y < height - 20 ? shortNumber(at) : "";
        text.style.top = `${y}px`;
      });
      const marks = this.batch.ticks.map(([frame]) => `M${chart.x(frame).toFixed(1)} ${height - bottom}v6`);
      chart.marks.setAttribute("d", marks.join(""));
      chart.curves.forEach((curve) => {
        let path = "";
        let pen = "M";
        if (curve.bars) {
          // Each bar fills the room from one frame to the next, but for a hairline between them.
          const wide = Math.max(1, (0.85 * (width - THUMB)) / Math.max(this.total - 1, 1));
          [curve.all, curve.past].forEach((bar) => {
            if (bar) Object.assign(bar.style, { strokeWidth: `${Math.min(wide, 24)}px`, strokeLinecap: "butt" });
          });
          curve.values.forEach((v, i) => {
            if (Number.isFinite(v)) path += `M${chart.x(i).toFixed(1)} ${chart.y(base).toFixed(1)}V${chart.y(v).toFixed(1)}`;
          });
          curve.all.setAttribute("d", path);
          curve.past?.setAttribute("d", path);
          return;
        }
        // No more points than pixels: a thousand steps in 300 px draw nothing but weight.
        const stride = Math.max(1, Math.floor(this.total / (2 * width)));
        for (let i = 0; i < this.total; i += i + stride < this.total ? stride : Math.max(1, this.total - 1 - i)) {
          const v = curve.values[i];
          if (Number.isFinite(v)) {
            // A point between two gaps is a line of no length, which has round ends.
            path += `${pen}${chart.x(i).toFixed(1)} ${chart.y(v).toFixed(1)}${pen === "M" ? "h0" : ""}`;
            pen = "L";
          } else pen = "M";
        }
        curve.all.setAttribute("d", path);
        curve.past?.setAttribute("d", path);
      });
    });
    this.drawn = null;
  }

  pointAt(item) {
    const { canvas, probe } = item;
    const tell = () => {
      const pixels = item.frames[this.frame];
      if (!item.at || !pixels || item.lo === item.hi) return (probe.textContent = "");
      const [x, y] = item.at;
      const value = (k) => item.lo + ((item.hi - item.lo) * pixels[(y * item.w + x) * item.c + k]) / 255;
      const values = Array.from({ length: item.c }, (_, k) => number(value(k), 2)).join(" ");
      return (probe.textContent = values);
    };
    item.tell = tell;
    canvas.onpointermove = (event) => {
      const box = canvas.getBoundingClientRect();
      item.at = [
        clamp(Math.floor(((event.clientX - box.left) / box.width) * item.w), 0, item.w - 1),
        clamp(Math.floor(((event.clientY - box.top) / box.height) * item.h), 0, item.h - 1),
      ];
      tell();
    };
    canvas.onpointerleave = () => {
      item.at = null;
      tell();
    };
  }

  // -- one frame --

  draw() {
    if (this.run === null || !this.alive) return;
    const started = performance.now();
    const { frame } = this;
    if (this.drawn !== frame) {
      this.drawn = frame;
      this.panels.forEach((item) => {
        const pixels = item.frames[frame];
        if (!pixels) return item.context.clearRect(0, 0, item.w, item.h);
        const { words } = item;
        if (item.c === 1) {
          for (let i = 0; i < words.length; i += 1) words[i] = 0xff000000 | (pixels[i] * 0x010101);
        } else {
          for (let i = 0, j = 0; i < words.length; i += 1, j += 3) {
            words[i] = 0xff000000 | (pixels[j + 2] << 16) | (pixels[j + 1] << 8) | pixels[j];
          }
        }
        item.context.putImageData(item.image, 0, 0);
        if (item.at) item.tell();
        return undefined;
      });
      this.histograms.forEach((item) => this.drawHistogram(item, frame));
      this.clouds.forEach((item) => drawCloud(item, frame, this.ratio, this.root));
      this.charts.forEach((chart) => {
        if (!chart.x) return;
        const x = chart.x(frame);
        chart.cursor.setAttribute("x1", x);
        chart.cursor.setAttribute("x2", x);
        chart.window.setAttribute("width", x);
        chart.curves.forEach((curve) => {
          if (curve.ghost) return;
          const v = curve.values[frame];
          const tiny = curve.log && v > 0 && v < 10 ** -curve.digits;
          curve.value.textContent = tiny ? shortNumber(v) : number(v, curve.digits);
          curve.dot.setAttribute("visibility", Number.isFinite(v) ? "visible" : "hidden");
          if (!Number.isFinite(v)) return;
          curve.dot.setAttribute("cx", x);
          curve.dot.setAttribute("cy", chart.y(v));
        });
      });
    }
    this.drawControls();
    const stats = this.root.playerStats;
    const took = performance.now() - started;
    stats.draws += 1;
    stats.total += took;
    stats.worst = Math.max(stats.worst, took);
  }

  drawControls() {
    const { scrub, now, sentence, first, back, forward, last } = this.el;
    const caption = this.captions[this.frame] ?? "";
    const note = this.notes[this.frame] ?? "";
    now.textContent = caption;
    sentence.textContent = note;
    scrub.value = this.frame;
    scrub.setAttribute("aria-valuetext", note ? `${caption}. ${note}` : caption || "no frame yet");
    scrub.style.setProperty("--played", this.stop(this.frame));
    scrub.style.setProperty("--have", this.have() >= this.total ? "100%" : this.stop(this.have() - 1));
    // aria-disabled: a button that loses its focus at the end of the line would drop the keyboard.
    const off = (button, yes) => button.setAttribute("aria-disabled", yes);
    [first, back].forEach((button) => off(button, this.frame === 0));
    [forward, last].forEach((button) => off(button, this.frame >= this.total - 1));
    this.root.dataset.frame = this.frame;
    this.root.dataset.have = this.have();
    this.root.dataset.total = this.total;
    this.root.dataset.run = this.run ?? "";
  }

  drawHistogram(item, frame) {
    const { context, bins } = item;
    if (!item.size) return;
    const [w, h] = item.size;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, w, h);
    const style = getComputedStyle(this.root);
    const soft = style.color;
    const floor = h - this.type;
    const px = (v) => ((v - item.lo) / (item.hi - item.lo)) * w;
    const py = (d) => floor - (Math.min(d, DENSITY_TOP) / DENSITY_TOP) * (floor - 14);
    const counts = item.frames[frame];
    context.font = `${0.6875 * this.type}px ${style.fontFamily}`;
    context.fillStyle = soft;
    context.textBaseline = "bottom";
    context.textAlign = "center";
    [Math.ceil(item.lo), 0, Math.floor(item.hi)].forEach((v) => {
      context.globalAlpha = 0.7;
      context.fillText(number(v, 0), clamp(px(v), 7, w - 7), h);
    });
    if (counts) {
      let sum = 0;
      for (let i = 0; i < bins; i += 1) sum += counts[i];
      const cell = (item.hi - item.lo) / bins;
      const density = (i) => (sum ? counts[i] / sum / cell : 0);
      context.globalAlpha = 1;
      context.fillStyle = style.getPropertyValue(`--c-${item.color}`);
      let peak = 0;
      for (let i = 0; i < bins; i += 1) {
        if (density(i) > density(peak)) peak = i;
        const y = py(density(i));
        context.fillRect(px(item.lo + i * cell), y, Math.max(1, w / bins - 1), floor - y);
      }
      if (density(peak) > DENSITY_TOP) {
        // A bar that leaves the axis says how high it is.
        context.fillStyle = soft;
        const x = clamp(px(item.lo + (peak + 0.5) * cell), 10, w - 10);
        context.fillText(`↑ ${number(density(peak), 1)}`, x, 12);
      }
    }
    context.globalAlpha = 0.35;
    context.fillStyle = soft;
    context.fillRect(0, floor, w, 1);
    if (item.reference) {
      context.globalAlpha = 1;
      context.strokeStyle = soft;
      context.lineWidth = 1.5;
      context.beginPath();
      if (frame < item.points) {
        context.moveTo(px(0), floor);
        context.lineTo(px(0), 14);
      } else for (let x = 0; x <= w; x += 2) {
        const v = item.lo + (x / w) * (item.hi - item.lo);
        context.lineTo(x, py(Math.exp((-v * v) / 2) / Math.sqrt(2 * Math.PI)));
      }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  // Where this run stands among the others: they take turns, one step each.
  waiting() {
    const [others, seconds] = this.line;
    if (others < CROWD) return "computing…";
    return `${others} others are sampling: your turn every ${Math.max(seconds, 0.1).toFixed(1)} s`;
  }

  // "computing" is said only when somebody waits, and only after a moment.
  hint() {
    const wants = this.have() < this.total &&
      (this.target !== null || (this.playing && this.frame >= this.have() - 1) || this.have() === 0);
    if (!wants) {
      clearTimeout(this.hinting);
      this.hinting = null;
      this.el.state.textContent = "";
    } else if (!this.hinting) {
      this.hinting = setTimeout(() => {
        this.el.state.textContent = this.waiting();
      }, HINT_MS);
    } else if (this.el.state.textContent) {
      this.el.state.textContent = this.waiting();
    }
  }
}

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  let player = parentElement.__player;
  if (!player || !parentElement.contains(player.root)) {
    player?.detach(player.life);
    player = new Player(parentElement);
    parentElement.__player = player;
  }
  const life = player.attach({ state: setStateValue, trigger: setTriggerValue });
  player.receive(data);
  return () => player.detach(life);
}
