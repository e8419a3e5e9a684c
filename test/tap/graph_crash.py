"""Graphs of every shape under deaths of everything: each run ends, what has finished never runs again, and the logs say so."""
import os
import random
import time

from graphs import (Ended, approval, check_log, condition, graph, launch, log, loop, node, prepare, publish, query, rows, value)
from harness import Cluster, kill, run, wait_for

KILLS = int(os.environ.get("FLOWFORGE_KILLS", "20"))
GRAPHS = 12


def random_graph(dice):
    """Nodes of all kinds, each after some of those before it; every statement marks its run and node, in the transaction of its checkpoint."""
    nodes, edges = [value("n0", {"run": "{{ input.run }}", "x": 0})], []
    open_conditions = []
    for i in range(1, dice.randint(6, 18)):
        name = f"n{i}"
        kind = dice.choice(["query", "query", "value", "value", "delay", "loop", "loop", "waits", "condition", "flaky", "event", "broken"])
        mark = {"query": "insert into shop.mark2 values ($1, $2)", "params": ["{{ input.run }}", name]}
        if kind == "query":
            made = node(name, "database_query", mark)
        elif kind == "flaky":
            made = query(name, "insert into shop.mark2 select $1, $2 where shop.sometimes()", "{{ input.run }}", name, max_attempts=50, backoff_base=0.02)
        elif kind == "broken":
            made = query(name, "select shop.fails()", on_error=dice.choice(["skip", "continue"]))
        elif kind == "delay":
            made = node(name, "delay", {"seconds": dice.uniform(0, 0.5)})
        elif kind == "loop":
            made = dice.choice([
                loop(name, list(range(dice.randint(0, 12))), "database_query", {"query": mark["query"], "params": ["{{ input.run }}", name + "[{{ _index }}]"]},
                     max_parallel=dice.randint(1, 5)),
                loop(name, [0.1, 0.2, 0.05], "delay", {"seconds": "{{ _item }}"}, max_parallel=2),
                loop(name, list(range(40)), "transform", {"mapping": {"n": "{{ _item }}"}})])
        elif kind == "waits":
            made = approval(name)
        elif kind == "event":
            made = node(name, "wait_for_event", {"event_name": "crash/tick", "timeout": 5}, on_error="skip")
        elif kind == "condition":
            made = condition(name, f"input.seed % {dice.randint(2, 3)} == 0")
            open_conditions.append(name)
        else:
            made = value(name, {"of": name, "run": "{{ input.run }}"})
        parents = dice.sample(range(i), k=min(i, dice.randint(1, 3)))
        for parent in parents:
            label = dice.choice([":true", ":false", ""]) if nodes[parent]["type"] == "condition" else ""
            edges.append(f"n{parent}>{name}{label}")
        nodes.append(made)
    for name in open_conditions:
        for label in ("true", "false"):
            if not any(e.startswith(f"{name}>") and e.endswith(f":{label}") for e in edges):
                nodes.append(value(f"{name}{label}", {}))
                edges.append(f"{name}>{name}{label}:{label}")
    return nodes, " ".join(edges)


def decide_all(cluster):
    cluster.try_sql("select ff_approve(approval_id, '{\"ok\": 1}') from flowforge.approvals where status = 'pending'")
    cluster.try_sql("select ff_send_event('crash/tick')")


def strike(cluster, dice):
    if dice.random() < 0.2:
        cluster.kill_postmaster()
        return "postmaster"
    title = dice.choice(["flowforge executor", "flowforge executor", "flowforge sql worker"])
    victims = cluster.processes(title)
    if victims:
        kill(dice.choice(victims))
    return title


def test_random_graphs_end_whatever_is_killed_and_nothing_finished_runs_again(use):
    dice = random.Random(int(os.environ.get("FLOWFORGE_SEED", "8288")))
    cluster = use(prepare(Cluster(settings={"flowforge.sql_workers": "4"})))
    cluster.sql("set role worker; create table shop.mark2 (run text, step text); "
                "create function shop.sometimes() returns boolean language plpgsql as $$ begin "
                "if random() < 0.5 then raise exception using errcode = '40001', message = 'not now'; end if; return true; end $$")
    names = [publish(cluster, *random_graph(dice), settings={"max_concurrency": dice.randint(1, 6)}) for _ in range(GRAPHS)]
    runs, killed = 0, {}
    for number in range(KILLS):
        wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")
        for name in dice.sample(names, 4):
            runs += 1
            cluster.try_sql(f"select ff_workflow_run('{name}', '{{\"run\": \"r{runs}\", \"seed\": {runs}}}', 'r{runs}')")
        decide_all(cluster)
        time.sleep(dice.uniform(0.05, 0.6))
        if dice.random() < 0.15:
            cluster.try_sql("select ff_cancel(run_id) from flowforge.live_run order by random() limit 1")
        victim = strike(cluster, dice)
        killed[victim] = killed.get(victim, 0) + 1
        cluster.assert_sound()
    wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")
    total = int(cluster.sql("select count(*) from flowforge.run where parent_run_id is null"))

    def all_ended():
        decide_all(cluster)
        time.sleep(0.2)
        return cluster.try_sql("select count(*) from flowforge.live_run") == "0"

    wait_for(all_ended, 240, "every run has ended")
    statuses = cluster.statuses()
    assert set(statuses) <= {"completed", "cancelled"}, (statuses, cluster.sql("select error from flowforge.run_end where status = 'failed' limit 3"))
    assert statuses["completed"] >= total * 0.7, statuses
    for row in rows(cluster, "select run_id from flowforge.runs where function like 'flow-%'"):
        check_log(Ended(cluster, row["run_id"]))
    # What has marked has its checkpoint, and the other way round: once.
    wrong = cluster.sql("""
        select coalesce(s.step, m.step) from (
            select e.data ->> 'run' as run, s.step_id as step from flowforge.steps s join flowforge.runs r using (run_id) join flowforge.event e on e.event_id = r.event_id
            where s.op = 'database_query' and s.status = 'completed') s
        full join (select run, step from shop.mark2) m using (run, step)
        group by coalesce(s.run, m.run), coalesce(s.step, m.step) having count(s.*) <> 1 or count(m.*) <> 1 limit 5""")
    assert wrong == "", f"not exactly once: {wrong}"
    cluster.assert_clean()
    marks = cluster.sql("select count(*) from shop.mark2")
    print(f"# {total} runs of {GRAPHS} graphs, {statuses}, {marks} statements; killed: {killed}")


if __name__ == "__main__":
    run(globals())
