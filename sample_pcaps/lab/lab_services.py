"""The real programs of the lab: their configuration files and how they are started."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import IO

from lab_network import run
from lab_plan import (
    BEACON_PATHS,
    CA_FILE,
    CAPTURES,
    DNS_SERVER,
    HOSTS,
    INTERNET,
    OPERATOR_PORT,
    PROXY,
    RELAY_PORT,
    TUNNEL_PORT,
    UPLOAD_PATH,
    WORK,
    Capture,
    Host,
)

_NGINX = """user www-data;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 256; }}
http {{
  include /etc/nginx/mime.types;
  access_log off;
  keepalive_timeout 20s;
  client_max_body_size 64m;
  client_body_temp_path {folder}/tmp-body;
  proxy_temp_path {folder}/tmp-proxy;
  fastcgi_temp_path {folder}/tmp-fastcgi;
  uwsgi_temp_path {folder}/tmp-uwsgi;
  scgi_temp_path {folder}/tmp-scgi;
{servers}
}}
"""
_SERVER = """  server {{
    server_name {name};
    listen {address}:80;
{listen}
    root {folder}/{name};
    location ~ \\.(webp|woff2|css|js)$ {{ expires 10m; }}
    location = /form {{ return 200 "received\\n"; }}
    location = /api/inbox/count {{ return 200 "{{\\"unread\\": 3}}\\n"; }}
    location = /v2/check {{ return 200 "current\\n"; }}
    location ~ \\.php$ {{ proxy_pass http://127.0.0.1:8080; proxy_request_buffering off; }}
  }}
"""
_SQUID = f"""# The configuration the sample's proxy ran with: Debian's defaults, reduced to what the lab needs
http_port {PROXY[0]}:{PROXY[1]}
visible_hostname proxy.office.example
acl office src 192.0.2.0/24
acl SSL_ports port 443
acl Safe_ports port 80 443
acl CONNECT method CONNECT
http_access deny !Safe_ports
http_access deny CONNECT !SSL_ports
http_access allow office
http_access deny all
dns_nameservers {DNS_SERVER}
hosts_file none
cache_mem 32 MB
max_filedescriptors 2048
pinger_enable off
cache_store_log none
shutdown_lifetime 2 seconds
# Squid 5 takes a full request buffer for a client that has gone and drops the upload: keep it above a body's size.
client_request_buffer_max_size 8 MB
access_log stdio:{WORK}/proxy/access.log squid
cache_log {WORK}/proxy/cache.log
pid_filename {WORK}/proxy/squid.pid
coredump_dir {WORK}/proxy
"""
_SSHD = """Port 22
ListenAddress {address}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
GatewayPorts yes
LogLevel VERBOSE
"""


class Programs:
    """All programs that run in the lab, so that every one can be watched and ended."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []

    def start(self, name: str, host: Host, *command: str) -> Path:
        """Start a program inside a host's namespace; returns the file with what it prints."""
        return self.start_in(name, host.namespace, *command)

    def start_in(self, name: str, namespace: str, *command: str) -> Path:
        """Start a program inside a namespace; returns the file with what it prints."""
        path = WORK / f"{name}.out"
        log = path.open("wb")
        self._logs.append(log)
        full = ("ip", "netns", "exec", namespace, *command)
        # Logs are in UTC whatever the machine's zone: socat writes local time without saying so.
        environment = {**os.environ, "TZ": "UTC"}
        self._running[name] = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        return path

    def check(self) -> None:
        """Raise RuntimeError if a program has failed, be it in one of its threads only."""
        for name, process in self._running.items():
            if process.poll() or "Traceback" in self.output(name):
                message = f"{name} failed ({process.poll()}): {self.output(name)[-2000:]}"
                raise RuntimeError(message)

    def output(self, name: str) -> str:
        """Return what a program has printed so far."""
        return (WORK / f"{name}.out").read_text(encoding="utf-8", errors="replace")

    def wait(self, name: str, seconds: float) -> None:
        """Wait for a program that ends by itself; raises RuntimeError if it ends badly or not in time."""
        process = self._running.pop(name)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = -1
        if code or "Traceback" in self.output(name):
            message = f"{name} ended badly ({code}): {self.output(name)[-2000:]}"
            raise RuntimeError(message)

    def stop(self, name: str, how: int) -> None:
        """Send a signal to a program and wait for its end."""
        process = self._running.pop(name)
        process.send_signal(how)
        process.wait(30)

    def stop_all(self) -> None:
        """End everything that still runs."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()
        for log in self._logs:
            log.close()


def _wait_for(text: str, programs: Programs, name: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while text not in programs.output(name):
        programs.check()
        if time.monotonic() > end:
            message = f"{name} did not say {text!r} within {seconds:.0f} s: {programs.output(name)[-800:]}"
            raise RuntimeError(message)
        time.sleep(0.1)


def make_certificates() -> None:
    """Make the lab's authority and one certificate for every server; the keys are removed with the lab."""
    subject = ("-days", "30", "-nodes", "-newkey", "rsa:2048")
    ca_key = WORK / "ca.key"
    run("openssl", "req", "-x509", *subject, "-subj", "/CN=Lab CA", "-keyout", str(ca_key), "-out", str(CA_FILE))
    for host in INTERNET:
        if host.role not in {"web", "operator"}:
            continue
        # The operator answers in the name of the relay at the front of the chain.
        names = host.names or HOSTS["relay1"].names
        key, request, out = (str(host.folder / file) for file in ("tls.key", "tls.csr", "tls.pem"))
        extension = host.folder / "tls.ext"
        extension.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        run("openssl", "req", *subject, "-subj", f"/CN={names[0]}", "-keyout", key, "-out", request)
        signer = ("-CA", str(CA_FILE), "-CAkey", str(ca_key), "-CAcreateserial", "-days", "30")
        run("openssl", "x509", "-req", "-in", request, *signer, "-extfile", str(extension), "-out", out)


def start_captures(programs: Programs) -> None:
    """Start tcpdump at every vantage."""
    for capture in CAPTURES:
        names = {"ns": "nano", "us": "micro"}
        options = ("-n", "-U", "-Z", "root", "-B", "65536", f"--time-stamp-precision={names[capture.precision]}")
        target = ("-s", str(capture.snaplen), "-i", capture.interface, "-w", str(WORK / capture.file))
        programs.start(_tcpdump_name(capture), HOSTS[capture.host], "tcpdump", *options, *target)
    for capture in CAPTURES:
        _wait_for("listening on", programs, _tcpdump_name(capture))


def stop_captures(programs: Programs) -> dict[str, int]:
    """End every tcpdump; returns its packet counts, and raises RuntimeError if the kernel dropped any."""
    counts = {}
    for capture in CAPTURES:
        name = _tcpdump_name(capture)
        programs.stop(name, 2)
        lines = [line.split(" ", 1) for line in programs.output(name).splitlines() if line[:1].isdigit()]
        said = {what: int(number) for number, what in lines}
        if said["packets dropped by kernel"]:
            message = f"{capture.file}: {said}"
            raise RuntimeError(message)
        counts[capture.file] = said["packets captured"]
    return counts


def _tcpdump_name(capture: Capture) -> str:
    return f"tcpdump-{capture.host}"


def start_names(programs: Programs) -> None:
    """Start the DNS server."""
    records = []
    for host in HOSTS.values():
        records += [f"--host-record={name},{host.published}" for name in host.names]
    options = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]
    options += [
        "--local=/example/",
        "--local-ttl=300",
        "--pid-file=",
        f"--listen-address={DNS_SERVER}",
        "--bind-interfaces",
    ]
    programs.start("dnsmasq", HOSTS["dns"], "dnsmasq", *options, *records)


def start_nginx(programs: Programs, host: Host) -> None:
    """Start the web server of one host; its document roots must be there."""
    servers = []
    for name in host.names:
        listen = [f"    listen [{host.address6}]:80;"] if host.address6 else []
        if host.role == "web":
            listen += [f"    listen {host.address}:443 ssl;"]
            listen += [f"    listen [{host.address6}]:443 ssl;"] if host.address6 else []
            listen += [f"    ssl_certificate {host.folder}/tls.pem;", f"    ssl_certificate_key {host.folder}/tls.key;"]
        servers.append(_SERVER.format(name=name, address=host.address, folder=host.folder, listen="\n".join(listen)))
    path = host.folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=host.folder, servers="".join(servers)))
    programs.start(f"nginx-{host.key}", host, "nginx", "-c", str(path), "-e", f"{host.folder}/nginx-error.log")


