"""A headless Chromium, which Playwright drives. Tests click and read its pages."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import MODULES, NODE, SCRIPTS
from tests.support.waiting import WAIT_SECONDS, wait_until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CONSOLE = Path(__file__).parents[2] / "mq9fast" / "console" / "index.html.gz"
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or NODE is None or not (MODULES / "playwright-core").is_dir(),
    reason="no Chromium or no Playwright: .ci/install-system-packages and make test install them",
)
needs_console = pytest.mark.skipif(
    not CONSOLE.exists(), reason="the console is not built: make console needs Node"
)


class Browser:
    """A browser, until `end`."""

    def __init__(self) -> None:
        assert NODE is not None
        options = json.dumps({"executable": CHROMIUM, "timeout": WAIT_SECONDS * 1000})
        self._process = subprocess.Popen(
            [NODE, SCRIPTS / "browser.mjs", options],
            env={**os.environ, "HOME": os.environ.get("TMPDIR", "/tmp")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._ids = itertools.count()
        self._receive()

    def page(self, url: str, **options: Any) -> "Page":
        """Open a page with storage of its own. `options`: those of Playwright's newContext."""
        page = Page(self, next(self._ids))
        self.call(id=page.id, open={"url": url, **options})
        return page

    def call(self, **fields: Any) -> Any:
        """One call of browser.mjs; AssertionError if it fails."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")
        self._process.stdin.flush()
        reply = self._receive()
        assert "error" not in reply, reply["error"]
        return reply["result"]

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the browser is gone"
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        """Close the browser, and kill what is left of the processes that it started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(WAIT_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(WAIT_SECONDS)
        self._process.stdout.close()


class Page:
    """One page. Its methods wait until what they need is there."""

    def __init__(self, browser: Browser, number: int) -> None:
        self.id = number
        self._browser = browser

    def run(self, code: str, **values: Any) -> Any:
        """The result of a function body in JavaScript, which uses Playwright's `page` and `values`."""
        return self._browser.call(id=self.id, code=code, values=values)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, or of the promise that it is."""
        return self.run("return page.evaluate(values.expression)", expression=expression)

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: self.evaluate(f"Boolean({expression})"), WAIT_SECONDS)

    def click(self, name: str, within: str = "body") -> None:
        """Click the button or link with this name."""
        self.run(
            "const within = page.locator(values.within);"
            "const role = (role) => within.getByRole(role, { name: values.name, exact: true });"
            "await role('button').or(role('link')).first().click()",
            name=name,
            within=within,
        )

    def fill(self, label: str, text: str, within: str = "body") -> None:
        """Write into the field with this label."""
        self.run(
            "const fields = page.locator(values.within).getByLabel(values.label, { exact: true });"
            "await fields.first().fill(values.text)",
            label=label,
            text=text,
            within=within,
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.run("await page.keyboard.press(values.key)", key=key)

    def text(self, selector: str = "body") -> str:
        """What a person sees of the first such element."""
        return str(self.run("return page.locator(values.selector).first().innerText()", selector=selector))

    def count(self, selector: str) -> int:
        return int(self.run("return page.locator(values.selector).count()", selector=selector))

    def sees(self, text: str, selector: str = "body") -> None:
        """Wait until an element shows a text."""
        self.run(
            "const found = page.locator(values.selector).filter({ hasText: values.text, visible: true });"
            "await found.first().waitFor()",
            selector=selector,
            text=text,
        )

    def sees_count(self, selector: str, count: int) -> None:
        """Wait until there are so many such elements."""
        wait_until(lambda: self.count(selector) == count, WAIT_SECONDS)

    @property
    def complaints(self) -> list[str]:
        """Errors of the page's console, such as what its policy refused."""
        return list(self.run("return complaints"))

    def violations(self) -> list[str]:
        """What axe finds that keeps people with disabilities out."""
        return list(
            self.run(
                "const found = await page.evaluate(`(() => { ${axe}; return axe.run() })()`);"
                "return found.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html)}`)"
            )
        )

    def close(self) -> None:
        self.run("await page.context().close()")
