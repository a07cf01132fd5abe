// What an event has changed, by route and server: of the one that is asked for, or the latest that somebody has brought about.

function changesPart(place) {
  // Of which weir counts what was before and what came after: the latest so many of both kinds (docs/before-and-after.md).
  const BY_PEOPLE = new Set(["marker", "reloaded", "server_changed", "maintenance", "split_guard"]), EACH = 8;
  const BY_ITSELF = new Set(["server_state", "servers_changed", "addresses_changed", "certificate_changed", "pool_panic"]);
  let wanted = place.query.report ?? "";

  function watched(events) {
    const latest = kinds => events.filter(e => kinds.has(e.event)).slice(0, EACH);
    return [...latest(BY_PEOPLE), ...latest(BY_ITSELF)];
  }

  const choice = Dom.choice([], "", value => { wanted = value; place.reload(); });
  const said = element("p", { className: "note" }), profile = element("a");
  const signed = (value, show) => Words.known(value) ? (value < 0 ? "−" : "+") + show(Math.abs(value)) : "?"; // "?": with so few there is no bound
  const rate = value => value >= 100 ? Format.count(Math.round(value)) : value.toFixed(1);
  const points = value => `${(100 * value).toFixed(2)}`;

  // How it was and is, and below it by how much that differs, in an interval.
  function pair(read, show, difference) {
    return (cell, row) => {
      while (cell.childElementCount < 2) cell.append(element("div", { className: cell.childElementCount ? "quiet" : "" }));
      const apart = difference?.(row), is = apart && Words.known(apart.value);
      Dom.setText(cell.firstChild, `${read(row.before, show)} → ${read(row.after, show)}`);
      Dom.setText(cell.lastChild, is ? `${signed(apart.value, show)} (${signed(apart.low, show)} to ${signed(apart.high, show)})` : "");
    };
  }
  const duration = name => pair(side => Words.ms(side[`${name}_ms`]), Words.ms, row => row[`${name}_difference_ms`]);

  const table = new Dom.Table("What it changed", [
    { title: "Where", show: Dom.text(row => `${row.kind} ${Words.name(row.of)} / ${Words.name(row.name)}`) },
    { title: "What is certain", kind: "words", show(cell, row) {
      Dom.setText(cell, row.changes.length ? Words.sentence(row.changes.join(", ")) : "Nothing.");
      cell.classList.toggle("is-wrong", row.changes.some(words => words === "more errors" || words.startsWith("slower")));
    } },
    { title: "Requests/s", kind: "number", show: pair(side => rate(side.rate)) },
    { title: "Errors (points)", kind: "number", show: pair(side => Words.share(side.errors, side.requests), points, row => row.error_difference) },
    { title: "p50", kind: "number", show: duration("p50") },
    { title: "p95", kind: "number", show: duration("p95") },
    { title: "p99", kind: "number", show: duration("p99") },
  ], "There were no requests.");
  const controls = element("div", { className: "controls" }, Dom.field("Before and after", choice));
  const note = element("p", { className: "note", textContent: "Intervals, in parentheses, hold however often one looks, each in 99 of a hundred cases. What is certain is not what chance makes; other things may have changed at the same time." });
  const found = element("div", {}, said, table.element, note);

  function name(e) {
    const what = Object.entries(e.fields).filter(([key]) => key !== "request_id" && key !== "trace_id").map(([, value]) => Words.name(value)).join(" ");
    return `${Words.clock(e.time).slice(0, 8)} ${Words.spaced(e.event)}: ${what}`.slice(0, 90);
  }

  function showChoice(events, chosen) {
    const keys = events.map(e => String(e.id)).join();
    if (choice.dataset.keys !== keys) choice.replaceChildren(...events.map(e => element("option", { value: String(e.id), textContent: name(e) })));
    choice.dataset.keys = keys;
    choice.value = chosen ? String(chosen) : "";
  }

  return {
    element: element("div", {}, element("h2", { textContent: "Before and after" }), controls, found),
    isWatched: (e, events) => watched(events).some(other => other.id === e.id),
    // Of all events, the newest first.
    async load(events) {
      const all = watched(events);
      const chosen = all.find(e => String(e.id) === wanted) ?? all[0];
      if (!chosen) return { all, report: null };
      const report = await Api.get(`/api/v1/events/${chosen.id}/report`, { limit: 20 })
        .catch(problem => { if (problem.status !== 404) throw problem; return null; });
      return { all, chosen, report };
    },
    update({ all, chosen, report }) {
      showChoice(all, chosen?.id);
      controls.hidden = !all.length;
      found.hidden = false;
      table.element.hidden = note.hidden = !report;
      if (!report) {
        Dom.setText(said, chosen ? "weir does not watch this event: others came after it, or too long ago." : "Nothing has happened whose changes weir would know: note a deploy here, or by weir events --mark.");
        return;
      }
      Dom.setText(said, `${Words.age(1000 * report.before_seconds)} before it against ${Words.age(1000 * report.after_seconds)} after it${report.is_over ? ", which is all that is compared" : ""}. `);
      if (report.flame?.startsWith("/debug/flame")) {
        profile.href = report.flame;
        Dom.setText(profile, "What it changed in weir's own CPU time.");
        said.append(profile);
      }
      table.update(report.rows, row => JSON.stringify([row.kind, row.of, row.name]), report.total);
    },
  };
}
