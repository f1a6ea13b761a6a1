"""What importing the package and the client loads."""

import subprocess
import sys

BROKER = ("_core", "auth", "commit", "config", "mailbox", "monitoring", "network", "server", "storage")
# Processor time, which is less on an idle machine.
MAX_SECONDS = 0.1


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_import_of_the_package_loads_next_to_nothing() -> None:
    loaded = (
        "sorted(name for name in sys.modules if name.startswith(('mq9fast', 'nats', 'msgspec', 'asyncio')))"
    )
    assert run(f"import sys, mq9fast; print({loaded})") == "['mq9fast', 'mq9fast.version']"
    spent = run("import time; t = time.process_time(); import mq9fast; print(time.process_time() - t)")
    assert float(spent) < MAX_SECONDS


def test_client_loads_nothing_of_the_broker() -> None:
    code = (
        "import sys, mq9fast; mq9fast.connect; print(*[name for name in sys.modules if 'mq9fast.' in name])"
    )
    packages = {name.split(".")[1] for name in run(code).split()}
    assert "client" in packages and not packages & set(BROKER)


def test_without_nats_py_a_sentence_says_what_to_do() -> None:
    code = (
        "import sys; sys.modules['nats'] = None\nimport mq9fast\n"
        "try: mq9fast.connect\nexcept ImportError as error: print(error)\n"
        "try: mq9fast.conect\nexcept AttributeError as error: print(error)"
    )
    assert run(code).splitlines() == [
        "The client needs nats-py: pip install 'mq9fast[client]'",
        "module 'mq9fast' has no attribute 'conect'",
    ]
