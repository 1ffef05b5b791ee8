#!/usr/bin/env python3
"""Part of .ci/sam-local: posts the events with `sam local invoke`, and runs the README's session with `start-api`."""

import importlib.machinery
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = pathlib.Path(sys.argv[1])
OPTIONS = ["--config-env", "local", "--skip-pull-image", "--region", "eu-central-1"]
API = "http://127.0.0.1:3001"


def load(name: str):
    """Imports a script of this directory as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / ".ci" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def invoke(function: str, event: str) -> dict:
    """What the function returns under `sam local invoke`. Any other output is returned as `error`."""
    file = WORK / "event.json"
    file.write_text(event)
    command = ["sam", "local", "invoke", f"{function.capitalize()}Function", "--event", str(file), *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    # The exit status is 0 even when the function fails. The last line is the function's result.
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": (done.stdout + done.stderr)[-2000:]}


def session() -> bool:
    """Runs the README's session with the token of the events, and returns whether it failed."""
    section = (ROOT / "README.md").read_text().split("\n## A session\n")[1].split("\n## ")[0]
    commands = re.search(r"```sh\n(.*?)```", section, re.S)[1]
    expected = re.search(r"```css\n(.*?)```", section, re.S)[1]
    token = json.loads((ROOT / "events/agency/enableAgency.json").read_text())["headers"]["authorization"]
    portal = json.loads((ROOT / "events/env.json").read_text())["Parameters"]["PORTAL_DOMAIN"]
    commands = commands.replace("Bearer $(cargo local token --org org_acme --role owner)", token)
    commands = commands.replace("http://127.0.0.1:3000", API).replace("portal.localhost", portal)
    commands = commands.replace("curl -sS", "curl -fsS")
    # There is no token of a client: its id is new, and the events' private key is not stored.
    commands = re.sub(r"^user=.*\n.*\$user.*\n", "", commands, flags=re.M)
    with open(WORK / "api.log", "wb") as log:
        command = ["sam", "local", "start-api", "--port", "3001", *OPTIONS]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(f"{API}/health")
        # The events set values that the README's session does not expect.
        event = json.loads((ROOT / "events/branding/putBranding.json").read_text())
        cleared = json.dumps(dict.fromkeys(json.loads(event["body"]))).encode()
        headers = {"authorization": token, "content-type": "application/json"}
        request = urllib.request.Request(f"{API}/agency/branding", cleared, headers, method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True)
    finally:
        server.terminate()
        server.wait()
    passed = done.returncode == 0 and done.stdout.endswith(expected)
    print("ok     the README's session" if passed else f"FAILED the README's session\n{done.stdout}\n{done.stderr}")
    if not passed:
        print((WORK / "api.log").read_text()[-3000:])
    return not passed


def wait_for(url: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=30).close()
            return
        except OSError:
            time.sleep(0.5)


def main() -> None:
    emulator = load("emulator")
    emulator.post = invoke
    failed = emulator.replay({name: name for name in emulator.FUNCTIONS})
    failed += emulator.sweep("reverify") + emulator.list_hosts("hosts")
    failed += session()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
