// Keeps an open page true, tells times as people do, and counts what is ticked. Without it every
// page still works: it is then as it was when it was asked for.
"use strict";

const main = document.getElementById("main");
const notice = document.getElementById("notice");

// --- Times -------------------------------------------------------------------------------------

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function ago(instant, now) {
  const seconds = Math.round((now - instant) / 1000);
  const size = Math.abs(seconds);
  if (size < 1) return "just now";
  const [unit, length] = UNITS.find(([, length]) => size >= length);
  const count = `${Math.floor(size / length)} ${unit}`;
  return seconds > 0 ? `${count} ago` : `in ${count}`;
}

function tellTimes(within = document) {
  const now = Date.now();
  for (const time of within.querySelectorAll("time[datetime]")) {
    const told = ago(Date.parse(time.dateTime), now);
    if (time.textContent !== told) time.textContent = told;
  }
}

// --- Making the page as the server has it now ----------------------------------------------------

function key(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || "" : "";
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);
}

// What a person has typed, ticked, opened or is looking at stays as it is.
function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.nodeName === "TIME") {
    if (old.dateTime !== fresh.dateTime) {
      old.dateTime = fresh.dateTime;
      old.title = fresh.title;
      old.textContent = fresh.textContent;
    }
    return;
  }
  const kept = old.nodeName === "DETAILS" ? ["open"] : [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  }
  if (["INPUT", "TEXTAREA", "SELECT"].includes(old.nodeName)) return;
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const byKey = new Map([...old.childNodes].filter(key).map((node) => [key(node), node]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = key(wanted) ? byKey.get(key(wanted)) : null;
    if (known && known !== at) old.insertBefore(known, at);
    else if (known) at = at.nextSibling;
    let match = known;
    if (!match && at && !key(at) && alike(at, wanted)) {
      match = at;
      at = at.nextSibling;
    }
    if (match) {
      morph(match, wanted);
    } else {
      const added = document.importNode(wanted, true);
      old.insertBefore(added, at);
      if (added.nodeType === Node.ELEMENT_NODE && key(added)) added.classList.add("fresh");
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function say(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

let asking = false;
let asked = false;

async function refresh() {
  if (asking) {
    asked = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) {
      say("You are logged out. Open the page again to log in.");
      stop();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok) {
      const detail = page.getElementById("detail");
      say(detail ? detail.textContent : `The console answered ${answer.status}.`);
      if (answer.status === 404) stop();
      else later(3000);
      return;
    }
    for (const part of main.querySelectorAll("[data-refresh]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) morph(part, fresh);
    }
    document.title = page.title;
    main.dataset.live = page.getElementById("main").dataset.live || "";
    say("");
    tellTimes();
    count();
  } catch {
    say("The console does not answer. This page goes on when it does.");
    later(3000);
  } finally {
    asking = false;
    if (asked) {
      asked = false;
      refresh();
    }
  }
}

let timer = null;

function later(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(refresh, milliseconds);
}

// --- Being told of changes ---------------------------------------------------------------------

let source = null;
let over = false;

function listen() {
  if (source || over || !main.dataset.live || document.hidden) return;
  source = new EventSource(main.dataset.live);
  source.addEventListener("changed", refresh);
  // A browser asks again by itself, but not after an answer that is no stream.
  source.onerror = () => {
    if (source && source.readyState === EventSource.CLOSED) {
      hush();
      // What has become of it is told by the page itself.
      refresh();
      setTimeout(listen, 5000);
    }
  };
}

function hush() {
  if (source) source.close();
  source = null;
}

function stop() {
  over = true;
  hush();
}

// A tab that nobody looks at keeps no connection; it catches up when it is looked at.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hush();
  } else if (main.dataset.live && !over) {
    refresh().then(listen);
  }
});
addEventListener("pagehide", hush);

// --- Ticking many ------------------------------------------------------------------------------

function count() {
  const bar = document.querySelector("[data-many]");
  if (!bar) return;
  const boxes = [...document.querySelectorAll("input[name=saga][type=checkbox]")];
  const ticked = boxes.filter((box) => box.checked).length;
  const label = bar.querySelector("[data-count]");
  const told = ticked ? `${ticked} ticked` : "Tick sagas to act on them.";
  if (label.textContent !== told) label.textContent = told;
  bar.classList.toggle("ticked", ticked > 0);
  for (const button of bar.querySelectorAll("button")) button.disabled = !ticked;
  const all = document.querySelector("[data-all]");
  all.checked = boxes.length > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) {
    for (const box of document.querySelectorAll("input[name=saga][type=checkbox]")) {
      box.checked = event.target.checked;
    }
  }
  count();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// A page that could not be made is asked for until it can.
async function askAgain() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.status !== 503) return location.reload();
  } catch {
    say("The console does not answer. This page goes on when it does.");
  }
  setTimeout(askAgain, 3000);
}

tellTimes();
count();
listen();
if ("again" in main.dataset) setTimeout(askAgain, 3000);
setInterval(tellTimes, 1000);
// What no change tells of, such as a worker that is gone.
setInterval(() => { if (!document.hidden && main.dataset.live && !over) refresh(); }, 15000);
