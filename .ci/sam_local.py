#!/usr/bin/env python3
"""Runs inside .ci/sam-local: the events by `sam local invoke`, the README's session by `sam local start-api`."""

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
COMMON = ["--config-env", "local", "--skip-pull-image", "--region", "eu-central-1"]
API = "http://127.0.0.1:3001"


def module(name: str):
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / ".ci" / name))
    spec = importlib.util.spec_from_loader(name, loader)
    found = importlib.util.module_from_spec(spec)
    loader.exec_module(found)
    return found


emulator = module("emulator")


def invoke(function: str, event: str) -> dict:
    file = WORK / "event.json"
    file.write_text(event)
    command = ["sam", "local", "invoke", f"{function.capitalize()}Function", "--event", str(file), *COMMON]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    # The exit status is 0 even when the function fails: the answer is what tells.
    for line in reversed(done.stdout.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and "statusCode" in answer:
            return answer
    return {"error": (done.stdout + done.stderr)[-2000:]}


def session() -> int:
    """The README's session, with the events' token in place of one that `cargo local` would sign."""
    readme = (ROOT / "README.md").read_text()
    section = readme.split("\n## A session\n")[1].split("\n## ")[0]
    commands = re.search(r"```sh\n(.*?)```", section, re.S)[1]
    shown = re.search(r"```css\n(.*?)```", section, re.S)[1]
    token = json.loads((ROOT / "events/agency/enableAgency.json").read_text())["headers"]["authorization"]
    portal = json.loads((ROOT / "events/env.json").read_text())["Parameters"]["PORTAL_DOMAIN"]
    commands = commands.replace("http://127.0.0.1:3000", API).replace("portal.localhost", portal)
    commands = commands.replace("curl -sS", "curl -fsS").replace("Bearer $(cargo local token --org org_acme --role owner)", token)
    server = subprocess.Popen(["sam", "local", "start-api", "--port", "3001", *COMMON], stdin=subprocess.DEVNULL,
                              stdout=open(WORK / "api.log", "wb"), stderr=subprocess.STDOUT)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"{API}/health", timeout=30) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.5)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True)
    finally:
        server.terminate()
        server.wait()
    passed = done.returncode == 0 and done.stdout.endswith(shown)
    print("ok     the README's session by sam local start-api" if passed else
          f"FAILED the README's session\n{done.stdout}\n{done.stderr}\n{(WORK / 'api.log').read_text()[-3000:]}")
    return not passed


def main() -> None:
    emulator.invoke = lambda function, event: invoke(function, event)
    failed = emulator.replay({name: name for name in emulator.FUNCTIONS})
    failed += session()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
