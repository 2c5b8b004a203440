// Copies the address bar; where the browser forbids that (plain http on another host), it shows
// the address selected instead. It also brings the exhibit into view when the page asks for it.
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  const label = button.querySelector("span");
  const field = parentElement.querySelector("input");
  const said = parentElement.querySelector(".said");

  button.onclick = async () => {
    const address = window.location.href;
    try {
      await navigator.clipboard.writeText(address);
      field.hidden = true;
      label.textContent = "Copied";
      said.textContent = "Link copied";
    } catch {
      field.hidden = false;
      field.value = address;
      field.focus();
      field.select();
      said.textContent = "Copying isn't allowed here. The link is selected: press Ctrl+C.";
    }
    clearTimeout(parentElement.copyTimer);
    parentElement.copyTimer = setTimeout(() => {
      label.textContent = "Copy link";
      said.textContent = "";
    }, 2000);
  };
  field.onblur = () => { field.hidden = true; };

  const jumps = data?.jumps ?? 0;
  if (parentElement.jumps !== undefined && jumps > parentElement.jumps) {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.querySelector('[data-testid="stMain"]')
      ?.scrollTo({ top: 0, behavior: still ? "auto" : "smooth" });
  }
  parentElement.jumps = jumps;
}
