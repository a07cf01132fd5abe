// Elements, and tables that change in place, so that focus, selection and a reader's place stay. Texts are only ever text.
// Of a long table so many rows are made or changed in one frame, and the others in the next ones: what is on the screen is there at once,
// and nobody waits for the rest.

const Dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const ROWS_A_FRAME = 30;
  const nextFrame = () => new Promise(resolve => { requestAnimationFrame(resolve); });
  let left = ROWS_A_FRAME; // of all tables, in this frame

  function spendRow() {
    if (left === ROWS_A_FRAME) requestAnimationFrame(() => { left = ROWS_A_FRAME; });
    left--;
  }

  function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  // A named control in front of a table.
  function field(label, control) {
    return element("label", {}, label, control);
  }

  function choice(options, value, onChange) {
    const select = element("select", {}, ...options.map(([value, text]) => element("option", { value, textContent: text })));
    select.value = value;
    select.addEventListener("change", () => onChange(select.value));
    return select;
  }

  // Waits until somebody stops typing.
  function search(value, placeholder, onChange) {
    const input = element("input", { type: "search", value, placeholder });
    let timer = 0;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => onChange(input.value), 250);
    });
    return input;
  }

  // columns: { title, kind ("number", "words"), needs (a role, to be seen), show(cell, row) }; the first one names the row. show() gets the cell as it is,
  // and changes what has changed.
  class Table {
    constructor(caption, columns, empty) {
      this.columns = columns;
      this.empty = empty;
      this.rows = new Map(); // by key
      this.turn = 0;
      this.body = element("tbody");
      this.note = element("p", { className: "note", hidden: true });
      const head = element("tr", {}, ...columns.map(column => element("th", { scope: "col", className: column.kind || "", textContent: column.title })));
      columns.forEach((column, number) => { if (column.needs) head.cells[number].dataset.needs = column.needs; });
      const table = element("table", {}, element("caption", { textContent: caption }), element("thead", {}, head), this.body);
      const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", caption);
      this.element = element("section", {}, scroll, this.note);
    }

    makeRow(row) {
      const cells = this.columns.map((column, number) => {
        const cell = element(number === 0 ? "th" : "td", { className: column.kind || "" });
        if (number === 0) cell.scope = "row";
        if (column.needs) cell.dataset.needs = column.needs;
        column.make?.(cell, row);
        return cell;
      });
      return { element: element("tr", {}, ...cells), cells };
    }

    showRow(row, key, before) {
      let made = this.rows.get(key);
      if (!made) this.rows.set(key, made = this.makeRow(row));
      made.element.row = row;
      this.columns.forEach((column, number) => column.show(made.cells[number], row));
      if (made.element === before) return before.nextSibling;
      this.body.insertBefore(made.element, before);
      return before;
    }

    // The rows in this order; `total` of them there are in all. Over several frames if they are many; a later call ends an earlier one.
    async update(rows, keyOf, total = rows.length) {
      const seen = new Set(), mine = ++this.turn;
      let before = this.body.firstChild;
      for (const row of rows) {
        const key = keyOf(row);
        if (seen.has(key)) continue;
        while (left === 0) {
          await nextFrame();
          if (mine !== this.turn) return;
        }
        spendRow();
        seen.add(key);
        before = this.showRow(row, key, before);
      }
      for (const [key, made] of this.rows) {
        if (seen.has(key)) continue;
        made.element.remove();
        this.rows.delete(key);
      }
      const more = total > seen.size ? `The first ${seen.size} of ${Format.count(total)}; search or filter to see others.` : "";
      setText(this.note, seen.size ? more : this.empty);
      this.note.hidden = this.note.textContent === "";
    }
  }

  const text = read => (cell, row) => setText(cell, read(row));
  return { svg, setText, field, choice, search, Table, text };
})();
