// The river: where traffic comes in, and which way it goes to servers. Widths are requests, red is what fails.

function riverView() {
  const COLUMNS = [["listener", "Listeners"], ["route", "Routes"], ["split", "Splits"], ["pool", "Pools"], ["server", "Servers"]];
  const MOST = 16, WIDTH = 1200, BAR = 10, GAP = 14, TOP = 26, WIDEST = 54;
  const picture = Dom.svg("svg", { class: "river", role: "group", "aria-label": "Traffic from listeners over routes, splits and pools to servers" });
  const note = element("p", { className: "note", textContent: "Requests a second of the last ten seconds. Each place leads to what is known of it." });
  const key = (kind, ...names) => JSON.stringify([kind, ...names]);

  // Nodes by column, the busiest first, and edges between them.
  function build({ listeners, routes, pools, servers, places, splits }) {
    const nodes = new Map(), edges = [];
    const put = (kind, id, row, name, link) => nodes.set(id, { kind, id, name, link, requests: row.requests, errors: row.errors });
    const seconds = listeners.seconds;
    for (const row of listeners.rows) put("listener", key("listener", row.name), row, row.name, Place.link("failures", { listener: row.name }));
    for (const row of routes.rows) put("route", key("route", row.of, row.name), row, row.name, Place.link("failures", { listener: row.of, route: row.name }));
    for (const row of pools.rows) put("pool", key("pool", row.name), row, row.name, Place.link("servers", { pool: row.name }));
    for (const row of servers.rows) put("server", key("server", row.of, row.name), row, row.name, Place.link("servers", { pool: row.of, search: row.name }));
    const join = (from, to, requests, errors) => edges.push({ from, to, requests, errors });
    const perSplit = new Map();
    for (const route of places) {
      const row = nodes.get(key("route", route.listener, route.name));
      if (!row) continue;
      join(key("listener", route.listener), row.id, row.requests, row.errors);
      if (route.pool) join(row.id, key("pool", route.pool), row.requests, row.errors);
      if (!route.split) continue;
      const id = key("split", route.split), sum = perSplit.get(id) ?? { requests: 0, errors: 0 };
      perSplit.set(id, { requests: sum.requests + row.requests, errors: sum.errors + row.errors });
      join(row.id, id, row.requests, row.errors);
    }
    for (const split of splits) {
      const id = key("split", split.name), sum = perSplit.get(id) ?? { requests: 0, errors: 0 };
      put("split", id, sum, split.name, Place.link("splits"));
      for (const variant of split.variants) join(id, key("pool", variant.pool), sum.requests * variant.weight / 100, 0);
    }
    for (const row of servers.rows) join(key("pool", row.of), key("server", row.of, row.name), row.requests, row.errors);
    return { nodes, edges, seconds };
  }

  function lay({ nodes, edges }) {
    const columns = COLUMNS.map(([kind]) => [...nodes.values()].filter(node => node.kind === kind)
      .sort((a, b) => b.requests - a.requests || (a.name < b.name ? -1 : 1)));
    const most = Math.max(1, ...columns.map(column => column.slice(0, MOST).reduce((sum, node) => sum + node.requests, 0)));
    let height = 0;
    columns.forEach((column, number) => {
      let y = TOP;
      column.slice(0, MOST).forEach(node => {
        node.size = Math.max(4, node.requests / most * WIDEST * 5);
        node.x = 10 + number * (WIDTH - 210) / (COLUMNS.length - 1);
        node.y = y;
        node.in = node.out = 0;
        y += Math.max(node.size, 16) + GAP;
      });
      height = Math.max(height, y);
    });
    for (const edge of edges) edge.width = Math.max(1, edge.requests / most * WIDEST * 5);
    return { columns, height };
  }

  const isFailing = place => place.errors > 0.01 * place.requests;

  function drawEdge(edge, nodes) {
    const from = nodes.get(edge.from), to = nodes.get(edge.to);
    if (from?.x === undefined || to?.x === undefined) return null;
    const x1 = from.x + BAR, x2 = to.x, y1 = from.y + from.out + edge.width / 2, y2 = to.y + to.in + edge.width / 2;
    from.out += Math.min(edge.width, from.size);
    to.in += Math.min(edge.width, to.size);
    const middle = (x1 + x2) / 2;
    return Dom.svg("path", { class: `edge${isFailing(edge) ? " is-failing" : ""}`, "stroke-width": edge.width.toFixed(1),
      d: `M${x1} ${y1.toFixed(1)}C${middle} ${y1.toFixed(1)} ${middle} ${y2.toFixed(1)} ${x2} ${y2.toFixed(1)}` });
  }

  function drawNode(node, seconds) {
    const figures = `${Words.rate(node.requests, seconds)}/s${node.errors ? `, ${Words.share(node.errors, node.requests)} errors` : ""}`;
    const name = Words.name(node.name), shown = name.length > 24 ? `${name.slice(0, 23)}…` : name;
    const link = Dom.svg("a", { href: node.link, class: isFailing(node) ? "is-failing" : node.requests ? "" : "is-idle" });
    link.dataset.id = node.id;
    const box = Dom.svg("rect", { x: node.x, y: node.y, width: BAR, height: node.size.toFixed(1), rx: 2 });
    const text = Dom.svg("text", { x: node.x + BAR + 6, y: node.y + 11 });
    text.textContent = `${shown} `; // apart from the figures for who hears it
    const more = Dom.svg("text", { class: "quiet", x: node.x + BAR + 6, y: node.y + 24 });
    more.textContent = figures;
    link.append(box, text, more);
    return link;
  }

  function draw(answer) {
    const river = build(answer), { columns, height } = lay(river);
    const edges = Dom.svg("g", { "aria-hidden": "true" }, ...river.edges.map(edge => drawEdge(edge, river.nodes)).filter(Boolean));
    const groups = columns.map((column, number) => {
      const title = Dom.svg("text", { class: "quiet", x: 10 + number * (WIDTH - 210) / (COLUMNS.length - 1), y: 12 });
      title.textContent = column.length > MOST ? `${COLUMNS[number][1]}: the busiest ${MOST}` : COLUMNS[number][1];
      return Dom.svg("g", { role: "group", "aria-label": title.textContent }, title, ...column.slice(0, MOST).map(node => drawNode(node, river.seconds)));
    });
    // Whoever has a place in focus keeps it.
    const focused = picture.contains(document.activeElement) && document.activeElement.dataset.id;
    picture.setAttribute("viewBox", `0 0 ${WIDTH} ${height + 10}`);
    picture.replaceChildren(edges, ...groups);
    if (focused) [...picture.querySelectorAll("a")].find(link => link.dataset.id === focused)?.focus();
  }

  return {
    title: "River", every: 2000, element: element("div", {}, note, element("div", { className: "scroll" }, picture)),
    async load() {
      const ask = kind => Api.get("/api/v1/traffic", { kind, sort: "requests", limit: 100 });
      const [listeners, routes, pools, servers, places, splits] = await Promise.all([ask("listener"), ask("route"), ask("pool"), ask("server"),
        Api.get("/api/v1/routes"), Api.get("/api/v1/splits")]);
      return { listeners, routes, pools, servers, places: places.routes, splits: splits.splits };
    },
    update: draw,
  };
}
