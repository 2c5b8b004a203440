// A panel of the player: a piece of the plane with a shade, a field of arrows and moving points.

const HEAD = 4.5; // px, an arrow's head
const TRAIL_FADE = 0.45;
const TRAIL_FAINT = 0.14; // and of its older part
const SPARSE = 180; // px: on a smaller plane every other arrow is left out
const RING = 3.5; // px, a ring's radius
const WORD = 12; // px, a word's size
const FULL_SIZE = 220; // px: on a smaller plane points are smaller, too, down to 0.6 of their size

// One cloud's arrays, in the order in which the server lays them down.
// What stands still is sent once: one shade, one field of arrows for all frames. What is the same as
// an earlier cloud's is sent with that one.
function takeCloud(cloud, k, clouds, n, take) {
  const { points, arrows, strong, shadeH, shadeW, shades, fields, arrowsOf, shadeOf, rings } = cloud;
  const own = (of, name, Type, count) => (of === k ? take(Type, count) : clouds[of].data[name]);
  cloud.data = {
    points: take(Int16Array, n * points * 2),
    arrows: own(arrowsOf, "arrows", Int16Array, fields * arrows * 4),
    strong: take(Int16Array, n * strong * 4),
    shade: own(shadeOf, "shade", Uint8Array, shades * shadeH * shadeW),
    rings: take(Int16Array, n * rings * 2),
    lines: take(Int16Array, n * linePoints(cloud) * 2),
  };
  cloud.strokes.forEach((s) => (s.data = take(Int16Array, s.frames * s.count * 4)));
}

function linePoints(cloud) {
  return cloud.lines.reduce((sum, [count]) => sum + count, 0);
}

function cloudFrame(cloud, i) {
  const part = (name, size, many = Infinity) => {
    const at = many === 1 ? 0 : i;
    return cloud.data[name].subarray(at * size, (at + 1) * size);
  };
  return {
    points: part("points", cloud.points * 2),
    arrows: part("arrows", cloud.arrows * 4, cloud.fields),
    strong: part("strong", cloud.strong * 4),
    shade: part("shade", cloud.shadeH * cloud.shadeW, cloud.shades),
    rings: part("rings", cloud.rings * 2),
    lines: part("lines", linePoints(cloud) * 2),
    words: cloud.words.map(({ texts, ...word }) => ({ ...word, text: texts[texts.length > 1 ? i : 0] })),
    strokes: cloud.strokes.map(({ data, count, frames }) => {
      const at = frames === 1 ? 0 : i;
      return data.subarray(at * count * 4, (at + 1) * count * 4);
    }),
  };
}

// A colour of the style sheet as three numbers.
function channels(color) {
  const hex = /^#(..)(..)(..)$/.exec(color.trim());
  return hex ? hex.slice(1).map((pair) => parseInt(pair, 16)) : [128, 128, 128];
}

function drawShade(item, pixels, rgb) {
  const { shadeW, shadeH } = item;
  if (!shadeW) return;
  item.small ??= Object.assign(document.createElement("canvas"), { width: shadeW, height: shadeH });
  const small = item.small.getContext("2d");
  item.smallImage ??= small.createImageData(shadeW, shadeH);
  const { data } = item.smallImage;
  for (let i = 0, j = 0; i < pixels.length; i += 1, j += 4) {
    [data[j], data[j + 1], data[j + 2]] = rgb;
    data[j + 3] = pixels[i];
  }
  small.putImageData(item.smallImage, 0, 0);
  item.context.imageSmoothingQuality = "high";
  item.context.drawImage(item.small, 0, 0, item.side, item.side);
}

