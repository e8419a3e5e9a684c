"""What keeps runs going, stops them and says so: invariants that only a living server can break."""
from harness import App, Cluster, run, wait_for


def test_fsck_finds_a_finished_run_that_is_still_called(use):
    cluster = use(Cluster())
    app = use(App(steps=1, delay=3))
    cluster.register(app)
    cluster.send(app.event)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.calls()") == "1", what="a call is under way")
    found = cluster.sql("""
        begin;
        insert into flowforge.run_end (tenant_id, run_id, status, ended_at) select tenant_id, run_id, 'completed', now() from flowforge.run;
        select string_agg(invariant, '; ' order by invariant collate "C") from flowforge.fsck();
        rollback""")
    assert "a finished run is not called" in found.split("; "), found
    cluster.wait_all_ended(1)


if __name__ == "__main__":
    run(globals())
