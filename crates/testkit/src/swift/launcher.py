"""launcher.py FOLDER PLAIN TLS: OpenStack Swift's proxy, account, container and object servers in one process.

FOLDER holds swift.conf and {proxy,account,container,object}-server.conf; nothing of /etc/swift is read. The apps are
loaded from the same configuration as `swift-proxy-server` and the others would, and each is served on its own port as
`run_server` does; the proxy on two, PLAIN and (with FOLDER/tls.crt) TLS."""
import logging
import os
import sys
import time

folder, plain, tls = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
import swift.common.utils as utils
utils.set_swift_dir(folder)  # before anything else of Swift reads swift.conf
utils.eventlet_monkey_patch()
import eventlet
import eventlet.hubs
from swift.common import wsgi
from swift.common.ring.builder import RingBuilder

os.environ["TZ"] = "UTC+0"
time.tzset()
eventlet.hubs.use_hub(wsgi.get_hub())
sys.modules["launcher"] = sys.modules["__main__"]  # for log_custom_handlers = launcher.log_to_stderr


def log_to_stderr(conf, name, log_to_console, log_route, fmt, logger, adapted_logger):
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)


def configuration(name):
    return wsgi.appconfig(f"{folder}/{name}-server.conf", name=f"{name}-server")


def ring(name, port):
    builder = RingBuilder(2, 1, 1)  # 4 partitions, 1 replica
    device = dict(region=1, zone=1, weight=1.0, device="d1", meta="", ip="127.0.0.1", port=port)
    builder.add_dev(dict(device, replication_ip="127.0.0.1", replication_port=port))
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")


def serve(conf, app):
    eventlet.spawn(wsgi.wsgi.server, wsgi.get_socket(conf), app, wsgi.NullLogger(),
                   custom_pool=wsgi.RestrictedGreenPool(1024), protocol=wsgi.SwiftHttpProtocol,
                   socket_timeout=float(conf.get("client_timeout") or 60), capitalize_response_headers=False)


storage = ["account", "container", "object"]
for name in storage:
    ring(name, int(configuration(name)["bind_port"]))
utils.disable_fallocate()
for name in storage + ["proxy"]:
    app = wsgi.loadapp(f"{folder}/{name}-server.conf", global_conf={"log_name": f"{name}-server"})
    conf = dict(configuration(name))
    if name != "proxy":
        serve(conf, app)
        continue
    serve(dict(conf, bind_port=plain), app)
    serve(dict(conf, bind_port=tls, cert_file=f"{folder}/tls.crt", key_file=f"{folder}/tls.key"), app)
print("ready", flush=True)
while True:
    eventlet.sleep(3600)