function drawArrows(item, arrows, px, py, width, every = 1) {
  const { context } = item;
  context.lineWidth = width;
  context.beginPath();
  for (let i = 0; i < arrows.length; i += 4 * every) {
    const [x, y] = [px(arrows[i]), py(arrows[i + 1])];
    const [tipX, tipY] = [px(arrows[i] + arrows[i + 2]), py(arrows[i + 1] + arrows[i + 3])];
    const long = Math.hypot(tipX - x, tipY - y);
    if (!(long > 0.5)) continue;
    const head = Math.min(HEAD * Math.sqrt(width), long / 2);
    const [ux, uy] = [(tipX - x) / long, (tipY - y) / long];
    context.moveTo(x, y);
    context.lineTo(tipX, tipY);
    context.moveTo(tipX - head * (ux + 0.6 * uy), tipY - head * (uy - 0.6 * ux));
    context.lineTo(tipX, tipY);
    context.lineTo(tipX - head * (ux - 0.6 * uy), tipY - head * (uy + 0.6 * ux));
  }
  context.stroke();
}

function drawStrokes(item, now, px, py, colorOf) {
  const { context } = item;
  item.strokes.forEach(({ color, width, dash }, k) => {
    context.strokeStyle = colorOf(color);
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    const at = now.strokes[k];
    let end = [Infinity, Infinity];
    for (let i = 0; i < at.length; i += 4) {
      if (!at[i + 2] && !at[i + 3]) continue;
      // One that goes on where the last one ended continues its dashes; both were rounded.
      if (Math.abs(at[i] - end[0]) + Math.abs(at[i + 1] - end[1]) > 4) context.moveTo(px(at[i]), py(at[i + 1]));
      end = [at[i] + at[i + 2], at[i + 1] + at[i + 3]];
      context.lineTo(px(end[0]), py(end[1]));
    }
    context.stroke();
  });
  context.setLineDash([]);
}

// What is counted along the borders, with a mark at each whole number.
function drawAxes(item, style, px, py) {
  const { context, side, axes, extent, units } = item;
  if (!axes[0] && !axes[1]) return;
  const type = 0.6875 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  context.font = `${type}px ${style.fontFamily}`;
  context.fillStyle = style.color;
  for (let v = Math.ceil(-extent); v <= extent; v += 1) {
    const at = (v / extent) * units;
    const [x, y] = [px(at), py(at)];
    context.fillRect(x - 0.5, side - 5, 1, 5);
    context.fillRect(0, y - 0.5, 5, 1);
    const text = `${v}`.replace("-", "−");
    context.textAlign = "center";
    context.textBaseline = "bottom";
    if (x > 2 * type && x < side - 2 * type) context.fillText(text, x, side - 6);
    context.textAlign = "left";
    context.textBaseline = "middle";
    if (y > 2 * type && y < side - 2.6 * type) context.fillText(text, 8, y);
  }
  context.textBaseline = "bottom";
  context.textAlign = "right";
  context.fillText(`${axes[0]} →`, side - 6, side - 8 - type);
  context.textBaseline = "top";
  context.textAlign = "left";
  context.fillText(`↑ ${axes[1]}`, 6, 6);
}

// The way so far of the first points, the older part of it faint.
function drawTrails(item, frame, px, py) {
  const from = item.fresh ? Math.max(frame - item.fresh, 0) : 0;
  drawWay(item, 0, from, TRAIL_FAINT, px, py);
  drawWay(item, from, frame, TRAIL_FADE, px, py);
}

function drawWay(item, from, to, alpha, px, py) {
  const { context } = item;
  context.lineWidth = 1;
  context.globalAlpha = alpha;
  context.beginPath();
  for (let k = 0; k < item.trails && from < to; k += 1) {
    for (let i = from; i <= to; i += 1) {
      const at = item.frames[i]?.points;
      if (at) context[i > from ? "lineTo" : "moveTo"](px(at[2 * k]), py(at[2 * k + 1]));
    }
  }
  context.stroke();
  context.globalAlpha = 1;
}

