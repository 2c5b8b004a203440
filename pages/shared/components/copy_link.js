// Copies the address bar; where the browser forbids that (plain http on another host), it shows
// the address selected instead. It also brings the exhibit into view when the page asks for it,
// turns presentation mode on and off by a key, lets the keyboard into what scrolls sideways, tells the
// server which of the text's buttons is pressed and when the session is another one, keeps a word's note
// on the screen, turns to the pages of the start page's map, and to the answer that an address names,
// and keeps the keyboard's place in the lesson's editor.
export default function ({ data, parentElement, setTriggerValue }) {
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
    goOnThere(LOOK_TRIES);
  }
  parentElement.jumps = jumps;

  // A server that was restarted knows nothing of what was typed or collected in this tab.
  const session = data?.session;
  if (window.sessionSeen && window.sessionSeen !== session) setTriggerValue("renewed", window.sessionSeen);
  window.sessionSeen = session;

  window.showSetting = (name) => setTriggerValue("show", name);
  // All of the page anew: of a fragment that it never drew, a new session would say nothing.
  window.renewSession = () => {
    setTriggerValue("renewed", window.sessionSeen);
    window.sessionSeen = undefined;
  };

  // Once per tab: this runs again on every page and whenever its data changes.
  if (window.pageKeys) return;
  window.pageKeys = true;
  document.addEventListener("keydown", present);
  renewOnReturn(document.querySelector("[data-test-connection-state]"));
  const setsAll = takeBackByOne();
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("button[data-show], .st-key-reset button")) setsAll();
    const button = event.target.closest?.("button[data-show]");
    if (button) window.showSetting(button.dataset.show);
    keepPlace(event);
    const link = event.target.closest?.(".cards a, .asks li > a, .asks h3 a");
    if (link && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)) turnTo(link, event);
  });
  document.addEventListener("pointerover", keepOnScreen);
  document.addEventListener("focusin", keepOnScreen);
  document.addEventListener("keydown", hush);
  const watcher = new MutationObserver(openScrollers);
  watcher.observe(document.body, { childList: true, subtree: true });
  window.addEventListener("resize", openScrollers);
  // Some browsers give what is folded away no width; Chromium does.
  document.addEventListener("toggle", openScrollers, true);
  openScrollers();
}

// The browser's Back takes back what set many controls at once. Streamlit makes an entry of the
// history for each control that the server sets, of a drag in a chart, too; here a press that calls
// the returned function makes one, and all else none. On the way to another page Streamlit writes that
// page's settings first, to the address of this one: its entry keeps its own.
const ON_THE_WAY_MS = 10_000;
function takeBackByOne() {
  let one = false;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, to) => {
    if (new URL(to, location.href).pathname !== location.pathname) return push(state, title, to);
    const { at, from, to: next } = window.linkPressed ?? {};
    const leaves = from === location.pathname && next !== from;
    if (leaves && performance.now() - at < ON_THE_WAY_MS) return undefined;
    const write = one ? push : history.replaceState.bind(history);
    one = false;
    return write(state, title, to);
  };
  return () => { one = true; };
}

// When the connection is back, what is on the other end may be another session.
function renewOnReturn(app) {
  if (!app) return;
  let lost = false;
  new MutationObserver(() => {
    const here = app.dataset.testConnectionState === "CONNECTED";
    if (here && lost) window.renewSession();
    lost = !here;
  }).observe(app, { attributes: true, attributeFilter: ["data-test-connection-state"] });
}

