"""launcher.py FOLDER PORT SWIFT_PORT: Keystone's own WSGI application on 127.0.0.1:PORT in one process.

FOLDER holds keystone.conf. It does what `keystone-manage db_sync`, `fernet_setup`, `credential_setup` and `bootstrap`
do (each a Python start of 4 s), then serves, and meanwhile makes projects, users, roles, the endpoints of
object-store in two regions, an application credential and EC2 (S3) keys by the version 3 API; FOLDER/made.json tells."""
import base64
import json
import os
import sqlite3
import sys
import threading
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

folder, port, swift = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sys.argv = sys.argv[:1]
for repository in "fernet", "credential":
    for name in "0", "1":
        os.makedirs(f"{folder}/{repository}", 0o700, exist_ok=True)
        with open(f"{folder}/{repository}/{name}", "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)))
from keystone.cmd import bootstrap
from keystone.common.sql import upgrades
from keystone.server import backends
from keystone.server.flask import core


def database():
    upgrades.offline_sync_database_to_version()
    # Without it writers wait for each other until "database is locked".
    sqlite3.connect(f"{folder}/keystone.db").execute("pragma journal_mode=wal")


app = core.initialize_application("public", database, [f"{folder}/keystone.conf"])
backends.load_backends = lambda: None  # loaded by the line above
first = bootstrap.Bootstrapper()
first.admin_username = first.project_name = first.admin_role_name = "admin"
first.admin_password = "secret"
first.service_name, first.region_id = "keystone", "RegionOne"
first.public_url = first.internal_url = first.admin_url = f"http://127.0.0.1:{port}/v3/"
first.bootstrap()


def call(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v3{path}", data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return answer.headers, json.loads(text) if text else None


def login(user, project):
    identity = {"user": {"name": user, "domain": {"id": "default"}, "password": "secret"}}
    scope = {"project": {"name": project, "domain": {"id": "default"}}}
    auth = {"identity": {"methods": ["password"], "password": identity}, "scope": scope}
    headers, body = call("POST", "/auth/tokens", {"auth": auth})
    return headers["X-Subject-Token"], body["token"]


def create(token, plural, **fields):
    singular = plural.rstrip("s")
    return call("POST", f"/{plural}", {singular: fields}, token)[1][singular]


def endpoint(token, service, region, interface, url):
    create(token, "endpoints", service_id=service, interface=interface, region_id=region, url=url)


def make():
    token, _ = login("admin", "admin")
    roles = {role["name"]: role["id"] for role in call("GET", "/roles", token=token)[1]["roles"]}
    for project, user, role in ("service", "swift", "admin"), ("demo", "demo", "member"):
        project_id = create(token, "projects", name=project, domain_id="default")["id"]
        user_id = create(token, "users", name=user, domain_id="default", password="secret")["id"]
        call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{roles[role]}", token=token)
    service = create(token, "services", type="object-store", name="swift")["id"]
    create(token, "regions", id="AAA")  # named first in every list, and nothing listens there
    for interface in "public", "internal", "admin":
        wrong = "http://127.0.0.1:1/v1/AUTH_%(project_id)s"
        right = f"http://127.0.0.1:{swift}/v1/AUTH_%(project_id)s"
        endpoint(token, service, "AAA", interface, wrong)
        endpoint(token, service, "RegionOne", interface, right if interface == "public" else wrong)
    token, said = login("demo", "demo")
    user_id, project_id = said["user"]["id"], said["project"]["id"]
    path = f"/users/{user_id}/application_credentials"
    body = {"application_credential": {"name": "backup"}}
    credential = call("POST", path, body, token)[1]["application_credential"]
    path = f"/users/{user_id}/credentials/OS-EC2"
    keys = call("POST", path, {"tenant_id": project_id}, token)[1]["credential"]
    made = dict(project_id=project_id, application_credential_id=credential["id"],
                application_credential_secret=credential["secret"], access=keys["access"], secret=keys["secret"])
    with open(f"{folder}/made.json.new", "w") as file:
        json.dump(made, file)
    os.rename(f"{folder}/made.json.new", f"{folder}/made.json")


class Server(WSGIServer):
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def address_string(self):  # no look-up of names
        return self.client_address[0]


server = make_server("127.0.0.1", port, app, Server, Handler)
threading.Thread(target=make, daemon=True).start()
server.serve_forever()
