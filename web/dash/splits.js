// Splits: how their variants do, and ramping one by hand.

function splitsView(place) {
  const toSplit = ({ split }) => `/api/v1/splits/${Api.part(split)}`;
  const isGuarded = ({ guard, v }) => Boolean(guard?.state) && guard.variant === v.name;

  // By the guard where there is one; else the weights are the configuration's, and of two variants the other has the rest.
  function ramp(row, weight) {
    if (isGuarded(row)) return Api.call("PATCH", toSplit(row), { weight: String(weight) });
    const rest = Math.round(100 * (100 - weight)) / 100;
    return Api.call("PATCH", `/api/v1/config/splits/${Api.part(row.split)}`, { variants: { [row.v.name]: { weight: String(weight) }, [row.other.name]: { weight: String(rest) } } });
  }

  async function change(act, said, undo) {
    await Message.attempt(async () => {
      await act();
      Message.say(said, undo && "Undo", undo && (() => Message.attempt(async () => {
        await undo();
        Message.say("The weight is as it was.");
        place.reload();
      })));
    });
    place.reload();
  }

  function makeActions(cell) {
    const row = () => cell.parentElement.row, name = () => `${Words.name(row().split)} / ${Words.name(row().v.name)}`;
    cell.buttons = [["Pause", "pause", "has the weight that it has"], ["Resume", "resume", "is ramped on by its guard"], ["Take back", "back", "gets nothing until its guard is resumed"]].map(([text, guard, done]) => {
      const button = element("button", { type: "button", textContent: text });
      button.addEventListener("click", () => change(() => Api.call("PATCH", toSplit(row()), { guard }), `${name()} ${done}.`));
      return button;
    });
    cell.weight = element("input", { type: "number", min: 0, max: 100, step: 0.01 });
    cell.weight.addEventListener("change", () => {
      const weight = Number(cell.weight.value), was = row().v.weight, of = row();
      if (cell.weight.value !== "" && cell.weight.checkValidity()) change(() => ramp(of, weight), `${name()} has ${weight} % of the units.`, () => ramp(of, was));
    });
    cell.append(element("div", { className: "actions" }, ...cell.buttons, cell.weight));
  }

  function showActions(cell, row) {
    const name = `${Words.name(row.split)} / ${Words.name(row.v.name)}`, isRamped = isGuarded(row);
    for (const button of cell.buttons) {
      button.hidden = !isRamped;
      button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    }
    cell.weight.hidden = !isRamped && !(row.other && !row.guard?.state);
    cell.weight.dataset.needs = isRamped ? "operate" : "admin";
    cell.weight.setAttribute("aria-label", `Weight of ${name}, in percent`);
    if (document.activeElement !== cell.weight) cell.weight.value = row.v.weight;
  }

  // The value, and below it the interval.
  const range = (read, show) => (cell, { v }) => {
    const estimate = read(v), is = estimate && Words.known(estimate.value);
    const bound = value => Words.known(value) ? show(value) : "?";
    while (cell.childElementCount < 2) cell.append(element("div", { className: cell.childElementCount ? "quiet" : "" }));
    Dom.setText(cell.firstChild, is ? show(estimate.value) : "–");
    Dom.setText(cell.lastChild, is ? `${bound(estimate.low)} to ${bound(estimate.high)}` : "");
  };
  const percent = value => `${(100 * value).toFixed(2)} %`;
  const table = new Dom.Table("Variants of splits, with intervals of 95 %", [
    { title: "Variant", show: Dom.text(({ split, v }) => `${Words.name(split)} / ${Words.name(v.name)}`) },
    { title: "Pool", kind: "name", show: Dom.text(({ v }) => Words.name(v.pool)) },
    { title: "Weight", kind: "number", show: Dom.text(({ v }) => `${v.weight.toFixed(1)} %`) },
    { title: "Exchanges", kind: "number", show: Dom.text(({ v }) => Format.count(v.exchanges)) },
    { title: "Share", kind: "number", show: Dom.text(({ v }) => percent(v.share)) },
    { title: "Errors", kind: "number", show: range(v => v.error_share, percent) },
    { title: "p50", kind: "number", show: range(v => v.p50_ms, Words.ms) },
    { title: "p95", kind: "number", show: range(v => v.p95_ms, Words.ms) },
    { title: "p99", kind: "number", show: range(v => v.p99_ms, Words.ms) },
    { title: "Dealt as configured", kind: "name", show: Dom.text(({ ratio }) => ratio?.is_alarm_always ? "No: the shares are not those of the weights." : "Yes, as far as can be told.") },
    { title: "Guard", kind: "name", show: Dom.text(({ guard, v }) => guard?.state && guard.variant === v.name
      ? `${guard.state.replace("_", " ")}${guard.reason ? `: ${guard.reason}` : ""}` : "–") },
    { title: "Ramp, weight", needs: "operate", make: makeActions, show: showActions },
  ], "The configuration has no splits.");
  return {
    title: "Splits", every: 5000, element: table.element,
    async load() {
      const { splits } = await Api.get("/api/v1/splits");
      return Promise.all(splits.slice(0, 50).map(split => Api.get(`/api/v1/splits/${Api.part(split.name)}/report`)));
    },
    update: reports => table.update(reports.flatMap(report => report.variants.map(v => ({ split: report.split, ratio: report.sample_ratio, guard: report.guard, v,
      other: report.variants.length === 2 ? report.variants.find(one => one !== v) : null }))),
      ({ split, v }) => JSON.stringify([split, v.name])),
  };
}
