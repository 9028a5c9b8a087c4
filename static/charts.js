// The curves of a run. The server lays out behaviour, axis and marks anew with each state of the run; the loss is drawn
// here, from a JSON address and then one point for each `metric` event, by the rules of app/web/curves.py.
// Points are kept by iteration, so that what comes twice is drawn once. Only the SVG stretches; words are HTML.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SMOOTHING = 0.75; // weight of the past in the thick line
  const PARTS = 4; // of the loss's own axis
  const NEAR = 12; // pixels: so near to a checkpoint the pointer means the checkpoint

  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, useGrouping: true });
  const whole = new Intl.NumberFormat("en");
  const fixed = (places) => (value) => (value === null || value === undefined ? "–" : value.toFixed(places));
  const rate = (value) => (value >= 0.01 || value === 0 ? String(Number(value.toPrecision(3))) : Number(value.toPrecision(3)).toExponential().replace("+", ""));
  const count = (some, all) => (all ? `${some}/${all}` : "–");

  function shape(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  // The next round number above the highest loss.
  function ceiling(losses) {
    const top = Math.max(...losses, 1e-6);
    const unit = 10 ** Math.floor(Math.log10(top));
    return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10].map((step) => step * unit).find((step) => step >= top) ?? 10 * unit;
  }

  function line(points, toY) {
    let isDrawing = false;
    return points.map(([x, y]) => {
      if (y === null) { isDrawing = false; return ""; }
      const command = `${isDrawing ? "L" : "M"}${x} ${toY(y).toFixed(2)}`;
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

  const NAMES = ["iteration", "updates", "hits", "asked", "leaks", "open", "similarity", "identityNll", "generalNll", "verdict"];
  const nearest = (rows, at) => rows.reduce((best, row) => (Math.abs(row[0] - at) < Math.abs(best[0] - at) ? row : best), rows[0]);

  class Curves {
    constructor(root) {
      this.root = root;
      this.points = new Map();
      this.rows = [];
      this.planned = 0;
      this.at = null; // the iteration that is read off; null for the newest
      this.isDrawn = true;
      this.isOver = !document.getElementById(root.dataset.events);
    }

    part(selector) { return this.root.querySelector(selector); }

    get end() { return Math.max(Number(this.root.dataset.end), this.planned, this.rows.at(-1)?.[0] ?? 0); }

    get readings() {
      if (this.told !== this.root.dataset.readings) {
        this.told = this.root.dataset.readings;
        this.known = JSON.parse(this.told).map((row) => Object.fromEntries(NAMES.map((name, place) => [name, row[place]])));
      }
      return this.known;
    }

    finish() {
      this.isOver = true;
      this.draw();
    }

    add(rows) {
      for (const row of rows) this.points.set(row[0], row);
      if (this.isDrawn) requestAnimationFrame(() => this.draw()); // many events, one drawing
      this.isDrawn = false;
    }

    // The run went on from a checkpoint: what was measured after it is measured again.
    cut(last) {
      for (const iteration of this.points.keys()) if (iteration > last) this.points.delete(iteration);
      this.add([]);
    }

    async begin() {
      const reply = await fetch(this.root.dataset.history, { headers: { Accept: "application/json" } });
      if (!reply.ok) return;
      const { iterations, points } = await reply.json();
      this.planned = iterations;
      // what an event brought while this was on its way is newer
      this.add(points.filter(([iteration]) => !this.points.has(iteration)));
    }

    draw() {
      this.isDrawn = true;
      this.rows = [...this.points.values()].sort((a, b) => a[0] - b[0]);
      const chart = this.part("#loss-chart"), svg = chart.querySelector("svg"), { rows, end, readings } = this;
      chart.dataset.points = rows.length;
      this.showEmpty(chart, rows.length === 0);
      const heldOut = ["identityNll", "generalNll"].map((name) => readings.filter((each) => each[name] !== null).map((each) => [each.iteration, each[name]]));
      const loss = rows.map(([x, y]) => [x, y]);
      this.top = ceiling([...loss, ...heldOut.flat()].map(([, y]) => y).filter((y) => y !== null));
      const topRate = Math.max(...rows.map((row) => row[2]), Number.MIN_VALUE);
      const toY = (value) => 100 - (100 * value) / this.top;
      svg.setAttribute("viewBox", `0 0 ${end} 100`);
      svg.replaceChildren(
        ...Array.from({ length: PARTS }, (_, part) => (100 * part) / PARTS).map((y) => shape("line", { class: "grid", x1: 0, x2: end, y1: y, y2: y })),
        shape("path", { class: "series-raw", d: line(loss, toY) }),
        shape("path", { class: "series-lr", d: line(rows.map(([x, , y]) => [x, y]), (value) => 100 - (92 * value) / topRate) }),
        ...["identity", "general"].map((name, place) => shape("path", { class: `series-nll-${name}`, d: line(heldOut[place], toY) })),
        shape("path", { class: "series", d: line(smooth(loss), toY) }),
      );
      const labels = rows.length ? Array.from({ length: PARTS + 1 }, (_, part) => number.format(this.top - (this.top * part) / PARTS)) : [];
      chart.querySelector(".chart-y").replaceChildren(...labels.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
      const last = rows.at(-1);
      if (last) svg.setAttribute("aria-label", this.root.dataset.label.replace("{last}", fixed(3)(last[1])).replace("{iteration}", last[0]));
      this.read();
    }

    showEmpty(chart, isEmpty) {
      const note = chart.querySelector(".chart-empty");
      if (!isEmpty) note?.remove();
      else if (!note) chart.appendChild(Object.assign(document.createElement("p"), { className: "chart-empty" })).append(Object.assign(document.createElement("span"), { textContent: this.root.dataset.empty }));
    }

    // ── Reading values off ─────────────────────────────────────────────────

    // What is told is that of the iteration, and of the last checkpoint up to there that has answered.
    read() {
      const row = this.rows.length ? (this.at === null ? this.rows.at(-1) : nearest(this.rows, this.at)) : null;
      const at = this.at ?? Math.max(row?.[0] ?? 0, this.readings.at(-1)?.iteration ?? 0);
      const reading = this.readings.findLast((each) => each.iteration <= at) ?? this.readings[0];
      const isMeasured = row && (row[0] === at || this.at === null);
      this.tell("iteration", whole.format(at));
      this.tell("loss", isMeasured ? fixed(3)(row[1]) : "–");
      this.tell("rate", isMeasured ? rate(row[2]) : "–");
      if (reading) this.tellReading(reading);
      this.point(at, isMeasured ? row : null, reading);
    }

    tellReading(reading) {
      const checkpoint = this.part("[data-reads='checkpoint']");
      this.tell("checkpoint", reading.iteration ? whole.format(reading.iteration) : checkpoint?.dataset.base);
      this.tell("identity", count(reading.hits, reading.asked));
      this.tell("leak", count(reading.leaks, reading.open));
      this.tell("similarity", fixed(2)(reading.similarity));
      this.tell("identity-nll", fixed(3)(reading.identityNll));
      this.tell("general-nll", fixed(3)(reading.generalNll));
      const place = this.part("[data-reads='verdict']");
      if (!place) return;
      place.hidden = !reading.verdict;
      const mark = place.querySelector(".verdict"), use = place.querySelector("use");
      if (!reading.verdict || mark.dataset.verdict === reading.verdict) return;
      mark.dataset.verdict = reading.verdict;
      use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${reading.verdict}`));
      mark.lastChild.textContent = JSON.parse(this.root.dataset.words)[reading.verdict];
    }

    tell(name, text) {
      const place = this.part(`[data-reads='${name}']`);
      if (place && place.textContent !== text) place.textContent = text;
    }

    // Lines through both panels, a dot where they cross the loss, and the words for who hears them.
    point(at, row, reading) {
      const cursor = this.part("#curve-cursor"), { end } = this, last = this.rows.at(-1);
      const across = (name, iteration) => shape("line", { class: name, x1: `${(100 * iteration) / end}%`, x2: `${(100 * iteration) / end}%`, y1: 0, y2: "100%" });
      const isGoingOn = last && !this.isOver && last[0] < end;
      cursor.querySelector("svg").replaceChildren(...(isGoingOn ? [across("now", last[0])] : []), ...(this.at === null ? [] : [across("at", at)]));
      this.root.querySelectorAll(".dot-at").forEach((dot) => dot.remove());
      if (this.at !== null && row && row[1] !== null) this.part("#loss-chart svg").append(shape("path", { class: "dot-at", d: `M${row[0]} ${100 - (100 * row[1]) / this.top}h0` }));
      cursor.setAttribute("aria-valuemax", end);
      cursor.setAttribute("aria-valuenow", at);
      cursor.setAttribute("aria-valuetext", [...this.root.querySelectorAll(".curve-at > :not([hidden]), [data-key]")].map((each) => each.textContent.trim().replace(/\s+/g, " ")).join(", "));
    }

    move(at) {
      this.at = at;
      this.read();
    }

    follow(event) {
      const box = event.currentTarget.getBoundingClientRect(), { end } = this;
      const under = Math.min(end, Math.max(0, (end * (event.clientX - box.left)) / box.width));
      const stops = this.readings.map((each) => [each.iteration]);
      const stop = stops.length ? nearest(stops, under)[0] : null;
      if (stop !== null && Math.abs(stop - under) * box.width < NEAR * end) this.move(stop);
      else if (this.rows.length) this.move(nearest(this.rows, under)[0]);
    }

    // Arrows go from checkpoint to checkpoint, with Shift from iteration to iteration.
    press(event) {
      const stops = (event.shiftKey || !this.readings.length ? this.rows.map((row) => row[0]) : this.readings.map((each) => each.iteration));
      if (!stops.length) return;
      const from = this.at ?? stops.at(-1);
      const moves = {
        ArrowLeft: () => stops.findLast((stop) => stop < from) ?? stops[0],
        ArrowRight: () => stops.find((stop) => stop > from) ?? stops.at(-1),
        Home: () => stops[0],
        End: () => stops.at(-1),
        Escape: () => null,
      };
      moves.ArrowDown = moves.ArrowLeft;
      moves.ArrowUp = moves.ArrowRight;
      if (!moves[event.key]) return;
      event.preventDefault();
      this.move(moves[event.key]());
    }

    listen() {
      const cursor = this.part("#curve-cursor"), events = document.getElementById(this.root.dataset.events);
      for (const kind of ["pointermove", "pointerdown"]) cursor.addEventListener(kind, (event) => this.follow(event));
      cursor.addEventListener("pointerleave", () => this.move(null));
      cursor.addEventListener("blur", () => this.move(null));
      cursor.addEventListener("keydown", (event) => this.press(event));
      events?.addEventListener("metric", (event) => this.add([JSON.parse(event.detail.data)]));
      events?.addEventListener("cut", (event) => this.cut(Number(event.detail.data)));
      events?.addEventListener("end", () => this.finish());
      document.addEventListener("htmx:after:swap", () => this.draw()); // the words and the marks may be new
    }
  }

  for (const root of document.querySelectorAll("[data-chart='curves']")) {
    const curves = new Curves(root);
    curves.listen();
    curves.draw();
    curves.begin();
  }
})();
