// A sheet to draw a digit on. The ink is kept at the resolution that the network sees and shown
// enlarged, so what is on the screen is what is sent. Streamlit calls the default export on every
// data or theme change; all state lives in one Pad per parentElement.

const RADIUS = 1.2; // of the brush, in picture pixels: a pen as thick as MNIST's
const SOFT = 1.2; // width of its soft edge
const SEND_MS = 200; // after the pen is lifted
const UNDO_MOST = 50;
const DIGEST = 8; // bytes before the picture in the data: which sheet this is

class Pad {
  constructor(parent) {
    this.root = parent.querySelector(".pad");
    const find = (name) => this.root.querySelector(`.${name}`);
    [this.canvas, this.pen, this.undoButton, this.clearButton, this.said] =
      ["ink", "pen", "undo", "clear", "said"].map(find);
    this.context = this.canvas.getContext("2d");
    this.sheet = null;
    this.life = 0;
    this.listen();
  }

  // The server repeats the sheet on every run; only another sheet replaces what is drawn.
  receive(bytes, label) {
    const sheet = Array.from(bytes.subarray(0, DIGEST), (b) => b.toString(16).padStart(2, "0")).join("");
    this.canvas.setAttribute("aria-label", label);
    if (sheet === this.sheet) return;
    this.sheet = sheet;
    const ink = bytes.slice(DIGEST);
    this.side = Math.round(Math.sqrt(ink.length));
    this.ink = ink;
    this.past = [];
    this.at = [0, 0].fill(Math.floor(this.side / 2) + 0.5); // the middle of a pixel
    this.canvas.width = this.side;
    this.canvas.height = this.side;
    this.image = this.context.createImageData(this.side, this.side);
    this.words = new Uint32Array(this.image.data.buffer);
    const size = `${(100 * 2 * RADIUS) / this.side}%`;
    this.pen.style.width = size;
    this.pen.style.height = size;
    this.movePen();
    this.draw();
  }

  attach(send) {
    this.send = send;
    this.life += 1;
    return this.life;
  }

  detach(life) {
    if (life === this.life) clearTimeout(this.sending);
  }

  // -- ink --

  remember() {
    this.past.push(this.ink.slice());
    if (this.past.length > UNDO_MOST) this.past.shift();
  }

  // A line with round ends and a soft edge: each pixel takes the most ink that it was ever given.
  line([x0, y0], [x1, y1]) {
    const { side, ink } = this;
    const reach = RADIUS + SOFT;
    const lo = (a, b) => Math.max(0, Math.floor(Math.min(a, b) - reach));
    const hi = (a, b) => Math.min(side - 1, Math.ceil(Math.max(a, b) + reach));
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy;
    for (let y = lo(y0, y1); y <= hi(y0, y1); y += 1) {
      for (let x = lo(x0, x1); x <= hi(x0, x1); x += 1) {
        const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const away = Math.hypot(px - along * dx, py - along * dy);
        const amount = Math.min(1, Math.max(0, (RADIUS + SOFT / 2 - away) / SOFT));
        const i = y * side + x;
        ink[i] = Math.max(ink[i], Math.round(255 * amount));
      }
    }
    this.draw();
  }

  draw() {
    for (let i = 0; i < this.words.length; i += 1) {
      this.words[i] = 0xff000000 | (this.ink[i] * 0x010101);
    }
    this.context.putImageData(this.image, 0, 0);
    this.undoButton.setAttribute("aria-disabled", !this.past.length);
    this.clearButton.setAttribute("aria-disabled", !this.ink.some(Boolean));
  }

  changed() {
    clearTimeout(this.sending);
    this.sending = setTimeout(() => {
      this.send("ink", { sheet: this.sheet, pixels: Array.from(this.ink) });
    }, SEND_MS);
  }

  undo() {
    if (!this.past.length) return;
    this.ink = this.past.pop();
    this.draw();
    this.changed();
  }

  clear() {
    if (!this.ink.some(Boolean)) return;
    this.remember();
    this.ink = new Uint8Array(this.ink.length);
    this.draw();
    this.changed();
  }

  // -- hands --

  movePen() {
    this.pen.style.left = `${(100 * this.at[0]) / this.side}%`;
    this.pen.style.top = `${(100 * this.at[1]) / this.side}%`;
  }

  listen() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [
        ((event.clientX - box.left) / box.width) * this.side,
        ((event.clientY - box.top) / box.height) * this.side,
      ];
    };
    canvas.onpointerdown = (event) => {
      if (event.button || this.drawing !== undefined) return; // one finger draws, others don't
      canvas.setPointerCapture(event.pointerId);
      clearTimeout(this.sending);
      this.drawing = event.pointerId;
      this.remember();
      this.at = place(event);
      this.line(this.at, this.at);
    };
    canvas.onpointermove = (event) => {
      if (event.pointerId !== this.drawing) return;
      const between = event.getCoalescedEvents?.() ?? [];
      (between.length ? between : [event]).forEach((e) => {
        const to = place(e);
        this.line(this.at, to);
        this.at = to;
      });
    };
    const lift = (event) => {
      if (event.pointerId !== this.drawing) return;
      this.drawing = undefined;
      this.at = this.at.map((v) => Math.min(this.side - 0.5, Math.max(0.5, v)));
      this.movePen();
      this.changed();
    };
    canvas.onpointerup = lift;
    canvas.onpointercancel = lift;

    canvas.onkeydown = (event) => {
      if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        return this.undo();
      }
      if (event.altKey || event.ctrlKey || event.metaKey) return undefined;
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!move && event.key !== " ") return undefined;
      event.preventDefault();
      event.stopPropagation();
      const from = this.at;
      if (move) {
        this.at = from.map((v, k) => Math.min(this.side - 0.5, Math.max(0.5, v + move[k])));
        this.movePen();
      } else if (!this.space) {
        this.space = true;
        this.remember();
      }
      // Space held, or shift with an arrow: the pen is on the paper while it moves.
      if (move && event.shiftKey && !this.space) this.remember();
      if (this.space || event.shiftKey) {
        this.line(from, this.at);
        this.changed();
      }
      const [x, y] = this.at.map(Math.floor);
      const there = this.ink[y * this.side + x] > 127 ? "ink" : "empty";
      this.said.textContent = `row ${y + 1}, column ${x + 1}: ${there}`;
      return undefined;
    };
    canvas.onkeyup = (event) => {
      if (event.key === " ") this.space = false;
    };
    canvas.onblur = () => (this.space = false);
    this.undoButton.onclick = () => this.undo();
    this.clearButton.onclick = () => this.clear();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  let pad = parentElement.__pad;
  if (!pad || !parentElement.contains(pad.root)) {
    pad = new Pad(parentElement);
    parentElement.__pad = pad;
  }
  const life = pad.attach(setStateValue);
  const length = new DataView(data.buffer, data.byteOffset, 2).getUint16(0, true);
  const label = new TextDecoder().decode(data.subarray(2, 2 + length));
  pad.receive(data.subarray(2 + length), label);
  return () => pad.detach(life);
}
