"use strict";
const steps = JSON.parse(document.getElementById("steps").textContent);
const find = (id) => document.getElementById(id);
const places = [...document.querySelectorAll("[data-key]")];
const FIN = "\u25a0";
// The values at each step: those of the step before, and the changes.
const values = [];
for (const step of steps) {
  values.push({ ...values.at(-1), ...step[5] });
}
let current = 0;
let timer = null;

function element(tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

// A buffer: one cell for each byte.
function cells(value, size) {
  const list = [];
  for (const byte of value) {
    list.push(byte === FIN ? element("b", "cell fin", "FIN") : element("b", "cell", byte));
  }
  const bytes = [...value].filter((byte) => byte !== FIN).length;
  for (let free = bytes; free < size; free += 1) {
    list.push(element("b", "cell free", "\u00a0"));
  }
  return list;
}

// A list: its entries, marked if they are handled now, or done.
function entries(value) {
  return value.split("|").map((entry) => {
    const mark = { "*": "entry current", "-": "entry done" }[entry[0]];
    return element("span", mark || "entry", mark ? entry.slice(1) : entry);
  });
}

const LISTS = ["ready", "events", "run", "queue"];

function show(place, value, isChanged) {
  const { key, size } = place.dataset;
  if (size !== undefined) {
    place.replaceChildren(...cells(value, Number(size)));
  } else if (key === "read") {
    place.replaceChildren(...cells(value, Number(find("player").dataset.read)));
  } else if (LISTS.includes(key) && value) {
    place.replaceChildren(...entries(value));
  } else {
    place.textContent = value || (key.endsWith(".id") ? "" : "\u2013");
  }
  const row = place.closest("dl div") || place;
  row.classList.toggle("empty", !value);
  row.classList.toggle("changed", isChanged);
}

function mark(kind, id) {
  for (const line of document.querySelectorAll(`.${kind}`)) {
    line.classList.remove(kind);
  }
  const line = id && find(id);
  if (line) {
    line.classList.add(kind);
  }
  return line;
}

function markLines(place, call) {
  mark("here", place);
  const line = mark("calls", call);
  for (const figure of document.querySelectorAll(".call figure")) {
    figure.hidden = !line || !figure.contains(line);
  }
  find("call").hidden = !line;
}

function go(to) {
  current = Math.min(Math.max(to, 0), steps.length - 1);
  const [actor, title, text, place, call, changes] = steps[current];
  find("actor").textContent = actor;
  find("actor").className = `actor ${actor.split(" ")[0]}`;
  find("title").textContent = title;
  // The names of calls are between backticks.
  const parts = text.split("`").map((part, index) => index % 2 ? element("code", "", part) : part);
  find("text").replaceChildren(...parts);
  find("counter").textContent = `Step ${current + 1} of ${steps.length}`;
  find("slider").value = current + 1;
  find("previous").disabled = current === 0;
  find("next").disabled = current === steps.length - 1;
  document.body.classList.toggle("asleep", actor !== "server");
  for (const section of document.querySelectorAll(".connection")) {
    section.hidden = values[current][`${section.id.slice(3)}.id`] === undefined;
  }
  for (const element of places) {
    const { key } = element.dataset;
    show(element, values[current][key] || "", current > 0 && key in changes);
  }
  markLines(place, call);
  history.replaceState(null, "", `#${current + 1}`);
}

function stop() {
  clearInterval(timer);
  timer = null;
  find("play").textContent = "Play";
}

function play() {
  if (timer) {
    stop();
    return;
  }
  if (current === steps.length - 1) {
    go(0);
  }
  find("play").textContent = "Pause";
  timer = setInterval(() => {
    go(current + 1);
    if (current === steps.length - 1) {
      stop();
    }
  }, 2500);
}

function step(to) {
  stop();
  go(to);
}

const KEYS = {
  ArrowRight: () => step(current + 1),
  ArrowLeft: () => step(current - 1),
  Home: () => step(0),
  End: () => step(steps.length - 1),
  " ": play,
};

document.addEventListener("keydown", (event) => {
  const hasModifier = event.ctrlKey || event.altKey || event.metaKey;
  // Space on a button presses it, and arrows on the slider move it.
  const isButton = event.key === " " && /BUTTON|SUMMARY/.test(event.target.tagName);
  const action = KEYS[event.key];
  if (!action || hasModifier || isButton || event.target.id === "slider") {
    return;
  }
  event.preventDefault();
  action();
});
find("previous").addEventListener("click", () => step(current - 1));
find("next").addEventListener("click", () => step(current + 1));
find("play").addEventListener("click", play);
find("slider").addEventListener("input", (event) => step(Number(event.target.value) - 1));
const fromAddress = () => Number(location.hash.slice(1) || 1) - 1 || 0;
addEventListener("hashchange", () => step(fromAddress()));
find("player").hidden = false;
go(fromAddress());
