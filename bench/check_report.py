#!/usr/bin/env python3
"""Opens pages that `sdas report` wrote, or an address of `sdas watch`, in headless Chromium and checks them.

    bench/check_report.py PAGE… [--browser /usr/bin/chromium] [--screenshots DIR]

Of every page: no error in the console, nothing asked for but the page itself (of a file nothing at all from the network), no
part wider than a phone, a drawing's words in its own colours, and where there is a slider that the keyboard moves it and that
the cell, the sentence and the mixture change with it. Screenshots: at a desk in light and in dark, and 390 pixels wide. Needs
nothing but Python and the browser, which is spoken to through a pipe, by the DevTools protocol.
"""
import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"]
VIEWS = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (390, 844, "light"),
         "phone-dark": (390, 844, "dark")}


class Browser:
    def __init__(self, program, profile):
        read, ours = os.pipe()
        theirs, write = os.pipe()

        def pipes():
            # Chromium reads commands from 3 and writes answers to 4.
            moved = [os.dup(read), os.dup(write)]
            os.dup2(os.dup(moved[0]), 3)
            os.dup2(os.dup(moved[1]), 4)

        self.process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], close_fds=False,
                                        preexec_fn=pipes, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read), os.close(write)
        self.to, self.answers, self.buffer = ours, theirs, b""
        self.number, self.events = 0, []
        os.set_inheritable(ours, False)

    def message(self):
        while b"\0" not in self.buffer:
            got = os.read(self.answers, 1 << 20)
            if not got:
                sys.exit("the browser has ended")
            self.buffer += got
        one, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def close(self):
        self.call("Browser.close")
        self.process.wait(20)


class Tab:
    def __init__(self, browser):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Network", "Log"]:
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            sys.exit(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def view(self, width, height, scheme):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        self.browser.events.clear()
        self.call("Page.navigate", url=url)
        for _ in range(100):
            if self.evaluate("document.readyState") == "complete":
                break
            time.sleep(0.05)

    def key(self, key, code):
        for kind in ["rawKeyDown", "keyUp"]:
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, file):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        pathlib.Path(file).write_bytes(base64.b64decode(data))


def faults(browser, url):
    """Errors that were told, and requests beside those for the page."""
    found = []
    for event in browser.events:
        method, said = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            found.append("exception: " + json.dumps(said["exceptionDetails"])[:300])
        if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            found.append("console: " + json.dumps(said["args"])[:300])
        if method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            found.append("log: " + said["entry"]["text"] + " " + said["entry"].get("url", ""))
        if method == "Network.requestWillBeSent":
            asked = said["request"]["url"]
            if asked != url and not asked.startswith("data:"):
                found.append("request: " + asked)
    return found


STATE = """JSON.stringify({
    moment: document.getElementById('moment').textContent,
    cells: [...document.querySelectorAll('svg.cell')].map((cell) => cell.innerHTML).join(''),
    mixes: [...document.querySelectorAll('table.mix td')].map((cell) => cell.textContent).join('|'),
    decided: document.querySelectorAll('svg.cell .edge.decided .box').length})"""


# Words of a drawing on white whose colour is the page's.
PALE = """[...document.querySelectorAll('#drawing text')].filter((text) => {
    const own = new Option().style;
    own.color = text.getAttribute('fill');
    return own.color !== getComputedStyle(text).fill;
}).length"""


def check(tab, url, name, shots):
    wrong = []
    for view, (width, height, scheme) in VIEWS.items():
        tab.view(width, height, scheme)
        tab.open(url)
        wrong += [f"{view}: {fault}" for fault in faults(tab.browser, url)]
        room = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if room > 0:
            wrong.append(f"{view}: the page is {room} pixels wider than the screen")
        pale = tab.evaluate(PALE)
        if pale:
            wrong.append(f"{view}: {pale} words of the drawing are not in its own colours")
        if shots:
            tab.screenshot(shots / f"{name}-{view}.png")
    headings = tab.evaluate("[...document.querySelectorAll('h1, main, h2')].length")
    unnamed = tab.evaluate("[...document.querySelectorAll('img:not([alt]), svg:not([aria-label]):not([role=img]), "
                           "button:not([aria-label]):empty')].length")
    if headings < 4 or unnamed:
        wrong.append(f"{headings} headings and landmarks, {unnamed} pictures or buttons without a name")
    said = f"{headings - 2} parts"
    if tab.evaluate("document.getElementById('stop') !== null"):
        tab.view(*VIEWS["light"])
        tab.open(url)
        tab.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
        tab.evaluate("document.getElementById('stop').focus()")
        end = json.loads(tab.evaluate(STATE))
        tab.key("Home", 36)
        start = json.loads(tab.evaluate(STATE))
        moments, cells, decided = {start["moment"]}, {start["cells"]}, [start["decided"]]
        last = int(tab.evaluate("document.getElementById('stop').max"))
        for _ in range(last):
            tab.key("ArrowRight", 39)
            now = json.loads(tab.evaluate(STATE))
            moments.add(now["moment"])
            cells.add(now["cells"])
            decided.append(now["decided"])
            why = tab.evaluate("document.getElementById('why').textContent")
            if now["moment"].startswith("decision") and "criterion" not in why:
                wrong.append(f"{now['moment']}: not said why")
        if now != end:
            wrong.append("the slider's end is not what the page began with")
        if len(moments) != last + 1:
            wrong.append(f"{len(moments)} moments at {last + 1} places of the slider")
        if len(cells) < 2 or start["decided"] != 0 or decided != sorted(decided):
            wrong.append(f"the cells do not grow: {len(cells)} pictures, decided {decided}")
        tab.evaluate("document.getElementById('before').click()")
        if json.loads(tab.evaluate(STATE))["moment"] == end["moment"]:
            wrong.append("the button does not go back")
        if shots:
            tab.evaluate(f"const s = document.getElementById('stop'); s.value = {last // 2}; s.dispatchEvent(new Event('input'))")
            tab.screenshot(shots / f"{name}-middle.png")
        said += f", {last + 1} moments, {decided[-1]} edges decided at the end"
        wrong += faults(tab.browser, url)
    return said, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(arguments.browser, profile)
        tab = Tab(browser)
        for page in arguments.pages:
            is_file = "://" not in page
            url = pathlib.Path(page).resolve().as_uri() if is_file else page
            said, wrong = check(tab, url, pathlib.Path(page).stem if is_file else "served", arguments.screenshots)
            print(f"{page}: {said}: {'; '.join(wrong) if wrong else 'all right'}")
            failed |= bool(wrong)
        browser.close()
    sys.exit(failed)


if __name__ == "__main__":
    main()
