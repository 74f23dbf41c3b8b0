"""The servers: how each is found, started and addressed."""

import os
import pathlib
import shutil
import subprocess
import urllib.request

from compare import machine

TOKEN_SECRET = "a secret of thirty-two bytes or more"


class Peer:
    """One server. `foreign` ones may be absent and may fail without failing the run."""

    foreign = True
    scheme = "ws"
    # What its clients believe, once it has started; none: it speaks no TLS.
    certificate = None
    load_options = ()

    def __init__(self, name, form, path, version, command, publish_path=None):
        self.name, self.form, self.path, self.publish_path = name, form, path, publish_path or path
        self._version, self._command = version, command

    def version(self):
        """As the server tells it; empty where it is not installed."""
        try:
            return self._version()
        except (OSError, subprocess.SubprocessError, IndexError):
            return ""

    def urls(self, port):
        return f"{self.scheme}://127.0.0.1:{port}{self.path}", f"{self.scheme}://127.0.0.1:{port}{self.publish_path}"

    def log_reads(self, server):
        """Pages read from logs so far, where the server counts them."""
        return None

    def start(self):
        port, directory = machine.free_port(), machine.directory()
        command, environment = self._command(port, pathlib.Path(directory.name))
        return machine.Server(command, port, directory, environment)


class Parlor(Peer):
    def log_reads(self, server):
        address = server.environment["PARLOR_METRICS_LISTEN"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("parlor_broker_pages_total "))


def own(name, form, path, binary, *arguments, publish_path=None):
    program = machine.TARGET / binary

    def version():
        return git_version() if program.exists() else ""

    peer = Peer(name, form, path, version, lambda port, _: ([program, f"127.0.0.1:{port}", *arguments], {}), publish_path)
    peer.foreign = False
    return peer


def parlor(here, name="parlor", form="json", shards=1):
    program = pathlib.Path(os.environ.get("PARLOR_BIN", machine.TARGET / "parlor"))

    def command(port, directory):
        return [program, "--config", here / "peers/parlor.toml"], {
            "PARLOR_AUTH_SECRET": TOKEN_SECRET,
            "PARLOR_SERVER_LISTEN": f"127.0.0.1:{port}",
            "PARLOR_SERVER_SHARDS": str(shards),
            "PARLOR_METRICS_LISTEN": f"127.0.0.1:{machine.free_port()}",
            "PARLOR_STORAGE_DATA_DIR": str(directory),
        }

    peer = Parlor(name, form, "/v1/socket", lambda: git_version() if program.exists() else "", command)
    # Each connection has a token of its own, as people have: none is found in the server's memory.
    peer.load_options = ("--token-secret", TOKEN_SECRET)
    peer.foreign = False
    return peer


def parlor_presence(here):
    """The same, and everybody is a member of the channels that they are in."""
    peer = parlor(here, "parlor-presence")
    plain = peer._command

    def command(port, directory):
        arguments, environment = plain(port, directory)
        text = (here / "peers/parlor.toml").read_text()
        config = directory / "presence.toml"
        config.write_text(text.replace("presence = false", "presence = true"))
        return [*arguments[:-1], config], environment

    peer._command = command
    return peer


def parlor_tls(here):
    """The same over TLS, with a certificate of its own."""
    peer = parlor(here, "parlor-tls")
    plain, tokens = peer._command, peer.load_options

    def command(port, directory):
        arguments, environment = plain(port, directory)
        certificate, key = directory / "cert.pem", directory / "key.pem"
        told(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(certificate),
        )
        environment |= {"PARLOR_SERVER_TLS_CERTIFICATE_FILE": str(certificate), "PARLOR_SERVER_TLS_KEY_FILE": str(key)}
        peer.certificate, peer.load_options = certificate, (*tokens, "--ca", certificate)
        return arguments, environment

    peer.scheme, peer._command = "wss", command
    return peer


