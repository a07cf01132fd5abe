// Time lines: small multiples that share their time axis and the place that the mouse points at.

class Chart {
  static HEIGHT = 132;
  static MARGIN = { left: 58, right: 10, top: 8, bottom: 20 };

  // `series` of one group; `time`: {start_ms, interval_ms, points}; `onPoint(at)` is told the place pointed at.
  constructor(name, series, time, onPoint) {
    this.series = series;
    this.time = time;
    this.unit = series[0].unit;
    this.point = -1;
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.canvas = element("canvas", { className: "chart-canvas", tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${name} over time. Arrow keys move along it.`);
    this.values = series.map(() => element("b"));
    const keys = series.map((line, at) => element("span", { className: "entry" },
      element("i", { className: `swatch line-${at % 6}` }), `${Format.name(line.name)} `, this.values[at]));
    this.element = element("figure", { className: "chart" },
      element("figcaption", {}, element("h3", { textContent: Format.name(name) }),
        element("span", { className: "keys" }, ...keys)),
      this.canvas);
    this.listen(onPoint);
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.scheme.addEventListener("change", () => this.draw());
  }

  listen(onPoint) {
    const last = this.time.points - 1;
    const pointAt = x => Math.min(Math.max(Math.round(this.fraction(x) * last), 0), last);
    this.canvas.addEventListener("mousemove", event => onPoint(pointAt(event.offsetX)));
    this.canvas.addEventListener("mouseleave", () => onPoint(-1));
    this.canvas.addEventListener("keydown", event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      onPoint(Math.min(Math.max((this.point < 0 ? last : this.point) + step, 0), last));
    });
  }

  // 0 at the left end of the time axis, 1 at the right.
  fraction(x) {
    const { left, right } = Chart.MARGIN;
    return (x - left) / Math.max(this.canvas.clientWidth - left - right, 1);
  }

  setPoint(point) {
    this.point = point;
    this.draw();
  }

  draw() {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const context = fitCanvas(this.canvas, width, Chart.HEIGHT);
    const style = getComputedStyle(this.canvas);
    this.ink = { text: style.getPropertyValue("--quiet"), grid: style.getPropertyValue("--line"),
      lines: this.series.map((_, at) => style.getPropertyValue(`--line-${at % 6}`)) };
    context.clearRect(0, 0, width, Chart.HEIGHT);
    context.font = "11px system-ui, sans-serif";
    this.setScale(width);
    this.drawValueAxis(context, width);
    this.drawTimeAxis(context, width);
    this.series.forEach((line, at) => this.drawLine(context, line.values, this.ink.lines[at]));
    this.drawPoint(context);
    this.showValues();
  }

  // Axes begin at 0 unless what changes would be flat there.
  setScale(width) {
    const { left, right, top, bottom } = Chart.MARGIN;
    const values = this.series.flatMap(line => line.values).filter(value => value !== null);
    const least = values.reduce((low, value) => Math.min(low, value), Infinity);
    const most = values.reduce((high, value) => Math.max(high, value), -Infinity);
    const isFlat = least > 0 && most - least < most * 0.25 && most > least;
    const [from, to] = values.length ? [isFlat ? least : Math.min(least, 0), most] : [0, 1];
    this.ticks = ticksBetween(from, to > from ? to : from + 1, 4, this.unit === "bytes");
    const [low, high] = [this.ticks[0], this.ticks[this.ticks.length - 1]];
    this.y = value => top + (Chart.HEIGHT - top - bottom) * (1 - (value - low) / (high - low));
    this.x = point => left + (width - left - right) * (this.time.points > 1 ? point / (this.time.points - 1) : 0);
  }

  drawValueAxis(context, width) {
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of this.ticks) {
      const y = Math.round(this.y(tick)) + 0.5;
      context.fillStyle = this.ink.grid;
      context.fillRect(Chart.MARGIN.left, y - 0.5, width - Chart.MARGIN.left - Chart.MARGIN.right, 1);
      context.fillStyle = this.ink.text;
      context.fillText(Format.tick(tick, this.unit), Chart.MARGIN.left - 7, y);
    }
  }

  drawTimeAxis(context, width) {
    const seconds = (this.time.points - 1) * this.time.interval_ms / 1000;
    if (!(seconds > 0)) return;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.fillStyle = this.ink.text;
    const [size, name] = seconds > 7200 ? [3600, "h"] : seconds > 300 ? [60, "min"] : [1, "s"];
    for (const tick of ticksBetween(0, seconds / size, Math.max(Math.floor(width / 110), 1), false)) {
      const x = this.x(tick * size * 1000 / this.time.interval_ms);
      if (tick * size > seconds || x >= width - 14) continue;
      context.fillText(`${Number(tick.toFixed(3))} ${name}`, x, Chart.HEIGHT - 5);
    }
  }

  drawLine(context, values, color) {
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    values.forEach((value, point) => {
      if (value === null) return;
      const isStart = point === 0 || values[point - 1] === null;
      context[isStart ? "moveTo" : "lineTo"](this.x(point), this.y(value));
      if (isStart && (values[point + 1] ?? null) === null) context.lineTo(this.x(point) + 1, this.y(value));
    });
    context.stroke();
  }

  drawPoint(context) {
    if (this.point < 0) return;
    const x = Math.round(this.x(this.point));
    context.fillStyle = this.ink.text;
    context.fillRect(x, Chart.MARGIN.top, 1, Chart.HEIGHT - Chart.MARGIN.top - Chart.MARGIN.bottom);
    this.series.forEach((line, at) => {
      const value = line.values[this.point] ?? null;
      if (value === null) return;
      context.fillStyle = this.ink.lines[at];
      context.beginPath();
      context.arc(x + 0.5, this.y(value), 3, 0, 2 * Math.PI);
      context.fill();
    });
  }

  // At the place pointed at; without one, the last.
  showValues() {
    this.series.forEach((line, at) => {
      const value = line.values[this.point < 0 ? line.values.length - 1 : this.point] ?? null;
      this.values[at].textContent = value === null ? "–" : Format.value(Number(value.toPrecision(5)), line.unit);
    });
  }
}

// Round numbers from at most `from` to at least `to`, about `count` steps apart.
function ticksBetween(from, to, count, isBinary) {
  const rough = (to - from) / count;
  const base = isBinary ? 1024 ** Math.max(Math.floor(Math.log(2 * rough) / Math.log(1024)), 0) : 1;
  const power = 10 ** Math.floor(Math.log10(rough / base));
  const step = base * power * [1, 2, 5, 10].find(size => base * power * size >= rough * 0.999);
  const ticks = [];
  for (let at = Math.floor(from / step + 1e-9); ticks.length < 100; at++) {
    ticks.push(at * step);
    if (at * step >= to - step * 1e-9) break;
  }
  return ticks;
}

// All charts of a report, one for each group, in the order of the series.
function buildCharts(data) {
  const groups = new Map();
  for (const line of data.series) {
    if (!groups.has(line.group)) groups.set(line.group, []);
    groups.get(line.group).push(line);
  }
  const points = Math.max(1, ...data.series.map(line => line.values.length));
  const time = { start_ms: data.start_ms, interval_ms: data.interval_ms, points };
  const clock = element("output", { className: "clock" });
  const charts = [];
  const onPoint = point => {
    charts.forEach(chart => chart.setPoint(point));
    clock.textContent = point < 0 ? "" : timeOf(time, point);
  };
  for (const [name, series] of groups) charts.push(new Chart(name, series, time, onPoint));
  return { charts, clock };
}

function timeOf(time, point) {
  const after = `${(point * time.interval_ms / 1000).toFixed(time.interval_ms < 1000 ? 2 : 0)} s`;
  if (!time.start_ms) return after;
  return `${new Date(time.start_ms + point * time.interval_ms).toLocaleTimeString("en", { hour12: false })}, ${after}`;
}