// From a list of pages or answers to one of them, as the browser's buttons do it: the app stays. The
// start page's own address may end without the slash that the others' names begin after.
function turnTo(link, event) {
  event.preventDefault();
  const here = link.closest(".cards, .famous") ? location.href.replace(/\/?([?#].*)?$/, "/") : location.href;
  history.pushState(null, "", new URL(link.getAttribute("href"), here));
  window.dispatchEvent(new PopStateEvent("popstate"));
}

// The answer that the address asks for comes into view, and stays while what is above it still grows,
// until the reader does anything.
const GROWS_MS = 4000;
let answered = "";
function showAnswer() {
  const fold = document.querySelector("details[data-shown]");
  const name = fold ? location.pathname + fold.dataset.asks : "";
  if (name === answered) return;
  answered = name;
  if (!fold) return;
  fold.querySelector("summary").focus({ preventScroll: true });
  const until = performance.now() + GROWS_MS;
  const acts = ["wheel", "touchstart", "pointerdown", "keydown"];
  let left = false;
  const leave = () => { left = true; };
  for (const act of acts) document.addEventListener(act, leave, { passive: true });
  const hold = () => {
    if (left || !fold.isConnected || performance.now() > until) {
      for (const act of acts) document.removeEventListener(act, leave);
      return;
    }
    fold.scrollIntoView({ block: "center" });
    setTimeout(hold, 100);
  };
  hold();
}

// By its place on the keyboard: with Alt, the key p writes another letter on a Mac.
function present(event) {
  if (event.code !== "KeyP" || !event.altKey || event.repeat || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  document.querySelector(".st-key-toggle_present button")?.click();
}

// After a "Show me" the keyboard goes on where the reader now looks, and a screen reader says what to
// look at. The sentence comes a moment after the setting.
const LOOK_TRIES = 40;
function goOnThere(tries) {
  const box = document.querySelector(".st-key-chapter_look");
  if (!box) {
    if (tries) setTimeout(() => goOnThere(tries - 1), 50);
    return;
  }
  box.tabIndex = -1;
  box.focus({ preventScroll: true });
}

// In the lesson's editor a pressed button may go, with its stop, or be off where it can't move further.
// The keyboard goes on beside it: at the stop that moved, else at the one that came in its place.
const STOP = '[class*="st-key-lesson_row_"]';
const FOCUS_TRIES = 60;
function keepPlace(event) {
  const row = event.target.closest?.("button")?.closest(STOP);
  if (!row) return;
  const name = row.className.match(/st-key-lesson_row_\d+/)[0];
  focusBeside(name, [...document.querySelectorAll(STOP)].indexOf(row), FOCUS_TRIES);
}

function focusBeside(name, place, tries) {
  if (document.activeElement !== document.body) { // not lost, or not yet
    if (tries) setTimeout(() => focusBeside(name, place, tries - 1), 50);
    return;
  }
  const stop = document.querySelector(`.${name}`);
  const next = stop ?? [...document.querySelectorAll(STOP)].slice(0, place + 1).at(-1);
  const buttons = [...(next?.querySelectorAll("button:enabled") ?? [])];
  (buttons.at(stop ? 0 : -1) ?? document.querySelector(".st-key-lesson_add button"))?.focus();
}

// A word's note begins at the word, or so far before it that it ends on the screen.
function keepOnScreen(event) {
  const note = event.target.closest?.(".term")?.querySelector(".gist");
  if (!note) return;
  note.style.marginLeft = "0";
  const beyond = note.getBoundingClientRect().right - (document.documentElement.clientWidth - 16);
  if (beyond > 0) note.style.marginLeft = `${-beyond}px`;
}

// Escape puts notes away until the pointer or the focus comes again.
function hush(event) {
  if (event.key !== "Escape") return;
  for (const term of document.querySelectorAll(".term:is(:hover, :focus-within)")) {
    term.classList.add("hushed");
    const back = () => term.classList.remove("hushed");
    // Not when one of them leaves: a note that goes leaves the pointer that lay on it.
    term.addEventListener("pointerenter", back, { once: true });
    term.addEventListener("focusin", back, { once: true });
  }
}

// Streamlit draws these, so their tabindex can't be written where they are made. chapter.css lets a
// formula scroll where it has one.
const SCROLLERS = ".stMarkdown .katex-display, .stCode pre, .scroll";
let waiting = 0;
let measured = new WeakSet(); // each once, and after a change of the window's size: asking costs a layout

function openScrollers(event) {
  if (event?.type === "resize") measured = new WeakSet();
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    showAnswer();
    for (const box of document.querySelectorAll('[class*="st-key-chapter_question"]')) {
      box.setAttribute("aria-live", "polite"); // says whether the guess was right
    }
    for (const box of document.querySelectorAll(SCROLLERS)) {
      if (measured.has(box) || !box.clientWidth) continue;
      measured.add(box);
      const formula = box.querySelector(".katex-html");
      const more = formula ? formula.scrollWidth > box.clientWidth + 1
        : box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (more) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }, 200);
}
