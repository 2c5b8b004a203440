// A table whose every cell copies the code that computes it. Where the browser forbids copying
// (plain http on another host), the code is shown selected instead.
const HINT = "Bold: not the number of the first column. Press a cell to copy its code, a heading for its column.";

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

export default function ({ data, parentElement }) {
  const scroll = parentElement.querySelector(".scroll");
  const said = parentElement.querySelector(".said");
  const field = parentElement.querySelector(".fallback");

  async function copy(button, code, name) {
    try {
      await navigator.clipboard.writeText(code);
      field.hidden = true;
      said.textContent = `Copied: ${name}, as code that runs where this app’s diffusion_core is.`;
    } catch {
      field.hidden = false;
      field.value = code;
      field.focus();
      field.select();
      said.textContent = "Copying isn't allowed here. The code is selected: press Ctrl+C.";
    }
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 900);
  }

  const table = element("table");
  const head = table.createTHead().insertRow();
  head.append(element("td"));
  data.columns.forEach((column) => {
    const cell = element("th");
    cell.scope = "col";
    const button = element("button", column.title);
    button.type = "button";
    button.title = "Copy the whole column as code";
    button.append(element("small", column.about));
    button.onclick = () => copy(button, data.preamble + column.code, `all of ${column.title}`);
    cell.append(button);
    head.append(cell);
  });
  const body = table.createTBody();
  data.rows.forEach((row, r) => {
    const line = body.insertRow();
    const name = element("th", row.name);
    name.scope = "row";
    if (row.color) name.style.setProperty("--mark", row.color);
    line.append(name);
    data.columns.forEach((column, c) => {
      const { symbol, value, code, other } = column.cells[r];
      const cell = line.insertCell();
      cell.classList.toggle("other", other);
      const button = element("button");
      button.type = "button";
      button.dataset.cell = `${r},${c}`;
      button.title = "Copy as code";
      button.append(element("span", symbol, "symbol"), element("span", value, "value"));
      button.onclick = () => copy(button, data.preamble + code, `${row.name}, ${column.title}`);
      cell.append(button);
    });
  });

  // The cell under the keyboard keeps it when new numbers arrive.
  const held = scroll.getRootNode().activeElement?.dataset?.cell;
  const left = scroll.scrollLeft;
  scroll.setAttribute("aria-label", data.label);
  scroll.replaceChildren(table);
  scroll.scrollLeft = left;
  if (held) scroll.querySelector(`[data-cell="${held}"]`)?.focus();
  if (!said.textContent) said.textContent = HINT;
}
