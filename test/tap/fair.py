"""The fair queue: tenants are served by their weights, whatever waits behind each; within a tenant runs go by priority and age."""
import json
import time

from graphs import value
from harness import App, Cluster, run, wait_for


def tenants(cluster, *numbers):
    for number in numbers:
        cluster.sql(f"insert into flowforge.tenant (tenant_id, name) values ({number}, 'tenant {number}')")


def as_tenant(cluster, number, text):
    return cluster.sql(f"set flowforge.tenant = {number}; {text}")


def register(cluster, number, app):
    as_tenant(cluster, number, "select flowforge.register_app($json$" + json.dumps(app.registration()) + "$json$)")


def queue(cluster, number, name, count):
    """Runs of a tenant, 5,000 events a statement."""
    for at in range(0, count, 5000):
        as_tenant(cluster, number, f"select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', '{name}', 'data', "
                                   f"jsonb_build_object('n', i))) from generate_series({at + 1}, {min(at + 5000, count)}) i))")


def ended(cluster, number):
    return int(cluster.sql(f"select count(*) from flowforge.run_end where tenant_id = {number}"))


def in_process(cluster, number):
    """A function without an app: what limits it is the executor alone."""
    as_tenant(cluster, number, f"select ff_workflow_create('work', $j${json.dumps({'nodes': [value('a', {'v': 1})], 'edges': []})}$j$, "
                               "triggers => '[{\"event\": \"fair/go\"}]') is not null; select ff_workflow_publish('work') is not null")


def test_a_tenants_single_run_starts_at_once_beside_anothers_100000(use):
    for executors in ("1", "3"):
        cluster = use(Cluster(settings={"flowforge.executors": executors, "max_wal_size": "'4GB'"}))
        tenants(cluster, 2, 3)
        slow = use(App(name="slow", steps=1, delay=1.0))
        quick = use(App(name="quick", steps=1))
        register(cluster, 2, slow)
        register(cluster, 3, quick)
        queue(cluster, 2, "slow/go", 100000)
        wait_for(lambda: slow.calls > 50, what="the first tenant's runs are called")
        taken = []
        for _ in range(10):
            at, before = time.monotonic(), quick.calls
            as_tenant(cluster, 3, "select ff_send_event('quick/go')")
            wait_for(lambda: quick.calls > before, 10, "the second tenant's run starts")
            taken.append(time.monotonic() - at)
        assert sorted(taken)[5] < 0.3, taken
        assert int(cluster.sql("select count(*) from flowforge.run_hot where tenant_id = 2")) > 95000


def share(cluster, first, second, least):
    """How many runs of the first tenant end for one of the second, while `least` runs end; both have enough to do."""
    def both():
        # Counted in one statement: in the time between two of them hundreds end.
        counts = cluster.sql("select string_agg((select count(*) from flowforge.run_end e where e.tenant_id = t)::text, ' ' order by place) "
                             f"from unnest('{{{first},{second}}}'::int[]) with ordinality as u (t, place)")
        return [int(count) for count in counts.split()]

    began = both()
    done = []

    def enough():
        done[:] = [now - before for now, before in zip(both(), began)]
        return sum(done) >= least

    wait_for(enough, 120, f"{least} runs have ended")
    return done[0] / done[1]


def test_shares_are_as_the_weights_and_a_weight_counts_at_once(use):
    cluster = use(Cluster(settings={"max_wal_size": "'4GB'"}))
    tenants(cluster, 2, 3)
    cluster.sql("select ff_set_tenant(2, weight => 3)")
    for number in (2, 3):
        in_process(cluster, number)
    # Nothing is done until both have queued what they have.
    for number in (2, 3):
        as_tenant(cluster, number, "select ff_pause('work')")
    for number in (2, 3):
        queue(cluster, number, "fair/go", 60000)
    cluster.sql("delete from flowforge.pause; select flowforge.look()")
    wait_for(lambda: ended(cluster, 3) > 500, 60, "both are served")
    served = share(cluster, 2, 3, 12000)
    assert 0.95 < served / 3 < 1.05, f"{served} : 1"
    cluster.sql("select ff_set_tenant(2, weight => 1), ff_set_tenant(3, weight => 2)")
    time.sleep(0.3)
    served = share(cluster, 3, 2, 9000)
    assert 0.95 < served / 2 < 1.05, f"{served} : 1"



def test_shares_are_as_the_weights_when_apps_do_the_work(use):
    cluster = use(Cluster(settings={"flowforge.max_in_flight": "8", "max_wal_size": "'4GB'"}))
    tenants(cluster, 2, 3)
    cluster.sql("select ff_set_tenant(2, weight => 3)")
    for number, name in ((2, "first"), (3, "second")):
        app = use(App(name=name, steps=1, delay=0.01))
        register(cluster, number, app)
        as_tenant(cluster, number, f"select ff_pause('{name}-main')")
        queue(cluster, number, f"{name}/go", 8000)
    cluster.sql("delete from flowforge.pause; select flowforge.look()")
    wait_for(lambda: ended(cluster, 3) > 200, 60, "both are served")
    ratio = share(cluster, 2, 3, 4000)
    assert 0.95 < ratio / 3 < 1.05, ratio


