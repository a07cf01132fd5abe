// Figures and happenings as people say them.

const Words = (() => {
  const known = value => value !== null && value !== undefined;

  function rate(count, seconds) {
    const value = count / Math.max(seconds, 1);
    return value >= 100 ? Format.count(Math.round(value)) : value.toFixed(1);
  }

  function share(errors, requests) {
    if (!requests) return errors ? "100 %" : "–";
    return errors ? `${Math.min(100, 100 * errors / requests).toFixed(errors / requests < 0.1 ? 2 : 1)} %` : "0 %";
  }

  function ms(value) {
    if (!known(value)) return "–";
    if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
    return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
  }

  // For how long, roughly.
  function age(value) {
    if (!known(value)) return "–";
    const seconds = Math.floor(value / 1000);
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
  }

  function clock(text) {
    const at = new Date(text);
    return Number.isNaN(at.getTime()) ? String(text) : at.toLocaleTimeString("en-GB") + "." + String(at.getMilliseconds()).padStart(3, "0");
  }

  const name = text => Format.name(String(text ?? "–"));
  const capital = text => text.startsWith("weir ") ? text : text[0].toUpperCase() + text.slice(1);
  const sentence = text => text ? capital(text) + (/[.!?]$/.test(text) ? "" : ".") : "";
  const spaced = text => String(text ?? "").replaceAll("_", " ");

  function attempt(a, number, count) {
    const where = known(a.server) ? `at ${name(a.server)}` : "at a server";
    const which = count > 1 ? `Attempt ${a.number ?? number + 1} ${where}` : `The attempt ${where}`;
    const how = [];
    if (known(a.status) && a.status) how.push(`was answered ${a.status}`);
    if (a.end !== "ok") how.push(`ended after ${ms(a.failed_after_ms ?? a.first_byte_ms)}: ${a.means}`);
    return sentence(`${which} ${how.join(" and ") || "went well"}${a.is_reused ? ", on a connection that had been used before" : ""}`);
  }

  // Why an exchange went as it did.
  function why(x) {
    const got = x.status ? `${x.is_local_reply ? "weir answered" : "The client got"} ${x.status}` : "The client got no answer";
    const parts = [x.end === "ok" ? sentence(`${got}, as the server gave it`) : sentence(`${got}: ${x.means}`)];
    if (!x.attempt_count) parts.push("No server was tried.");
    else parts.push(...x.attempts.map((a, number) => attempt(a, number, x.attempt_count)));
    if (x.attempt_count > x.attempts.length) parts.push(`There were ${x.attempt_count} attempts in all.`);
    return parts.join(" ");
  }

  function what(x) {
    return x.method ? `${name(x.method)} ${name(x.target)}${x.is_target_cut ? "…" : ""}` : spaced(x.protocol);
  }

  return { rate, share, ms, age, clock, name, why, what, spaced, sentence, known };
})();
