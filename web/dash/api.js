// Asking weir: every answer comes from the API that curl sees. Nothing here knows of the page.

const Api = (() => {
  const LIMIT_MS = 10000;

  class Problem extends Error {
    constructor(words, status) {
      super(words);
      this.status = status; // 0: no answer came
    }
  }

  async function call(method, path, body) {
    const options = { method, credentials: "same-origin", signal: AbortSignal.timeout(LIMIT_MS), headers: {} };
    if (method !== "GET") options.headers["X-Weir-Page"] = "1"; // no page of another site can send it
    if (body !== undefined) {
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    let response, answer = null;
    try {
      response = await fetch(path, options);
    } catch {
      throw new Problem("weir does not answer", 0);
    }
    try {
      answer = await response.json();
    } catch {
      if (response.ok && response.status !== 204) throw new Problem("weir's answer was cut off", 0);
    }
    if (!response.ok) throw new Problem(answer?.detail || `weir answers ${response.status}`, response.status);
    return answer;
  }

  // "/api/v1/x" and what is to be asked for; what is empty is left out.
  function path(base, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
    return given.length ? `${base}?${new URLSearchParams(given)}` : base;
  }

  const part = text => encodeURIComponent(text);
  return { get: (base, query) => call("GET", path(base, query)), call, path, part, Problem };
})();
