"use strict";

// Reads /status.json every second, and shows its figures and how they changed since the reading before.

const SECONDS_SHOWN = 120, LEAST_SHOWN = 10;
const INTERVAL_MS = 1000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 480, HEIGHT = 156, TOP = 24, BOTTOM = 132;

const byId = (id) => document.getElementById(id);
const grouped = (number) => Math.round(number).toLocaleString("en-US");

function scaled(number, base, units) {
  let exponent = 0;
  while (number >= base && exponent < units.length - 1) { number /= base; exponent += 1; }
  const digits = exponent === 0 && Number.isInteger(number) || number >= 100 ? 0 : 1;
  return `${number.toFixed(digits)} ${units[exponent]}`.trim();
}
const bytes = (number) => scaled(number, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
const time = (nanoseconds) => nanoseconds < 1000 ? `${Math.round(nanoseconds)} ns`
  : scaled(nanoseconds / 1000, 1000, ["µs", "ms", "s"]);
const count = (number) => number < 100000 ? grouped(number) : scaled(number, 1000, ["", "k", "M", "G", "T"]);
const rateOf = (number) => number > 0 && number < 10 ? number.toFixed(1) : count(number);

const charts = [
  { title: "Connections", show: count, lines: [["open", "open"]] },
  { title: "Opened per second", show: rateOf, lines: [["opened", "opened"]] },
  { title: "Bytes per second", show: bytes, lines: [["received", "received"], ["sent", "sent"]] },
  { title: "Messages per second", show: count, lines: [["messagesIn", "received"], ["messagesOut", "sent"]] },
  { title: "Time per iteration", show: time, lines: [["p99", "p99"], ["mean", "mean"]] },
  { title: "Buffered bytes", show: bytes, lines: [["buffered", "buffered"]] },
];
const points = [];
let last = null;

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function build(chart) {
  const figure = document.createElement("figure");
  figure.className = "card";
  figure.hidden = true;
  const title = document.createElement("h3");
  title.textContent = chart.title;
  chart.keys = chart.lines.map(([, name], index) => {
    const key = document.createElement("span");
    key.className = `key s${index + 1}`;
    const sample = element("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, key);
    element("line", { class: `line s${index + 1}`, x1: 0, x2: 22, y1: 4, y2: 4 }, sample);
    const text = document.createElement("span");
    text.textContent = name;
    key.append(text);
    title.append(key);
    return text;
  });
  figure.append(title);
  chart.svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" }, figure);
  for (const y of [TOP, (TOP + BOTTOM) / 2, BOTTOM]) element("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }, chart.svg);
  chart.most = element("text", { x: 0, y: TOP - 6 }, chart.svg);
  chart.begin = element("text", { x: 0, y: HEIGHT - 4 }, chart.svg);
  element("text", { x: WIDTH, y: HEIGHT - 4, class: "end" }, chart.svg).textContent = "now";
  chart.paths = chart.lines.map((_, index) => element("path", { class: `line s${index + 1}` }, chart.svg));
  chart.figure = figure;
  byId("charts").append(figure);
}

// The least of 1, 2, 5 times a power that is not less.
function ceiling(number, chart) {
  if (number <= 0) return chart.show === bytes ? 1024 : 1;
  if (chart.show === bytes) {
    const unit = 1024 ** Math.max(0, Math.floor(Math.log2(number) / 10));
    return unit * ceiling(number / unit, { show: count });
  }
  const power = 10 ** Math.floor(Math.log10(number));
  return power * [1, 2, 5, 10].find((step) => step * power >= number * 0.999999);
}

function draw(chart, now) {
  const values = points.flatMap((point) => chart.lines.map(([key]) => point[key])).filter((value) => value !== null);
  chart.figure.hidden = values.length === 0;
  if (values.length === 0) return;
  const most = ceiling(Math.max(...values), chart);
  chart.most.textContent = chart.show(most);
  const shown = Math.min(SECONDS_SHOWN, Math.max(LEAST_SHOWN, now - points[0].at));
  chart.begin.textContent = `${Math.round(shown)} s ago`;
  const texts = chart.lines.map(([key, name], index) => {
    let path = "", follows = false;
    for (const point of points) {
      const value = point[key];
      if (value === null) { follows = false; continue; }
      const x = WIDTH * (1 - (now - point.at) / shown);
      const y = BOTTOM - (BOTTOM - TOP) * value / most;
      path += `${follows ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      follows = true;
    }
    chart.paths[index].setAttribute("d", path);
    const latest = points.at(-1)[key];
    const text = latest === null ? name : `${name} ${chart.show(latest)}`;
    chart.keys[index].textContent = text;
    return text;
  });
  chart.svg.setAttribute("aria-label", `${chart.title}: ${texts.join(", ")}; at most ${chart.show(Math.max(...values))}`);
}

// The value below which this part of those lie that were counted between two readings of a histogram.
function quantile(before, after, part) {
  const earlier = new Map(before.at_most);
  const least = (bound) => earlier.has(bound) ? earlier.get(bound) : before.count;
  const total = after.count - before.count;
  if (total <= 0) return null;
  let lower = 0, below = 0;
  for (const [bound, counted] of after.at_most) {
    const here = counted - least(bound);
    if (here >= part * total) return lower + (bound - lower) * (part * total - below) / Math.max(1, here - below);
    [lower, below] = [bound, here];
  }
  return lower;
}

function changes(before, after) {
  const seconds = after.time_seconds - before.time_seconds;
  const rate = (pick) => {
    const [earlier, later] = [pick(before), pick(after)];
    return earlier === null || later === null ? null : Math.max(0, later - earlier) / seconds;
  };
  const [loopBefore, loopAfter] = [before.event_loop, after.event_loop];
  const hasLoop = loopBefore && loopAfter && loopAfter.time_ns.count > loopBefore.time_ns.count;
  return {
    at: after.time_seconds,
    open: after.connections.open,
    opened: rate((status) => status.connections.opened),
    received: rate((status) => status.traffic.received_bytes),
    sent: rate((status) => status.traffic.sent_bytes),
    messagesIn: rate((status) => status.traffic.received_messages),
    messagesOut: rate((status) => status.traffic.sent_messages),
    p99: hasLoop ? quantile(loopBefore.time_ns, loopAfter.time_ns, 0.99) : null,
    mean: hasLoop ? (loopAfter.time_ns.sum - loopBefore.time_ns.sum) / (loopAfter.time_ns.count - loopBefore.time_ns.count) : null,
    buffered: after.buffers.bytes,
  };
}

function showTable(status) {
  for (const cell of document.querySelectorAll("[data-path]")) {
    const figure = cell.dataset.path.split(".").reduce((group, key) => group?.[key], status);
    if (typeof figure === "number") {
      cell.textContent = figure > 2 ** 63 ? "unlimited" : Number.isInteger(figure) ? grouped(figure) : figure.toFixed(1);
    }
  }
}

function show(status) {
  const state = byId("state");
  state.textContent = status.state;
  state.classList.toggle("bad", status.state !== "serving");
  const uptime = Math.max(0, Math.round(status.time_seconds - status.process.start_time_seconds));
  const hours = Math.floor(uptime / 3600), minutes = Math.floor(uptime / 60) % 60;
  byId("age").textContent = `for ${hours > 0 ? `${hours} h ` : ""}${uptime >= 60 ? `${minutes} min ` : ""}${uptime % 60} s, version ${status.version}`;
  byId("open").textContent = grouped(status.connections.open);
  byId("buffered").textContent = bytes(status.buffers.bytes);
  byId("buffered-note").textContent = `at most ${bytes(status.buffers.peak_bytes)} so far`;
  showTable(status);
  // A new process, after an upgrade or a restart, counts from its own start.
  if (last && last.process.start_time_seconds !== status.process.start_time_seconds) last = null;
  // The same snapshot may be served twice.
  if (last && status.time_seconds - last.time_seconds < 0.05) return;
  if (last) {
    const point = changes(last, status);
    points.push(point);
    while (points[0].at < point.at - SECONDS_SHOWN) points.shift();
    byId("opened").textContent = rateOf(point.opened);
    byId("received").textContent = bytes(point.received);
    byId("sent").textContent = bytes(point.sent);
    if (point.messagesIn !== null) byId("received-note").textContent = `${count(point.messagesIn)} messages/s`;
    if (point.messagesOut !== null) byId("sent-note").textContent = `${count(point.messagesOut)} messages/s`;
    byId("time").textContent = point.p99 === null ? "\u2013" : time(point.p99);
    byId("time-note").textContent = point.p99 === null ? "not counted" : `p99; mean ${time(point.mean)}`;
    for (const chart of charts) draw(chart, point.at);
  }
  last = status;
}

async function poll() {
  try {
    const response = await fetch("status.json", { cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    show(await response.json());
  } catch {
    const state = byId("state");
    state.textContent = "no answer";
    state.classList.add("bad");
  }
  setTimeout(poll, INTERVAL_MS);
}

document.body.classList.add("live");
charts.forEach(build);
poll();