def test_a_tenant_whose_calls_all_hang_keeps_nobody_else_from_calling(use):
    cluster = use(Cluster(settings={"flowforge.executors": "1", "flowforge.max_in_flight": "16"}))
    tenants(cluster, 2, 3)
    hangs = use(App(name="hangs", steps=1, delay=600))
    register(cluster, 2, hangs)
    queue(cluster, 2, "hangs/go", 500)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.calls()") == "16", what="as many calls hang as there may be")
    quick = use(App(name="quick", steps=2))
    register(cluster, 3, quick)
    queue(cluster, 3, "quick/go", 300)
    wait_for(lambda: ended(cluster, 3) == 300, 30, "the other tenant's runs end")


class Watching(App):
    """Notes how often another app had been called when it is called itself."""

    def __init__(self, name, other):
        self.other, self.seen = other, []
        super().__init__(name=name, steps=0)

    def answer(self, body):
        self.seen.append(self.other.calls)
        return super().answer(body)


def test_a_tenant_at_ten_times_its_share_comes_before_no_others_next_run(use):
    slots = 8
    cluster = use(Cluster(settings={"flowforge.executors": "1", "flowforge.max_in_flight": str(slots)}))
    tenants(cluster, 2, 3, 4)
    busy = use(App(name="busy", steps=0, delay=0.02))
    register(cluster, 2, busy)
    others = {number: use(Watching(f"quiet{number}", busy)) for number in (3, 4)}
    for number, app in others.items():
        register(cluster, number, app)
    queue(cluster, 2, "busy/go", 10000)
    wait_for(lambda: busy.calls > slots, what="the first tenant's runs are called")
    passed = []
    for turn in range(40):
        number = 3 + turn % 2
        app = others[number]
        as_tenant(cluster, number, f"select ff_send_event('quiet{number}/go')")
        before = busy.calls  # the run is committed: it is its turn
        wait_for(lambda: len(app.seen) == turn // 2 + 1, what="the other tenant's run is called")
        passed.append(app.seen[-1] - before)
    # Those under way may not have been counted when the run was committed, and as many go on in the time of one.
    assert max(passed) <= 2 * slots, passed
    assert int(cluster.sql("select count(*) from flowforge.run_hot where tenant_id = 2")) > 1000, "it has waited all the time"


def test_within_a_tenant_runs_go_by_rank_and_then_by_age(use):
    cluster = use(Cluster(settings={"flowforge.executors": "1", "flowforge.group_size": "1"}))
    in_process(cluster, 1)
    as_tenant(cluster, 1, "select ff_pause('work')")
    queue(cluster, 1, "fair/go", 6000)
    # Every third has a head start of ten minutes, every fifth comes ten minutes later, and one is first of all.
    cluster.sql("update flowforge.run_hot h set rank = flowforge.id_time(h.run_id) + case n.n % 3 when 0 then interval '-10 min' end "
                "from (select run_id, row_number() over (order by run_id) as n from flowforge.run_hot) n where n.run_id = h.run_id and n.n % 3 = 0")
    cluster.sql("update flowforge.run_hot h set rank = flowforge.id_time(h.run_id) + interval '10 min' "
                "from (select run_id, row_number() over (order by run_id) as n from flowforge.run_hot) n where n.run_id = h.run_id and n.n % 15 = 5")
    cluster.sql("update flowforge.run_hot set rank = now() - interval '1 day' where run_id = (select max(run_id::text)::uuid from flowforge.run_hot)")
    expected = cluster.sql("select run_id from flowforge.run_hot order by coalesce(rank, flowforge.id_time(run_id)), run_id").split()
    told = cluster.sql(f"select flowforge.say_causes(array(select sentence from flowforge.run_causes('{expected[3000]}')))")
    # A run that is just being looked at when the pause ends goes on at once.
    wait_for(lambda: cluster.sql("select sum(ready) from flowforge.executors()") == "0", 60, "the executor has seen that all are paused")
    as_tenant(cluster, 1, "select ff_resume('work')")
    wait_for(lambda: ended(cluster, 1) == 6000, 60, "all have ended")
    # The order of rows in the log is the order of commits.
    went = cluster.sql("select run_id from flowforge.run_event_batch where seq = 2 order by ctid").split()
    assert len(went) == 6000 and went[0] == expected[0], (len(went), went[0], expected[0])
    place = {run_id: n for n, run_id in enumerate(expected)}
    moved = [abs(place[run_id] - n) for n, run_id in enumerate(went)]
    assert max(moved) <= 128, max(moved)  # those that are read together are advanced together
    assert " 3000 runs of its tenant come before it, and the tenant's share of the executors is 100.0 %" in told, told


def test_nothing_is_forgotten_when_hints_are_lost_and_the_server_dies(use):
    cluster = use(Cluster(settings={"max_wal_size": "'4GB'"}))
    numbers = range(2, 42)
    tenants(cluster, *numbers)
    for number in numbers:
        in_process(cluster, number)
        as_tenant(cluster, number, "select ff_pause('work')")
    for number in numbers:
        queue(cluster, number, "fair/go", 40 if number > 3 else 20000)
    cluster.sql("delete from flowforge.pause; select flowforge.look()")
    wait_for(lambda: ended(cluster, 2) > 1000, 60, "work goes on")
    cluster.kill_postmaster()
    wait_for(cluster.works, 60, "all executors work")
    wait_for(lambda: cluster.try_sql("select count(*) from flowforge.run_hot") == "0", 120, "all have ended")
    for number in numbers:
        assert ended(cluster, number) == (40 if number > 3 else 20000), number
    cluster.assert_clean()


if __name__ == "__main__":
    run(globals())
