// Controls, tables and tooltips.

function button(text, onPress) {
  const made = element("button", { type: "button", textContent: text });
  made.addEventListener("click", onPress);
  return made;
}

function check(text, onChange) {
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", () => onChange(box.checked));
  return element("label", {}, box, ` ${text}`);
}

// A label with a list to choose from; options are [value, text].
function choice(name, options, chosen, onChange) {
  const list = element("select", {},
    ...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
  list.addEventListener("change", () => onChange(list.value));
  return element("label", {}, element("span", { textContent: name }), list);
}

function placeTooltip(tooltip, x, y) {
  const { offsetWidth, offsetHeight } = tooltip;
  const left = x + 14 + offsetWidth > innerWidth ? x - 14 - offsetWidth : x + 14;
  const top = y + 18 + offsetHeight > innerHeight ? y - 10 - offsetHeight : y + 18;
  tooltip.style.left = `${Math.max(left, 4)}px`;
  tooltip.style.top = `${Math.max(top, 4)}px`;
}

// Columns of numbers stand to the right.
function table(columns, rows) {
  const isNumber = text => /^[-+−±]?[\d.,]+( ?[%a-zA-Zµ]{1,4})?$|^–?$/.test(text);
  const width = Math.max(columns.length, ...rows.map(row => row.length));
  const kinds = Array.from({ length: width }, (_, at) => (rows.every(row => isNumber(row[at] ?? "")) ? "number" : ""));
  const cell = (tag, text, kind) => element(tag, { className: kind, textContent: Format.name(text) });
  const cells = (tag, row) => row.map((text, at) => cell(tag, text, kinds[at]));
  const made = element("table");
  if (columns.length) made.append(element("thead", {}, element("tr", {}, ...cells("th", columns))));
  made.append(element("tbody", {}, ...rows.map(row => element("tr", {}, ...cells("td", row)))));
  return made;
}