def start_squid(programs: Programs) -> None:
    """Start the office's proxy."""
    folder = HOSTS["proxy"].folder
    shutil.chown(folder, "proxy", "proxy")
    (folder / "squid.conf").write_text(_SQUID)
    programs.start("squid", HOSTS["proxy"], "squid", "-N", "-n", "fxlab", "-f", str(folder / "squid.conf"))


def start_chain(programs: Programs) -> None:
    """Start the forwarding: socat on the first relay, sshd on the second, the operator's reverse tunnel."""
    first, second, operator = HOSTS["relay1"], HOSTS["relay2"], HOSTS["operator"]
    for path in (second.folder / "host_key", operator.folder / "key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path))
    shutil.copy(operator.folder / "key.pub", second.folder / "authorized_keys")
    config = second.folder / "sshd_config"
    config.write_text(_SSHD.format(address=second.address, folder=second.folder))
    # sshd wants its empty folder, which Debian's service unit makes and a machine without the service lacks.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    programs.start("sshd", second, "/usr/sbin/sshd", "-D", "-e", "-f", str(config))
    _wait_for("Server listening", programs, "sshd")
    ends = (f"TCP-LISTEN:{RELAY_PORT},fork,reuseaddr", f"TCP:{second.address}:{TUNNEL_PORT}")
    programs.start("socat", first, "socat", "-d", "-d", "-d", "-lu", *ends)
    options = ["StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={operator.folder}/known"]
    options += ["ExitOnForwardFailure=yes", "ServerAliveInterval=30"]
    options += [f"IdentityFile={operator.folder}/key", "IdentitiesOnly=yes"]
    flags = [part for option in options for part in ("-o", option)]
    way = f"0.0.0.0:{TUNNEL_PORT}:127.0.0.1:{OPERATOR_PORT}"
    programs.start("ssh", operator, "ssh", "-v", "-F", "none", "-N", *flags, "-R", way, f"root@{second.address}")
    _wait_for("remote forward success", programs, "ssh")


def relay_answers(host: Host) -> dict[str, tuple[int, int]]:
    """Return what the program on a relay answers: path to status and longest body [bytes].

    The fifth relay sends its orders as the body of a 404, as some real ones did.
    """
    answers = {"relay3": {UPLOAD_PATH: (200, 16)}, "relay4": {BEACON_PATHS["relay4"]: (200, 90)}}
    answers["relay5"] = {BEACON_PATHS["relay5"]: (404, 200)}
    return answers.get(host.key, {})
