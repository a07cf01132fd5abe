// A series as a small picture: requests as an area, errors and p95 as lines, and upright lines where something happened. What it says
// is in figures beside it, and in the list of events. Only pictures that are on the screen, or a little above and below it, are drawn: they
// are a thousand points each, and a page may have hundreds.

const Spark = (() => {
  const WIDTH = 160, HEIGHT = 26;

  const tenths = value => Math.round(value * 10) / 10;

  function line(values, most, closed) {
    const step = WIDTH / Math.max(values.length - 1, 1);
    let path = "", open = false;
    values.forEach((value, number) => {
      if (value === null) { open = false; return; }
      const y = HEIGHT - 1 - (most > 0 ? Math.min(value / most, 1) * (HEIGHT - 2) : 0);
      path += `${open ? "L" : "M"}${tenths(number * step)} ${tenths(y)}`;
      open = true;
    });
    return closed && path ? `M0 ${HEIGHT}${path.replace("M", "L")}L${WIDTH} ${HEIGHT}Z` : path;
  }

  function make(cell) {
    const parts = ["requests", "latency", "errors", "happened"].map(name => Dom.svg("path", { class: name }));
    const picture = Dom.svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...parts);
    cell.append(picture);
    cell.paths = parts;
    onScreen.observe(cell);
  }

  // A line along the bottom would say that there are some all the time: only where there are, and to the point beside it.
  const rising = values => values.map((value, number) => value > 0 || values[number - 1] > 0 || values[number + 1] > 0 ? value : null);

  // `marks`: places from 0 to 1.
  const upright = marks => marks.map(at => `M${(at * WIDTH).toFixed(1)} 0V${HEIGHT}`).join("");

  function draw(cell) {
    const { row, marks } = cell.wanted;
    const { requests, errors, p95_ms } = row.series;
    const most = Math.max(...requests, ...errors, 1);
    const slowest = Math.max(...p95_ms.map(value => value ?? 0));
    const paths = [line(requests, most, true), line(p95_ms, slowest), line(rising(errors), most), upright(marks)];
    paths.forEach((path, number) => {
      if (cell.paths[number].getAttribute("d") !== path) cell.paths[number].setAttribute("d", path);
    });
    cell.wanted = null;
  }

  const onScreen = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) {
      target.isSeen = isIntersecting;
      if (isIntersecting && target.wanted) draw(target);
    }
  }, { rootMargin: "150px 0px" });

  function show(cell, row, marks = []) {
    cell.wanted = { row, marks };
    if (cell.isSeen) draw(cell);
  }

  return { make, show };
})();
