// Puts the code of all components on the shelf; each is loaded when a component first asks for it.
export default function ({ data }) {
  for (const [name, source] of Object.entries(JSON.parse(new TextDecoder().decode(data)))) {
    const place = shelved(name);
    if (place.brought) continue;
    place.brought = true;
    place.bring(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  }
}

// The press of a link waits for what was asked of the server before: Streamlit sends that a moment
// later, and a page change at once. Asked for after it, what belongs to the old page comes when the
// new one is drawn, and the frontend shows neither. For the same reason a player asks for nothing
// once a link is pressed (`leaving` in player.js). This code runs once a page; a link may have been
// pressed before it came, and is then still under the pointer or has the focus.
const MOMENT_MS = 10;
if (!window.linkPressed) {
  const press = (link) => {
    const to = new URL(link.href, location.href).pathname;
    window.linkPressed = { at: performance.now(), from: location.pathname, to };
  };
  window.linkPressed = { at: -Infinity };
  const early = navigator.userActivation?.isActive && document.querySelector("a[href]:is(:hover, :focus)");
  if (early) press(early);
  const leads = 'a[href]:not([href^="#"], [target=_blank], [download])';
  let sent = null; // the link whose press has waited
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(leads);
    const elsewhere = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || elsewhere) return;
    press(link);
    if (link !== sent) {
      event.preventDefault();
      event.stopImmediatePropagation();
      setTimeout(() => {
        sent = link;
        link.click();
        sent = null;
      }, MOMENT_MS);
    }
  }, true);
}