def all_peers(here):
    centrifuge = pathlib.Path(os.environ.get("CENTRIFUGE_BIN", here / "peers/centrifuge/server"))
    node = pathlib.Path(os.environ.get("BENCH_NODE_MODULES", here / "peers/node/node_modules"))
    channel = ("/sub/{channel}", "/pub/{channel}")
    peers = [
        own("bare-single", "raw", channel[0], "bare-loop", "single", publish_path=channel[1]),
        own("bare-joined", "raw", channel[0], "bare-loop", "joined", publish_path=channel[1]),
        parlor(here),
        parlor(here, "parlor-msgpack", "msgpack"),
        parlor_presence(here),
        parlor_tls(here),
        Peer("centrifuge", "centrifuge", "/connection/websocket", lambda: go_version(centrifuge), lambda port, _: ([centrifuge, "-listen", f"127.0.0.1:{port}"], {})),
        Peer("nats-server", "nats", "/", lambda: told("nats-server", "--version").split()[-1], lambda port, directory: nats(here, port, directory)),
        Peer("nchan", "raw", channel[0], nchan_version, lambda port, directory: nchan(here, port, directory), channel[1]),
        Peer("socket.io", "socket.io", "/socket.io/?EIO=4&transport=websocket", lambda: package_version(node / "socket.io"), lambda port, directory: script(here, node, directory, "socketio.js", port)),
        Peer("ws", "raw", channel[0], lambda: package_version(node / "ws"), lambda port, directory: script(here, node, directory, "ws.js", port), channel[1]),
        own("naive-tokio", "raw", channel[0], "naive-broadcast", publish_path=channel[1]),
    ]
    if shutil.which("sockudo"):
        peers.append(sockudo())
    return peers


def sockudo():
    peer = Peer("sockudo", "pusher", "/app/bench-key?protocol=7&client=bench&version=1", lambda: told("sockudo", "--version").split()[-1], sockudo_command)
    peer.load_options = ("--token", "bench-key:bench-secret")
    return peer


def sockudo_command(port, directory):
    return ["sockudo"], {
        "HOST": "127.0.0.1", "PORT": str(port), "METRICS_ENABLED": "false",
        "SOCKUDO_DEFAULT_APP_ID": "bench", "SOCKUDO_DEFAULT_APP_KEY": "bench-key", "SOCKUDO_DEFAULT_APP_SECRET": "bench-secret",
        "SOCKUDO_ENABLE_CLIENT_MESSAGES": "true", "SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS": "100000",
        "SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND": "1000000", "RATE_LIMITER_ENABLED": "false",
        # By default it logs a line for each connection.
        "RUST_LOG": "warn",
    }


def nats(here, port, directory):
    return ["nats-server", "-c", filled(here / "peers/nats.conf", directory, PORT=port, CLIENT_PORT=machine.free_port())], {}


def nchan(here, port, directory):
    modules = os.environ.get("NGINX_MODULES", "/usr/lib/nginx/modules")
    return ["nginx", "-c", filled(here / "peers/nginx.conf", directory, PORT=port, DIR=directory, MODULES=modules), "-p", directory], {}


def script(here, node, directory, name, port):
    # Modules are looked for beside the script, so it is run from where they are.
    shutil.copy(here / "peers/node" / name, directory / name.replace(".js", ".mjs"))
    (directory / "node_modules").symlink_to(node)
    return ["node", directory / name.replace(".js", ".mjs"), port], {}


def filled(template, directory, **values):
    text = template.read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = directory / template.name
    path.write_text(text)
    return path


def told(*command):
    run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return (run.stdout + run.stderr).strip()


def git_version():
    return told("git", "-C", str(machine.ROOT), "describe", "--always", "--dirty")


def go_version(program):
    lines = told("go", "version", "-m", str(program)).splitlines()
    return next(line.split()[2] for line in lines if "centrifugal/centrifuge\t" in line)


def nchan_version():
    package = told("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan")
    return f"{package}, {told('nginx', '-v').rsplit('/')[-1]}"


def package_version(package):
    text = (package / "package.json").read_text()
    return text.split('"version": "')[1].split('"')[0]
