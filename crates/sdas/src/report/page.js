"use strict";
(() => {
  const STATES = ["open", "decided", "pruned"];
  const WORDS = ["undecided", "decided", "pruned"];
  const byId = (id) => document.getElementById(id);
  // Elements of SVG are made in the space that the page's own drawings are in.
  const shape = (name, like) => document.createElementNS(like.namespaceURI, name);
  let growth = null;

  // Mixtures are told where they change: each moment gets those that hold.
  function read() {
    const text = byId("data").textContent;
    growth = text ? JSON.parse(text) : null;
    let before = null;
    for (const stop of growth ? growth.stops : []) {
      stop.cells.forEach((cell, kind) => cell.forEach((edge, index) => {
        if (before && edge[3].length === 0) edge[3] = before.cells[kind][index][3];
      }));
      before = stop;
    }
  }

  function strip(group, operations, mix, of) {
    const [x, y, width, height] = of.split(" ").map(Number);
    const sums = new Map();
    mix.forEach((share, index) => {
      const look = operations[index][1];
      sums.set(look, (sums.get(look) || 0) + share);
    });
    group.replaceChildren();
    let at = x;
    for (const [look, share] of sums) {
      const part = shape("rect", group);
      part.setAttribute("class", "k-" + look);
      part.setAttribute("x", at.toFixed(1));
      part.setAttribute("y", y);
      part.setAttribute("width", (share * width).toFixed(1));
      part.setAttribute("height", height);
      group.append(part);
      at += share * width;
    }
  }

  function show() {
    const stop = growth.stops[Number(byId("stop").value)];
    byId("moment").textContent = stop.name;
    byId("stop").setAttribute("aria-valuetext", stop.name);
    byId("why").innerHTML = stop.why || "";
    stop.cells.forEach((cell, kind) => cell.forEach(([state, operation, share, mix], index) => {
      const operations = growth.operations[kind][index];
      const own = operation === null ? null : operations[operation];
      const now = stop.edge && stop.edge[0] === kind && stop.edge[1] === index;
      const looks = ["edge", STATES[state], own ? "k-" + own[1] : "", now ? "now" : ""].join(" ");
      const way = byId(`cell-${kind}-${index}`);
      const label = byId(`cell-${kind}-${index}-label`);
      way.setAttribute("class", looks);
      label.setAttribute("class", looks);
      const percent = share === null ? "" : " " + Math.round(100 * share) + "%";
      label.querySelector("text").textContent = own ? own[0] + percent : state === 2 ? "" : "?";
      strip(label.querySelector(".strip"), operations, state === 0 ? mix : [], label.dataset.box);
      const row = byId(`mix-${kind}-${index}`);
      if (!row) return;
      row.className = [STATES[state], now ? "now" : ""].join(" ");
      row.querySelector(".state").textContent = own && state === 1 ? own[0] : WORDS[state];
      const most = Math.max(...mix);
      row.querySelectorAll("[data-op]").forEach((cell) => {
        const part = mix[Number(cell.dataset.op)];
        cell.textContent = part === undefined ? "" : (100 * part).toFixed(1);
        cell.style.setProperty("--share", part === undefined ? 0 : part);
        cell.classList.toggle("best", part !== undefined && part === most);
      });
    }));
  }

  // To the next decision in a direction, past the ends of epochs.
  function leap(direction) {
    const slider = byId("stop");
    let at = Number(slider.value) + direction;
    while (at > 0 && at < growth.stops.length - 1 && !growth.stops[at].decided) at += direction;
    slider.value = at;
    show();
  }

  function begin() {
    read();
    if (!growth) return;
    byId("stop").addEventListener("input", show);
    byId("before").addEventListener("click", () => leap(-1));
    byId("after").addEventListener("click", () => leap(1));
    show();
  }

  // What the reader has done to the page: where the slider is, what is open, scrolled and in use.
  function remember() {
    const slider = byId("stop");
    const scrolled = [...document.querySelectorAll(".wide[id]")].map((box) => [box.id, box.scrollLeft]);
    return {
      at: slider && Number(slider.value) < Number(slider.max) ? slider.value : null,
      open: [...document.querySelectorAll("details[open]")].map((part) => part.id),
      scrolled,
      top: window.scrollY,
      active: document.activeElement && document.activeElement.id,
    };
  }

  function recall({ at, open, scrolled, top, active }) {
    const slider = byId("stop");
    // Who stood at the end stays at the end.
    if (slider && at !== null) slider.value = at;
    open.forEach((id) => byId(id) && (byId(id).open = true));
    begin();
    scrolled.forEach(([id, left]) => byId(id) && (byId(id).scrollLeft = left));
    if (active && byId(active)) byId(active).focus({ preventScroll: true });
    window.scrollTo(0, top);
  }

  function renew(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const kept = remember();
    for (const id of ["page", "lead", "data"]) byId(id).replaceChildren(...next.getElementById(id).childNodes);
    document.title = next.title;
    recall(kept);
  }

  // The page asks its server for itself, and is told when nothing is new.
  async function poll() {
    let tag = null;
    for (;;) {
      try {
        const answer = await fetch(location.pathname, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
        if (answer.status === 200) {
          tag = answer.headers.get("ETag");
          renew(await answer.text());
        } else if (answer.status !== 304) {
          throw new Error(String(answer.status));
        }
        byId("news").textContent = "";
      } catch {
        byId("news").textContent = "The program that shows this page does not answer; it is shown as it was.";
      }
      await new Promise((done) => setTimeout(done, 2000));
    }
  }

  begin();
  if (document.body.hasAttribute("data-live")) poll();
})();
