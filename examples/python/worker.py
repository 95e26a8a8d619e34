#!/usr/bin/env python3
"""A Taskraft worker in the standard library: worker.py QUEUE MASTER...

It takes the tasks of a queue one by one and answers each with its payload in capitals.
Any master will do, and the next one when that is gone: a follower sends every request
on to the leader, and everything here is safe to repeat.
"""
import base64, json, sys, threading, time, urllib.error, urllib.request, uuid

queue, masters = sys.argv[1], sys.argv[2:]
me, boot = "python-" + uuid.uuid4().hex[:8], uuid.uuid4().hex
held = []  # the fence of the task at hand: a heartbeat tells that it is being worked on


def call(verb, **body):
    """Makes a request until a master answers it."""
    data = json.dumps(dict(body, boot_id=boot)).encode()
    while True:
        url = f"http://{masters[0]}/v1/workers/{me}:{verb}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            if refusal.code not in (429, 502, 503, 504):
                return json.load(refusal)  # 409: a fence that is void; the outcome says why
        except (OSError, ValueError):
            pass
        masters.append(masters.pop(0))
        time.sleep(0.1)


def heartbeat():
    while True:
        time.sleep(2)
        if held:
            call("heartbeat", held=list(held))


def work(task):
    return base64.b64decode(task.get("payload", "")).upper()


threading.Thread(target=heartbeat, daemon=True).start()
seq = 0
while True:
    seq += 1  # the same number gets the same tasks, should the answer be lost
    poll = call("poll", queues=[{"queue": queue}], max=1, poll_seq=str(seq), wait="20s")
    for task in poll.get("assignments", []):
        held[:] = [task["fence"]]
        done = {"task": task["task"], "fence": task["fence"]}
        try:
            verb, done["result"] = "complete", base64.b64encode(work(task)).decode()
        except Exception as problem:
            verb, done["error"] = "fail", repr(problem)
        answer = call(verb, **{"complete": {"completion": done}, "fail": {"failure": done}}[verb])
        print(f"task {task['task']}: {answer.get('outcome', answer)}", flush=True)
        held.clear()
