// Views that are a table or two of what the API lists: events, certificates, profiles.

// What happened, noting that something does, and what it has changed.
function eventsView(place) {
  const changes = changesPart(place);
  let all = [];

  // All that weir keeps, the newest first. Only what is new is asked for, and the last one known: a weir that has begun anew has another of its id.
  async function latest() {
    const known = all[0];
    const { events } = await Api.get("/api/v1/events", { after: known ? known.id - 1 : "", limit: 512 });
    if (!known) return events;
    if (events.some(e => e.id === known.id && e.time === known.time)) return [...events.filter(e => e.id > known.id), ...all].slice(0, 512);
    all = [];
    return latest();
  }

  let kind = place.query.name ?? "";
  const KINDS = [["", "everything"], ["marker", "what was noted"], ["server_state", "servers' states"], ["maintenance", "maintenance"], ["server_changed", "what was changed of servers"],
    ["reloaded", "configurations"], ["certificate_changed", "certificates"], ["log_rule", "denials"]];
  const table = new Dom.Table("Events", [
    { title: "When", show: Dom.text(e => Words.clock(e.time)) },
    { title: "What", show(cell, e) {
      Dom.setText(cell, Words.spaced(e.event));
      cell.classList.toggle("is-wrong", e.level !== "info");
    } },
    { title: "Of it", kind: "words", show: Dom.text(e => Object.entries(e.fields).map(([key, value]) => `${Words.spaced(key)}: ${Words.name(value)}`).join(", ")) },
    { title: "Before and after", show(cell, e) {
      const link = cell.firstChild ?? cell.appendChild(element("a", { textContent: "What it changed" }));
      link.hidden = !changes.isWatched(e, all);
      link.href = Place.link("events", { name: kind, report: e.id });
      link.setAttribute("aria-label", `What it changed: ${Words.spaced(e.event)}, ${Words.clock(e.time)}`);
    } },
  ], "Nothing of that kind has happened.");
  const note = element("input", { type: "text", maxLength: 200, placeholder: "deploy v42" });
  const form = element("form", { className: "controls" }, Dom.field("Show", Dom.choice(KINDS, kind, value => { kind = value; place.reload(); })),
    Dom.field("Note that it happens now", note), element("button", { type: "submit", textContent: "Note it" }));
  for (const part of [note.parentElement, form.lastElementChild]) part.dataset.needs = "operate";
  form.addEventListener("submit", event => {
    event.preventDefault();
    if (note.value.trim()) Message.attempt(async () => {
      await Api.call("POST", "/api/v1/events", { name: note.value.trim() });
      note.value = "";
      place.reload();
    });
  });
  return {
    title: "Events", every: 2000, element: element("div", {}, form, table.element, changes.element),
    async load() {
      const events = await latest();
      return { events, changed: await changes.load(events) };
    },
    async update({ events, changed }) {
      all = events;
      const shown = events.filter(e => !kind || e.event === kind);
      await table.update(shown.slice(0, 200), e => String(e.id), shown.length);
      changes.update(changed);
    },
  };
}

function certificatesView() {
  const table = new Dom.Table("Certificates that are served", [
    { title: "Names", kind: "words", show: Dom.text(row => row.names.map(Words.name).join(", ") || "–") },
    { title: "Days left", kind: "number", show(cell, row) {
      Dom.setText(cell, row.days < 0 ? `expired ${-row.days} days ago` : String(row.days));
      cell.classList.toggle("is-wrong", row.days < 15);
    } },
    { title: "Until", show: Dom.text(row => Words.name(row.not_after)) },
    { title: "Listeners", show: Dom.text(row => row.listeners.map(Words.name).join(", ")) },
    { title: "File", kind: "words", show: Dom.text(row => Words.name(row.cert)) },
    { title: "Issuer", kind: "words", show: Dom.text(row => Words.name(row.issuer)) },
    { title: "Refused since", kind: "words", show: Dom.text(row => row.refusal ? Words.sentence(Words.name(row.refusal)) : "–") },
  ], "No listener speaks TLS.");
  return { title: "Certificates", every: 10000, element: table.element, load: () => Api.get("/api/v1/certificates"),
    update: ({ certificates }) => table.update(certificates, row => `${row.cert} ${row.serial}`) };
}

// Where weir itself spends time and memory: flame graphs are pages of their own, and what leaks stands here.
function profilesView() {
  const GRAPHS = [["/debug/flame?seconds=10", "CPU time of the next 10 seconds"], ["/debug/flame?seconds=60", "CPU time of the next minute"], ["/debug/pprof/", "Other profiles, for go tool pprof"]];
  const links = element("ul", {}, ...GRAPHS.map(([href, textContent]) => element("li", {}, element("a", { href, textContent }))));
  const graphs = element("section", {}, element("h2", { textContent: "Flame graphs" }), links);
  graphs.dataset.needs = "operate";
  const number = value => Words.known(value) ? Format.count(value) : "–";
  const table = new Dom.Table("What could leak", [
    { title: "Kind", show: Dom.text(row => Words.spaced(row.kind)) },
    { title: "Verdict", show(cell, row) {
      Dom.setText(cell, Words.spaced(row.verdict));
      cell.classList.toggle("is-wrong", row.lost > 0);
    } },
    { title: "Live", kind: "number", show: Dom.text(row => number(row.live)) },
    { title: "Lost", kind: "number", show: Dom.text(row => number(row.lost)) },
    { title: "More per hour", kind: "number", show: Dom.text(row => number(row.per_hour)) },
  ], "Nothing was looked at yet.");
  const words = element("p", { className: "note" });
  return {
    title: "Profiles", every: 5000, element: element("div", {}, graphs, table.element, words),
    load: () => Api.get("/api/v1/stats/leaks"),
    async update({ kinds, leaks }) {
      await table.update(kinds, row => row.kind);
      Dom.setText(words, leaks.length ? `It leaks: ${leaks.map(leak => Words.spaced(Words.name(leak))).join(", ")}.` : "Nothing is known to leak.");
    },
  };
}
