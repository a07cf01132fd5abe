// The configuration in force, those that were, and what one of them changed of another.

function configurationView(place) {
  const text = element("pre", { tabIndex: 0 });
  text.setAttribute("aria-label", "The configuration in force");
  const kept = new Dom.Table("Generations that are kept", [
    { title: "Generation", show: Dom.text(row => `${row.generation}${row.in_force ? ", in force" : ""}`) },
    { title: "Since", show: Dom.text(row => Words.name(row.at)) },
    { title: "By", show: Dom.text(row => Words.name(row.by)) },
    { title: "What it changed", show(cell, row) {
      const link = cell.firstChild ?? cell.appendChild(element("a"));
      link.hidden = !row.before;
      Dom.setText(link, `of ${row.before}`);
      link.href = Place.link("configuration", { from: row.before, to: row.generation });
      link.setAttribute("aria-label", `What generation ${row.generation} changed of ${row.before}`);
    } },
    { title: "Actions", needs: "admin", make(cell) {
      const button = element("button", { type: "button", textContent: "Roll back" });
      button.addEventListener("click", () => Message.attempt(async () => {
        const { generation } = cell.parentElement.row;
        await Api.call("POST", "/api/v1/config/rollback", { generation });
        Message.say(`The configuration of generation ${generation} is in force again.`);
        place.reload();
      }));
      cell.append(button);
    }, show(cell, row) {
      cell.firstChild.disabled = row.in_force;
      cell.firstChild.setAttribute("aria-label", `Roll back to generation ${row.generation}`);
    } },
  ], "No earlier configurations are kept: that takes state: in the configuration.");

  const LEAVES = 12, LENGTH = 80;
  let from = place.query.from ?? "", to = place.query.to ?? "", found = null;
  const choices = [["Before", value => { from = value; }], ["After", value => { to = value; }]]
    .map(([label, set]) => ({ label, select: Dom.choice([], "", value => { set(value); place.reload(); }) }));
  const difference = new Dom.Table("What changed", [
    { title: "What", show: Dom.text(row => row.what) },
    { title: "How", show: Dom.text(row => row.how) },
    { title: "Key", show(cell, row) {
      while (cell.childElementCount > row.leaves.length) cell.lastChild.remove();
      row.leaves.forEach((leaf, number) => Dom.setText(cell.children[number] ?? cell.appendChild(element("div")), leaf));
    }, kind: "words" },
  ], "They say the same.");
  const left = element("p", { className: "note" });
  const compared = element("div", {}, element("h2", { textContent: "Difference" }),
    element("div", { className: "controls" }, ...choices.map(({ label, select }) => Dom.field(label, select))), difference.element, left);

  const isObject = value => value !== null && typeof value === "object";
  // A list of what has names is gone through by these.
  const parts = value => Array.isArray(value) && value.every(one => isObject(one) && "name" in one)
    ? Object.fromEntries(value.map(one => [one.name, one])) : value;
  const said = value => value === undefined ? "nothing" : JSON.stringify(value).slice(0, LENGTH);

  // "timeouts.connect: 5s → 2s" of each value that differs.
  function leaves(before, after, path, out) {
    const [one, other] = [parts(before), parts(after)];
    if (isObject(one) && isObject(other) && !Array.isArray(one) && !Array.isArray(other)) {
      for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) leaves(one[key], other[key], path ? `${path}.${key}` : key, out);
    } else if (JSON.stringify(one) !== JSON.stringify(other)) {
      out.push(Format.name(`${path}: ${said(before)} → ${said(after)}`));
    }
    return out;
  }

  const named = (list, name) => Array.isArray(list) ? list.find(one => one.name === name) : list?.[name];
  const PLACES = {
    listeners: (config, { name }) => named(config.listeners, name),
    routes: (config, row) => named(named(config.listeners, row.in)?.routes, row.name),
    pools: (config, { name }) => config.pools?.[name],
    servers: (config, row) => named(config.pools?.[row.in]?.servers, row.name),
    splits: (config, { name }) => config.splits?.[name],
    sources: (config, { name }) => config.logs?.sources?.[name],
  };

  // What differs and is not shown is a secret, of which weir says that alone.
  function changed(keys, before, after) {
    return keys.flatMap(key => {
      const all = leaves(before?.[key], after?.[key], key, []);
      if (all.length > LEAVES) all.splice(LEAVES, all.length, `${key}: and ${all.length - LEAVES} more`);
      return all.length ? all : [`${key}: a secret, which is not shown`];
    });
  }

  function rows({ outcome, before, after }) {
    const all = [];
    for (const [section, find] of Object.entries(PLACES)) {
      const one = section === "sources" ? "log source" : section.slice(0, -1);
      for (const how of ["added", "removed", "changed"])
        for (const item of outcome[section][how])
          all.push({ what: `${one} ${item.in ? `${Words.name(item.in)} / ` : ""}${Words.name(item.name)}`, how,
            leaves: changed(item.keys, find(before, item), find(after, item)) });
    }
    for (const key of outcome.settings) all.push({ what: Words.spaced(key), how: key in before ? key in after ? "changed" : "removed" : "added", leaves: changed([key], before, after) });
    return all;
  }

  async function compare(generations) {
    const has = number => generations.some(row => String(row.generation) === number);
    if (!has(to)) to = String(generations[0].generation);
    if (!has(from)) from = String((generations.find(row => row.generation < Number(to)) ?? generations[0]).generation);
    const at = number => `/api/v1/config/generations/${Api.part(number)}`;
    if (found?.from === from && found.to === to) return found; // a generation is what it was
    const [outcome, before, after] = await Promise.all([Api.get(at(to), { against: from }), Api.get(at(from)), Api.get(at(to))]);
    return { from, to, outcome, before, after };
  }

  function showChoices(generations) {
    const keys = generations.map(row => row.generation).join();
    choices.forEach(({ select }, number) => {
      if (select.dataset.keys !== keys) select.replaceChildren(...generations.map(row => element("option", { value: String(row.generation), textContent: `${row.generation}, ${row.at}` })));
      select.dataset.keys = keys;
      select.value = number ? to : from;
    });
  }

  return {
    title: "Configuration", every: 5000,
    element: element("div", {}, kept.element, compared, element("h2", { textContent: "In force" }), element("div", { className: "scroll" }, text)),
    async load() {
      const [{ generations }, config] = await Promise.all([
        Api.get("/api/v1/config/generations").catch(problem => { if (!problem.status) throw problem; return { generations: [] }; }),
        Api.get("/api/v1/config")]);
      return { generations, config, comparison: generations.length > 1 ? await compare(generations) : null };
    },
    async update({ generations, config, comparison }) {
      found = comparison;
      await kept.update(generations.map((row, number) => ({ ...row, before: generations[number + 1]?.generation })), row => row.generation);
      compared.hidden = !comparison;
      if (comparison) {
        const { outcome } = comparison;
        const more = Object.keys(PLACES).reduce((sum, section) => sum + outcome[section].left_off, 0);
        showChoices(generations);
        difference.update(rows(comparison), row => `${row.what} ${row.how}`);
        Dom.setText(left, [more ? `And ${Format.count(more)} more.` : "",
          outcome.needs_restart.length ? `From a restart on: ${outcome.needs_restart.map(Words.spaced).join(", ")}.` : ""].filter(Boolean).join(" "));
        left.hidden = left.textContent === "";
      }
      Dom.setText(text, JSON.stringify(config, null, 2));
    },
  };
}
