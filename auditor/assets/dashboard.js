// What the pages do beyond what the server renders: plots, a pause for updates, and words for those who listen.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  let paused = false;

  // Updates can be paused, so that what is being read does not move.
  const pause = byId("pause");
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume updates" : "Pause updates";
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (paused || document.hidden) event.preventDefault();
  });

  // What is shown is old as soon as the auditor does not answer.
  const offline = byId("offline");
  const answered = (ok) => {
    if (offline.hidden !== ok) offline.hidden = ok;
  };
  document.body.addEventListener("htmx:sendError", () => answered(false));
  document.body.addEventListener("htmx:responseError", () => answered(false));
  document.body.addEventListener("htmx:afterSwap", () => answered(true));

  // The banner is swapped every few seconds; it is read out only when it says something else.
  const announce = byId("announce");
  let said = null;
  const say = () => {
    const banner = document.querySelector("[data-announce]");
    const words = banner ? banner.dataset.announce : "";
    if (said !== null && words !== said) announce.textContent = words;
    said = words;
  };
  document.body.addEventListener("htmx:afterSettle", say);
  say();

  // Plots: each figure names where its points are.
  const PERIOD = 5000;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const time = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  class Plot {
    constructor(figure) {
      this.figure = figure;
      this.target = figure.querySelector(".plot");
      this.caption = figure.querySelector("figcaption");
      this.data = [[], []];
      this.plot = null;
      new ResizeObserver(() => this.resize()).observe(figure);
    }
    size() {
      return { width: Math.max(200, this.target.clientWidth), height: 180 };
    }
    resize() {
      if (this.plot && this.plot.width !== this.size().width) this.plot.setSize(this.size());
    }
    draw() {
      if (this.plot) this.plot.destroy();
      const [text, grid, line, fill] = ["--text", "--line", "--plot", "--plot-fill"].map(color);
      const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
      const options = {
        ...this.size(),
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        scales: { y: { range: (_, low, high) => [Math.max(0, low - 1), high + 1] } },
        axes: [{ ...axis }, { ...axis, size: 64 }],
        series: [{}, { stroke: line, fill, width: 2, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
      };
      this.plot = new uPlot(options, this.data, this.target);
    }
    describe() {
      const [times, sizes] = this.data;
      if (times.length < 2) {
        this.caption.textContent = "Nothing to plot yet.";
        return;
      }
      const end = times.length - 1;
      const at = (i) => `${sizes[i].toLocaleString("en")} on ${time.format(times[i] * 1000)}`;
      this.caption.textContent = `Entries over time: from ${at(0)} to ${at(end)}.`;
    }
    async load() {
      const answer = await fetch(this.figure.dataset.plot, { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error("no points");
      const { points } = await answer.json();
      this.data = [points.map((point) => point.at_ms / 1000), points.map((point) => point.size)];
      this.describe();
      if (this.plot) this.plot.setData(this.data);
      else this.draw();
      this.figure.dataset.drawn = String(points.length);
    }
  }
  const plots = [...document.querySelectorAll("[data-plot]")].map((figure) => new Plot(figure));
  const refresh = async () => {
    if (!paused && !document.hidden) {
      await Promise.allSettled(plots.map((plot) => plot.load()));
    }
    setTimeout(refresh, PERIOD);
  };
  if (plots.length > 0) refresh();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plots.filter((plot) => plot.plot).forEach((plot) => plot.draw());
  });
})();
