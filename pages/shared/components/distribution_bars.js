// A distribution as bars that are pulled up and down; the others share what is left, as they did when
// the hand came. Streamlit calls the default export on every data or theme change; all state lives in
// one Bars per parentElement.

const SEND_MS = 250; // after the last key
const STEPS = 1000; // of a slider: thousandths

const write = (p) => p.map((v) => String(Math.round(v * STEPS) / STEPS)).join(" ");
const percent = (v) => `${Math.round(v * 100)} percent`;

class Bars {
  constructor(parent) {
    this.root = parent.querySelector(".bars");
    this.columns = this.root.querySelector(".columns");
    this.add = this.root.querySelector(".add");
    this.remove = this.root.querySelector(".remove");
    this.pending = []; // sent, and not yet seen to come back
    this.count = 0;
    this.p = [];
    this.held = -1;
    this.add.onclick = () => this.become([...this.p, 1 / this.p.length]);
    this.remove.onclick = () => this.become(this.p.slice(0, -1));
  }

  // The server repeats the numbers on every run. What this hand sent is known already; only numbers
  // from elsewhere (a link, a reset, the text field) replace the bars.
  receive({ text, probs, least, most, color, label, names, each, what, places }) {
    [this.least, this.most, this.names, this.each, this.places] = [least, most, names, each, places];
    this.add.textContent = `More ${what}`;
    this.root.setAttribute("aria-label", label);
    this.root.style.setProperty("--ours", color);
    const mine = this.pending.indexOf(text);
    if (mine >= 0) this.pending.splice(0, mine + 1);
    else if (text !== this.known) {
      clearTimeout(this.sending);
      this.pending = [];
      this.p = [...probs];
      this.build();
    }
    this.known = text;
  }

  become(weights) {
    const total = weights.reduce((a, b) => a + b, 0);
    this.p = weights.map((w) => (total > 0 ? w / total : 1 / weights.length));
    this.build();
    this.changed();
  }

  // One bar as high as the hand says; what is left goes to the others in their old proportions.
  pull(i, value) {
    const others = this.base.reduce((sum, v, k) => (k === i ? sum : sum + v), 0);
    const rest = 1 - value;
    this.p = this.base.map((v, k) => {
      if (k === i) return value;
      return others > 0 ? (v / others) * rest : rest / (this.base.length - 1);
    });
    this.draw();
  }

  changed(wait = 0) {
    clearTimeout(this.sending);
    this.sending = setTimeout(() => {
      const text = write(this.p);
      if (text === (this.pending.at(-1) ?? this.known)) return;
      this.pending.push(text);
      this.count += 1;
      this.send("drawing", { text, count: this.count });
    }, wait);
  }

  build() {
    this.columns.textContent = "";
    this.inputs = this.p.map((_, i) => {
      const column = document.createElement("div");
      column.className = "column";
      column.innerHTML =
        '<span class="said" aria-hidden="true"></span><div class="well"><div class="bar"></div>' +
        `<input type="range" min="0" max="${STEPS}" step="10"></div><span class="name" aria-hidden="true"></span>`;
      column.querySelector(".name").textContent = this.names[i];
      const input = column.querySelector("input");
      input.setAttribute("aria-label", this.each.replace("#", this.names[i]));
      const take = () => { if (this.held !== i) { this.held = i; this.base = [...this.p]; } };
      input.onpointerdown = take;
      input.onfocus = take;
      input.oninput = () => { take(); this.pull(i, input.value / STEPS); this.changed(SEND_MS); };
      input.onchange = () => this.changed(SEND_MS);
      const release = () => { this.held = -1; };
      input.onpointerup = release;
      input.onpointercancel = release;
      input.onblur = release;
      this.columns.append(column);
      return input;
    });
    this.held = -1;
    this.add.disabled = this.p.length >= this.most;
    this.remove.disabled = this.p.length <= this.least;
    this.draw();
  }

  draw() {
    this.p.forEach((v, i) => {
      const column = this.columns.children[i];
      column.querySelector(".bar").style.height = `${100 * v}%`;
      column.querySelector(".said").textContent = v.toFixed(this.places).replace(/(\.\d\d)0$/, "$1");
      const input = this.inputs[i];
      if (i !== this.held) input.value = Math.round(v * STEPS);
      input.setAttribute("aria-valuetext", percent(v));
    });
    this.root.dataset.text = write(this.p);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  let bars = parentElement.__bars;
  if (!bars || !parentElement.contains(bars.root)) {
    bars = new Bars(parentElement);
    parentElement.__bars = bars;
  }
  bars.send = setStateValue;
  bars.receive(data);
}
