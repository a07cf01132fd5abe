// What goes on now: requests, errors and latency of each listener, route, pool and server, and the last hour of each.

function nowView(place) {
  const KINDS = [["listener", "Listeners"], ["route", "Routes"], ["pool", "Pools"], ["server", "Servers"]];
  const STEPS = { "5 minutes": [1, 300], hour: [10, 360], day: [60, 1440] };
  const DRAWN = new Set(["marker", "reloaded", "generation_used", "upgraded", "ready"]); // what may have changed everything at once
  let span = Object.hasOwn(STEPS, place.query.charts) ? place.query.charts : "hour", sort = "", search = "";

  const columnsOf = kind => [
    { title: "Name", show(cell, { row }) {
      const link = cell.firstChild ?? cell.appendChild(element("a"));
      Dom.setText(link, row.of === null ? Words.name(row.name) : `${Words.name(row.of)} / ${Words.name(row.name)}`);
      link.href = linkOf(kind, row);
    } },
    { title: "Requests/s", kind: "number", show: Dom.text(({ row, seconds }) => Words.rate(row.requests, seconds)) },
    { title: "Errors", kind: "number", show(cell, { row }) {
      Dom.setText(cell, Words.share(row.errors, row.requests));
      cell.classList.toggle("is-wrong", row.errors > 0);
    } },
    { title: "p50", kind: "number", show: Dom.text(({ row }) => Words.ms(row.p50_ms)) },
    { title: "p95", kind: "number", show: Dom.text(({ row }) => Words.ms(row.p95_ms)) },
    { title: "p99", kind: "number", show: Dom.text(({ row }) => Words.ms(row.p99_ms)) },
    { title: "Over time", make: Spark.make, show: (cell, { row, marks }) => Spark.show(cell, row, marks) },
  ];

  function linkOf(kind, row) {
    if (kind === "listener") return Place.link("failures", { listener: row.name });
    if (kind === "route") return Place.link("failures", { listener: row.of, route: row.name });
    return kind === "pool" ? Place.link("servers", { pool: row.name }) : Place.link("failures", { pool: row.of, server: row.name });
  }

  const tables = KINDS.map(([kind, caption]) => new Dom.Table(caption, columnsOf(kind), `No ${kind} is found.`));
  const controls = element("div", { className: "controls" },
    Dom.field("Charts show the last", Dom.choice(Object.keys(STEPS).map(name => [name, name]), span, value => { span = value; place.reload(); })),
    Dom.field("First come", Dom.choice([["", "as configured"], ["requests", "the busiest"], ["errors", "those with errors"], ["p99", "the slowest"], ["name", "names"]],
      sort, value => { sort = value; place.reload(); })),
    Dom.field("Name has", Dom.search(search, "part of a name", value => { search = value; place.reload(); })));
  const note = element("p", { className: "note", textContent: "Figures of the last ten seconds. Area: requests; red: errors; grey: p95; upright lines: deploys that were noted, reloads, upgrades. Servers and pools count attempts, and the time to the first byte." });

  return {
    title: "Now", every: 1000, element: element("div", {}, controls, note, ...tables.map(table => table.element)),
    async load() {
      const [step, points] = STEPS[span];
      const loaded = await Promise.all(KINDS.map(([kind]) => Api.get("/api/v1/traffic",
        { kind, sort, search, step, points: Math.min(points, 360), limit: kind === "server" ? 50 : 100 })));
      const answers = Object.fromEntries(KINDS.map(([kind], number) => [kind, loaded[number]]));
      answers.events = (await Api.get("/api/v1/events", { limit: 200 })).events;
      return answers;
    },
    async update(answers) {
      for (const [number, [kind]] of KINDS.entries()) {
        const { rows, seconds, total, from, step } = answers[kind];
        const points = rows.length ? rows[0].series.requests.length : 1;
        const marks = answers.events.filter(e => DRAWN.has(e.event)).map(e => (e.at - from) / (step * points)).filter(at => at >= 0 && at <= 1);
        await tables[number].update(rows.map(row => ({ row, seconds, marks })), ({ row }) => JSON.stringify([row.of, row.name]), total);
      }
    },
  };
}
