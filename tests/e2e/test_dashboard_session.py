"""Signing in to the dashboard, in headless Chromium: who is signed in sees what his role allows, and no more."""
import json

import pytest

from browser import Browser
from weir import listen_at_free_port

TOKENS = {"view": "token-of-whoever-looks", "operate": "token-of-whoever-is-on-call", "admin": "token-of-whoever-decides"}
VISIBLE = "(one => one !== null && one.getClientRects().length > 0)"


@pytest.fixture
def browser(scene, tmp_path):  # closed before the scene is looked at: its connections are none of weir's leaks
    opened = Browser(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def weir(scene):
    return scene.proxy({"name": "one", "address": scene.server().address},
                       admin={"bind": listen_at_free_port(), "token": "the-single-one",
                              "tokens": [{"name": f"the-{role}", "role": role, "token": token} for role, token in TOKENS.items()]})


def open_page(browser, weir, view="servers"):
    browser.open("http://%s:%d/#%s" % (*weir.admin_address, view))


def sign_in(browser, token):
    browser.wait("document.querySelector('main input[type=password]') !== null", "the form")
    browser.run(f"""(() => {{ const form = document.querySelector("main form"), input = form.querySelector("input");
        input.value = {json.dumps(token)}; form.requestSubmit(); }})()""")


def wait_view(browser, view):
    browser.wait(f"dash.hash === '#{view}' && dash.rounds > 0", f"the first figures of {view}")


def is_seen(browser, selector):
    return browser.run(f"{VISIBLE}(document.querySelector({json.dumps(selector)}))")


@pytest.mark.parametrize("role", ["view", "operate", "admin"])
def test_a_role_sees_what_it_may_do(browser, weir, role):
    open_page(browser, weir)
    sign_in(browser, TOKENS[role])
    wait_view(browser, "servers")
    browser.wait("document.querySelectorAll('tbody tr').length === 1", "the server")
    assert browser.run("document.getElementById('who').firstElementChild.textContent") == f"the-{role} ({role})"
    assert is_seen(browser, "#who button")
    may_operate = role != "view"
    assert is_seen(browser, "main .actions button") == may_operate
    assert is_seen(browser, "main input[type=number]") == may_operate
    open_page(browser, weir, "events")
    wait_view(browser, "events")
    assert is_seen(browser, "main form button[type=submit]") == may_operate
    assert is_seen(browser, "main form select")
    open_page(browser, weir, "configuration")
    wait_view(browser, "configuration")
    assert browser.run(f"{VISIBLE}([...document.querySelectorAll('main th')].find(cell => cell.textContent === 'Actions'))") == \
        (role == "admin")
    assert TOKENS[role] not in browser.run("document.documentElement.outerHTML")
    assert browser.run("document.cookie") == ""  # no script sees it
    browser.check()


def test_a_server_is_drained_by_whoever_is_signed_in(browser, weir):
    open_page(browser, weir)
    sign_in(browser, TOKENS["operate"])
    wait_view(browser, "servers")
    browser.wait("document.querySelectorAll('tbody tr').length === 1", "the server")
    browser.run("[...document.querySelectorAll('main .actions button')].find(one => one.textContent === 'Drain').click()")
    browser.wait("document.getElementById('message').textContent.includes('is drained')", "what was done")
    assert weir.servers()["one"]["admin"] == "drain"
    browser.check()


def test_a_wrong_token_is_told_and_the_form_stays(browser, weir):
    open_page(browser, weir)
    sign_in(browser, "wrong")
    browser.wait("document.querySelector('main [role=alert]').textContent.includes('none of those')", "the sentence")
    assert browser.run("document.title") == "weir: sign in"
    sign_in(browser, TOKENS["view"])
    wait_view(browser, "servers")
    browser.check()


def test_signing_out_asks_again_and_ends_the_session(browser, weir):
    open_page(browser, weir)
    sign_in(browser, TOKENS["view"])
    wait_view(browser, "servers")
    assert weir.metric("weir_admin_sessions") == 1
    browser.run("document.querySelector('#who button').click()")
    browser.wait("document.querySelector('main input[type=password]') !== null", "the form")
    assert weir.metric("weir_admin_sessions") == 0
    assert not is_seen(browser, "#who")
    browser.check()


def test_a_session_that_ends_meanwhile_is_asked_for_anew(browser, weir):
    open_page(browser, weir)
    sign_in(browser, TOKENS["view"])
    wait_view(browser, "servers")
    weir.config["admin"]["tokens"][0]["token"] = "another-token-to-look-with"
    weir.write_file(weir.config)
    assert weir.ask_admin("POST", "/api/v1/reload").status == 200
    sign_in(browser, "another-token-to-look-with")
    wait_view(browser, "servers")
    browser.check()


def test_without_tokens_nobody_is_asked(browser, scene):
    weir = scene.proxy(scene.server())
    open_page(browser, weir)
    wait_view(browser, "servers")
    assert not is_seen(browser, "#who")
    assert is_seen(browser, "main .actions button")
    browser.check()
