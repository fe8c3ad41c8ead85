"""In place of kubectl: runs the pods of an Indexed Job as processes of this machine. `kustomize` is the real one.

The environment has KUBECTL, the real one; FOLDER, where the logs of the pods are; TARGET, the server; and LOST, the index
of the pod without a log.
"""

import os
import signal
import subprocess
import sys
import time

import yaml

folder = os.environ["FOLDER"]


def read(name):
    with open(f"{folder}/{name}") as file:
        return file.read()


def write(name, text):
    with open(f"{folder}/new", "w") as file:
        file.write(text)
    os.rename(f"{folder}/new", f"{folder}/{name}")


def start(container, index):
    """Starts the container of a pod, as a process group."""
    pod = dict(os.environ, JOB_COMPLETION_INDEX=str(index))
    pod.update({entry["name"]: entry["value"] for entry in container["env"]})
    pod.update(TARGET=os.environ["TARGET"], MESSAGES=f"{folder}/messages-{index}")
    command = container["command"] + container["args"]
    with open(f"{folder}/{index}", "w") as log:
        return subprocess.Popen(command, env=pod, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def apply(manifest):
    (job,) = yaml.safe_load_all(manifest)
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    write("completions", str(spec["completions"]))
    print("job.batch/echoloop-load created", flush=True)
    if os.fork() > 0:
        return
    # The controller of the Job: a failed pod ends the others, since none may start again.
    assert spec["backoffLimit"] == 0
    pods = {pod.pid for pod in [start(container, index) for index in range(spec["completions"])]}
    condition = "Complete"
    while pods:
        pid, status = os.wait()
        pods.remove(pid)
        if status != 0:
            condition = "Failed"
            for other in pods:
                os.killpg(other, signal.SIGKILL)
    write("condition", condition)


def get(arguments):
    completions = read("completions")
    if arguments[0] == "pods":
        print("\n".join(f"pod/echoloop-load-{index}-x" for index in range(int(completions))))
    elif ".spec.completions" in arguments[-1]:
        print(completions, end="")
    else:
        while not os.path.exists(f"{folder}/condition"):
            time.sleep(0.02)
        print(read("condition"), end="")


verb, arguments = sys.argv[1], sys.argv[2:]
if verb == "kustomize":
    os.execv(os.environ["KUBECTL"], ["kubectl", verb, *arguments])
elif verb == "apply":
    apply(sys.stdin.read())
elif verb == "get":
    get(arguments)
elif verb == "logs":
    index = arguments[0].split("-")[-2]
    if index == os.environ["LOST"]:
        sys.exit(f"Error from server (NotFound): {arguments[0]} not found")
    sys.stdout.write(read(index))
elif verb != "delete":
    sys.exit(f"kubectl {verb} is not emulated")
