// Servers: how they are, why and since when; and taking them out, back in, or giving them another weight.

function serversView(place) {
  let { pool = "", state = "", search = "" } = place.query, sort = "state";

  async function change(row, values, done) {
    const path = `/api/v1/pools/${Api.part(row.of)}/servers/${Api.part(row.name)}`;
    const before = Object.fromEntries(Object.keys(values).map(key => [key, row.server[key]]));
    await Message.attempt(async () => {
      await Api.call("PATCH", path, values);
      Message.say(`${Words.name(row.of)} / ${Words.name(row.name)} ${done}.`, "Undo", () => Message.attempt(async () => {
        await Api.call("PATCH", path, before);
        Message.say(`${Words.name(row.of)} / ${Words.name(row.name)} is as it was.`);
        place.reload();
      }));
    });
    place.reload();
  }

  function makeActions(cell) {
    const current = () => cell.parentElement.row;
    const act = (text, values, done) => {
      const button = element("button", { type: "button", textContent: text });
      button.addEventListener("click", () => change(current(), values, done));
      button.dataset.admin = values.admin;
      return button;
    };
    const weight = element("input", { type: "number", min: 0, max: 10000 });
    weight.addEventListener("change", () => {
      const value = Number(weight.value);
      if (weight.value !== "" && Number.isInteger(value)) change(current(), { weight: value }, `has the weight ${value}`);
    });
    cell.weight = weight;
    cell.buttons = [act("Drain", { admin: "drain" }, "is drained: nothing new goes to it"),
      act("Maintenance", { admin: "maintenance" }, "is in maintenance"), act("Back", { admin: "enabled" }, "takes traffic again")];
    cell.append(element("div", { className: "actions" }, ...cell.buttons, weight));
  }

  function showActions(cell, row) {
    for (const button of cell.buttons) {
      button.disabled = button.dataset.admin === row.server.admin;
      button.setAttribute("aria-label", `${button.textContent}: ${Words.name(row.name)}`);
    }
    cell.weight.setAttribute("aria-label", `Weight of ${Words.name(row.name)}`);
    if (document.activeElement !== cell.weight) cell.weight.value = row.server.weight;
  }

  function against(row) {
    const median = row.median;
    if (row.p50_ms === null || !median) return Words.ms(row.p50_ms);
    const factor = row.p50_ms / median;
    return `${Words.ms(row.p50_ms)} (${factor.toFixed(1)}×)`;
  }

  const table = new Dom.Table("Servers", [
    { title: "Server", show: Dom.text(row => `${Words.name(row.of)} / ${Words.name(row.name)}`) },
    { title: "Address", kind: "one-line", show: Dom.text(row => Words.name(row.server.address)) },
    { title: "State", show(cell, row) {
      Dom.setText(cell, row.server.state);
      cell.className = `state-${row.server.state}`;
    } },
    { title: "Why", kind: "words", show: Dom.text(row => Words.sentence(row.server.health_detail || Words.spaced(row.server.health_reason))) },
    { title: "Since", kind: "number", show: Dom.text(row => Words.age(row.server.draining_ms ?? row.server.health_ms)) },
    { title: "Requests/s", kind: "number", show: Dom.text(row => Words.rate(row.requests, row.seconds)) },
    { title: "Errors", kind: "number", show: Dom.text(row => Words.share(row.errors, row.requests)) },
    { title: "p50 (of the pool's)", kind: "number", show: Dom.text(against) },
    { title: "p99", kind: "number", show: Dom.text(row => Words.ms(row.p99_ms)) },
    { title: "In flight", kind: "number", show: Dom.text(row => Format.count(row.server.in_flight)) },
    { title: "Attempts", kind: "number", show: Dom.text(row => Format.count(row.server.attempts)) },
    { title: "Failed", kind: "number", show: Dom.text(row => Format.count(row.server.failures)) },
    { title: "Actions, weight", needs: "operate", make: makeActions, show: showActions },
  ], "No server is found.");

  const pools = element("select");
  pools.addEventListener("change", () => { pool = pools.value; place.reload(); });
  function showPools(names) {
    if (pools.childElementCount === names.length + 1 && names.every((name, number) => pools.options[number + 1].value === name)) return;
    pools.replaceChildren(element("option", { value: "", textContent: "all" }), ...names.map(name => element("option", { value: name, textContent: Words.name(name) })));
    pools.value = pool;
  }
  const controls = element("div", { className: "controls" }, Dom.field("Pool", pools),
    Dom.field("State", Dom.choice([["", "any"], ["unwell", "not well"], ["up", "up"], ["warming", "warming"], ["draining", "draining"], ["maintenance", "maintenance"], ["ejected", "ejected"], ["down", "down"]],
      state, value => { state = value; place.reload(); })),
    Dom.field("First come", Dom.choice([["state", "those that are not well"], ["requests", "the busiest"], ["errors", "those with errors"], ["p99", "the slowest"], ["name", "names"], ["", "as configured"]],
      sort, value => { sort = value; place.reload(); })),
    Dom.field("Name has", Dom.search(search, "part of a name", value => { search = value; place.reload(); })));

  return {
    title: "Servers", every: 1000, element: element("div", {}, controls, table.element),
    async load() {
      const [servers, pools] = await Promise.all([Api.get("/api/v1/traffic", { kind: "server", of: pool, state, search, sort, limit: 100 }),
        Api.get("/api/v1/traffic", { kind: "pool", limit: 1000 })]);
      return { servers, pools };
    },
    async update({ servers, pools }) {
      showPools(pools.rows.map(row => row.name));
      const medians = new Map(pools.rows.map(row => [row.name, row.p50_ms]));
      const rows = servers.rows.map(row => ({ ...row, seconds: servers.seconds, median: medians.get(row.of) }));
      await table.update(rows, row => JSON.stringify([row.of, row.name]), servers.total);
    },
  };
}
