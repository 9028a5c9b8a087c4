// The loss curve of a run: history from a JSON address, then one point for each `metric` event.
// Points are kept by iteration, so that what comes twice is drawn once. Only the SVG stretches; labels are HTML.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SMOOTHING = 0.75; // weight of the past in the thick line
  const X_PARTS = 5;
  const Y_PARTS = 4;

  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, useGrouping: true });

  function shape(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  function words(parent, texts) {
    parent.replaceChildren(...texts.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  }

  // The next round number above the highest loss that is not an outlier of the first steps.
  function ceiling(losses) {
    const top = Math.max(...losses, 1e-6);
    const unit = 10 ** Math.floor(Math.log10(top));
    return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10].map((step) => step * unit).find((step) => step >= top);
  }

  function line(points, toX, toY) {
    let isDrawing = false;
    return points.map(([x, y]) => {
      if (y === null) { isDrawing = false; return ""; }
      const command = `${isDrawing ? "L" : "M"}${toX(x)} ${toY(y).toFixed(2)}`;
      isDrawing = true;
      return command;
    }).join(" ");
  }

  function smooth(points) {
    let mean = null;
    return points.map(([x, y]) => {
      if (y !== null) mean = mean === null ? y : SMOOTHING * mean + (1 - SMOOTHING) * y;
      return [x, y === null ? null : mean];
    });
  }

  class LossChart {
    constructor(figure) {
      this.figure = figure;
      this.points = new Map();
      this.iterations = Number(figure.dataset.iterations);
      this.isDrawn = true;
      this.isOver = !document.getElementById(figure.dataset.events);
    }

    end() {
      this.isOver = true;
      this.draw();
    }

    add(rows) {
      for (const [iteration, loss, rate] of rows) this.points.set(iteration, [iteration, loss, rate]);
      if (this.isDrawn) requestAnimationFrame(() => this.draw()); // many events, one drawing
      this.isDrawn = false;
    }

    // The run went on from a checkpoint: what was measured after it is measured again.
    cut(last) {
      for (const iteration of this.points.keys()) if (iteration > last) this.points.delete(iteration);
      this.add([]);
    }

    async begin() {
      const reply = await fetch(this.figure.dataset.history, { headers: { Accept: "application/json" } });
      if (!reply.ok) return;
      const { iterations, points } = await reply.json();
      this.iterations = iterations || this.iterations;
      // what an event brought while this was on its way is newer
      this.add(points.filter(([iteration]) => !this.points.has(iteration)));
    }

    draw() {
      this.isDrawn = true;
      const rows = [...this.points.values()].sort((a, b) => a[0] - b[0]);
      const losses = rows.map((row) => row[1]).filter((loss) => loss !== null);
      this.figure.dataset.points = rows.length;
      this.showEmpty(rows.length === 0);
      const grid = (end) => Array.from({ length: Y_PARTS }, (_, part) => (100 * part) / Y_PARTS).map((y) => shape("line", { class: "grid", x1: 0, x2: end, y1: y, y2: y }));
      if (rows.length === 0) {
        this.figure.querySelector("svg").replaceChildren(...grid(100));
        return;
      }
      const last = rows.at(-1);
      const end = Math.max(this.iterations, last[0]);
      const top = ceiling(losses);
      const topRate = Math.max(...rows.map((row) => row[2]), Number.MIN_VALUE);
      const toX = (iteration) => iteration;
      const lossY = (loss) => 100 - (100 * loss) / top;
      const rateY = (rate) => 100 - (92 * rate) / topRate;
      const svg = this.figure.querySelector("svg");
      svg.setAttribute("viewBox", `0 0 ${end} 100`);
      const raw = rows.map(([x, loss]) => [x, loss]);
      svg.replaceChildren(
        ...grid(end),
        shape("path", { class: "series-raw", d: line(raw, toX, lossY) }),
        shape("path", { class: "series-lr", d: line(rows.map(([x, , rate]) => [x, rate]), toX, rateY) }),
        shape("path", { class: "series", d: line(smooth(raw), toX, lossY) }),
        ...(last[0] < end && !this.isOver ? [shape("line", { class: "now", x1: last[0], x2: last[0], y1: 0, y2: 100 })] : []),
      );
      words(this.figure.querySelector(".chart-y"), Array.from({ length: Y_PARTS + 1 }, (_, part) => number.format(top - (top * part) / Y_PARTS)));
      words(this.figure.querySelector(".chart-x"), Array.from({ length: X_PARTS + 1 }, (_, part) => number.format(Math.round((end * part) / X_PARTS))));
      const label = this.figure.dataset.label.replace("{last}", last[1] === null ? "–" : number.format(last[1])).replace("{iteration}", last[0]);
      svg.setAttribute("aria-label", label);
    }

    showEmpty(isEmpty) {
      const note = this.figure.querySelector(".chart-empty");
      if (!isEmpty) note?.remove();
      else if (!note) this.figure.appendChild(Object.assign(document.createElement("p"), { className: "chart-empty" })).append(Object.assign(document.createElement("span"), { textContent: this.figure.dataset.empty }));
    }
  }

  for (const figure of document.querySelectorAll("[data-chart='loss']")) {
    const chart = new LossChart(figure);
    const events = document.getElementById(figure.dataset.events);
    events?.addEventListener("metric", (event) => chart.add([JSON.parse(event.detail.data)]));
    events?.addEventListener("cut", (event) => chart.cut(Number(event.detail.data)));
    events?.addEventListener("end", () => chart.end());
    chart.draw();
    chart.begin();
  }
})();
