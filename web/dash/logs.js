// Logs that are watched, what one of them says, and the rules over them with whom they deny.

function logsView(place) {
  const source = place.query.source ?? "", WINDOW = "1h", TOP = 10, WHOM = 5;
  const sources = new Dom.Table("Logs that are watched", [
    { title: "Source", show(cell, row) {
      const link = cell.firstChild ?? cell.appendChild(element("a"));
      Dom.setText(link, Words.name(row.name));
      link.href = Place.link("logs", { source: row.name });
    } },
    { title: "Path", kind: "words", show: Dom.text(row => Words.name(row.path)) },
    { title: "Records", kind: "number", show: Dom.text(row => Format.count(row.records)) },
    { title: "Errors", kind: "number", show: Dom.text(row => Words.share(row.errors, row.records)) },
    { title: "Malformed", kind: "number", show: Dom.text(row => Format.count(row.malformed)) },
    { title: "Behind", kind: "number", show: Dom.text(row => row.lag_bytes ? `${Format.value(row.lag_bytes, "bytes")}, ${row.lag_seconds.toFixed(1)} s` : "–") },
  ], "The configuration watches no logs.");

  // Of the one that is chosen, over the last hour.
  const heading = element("h2");
  const quantile = name => ({ title: name, kind: "number", show: Dom.text(row => Words.ms(row[name])) });
  const latency = new Dom.Table("Latency", [
    { title: "Of", show: Dom.text(row => row.of) },
    { title: "Records", kind: "number", show: Dom.text(row => Format.count(row.count)) },
    ...["p50", "p95", "p99"].map(quantile),
  ], "The log says of no request how long it took.");
  const errors = new Dom.Table("The most frequent errors", [
    { title: "Status", show: Dom.text(row => row.status) },
    { title: "Records", kind: "number", show: Dom.text(row => Format.count(row.count)) },
    { title: "Of all", kind: "number", show: Dom.text(row => Words.share(row.count, row.records)) },
  ], "No record has a 4xx or a 5xx.");
  const tops = [
    ["error_path", "Path", "The most 5xx by path", "No record has a 5xx."],
    ["client", "Client", "The most frequent by client", "Nothing was seen within the hour."],
    ["path", "Path", "The most frequent by path", "Nothing was seen within the hour."],
  ].map(([by, title, caption, none]) => ({ by, table: new Dom.Table(caption, [
    { title, show: Dom.text(row => Words.name(row.key)) },
    { title: "Records", kind: "number", show: Dom.text(row => Format.count(row.count)) },
  ], none) }));
  const one = element("div", { hidden: true }, heading, ...[latency, errors, ...tops.map(top => top.table)].map(part => part.element));

  function latencies(figures) {
    return [["a request", figures.request_ms], ["a server's answer", figures.upstream_ms]].filter(([, found]) => found).map(([of, found]) => ({ of, ...found }));
  }

  function failed(figures) {
    return Object.entries(figures.statuses).map(([status, count]) => ({ status, count, records: figures.records }))
      .filter(({ status }) => Number(status) >= 400).sort((a, b) => b.count - a.count).slice(0, TOP);
  }

  // Whom: now, and of late, each once.
  const OUTCOMES = { denied: "denied", dry: "would have been denied", allow_listed: "never touched", no_room: "no room for it" };
  const whom = found => [...new Set(found)].slice(0, WHOM).join(", ") || "–";
  const rules = new Dom.Table("Rules", [
    { title: "Rule", show: Dom.text(row => Words.name(row.name)) },
    { title: "When", kind: "words", show: Dom.text(row => Words.name(row.when)) },
    { title: "Log", show: Dom.text(row => Words.name(row.source ?? "each")) },
    { title: "Lasts", show: Dom.text(row => Words.name(row.lasts)) },
    { title: "Acts", show: Dom.text(row => row.is_dry ? "no, only says" : "yes") },
    { title: "Denied now", kind: "words", show: Dom.text(row => whom(row.denied)) },
    { title: "Of late", kind: "words", show: Dom.text(row => whom(row.latest.map(e => `${Words.name(e.who)} (${OUTCOMES[e.outcome] ?? Words.spaced(e.outcome)})`))) },
  ], "There are no rules.");
  const denials = new Dom.Table("Who is denied", [
    { title: "Who", show: Dom.text(row => Words.name(row.who)) },
    { title: "Rule", show: Dom.text(row => Words.name(row.rule)) },
    { title: "Log", show: Dom.text(row => Words.name(row.source)) },
    { title: "Records", kind: "number", show: Dom.text(row => Format.count(row.records)) },
    { title: "Until", show: Dom.text(row => Words.name(row.until)) },
    { title: "Actions", needs: "operate", make(cell) {
      const button = element("button", { type: "button", textContent: "Let pass" });
      button.addEventListener("click", () => Message.attempt(async () => {
        const { id, who } = cell.parentElement.row;
        await Api.call("DELETE", `/api/v1/denials/${Api.part(id)}`);
        Message.say(`${Words.name(who)} may pass again.`);
        place.reload();
      }));
      cell.append(button);
    }, show(cell, row) {
      cell.firstChild.setAttribute("aria-label", `Let pass: ${Words.name(row.who)}`);
    } },
  ], "Nobody is denied by a rule.");

  return {
    title: "Logs", every: 3000, element: element("div", {}, sources.element, one, rules.element, denials.element),
    async load() {
      const [logs, rules, denials] = await Promise.all([Api.get("/api/v1/logs"), Api.get("/api/v1/rules"), Api.get("/api/v1/denials")]);
      const chosen = logs.sources.find(row => row.name === source) ?? logs.sources[0];
      const summary = chosen ? await Api.get(`/api/v1/logs/${Api.part(chosen.name)}/summary`, { window: WINDOW, top: TOP }) : null;
      return { logs, rules, denials, summary };
    },
    async update({ logs, rules: { rules: all }, denials: { denials: denied }, summary }) {
      await sources.update(logs.sources, row => row.name);
      one.hidden = !summary;
      if (summary) {
        Dom.setText(heading, `${Words.name(summary.source)}, the last hour`);
        latency.update(latencies(summary.figures), row => row.of);
        errors.update(failed(summary.figures), row => row.status);
        for (const { by, table } of tops) table.update(summary.figures.top[by], row => row.key);
      }
      rules.update(all.map(row => ({ ...row, denied: denied.filter(d => d.rule === row.name).map(d => Words.name(d.who)) })), row => row.name);
      denials.update(denied, row => row.id);
    },
  };
}
