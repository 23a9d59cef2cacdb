"""Shared by the runs: builds and starts servers, loads them, prints tables."""
import argparse, contextlib, json, os, resource, signal, socket, statistics, subprocess, sys, tempfile, time

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
PEERS = os.path.join(BENCH, "peers")
BUILD = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "dist")

SWITCHBOARD = [f"{BUILD}/bench_server"]
SOCKET_IO = ["node", f"{PEERS}/socketio.mjs"]
SOCKETIOXIDE = [f"{PEERS}/socketioxide/target/release/bench-peer-socketioxide"]


def run(main):
    """Runs a program. If the reader of its output is gone, as after `| head`, ends it quietly and as SIGPIPE would.

    The signal itself would end it without the servers that it has started."""
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes both once more.
        for output in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        sys.exit(128 + signal.SIGPIPE)


def build(redis_examples=True, node=True, socketioxide=True):
    def step(*command, cwd=ROOT):
        print("+", *command, file=sys.stderr)
        subprocess.run(command, cwd=cwd, check=True, stdout=sys.stderr)

    step("cargo", "build", "--profile", "dist", "--quiet", "-p", "switchboard-bench", "--bins", "--features", "jemalloc")
    if redis_examples:
        step("cargo", "build", "--profile", "dist", "--quiet", "-p", "switchboard-redis", "--examples")
    if node:
        step("npm", "ci", "--silent", "--no-fund", "--no-audit", cwd=PEERS)
    if socketioxide:
        step("cargo", "build", "--release", "--quiet", cwd=f"{PEERS}/socketioxide")


def options(doc, names, scenarios):
    """Reads the command line of a run that compares named servers."""
    return read(parser(doc, names, scenarios))


def parser(doc, names, scenarios):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    if names:
        parser.add_argument("--only", default=",".join(names))
    parser.add_argument("--scenario", default=",".join(scenarios))
    parser.add_argument("--quick", action="store_true", help="short measurements, to see that everything runs")
    parser.add_argument("--no-build", action="store_true")
    return parser


def read(parser):
    """Reads the command line, and raises the limit of open files to its maximum."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return parser.parse_args()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(*command, cores="0", **options):
    """A process on the servers' core, or on the given ones, killed at the end of the block."""
    running = subprocess.Popen(["taskset", "-c", cores, *command], **options)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


@contextlib.contextmanager
def server(command, *arguments, cores="0"):
    """Yields a server's address as soon as it listens."""
    address = f"127.0.0.1:{free_port()}"
    with process(*command, address, *arguments, cores=cores, stdout=subprocess.PIPE, text=True) as running:
        if not running.stdout.readline():
            raise SystemExit(f"{command[-1]} does not start")
        yield address


@contextlib.contextmanager
def redis():
    """Yields the address of a Redis without persistence as soon as it accepts connections."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with process("redis-server", *options, stdout=subprocess.DEVNULL, cwd="/tmp") as running:
        wait_until_it_listens(running, port, "redis-server")
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def nats(cores="0"):
    """Yields the WebSocket address of a NATS server as soon as it accepts connections."""
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"""
            listen: "127.0.0.1:{free_port()}"
            websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}
        """)
        file.flush()
        with process("nats-server", "-c", file.name, cores=cores, stderr=subprocess.DEVNULL) as running:
            wait_until_it_listens(running, port, "nats-server")
            yield f"127.0.0.1:{port}"


def wait_until_it_listens(running, port, name):
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        if running.poll() is not None:
            raise SystemExit(f"{name} does not start")
        time.sleep(0.01)


def load(name, *arguments):
    """The generator's report of one scenario, or None if it failed."""
    bench = ["taskset", "-c", "1", f"{BUILD}/switchboard-bench", *arguments, "--json"]
    try:
        done = subprocess.run(bench, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return print(f"  {name}: no result within 180 s", file=sys.stderr)
    if done.returncode:
        return print(f"  {name}: {done.stderr.strip()}", file=sys.stderr)
    return json.loads(done.stdout)


class Disturbance:
    """Counts the measurements during which other processes, or the hypervisor, took more than 5 % of one core.

    Interrupts belong to no process, and most of them to the measurement, so they do not count."""

    def __init__(self):
        self.runs = self.disturbed = 0

    @contextlib.contextmanager
    def watch(self):
        """Surrounds one measurement, with the start and the end of its server."""
        since, busy, own = time.monotonic(), busy_seconds(), children_seconds()
        yield
        others = (busy_seconds() - busy) - (children_seconds() - own)
        self.runs += 1
        self.disturbed += others > 0.05 * (time.monotonic() - since)

    def __str__(self):
        return f"{self.disturbed} of {self.runs} runs were disturbed by other processes."


def busy_seconds():
    """CPU seconds of all processes and of the hypervisor since the machine has started."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, _, _, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + stolen) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return sum(one.ru_utime + one.ru_stime for one in used)


def figure(report, key):
    """A figure of a report by its path, such as `latency_us.p99`, or None."""
    for part in key.split("."):
        report = (report or {}).get(part)
    return report


def print_figures(scenario, figures, names, reference, rounds):
    """Prints a table of each figure. A round maps each name to its report or None."""
    for key, unit in figures.items():
        print_table(f"{scenario}: {unit}", names, reference, [
            {name: figure(report, key) for name, report in reports.items() if figure(report, key) is not None}
            for reports in rounds
        ])


def print_table(title, names, reference, rounds):
    to = f"to {reference}" if reference else ""
    print(f"\n### {title}\n\n| server | median | least to most | {to} |\n|---|---|---|---|")
    for name in names:
        values = [one[name] for one in rounds if name in one]
        if not values:
            print(f"| {name} | no result | | |")
            continue
        ratios = [one[name] / one[reference] for one in rounds if name in one and one.get(reference)]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f} | {ratio} |", flush=True)
