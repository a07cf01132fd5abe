// The page: what its data has, from top to bottom, and how long that took.

function buildPage(data) {
  const page = document.getElementById("page");
  const header = element("header", {}, element("h1", { textContent: Format.name(data.title) }));
  if (data.subtitle) header.append(element("p", { textContent: Format.name(data.subtitle) }));
  page.replaceChildren(header);
  if (data.notes?.length)
    page.append(element("ul", { className: "notes" }, ...data.notes.map(note => element("li", { textContent: Format.name(note) }))));
  const charts = data.series?.length ? appendCharts(page, data) : [];
  for (const { title, columns, rows } of data.tables || [])
    page.append(element("section", {}, element("h2", { textContent: Format.name(title) }),
      element("div", { className: "table-scroll" }, table(columns, rows.map(row => row.map(cell => cell ?? ""))))));
  const graphs = (data.graphs || []).map(graph => new Flame(graph));
  for (const graph of graphs) page.append(graph.element);
  for (const drawn of [...charts, ...graphs]) drawn.draw();
  return { charts, graphs };
}

function appendCharts(page, data) {
  const { charts, clock } = buildCharts(data);
  page.append(element("section", {}, element("div", { className: "section-head" },
    element("h2", { textContent: "Over time" }), clock),
  element("div", { className: "charts" }, ...charts.map(chart => chart.element))));
  return charts;
}

// What tests and measurements look at. `painted_ms`: since the page was opened.
function start() {
  const begin = performance.now();
  const data = JSON.parse(document.getElementById("data").textContent);
  const parsed = performance.now();
  window.flame = { ...buildPage(data), Format, ticksBetween };
  const drawn = performance.now();
  performance.mark("flame-drawn");
  const figures = { parse_ms: parsed - begin, build_ms: drawn - parsed, drawn_ms: drawn,
    nodes: window.flame.graphs.map(graph => graph.tree.count - 1), frames: window.flame.graphs.map(graph => graph.drawn) };
  document.documentElement.dataset.figures = JSON.stringify(figures);
  requestAnimationFrame(() => setTimeout(() => {
    document.documentElement.dataset.figures = JSON.stringify({ ...figures, painted_ms: performance.now() });
  }));
}

addEventListener("keydown", event => {
  if (event.key !== "/" || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const input = document.querySelector(".flame input[type=search]");
  if (!input) return;
  event.preventDefault();
  input.focus();
});

start();
