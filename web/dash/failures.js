// What failed of late, and why.

function failuresView(place) {
  const FILTERS = [["listener", "Listener"], ["route", "Route"], ["pool", "Pool"], ["server", "Server"], ["end", "Reason"], ["status", "Status"], ["client", "Client"], ["request_id", "Request id"]];
  const query = Object.fromEntries(FILTERS.map(([key]) => [key, place.query[key] ?? ""]));
  let kind = "failed";
  const table = new Dom.Table("Exchanges", [
    { title: "Began", kind: "one-line", show: Dom.text(x => Words.clock(x.start)) },
    { title: "What", kind: "words", show: Dom.text(Words.what) },
    { title: "Status", kind: "number", show: Dom.text(x => String(x.status || "–")) },
    { title: "Why", kind: "words", show: Dom.text(Words.why) },
    { title: "Took", kind: "number", show: Dom.text(x => Words.ms(x.total_ms)) },
    { title: "Where", show: Dom.text(x => [x.listener, x.route, x.pool].filter(Words.known).map(Words.name).join(" → ")) },
    { title: "Client", kind: "one-line", show: Dom.text(x => Words.name(x.client)) },
    { title: "Request id", show: Dom.text(x => Words.name(x.request_id)) },
  ], "Nothing of that kind is among the latest exchanges that weir keeps.");
  const controls = element("div", { className: "controls" },
    Dom.field("Show", Dom.choice([["failed", "what failed"], ["all", "all"], ["slow", "what took over a second"]], kind, value => { kind = value; place.reload(); })),
    ...FILTERS.map(([key, title]) => Dom.field(title, Dom.search(query[key], "any", value => { query[key] = value.trim(); place.reload(); }))));
  return {
    title: "Failures", every: 2000, element: element("div", {}, controls, table.element),
    load: () => Api.get("/api/v1/exchanges", { ...query, failed: kind === "failed" ? "true" : "", min_ms: kind === "slow" ? 1000 : "", limit: 100 }),
    update: ({ exchanges }) => table.update(exchanges, x => x.id),
  };
}
