"""An app whose function does what the event's test says: steps of the kinds the server takes itself, in order or side by side.

A script is a list of operations made with `op`; a list in its place is answered at once, as parallel steps are. The function returns what it
was handed for each step, by the step's name: {"data": ...}, {"error": ...}, or null.
"""
import atexit
import json
import threading

from harness import App, Cluster, wait_for


def op(kind, name, **opts):
    return {"op": kind, "id": name.ljust(40, "0"), "name": name, "displayName": name, "opts": opts}


def sql(name, query, *params, **opts):
    if params:
        opts["params"] = list(params)
    return op("Sql", name, query=query, **opts)


class Script(App):
    def __init__(self, name="script", retries=0, **options):
        self.scripts, self.retries = {}, retries
        super().__init__(name=name, **options)

    def registration(self):
        made = super().registration()
        made["functions"][0]["steps"]["step"]["retries"]["attempts"] = self.retries
        return made

    def answer(self, body):
        done = body["steps"]
        script = self.scripts[body["event"]["data"]["script"]]
        for entry in script:
            group = entry if isinstance(entry, list) else [entry]
            missing = [one for one in group if one["id"] not in done]
            if missing:
                return 206, [dict(one, op=one["op"]) for one in missing]
        steps = [one for entry in script for one in (entry if isinstance(entry, list) else [entry])]
        return 200, {one["name"]: done[one["id"]] for one in steps}


_shared = []


def shared(settings=None):
    """One cluster for all tests of a file, with an app and the role `worker` its steps run as."""
    if not _shared:
        cluster = Cluster(settings={"flowforge.sql_workers": "3", **(settings or {})})
        atexit.register(cluster.remove)
        app = Script(retries=2)
        cluster.register(app)
        cluster.sql("create role worker login; alter role worker set search_path = shop, public; create schema shop authorization worker; "
                    "select ff_set_app_role('script', 'worker')")
        _shared.extend((cluster, app))
    return _shared


def start(cluster, app, script, data=None):
    """Starts a run of the script and gives its id."""
    key = str(len(app.scripts))
    app.scripts[key] = script
    event = json.dumps({**(data or {}), "script": key}).replace("'", "''")
    sent = cluster.sql(f"select ff_send_event('{app.event}', '{event}')")
    return wait_for(lambda: cluster.try_sql(f"select run_id from flowforge.run where event_id = '{sent}'"), what="the run exists")


def end(cluster, run, seconds=30):
    """Waits for the run's end and gives (status, output or error)."""
    row = cluster.sql(f"select status, coalesce(output, error, 'null') from ff_wait('{run}', '{seconds} s')")
    status, value = row.split("|", 1)
    assert status not in ("pending", "running"), f"the run is still {status}: " + cluster.sql(f"select * from flowforge.steps where run_id = '{run}'")
    return status, json.loads(value)


def play(cluster, app, script, data=None):
    """Runs a script to its end; gives what the function was handed for each step."""
    status, output = end(cluster, start(cluster, app, script, data))
    assert status == "completed", f"{status}: {output}"
    return output


def one(cluster, app, operation):
    """The memo of a single step."""
    return play(cluster, app, [operation])[operation["name"]]
