// Who looks on, and signing in with a token. What his role does not allow is not shown; weir refuses it in any case.

const Session = (() => {
  const ROLES = ["none", "view", "operate", "admin"];
  const place = document.getElementById("who");
  let who = { role: "none" };

  const may = role => ROLES.indexOf(who.role) >= ROLES.indexOf(role);

  function show(answer) {
    who = answer;
    document.body.dataset.role = who.role; // the style hides what that may not
    const words = who.name === null ? "" : `${Words.name(who.name)} (${who.role})`;
    Dom.setText(place.firstElementChild, words);
    place.lastElementChild.hidden = who.by !== "session";
    place.hidden = words === "";
  }

  async function look() {
    show(await Api.get("/api/v1/session"));
  }

  // `done` is called once somebody is signed in.
  function form(done) {
    const token = element("input", { type: "password", autocomplete: "current-password", required: true, maxLength: 256 });
    const said = element("p", { className: "is-wrong" });
    said.setAttribute("role", "alert");
    const made = element("form", { className: "controls" }, Dom.field("Token", token),
      element("button", { type: "submit", textContent: "Sign in" }));
    made.addEventListener("submit", async event => {
      event.preventDefault();
      try {
        show(await Api.call("POST", "/api/v1/session", { token: token.value }));
        token.value = "";
      } catch (problem) {
        if (!(problem instanceof Api.Problem)) throw problem;
        Dom.setText(said, problem.message);
        token.select();
        return;
      }
      done();
    });
    return element("section", {}, element("h2", { textContent: "Sign in" }),
      element("p", { textContent: "This weir shows what it does to those who have one of its tokens (admin: in its configuration)." }), made, said);
  }

  function begin(gone) {
    place.append(element("span"), element("button", { type: "button", textContent: "Sign out", hidden: true }));
    place.lastElementChild.addEventListener("click", () => Message.attempt(async () => {
      show(await Api.call("DELETE", "/api/v1/session"));
      gone();
    }));
  }

  return { begin, look, form, may };
})();
