// Which view is shown, and keeping it true: it is asked for again and again, and the page waits where weir does not answer.

// A view and its filters are the address behind the "#", so that they can be linked to and gone back to.
const Place = {
  link: (view, query = {}) => `#${Api.path(view, query)}`,
  read() {
    const [view, query] = location.hash.slice(1).split("?");
    return { view, query: Object.fromEntries(new URLSearchParams(query ?? "")) };
  },
};

// What was done, or went wrong, until something else is said.
const Message = {
  place: document.getElementById("message"),
  say(text, action, act) {
    const button = action && element("button", { type: "button", textContent: action });
    button?.addEventListener("click", act);
    this.place.replaceChildren(element("span", { textContent: text }), ...(button ? [button] : []));
    this.place.hidden = false;
  },
  async attempt(act) {
    try {
      await act();
    } catch (problem) {
      this.say(problem.message);
    }
  },
};

const Dash = (() => {
  const VIEWS = { now: nowView, river: riverView, servers: serversView, failures: failuresView, events: eventsView, splits: splitsView, logs: logsView,
    certificates: certificatesView, configuration: configurationView, profiles: profilesView };
  const RETRY_MS = 1000;
  const state = { view: null, hash: "", answer: null, rounds: 0, problem: null };
  const main = document.getElementById("main"), status = document.getElementById("status");
  let timer = 0, turn = 0;

  function sayStatus(problem) {
    status.classList.toggle("is-lost", Boolean(problem));
    Dom.setText(status, problem ? `${problem.message}; asking again` : "Live");
    status.setAttribute("aria-live", problem ? "assertive" : "polite");
  }

  // One round; what comes for a view that is no longer shown, or for a question since changed, is dropped.
  async function round() {
    const mine = ++turn, view = state.view;
    clearTimeout(timer);
    let problem = null;
    try {
      const answer = await view.load();
      if (mine !== turn) return;
      await view.update(answer);
      if (mine !== turn) return;
      state.answer = answer;
      state.rounds++;
    } catch (caught) {
      if (mine !== turn) return;
      if (!(caught instanceof Api.Problem)) throw caught;
      if (caught.status === 401) return askWho();
      problem = caught;
    }
    state.problem = problem;
    sayStatus(problem);
    if (!document.hidden) timer = setTimeout(round, problem ? RETRY_MS : view.every);
  }

  // Nobody is signed in any more, or never was.
  function askWho() {
    clearTimeout(timer);
    turn++;
    state.view = null;
    state.hash = "";
    status.classList.remove("is-lost");
    Dom.setText(status, "Not signed in");
    document.title = "weir: sign in";
    main.replaceChildren(Session.form(show));
    main.querySelector("input").focus();
  }

  // Whether there is somebody who may look; else he is asked, or weir is asked again.
  async function knowWho() {
    try {
      await Session.look();
    } catch (problem) {
      if (!(problem instanceof Api.Problem)) throw problem;
      sayStatus(problem);
      timer = setTimeout(show, RETRY_MS);
      return false;
    }
    if (Session.may("view")) return true;
    askWho();
    return false;
  }

  async function show() {
    clearTimeout(timer);
    const mine = ++turn;
    if (!await knowWho() || mine !== turn) return;
    const { view, query } = Place.read();
    const name = Object.hasOwn(VIEWS, view) ? view : "now";
    state.hash = location.hash;
    state.rounds = 0;
    state.answer = null;
    state.view = VIEWS[name]({ query, reload: round });
    main.replaceChildren(state.view.element);
    document.title = `weir: ${state.view.title}`;
    for (const link of document.querySelectorAll("#views a"))
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    round();
  }

  function start() {
    const titles = { now: "Now", river: "River", servers: "Servers", failures: "Failures", events: "Events", splits: "Splits", logs: "Logs", certificates: "Certificates", configuration: "Configuration", profiles: "Profiles" };
    const links = Object.keys(VIEWS).map(name => {
      const link = element("a", { href: Place.link(name), textContent: titles[name] });
      link.dataset.view = name;
      return link;
    });
    document.getElementById("views").append(...links);
    addEventListener("hashchange", show);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && state.view) round(); });
    Session.begin(show);
    show();
  }

  start();
  return state;
})();

window.dash = Dash; // what tests look at
