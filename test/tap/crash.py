"""Runs survive the death of everything that works on them, and no finished step is executed again."""
import os
import random
import time

from harness import App, Cluster, Sender, kill, run, wait_for

KILLS = int(os.environ.get("FLOWFORGE_KILLS", "20"))
TITLES = {"executor": "flowforge executor", "backend": "postgres flowforge"}

random.seed(int(os.environ.get("FLOWFORGE_SEED", "8288")))


def kill_a(kind, cluster, known=()):
    """Kills a process of this kind that is not known, waiting for one if the server has none yet."""
    def victims():
        return [pid for pid in cluster.processes(TITLES[kind]) if pid not in known]

    if kind == "postmaster":
        cluster.kill_postmaster()
    else:
        kill(random.choice(wait_for(victims, what=f"there is a process: {kind}")))


def kill_two(first, second, cluster):
    """The second kill hits a process that came after the first, at once or a moment later; says whether the server was still recovering."""
    known = cluster.processes()
    kill_a(first, cluster)
    time.sleep(random.choice([0, random.uniform(0.2, 0.8)]))
    recovering = not cluster.works()
    kill_a(second, cluster, known)
    return recovering


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
    kill_and_continue(use, lambda cluster: kill_a("executor", cluster))


def test_killing_the_postmaster_loses_nothing(use):
    kill_and_continue(use, Cluster.kill_postmaster)


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


def assert_every_acknowledged_event_has_its_run(cluster, sender):
    assert sender.acknowledged, "nothing was sent"
    ids = ",".join(f"'{event_id}'" for event_id in sender.acknowledged)
    lost = cluster.psql(stdin=f"select event_id from unnest(array[{ids}]::uuid[]) event_id except select event_id from flowforge.run").stdout
    assert lost == "", f"acknowledged and lost: {lost.split()[:3]}"


def end(cluster, app, sender):
    """The sender stops, and everything it has sent completes."""
    sender.stop()
    cluster_is_back(cluster)
    wait_for(lambda: not cluster.processes(TITLES["backend"]), what="the last statement is over")
    total = int(cluster.sql("select count(*) from flowforge.run"))
    cluster.wait_all_ended(total, 180)
    assert_every_acknowledged_event_has_its_run(cluster, sender)
    assert cluster.statuses() == {"completed": total}
    cluster.assert_clean()
    return total


def kill_twice(use, kind):
    cluster = use(Cluster())
    app = use(App(steps=4, delay=0.02, sleep="300ms"))
    cluster.register(app)
    sender = use(Sender(cluster, app.event))
    recovering = 0
    for _ in range(3):
        done = checkpointed(cluster)
        wait_for(lambda: checkpointed(cluster) > done + 20, what="some steps are done")
        before = finished_steps(cluster, app)
        recovering += kill_two(kind, kind, cluster)
        cluster_is_back(cluster)
        assert_nothing_finished_ran_again(app, before)
    runs = end(cluster, app, sender)
    assert_nothing_finished_ran_again(app, before)
    print(f"# {runs} runs; of 3 second kills, {recovering} came before the executors worked again")


def test_executors_killed_again_while_they_recover_lose_nothing(use):
    kill_twice(use, "executor")


def test_backends_killed_again_while_the_server_recovers_lose_nothing(use):
    kill_twice(use, "backend")


def test_a_postmaster_killed_again_while_it_recovers_loses_nothing(use):
    kill_twice(use, "postmaster")


def test_random_kills_of_executors_and_backends_and_postmasters_lose_nothing(use):
    cluster = use(Cluster())
    app = use(App(steps=4, delay=0.01, sleep="300ms"))
    cluster.register(app)
    sender = use(Sender(cluster, app.event))
    killed = dict.fromkeys(["executor", "backend", "postmaster"], 0)
    recovering = 0
    while sum(killed.values()) < KILLS:
        cluster_is_back(cluster)
        cluster.try_sql(f"select ff_send_event('{app.event}') from generate_series(1, 10)")
        time.sleep(random.uniform(0.05, 0.6))
        before = finished_steps(cluster, app)
        first, second = random.choices(list(killed), weights=[5, 3, 2], k=2)
        if random.random() < 0.3:
            recovering += kill_two(first, second, cluster)
            killed[second] += 1
        else:
            kill_a(first, cluster)
        killed[first] += 1
        time.sleep(0.3)
        assert_nothing_finished_ran_again(app, before)
        cluster_is_back(cluster)
    runs = end(cluster, app, sender)
    assert_nothing_finished_ran_again(app, before)
    print(f"# {runs} runs; killed: {killed}; {recovering} of these kills came before the executors worked again")


def test_a_run_that_is_hinted_and_told_something_at_once_is_in_memory_once(use):
    cluster = use(Cluster())
    app = use(App(steps=2, delay=0.02))
    cluster.register(app)
    for _ in range(10):
        cluster.sql(f"""begin; select ff_send_event('{app.event}');
            select flowforge.post(1, h.run_id, 'event', '{{"step": "nobody", "event": null}}') from flowforge.run_hot h; commit""")
    cluster.wait_all_ended(10)
    twice = [key for key, times in app.executed.items() if times > 1]
    assert not twice, f"{len(twice)} steps were called twice"
    assert_every_step_once_recorded(cluster, app, 10)
    cluster.assert_clean()


if __name__ == "__main__":
    run(globals())
