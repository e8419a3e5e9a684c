"""Runs survive the death of everything that works on them, and no finished step is executed again."""
import os
import random
import time

from harness import App, Cluster, kill, run, wait_for

KILLS = int(os.environ.get("FLOWFORGE_KILLS", "20"))


def executor_pids(cluster):
    text = cluster.try_sql("select string_agg(pid::text, ',') from flowforge.executors() where pid is not null")
    return [int(p) for p in text.split(",")] if text else []


def checkpointed(cluster):
    return int(cluster.try_sql("select count(*) from flowforge.step") or 0)


def assert_every_step_once_recorded(cluster, app, runs):
    count = int(cluster.sql("select count(*) from flowforge.step"))
    assert count == runs * app.steps, f"{count} steps are recorded, {runs * app.steps} expected"
    wrong = cluster.sql(f"select count(*) from flowforge.runs where status <> 'completed'")
    assert wrong == "0", f"{wrong} runs did not complete"


def assert_nothing_finished_ran_again(app, finished_before):
    """A step whose checkpoint was there before the kill must not have been executed after it."""
    again = [key for key, times in finished_before.items() if app.executed[key] > times]
    assert not again, f"executed again after their checkpoint: {again[:3]}"


def finished_steps(cluster, app):
    """The executions so far of every step that has its checkpoint."""
    rows = cluster.try_sql("select flowforge.ulid(run_id) || ' ' || position - 1 from flowforge.step where op = 'run'")
    result = {}
    for line in (rows or "").splitlines():
        run_id, number = line.split()
        result[(run_id, int(number))] = app.executed[(run_id, int(number))]
    return result


def kill_and_continue(use, victim):
    cluster = use(Cluster())
    app = use(App(steps=3, delay=0.02))
    cluster.register(app)
    cluster.send(app.event, 60)
    wait_for(lambda: checkpointed(cluster) > 20, what="some steps are done")
    before = finished_steps(cluster, app)
    victim(cluster)
    cluster_is_back(cluster)
    cluster.wait_all_ended(60)
    assert_nothing_finished_ran_again(app, before)
    assert_every_step_once_recorded(cluster, app, 60)
    cluster.assert_clean()


def cluster_is_back(cluster):
    wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")
    cluster.assert_sound()


def test_killing_an_executor_loses_nothing(use):
    kill_and_continue(use, lambda cluster: kill(executor_pids(cluster)[0]))


def test_killing_the_postmaster_loses_nothing(use):
    def victim(cluster):
        workers = executor_pids(cluster)
        kill(cluster.postmaster())
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), 30, "the executors are gone")
        time.sleep(0.5)
        cluster.start()

    kill_and_continue(use, victim)


def test_a_stopped_and_started_server_goes_on(use):
    def victim(cluster):
        cluster.stop("fast")
        cluster.start()

    kill_and_continue(use, victim)


def test_an_app_that_dies_in_the_middle_is_called_again(use):
    cluster = use(Cluster())
    app = use(App(steps=3, delay=0.05))
    cluster.register(app)
    cluster.send(app.event, 40)
    wait_for(lambda: checkpointed(cluster) > 10, what="some steps are done")
    before = finished_steps(cluster, app)
    app.stop()
    time.sleep(1)
    app.serve()
    cluster.wait_all_ended(40)
    assert_nothing_finished_ran_again(app, before)
    assert_every_step_once_recorded(cluster, app, 40)
    cluster.assert_clean()


def test_random_kills_of_executors_and_backends_lose_nothing(use):
    random.seed(int(os.environ.get("FLOWFORGE_SEED", "8288")))
    cluster = use(Cluster())
    app = use(App(steps=4, delay=0.01, sleep="300ms"))
    cluster.register(app)
    sent = 0
    for _ in range(KILLS):
        cluster_is_back(cluster)
        if cluster.psql("-c", f"select ff_send_event('{app.event}', jsonb_build_object('n', n)) from generate_series(1, 10) n",
                        check=False).returncode == 0:
            sent += 10
        time.sleep(random.uniform(0.05, 0.6))
        before = finished_steps(cluster, app)
        pids = executor_pids(cluster)
        if pids:
            kill(random.choice(pids))
        if random.random() < 0.3:
            time.sleep(random.uniform(0.2, 0.8))
            pids = executor_pids(cluster)
            if pids:
                kill(random.choice(pids))
        time.sleep(0.3)
        assert_nothing_finished_ran_again(app, before)
        cluster_is_back(cluster)
    cluster_is_back(cluster)
    total = int(cluster.sql("select count(*) from flowforge.run"))
    assert total >= sent, f"{sent} events were acknowledged, {total} runs exist"
    cluster.wait_all_ended(total, 180)
    wrong = cluster.sql("select count(*) from flowforge.runs where status <> 'completed'")
    assert wrong == "0", f"{wrong} runs did not complete"
    cluster.assert_clean()


if __name__ == "__main__":
    run(globals())