function drawLines(item, places, colorOf, px, py) {
  const { context } = item;
  context.lineWidth = 2;
  let at = 0;
  item.lines.forEach(([count, color]) => {
    context.strokeStyle = colorOf(color);
    context.beginPath();
    for (const end = at + 2 * count; at < end; at += 2) context.lineTo(px(places[at]), py(places[at + 1]));
    context.stroke();
  });
}

function drawRings(item, places, px, py) {
  const { context } = item;
  context.lineWidth = 1.2;
  context.strokeStyle = item.ringColor;
  context.beginPath();
  for (let i = 0; i < places.length; i += 2) {
    const [x, y] = [px(places[i]), py(places[i + 1])];
    context.moveTo(x + RING, y);
    context.arc(x, y, RING, 0, 2 * Math.PI);
  }
  context.stroke();
}

// Words stay inside the picture, and stand out from what they are written over.
function drawWord(item, text, x, y, color, paper) {
  const { context, side } = item;
  const half = context.measureText(text).width / 2 + 3;
  const at = [clamp(x, half, side - half), y];
  context.lineWidth = 3;
  context.strokeStyle = paper;
  context.strokeText(text, ...at);
  context.fillStyle = color;
  context.fillText(text, ...at);
}

function drawCloud(item, frame, ratio, root) {
  const { context, side, units } = item;
  const now = item.frames[frame];
  const radius = item.radius * clamp(side / FULL_SIZE, 0.6, 1);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, side, side);
  if (!now || !side) return;
  const style = getComputedStyle(root);
  const colorOf = (name) => (name === "xt" ? style.color : style.getPropertyValue(`--c-${name}`));
  const px = (x) => ((x + units) / (2 * units)) * side; // places are counted in such units
  const py = (y) => ((units - y) / (2 * units)) * side;
  drawShade(item, now.shade, channels(style.getPropertyValue(`--c-${item.shade}`)));
  context.lineCap = "round";
  context.lineJoin = "round";
  drawAxes(item, style, px, py);
  drawStrokes(item, now, px, py, colorOf);
  context.strokeStyle = colorOf(item.field);
  const field = item.arrows > 100 && item.arrows !== item.points; // not one for each point
  drawArrows(item, now.arrows, px, py, 1, side < SPARSE && field ? 2 : 1);
  context.fillStyle = colorOf(item.color);
  context.globalAlpha = item.points > 50 ? 0.75 : 1;
  context.beginPath();
  context.font = `${Math.round(5.5 * radius)}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const inks = Object.fromEntries([...new Set(item.hues)].map((hue) => [hue, style.getPropertyValue(`--t-${hue}`)]));
  for (let i = 0; i < now.points.length; i += 2) {
    const [x, y] = [px(now.points[i]), py(now.points[i + 1])];
    if (item.marks) {
      if (item.hues.length) context.fillStyle = inks[item.hues[i / 2]];
      context.fillText(item.marks[i / 2], x, y);
      continue;
    }
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = colorOf(item.trail);
  drawTrails(item, frame, px, py);
  context.fillStyle = colorOf(item.trail);
  for (let k = 0; k < item.trails; k += 1) {
    context.beginPath();
    context.arc(px(now.points[2 * k]), py(now.points[2 * k + 1]), 2 * radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.strokeStyle = colorOf(item.pull);
  drawArrows(item, now.strong, px, py, 3);
  drawLines(item, now.lines, colorOf, px, py);
  item.ringColor = colorOf(item.ring);
  drawRings(item, now.rings, px, py);
  const textOf = (name) => style.getPropertyValue(`--t-${name}`);
  const paper = style.getPropertyValue("--st-background-color");
  context.font = `600 ${WORD}px ${style.fontFamily}`;
  for (let k = 0; k < (item.numbered ? item.trails : 0); k += 1) {
    drawWord(item, String(k + 1), px(now.points[2 * k]) + 8, py(now.points[2 * k + 1]) - 8, style.color, paper);
  }
  now.words.forEach(({ x, y, text, color }) => drawWord(item, text, px(x), py(y), textOf(color), paper));
}
