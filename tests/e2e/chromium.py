"""A page in headless Chromium: what it says after a script has run in it, and what went wrong."""
import base64
import json
import subprocess

CHROMIUM = "/usr/bin/chromium"
LIMIT_S = 60

# Before the page's own script: what it complains of.
WATCH = """<script>
window.complaints = [];
addEventListener("error", event => complaints.push(String(event.message)));
addEventListener("unhandledrejection", event => complaints.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", event => complaints.push(event.violatedDirective));
for (const kind of ["error", "warn"]) console[kind] = (...texts) => complaints.push(texts.join(" "));
</script>"""

# Behind it: what the test does. The answer leaves as text of the document.
ASK = """<script>
(() => {
  let answer;
  try { answer = (() => { %s })(); } catch (error) { complaints.push(String(error.stack)); }
  const fetched = performance.getEntriesByType("resource").map(entry => entry.name);
  const text = JSON.stringify({ answer, complaints, fetched });
  document.documentElement.dataset.answer = btoa(String.fromCharCode(...new TextEncoder().encode(text)));
})();
</script>"""


def ask(page, script, directory, window="1400,900"):
    """Opens the page from a file, runs `script` in it and returns what that returned. Complaints and fetches fail."""
    path = directory / "asked.html"
    path.write_text(with_script(page, script))
    return ask_address(path.as_uri(), directory, window)


def with_script(page, script):
    assert page.count("<head>") == 1 and page.count("</body>") == 1
    return page.replace("<head>", "<head>" + WATCH).replace("</body>", ASK % script + "</body>")


def ask_address(address, directory, window="1400,900"):
    """The same for a page that somebody serves, made with with_script()."""
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--window-size={window}", f"--user-data-dir={directory / 'chromium'}", "--dump-dom", address],
        capture_output=True, text=True, timeout=LIMIT_S)
    mark = 'data-answer="'
    assert mark in done.stdout, done.stderr[-2000:]
    start = done.stdout.index(mark) + len(mark)
    return decode(done.stdout[start:done.stdout.index('"', start)])


def decode(text):
    result = json.loads(base64.b64decode(text))
    assert result["complaints"] == []
    assert result["fetched"] == []
    return result.get("answer")
