"""The audit log in a running server: executor 0 seals it, keys change, a dump keeps it, and those who are audited at the same time make one chain."""
import os
import subprocess

from harness import Cluster, run, wait_for

KEY = "0" * 63 + "7"
WRITE = "select flowforge.audit('thing.change', 'thing:1', null, '{\"n\": 1}')"


def key_file(cluster, text, name="audit.key"):
    path = os.path.join(cluster.directory, name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


def sealing(use, **settings):
    cluster = use(Cluster(settings={"flowforge.audit_seal_interval": "1"} | settings))
    cluster.sql(f"alter system set flowforge.audit_key_file = '{key_file(cluster, KEY)}'")
    cluster.sql("select pg_reload_conf()")
    return cluster


def sealed_to(cluster, number, database=None):
    wait_for(lambda: int(cluster.sql("select coalesce(max(audit_seq), 0) from flowforge.audit_seal", database=database)) >= number, 60,
             f"the log is sealed up to {number}")


def test_executor_0_seals_what_has_grown(use):
    cluster = sealing(use)
    cluster.sql(WRITE)
    sealed_to(cluster, 1)
    cluster.sql(f"{WRITE}; {WRITE}")
    sealed_to(cluster, 3)
    assert cluster.sql("select * from ff_audit_verify()") == ""
    cluster.sql("set session_replication_role = replica; delete from flowforge.audit where audit_seq > 1; "
                "update flowforge.audit_head h set audit_seq = 1, hash = a.hash from flowforge.audit a")
    assert "3|removed" in cluster.sql("select * from ff_audit_verify()")


def test_without_a_key_there_is_a_chain_and_no_seal(use):
    cluster = use(Cluster(settings={"flowforge.audit_seal_interval": "1"}))
    cluster.sql(WRITE)
    assert cluster.sql("select flowforge.seal_audit()") == "0"
    assert cluster.sql("select * from ff_audit_verify()") == ""
    assert cluster.sql("select sealed from flowforge.audit_log") == "f"


def test_a_file_without_a_key_is_a_clear_error(use):
    cluster = use(Cluster())
    for path, problem in ((key_file(cluster, "not hexadecimal"), "64 hexadecimal digits"), ("/nowhere/key", "cannot be opened")):
        cluster.sql(f"alter system set flowforge.audit_key_file = '{path}'")
        cluster.sql("select pg_reload_conf()")
        wait_for(lambda: cluster.sql("show flowforge.audit_key_file") == path, what="the setting")
        answer = cluster.psql("-c", "select flowforge.audit_public_key()", check=False).stderr
        assert "there is no key to seal the audit log with" in answer and problem in answer, answer


def test_seals_of_a_former_key_count_when_its_public_half_is_listed(use):
    cluster = sealing(use)
    cluster.sql(WRITE)
    sealed_to(cluster, 1)
    former = cluster.sql("select encode(flowforge.audit_public_key(), 'hex')")
    cluster.sql(f"alter system set flowforge.audit_key_file = '{key_file(cluster, 'ab' * 32, 'next.key')}'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("select encode(flowforge.audit_public_key(), 'hex')") != former, what="the next key")
    cluster.sql(WRITE)
    sealed_to(cluster, 2)
    assert "1|unknown key" in cluster.sql("select * from ff_audit_verify()")
    assert "is not the public half" in cluster.psql("-c", "alter system set flowforge.audit_public_keys = 'abc'", check=False).stderr
    cluster.sql(f"alter system set flowforge.audit_public_keys = '{former}'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("select * from ff_audit_verify()") == "", what="both keys count")


def test_a_dump_keeps_the_log_and_its_seals_and_the_chain_goes_on(use):
    cluster = sealing(use, **{"flowforge.databases": "'flowforge,restored'"})
    cluster.sql("insert into flowforge.tenant (tenant_id, name) values (2, 'two'); select ff_set_tenant(2, weight => 3)")
    cluster.sql(WRITE)
    cluster.sql(WRITE)
    sealed_to(cluster, 2)
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    dump = os.path.join(cluster.directory, "dump")
    subprocess.run(["pg_dump", "-Fc", "-f", dump, "flowforge"], env=environment, check=True)
    before = cluster.sql("select tenant_id, audit_seq, hash from flowforge.audit order by 1, 2")
    cluster.sql("create database restored", database="postgres")
    cluster.sql("alter database restored set flowforge.restoring = on", database="postgres")
    restored = subprocess.run(["pg_restore", "-d", "restored", dump], env=environment, text=True, capture_output=True)
    assert restored.returncode == 0, restored.stderr
    cluster.sql("alter database restored reset flowforge.restoring", database="postgres")
    assert cluster.sql("select tenant_id, audit_seq, hash from flowforge.audit order by 1, 2", database="restored") == before
    assert cluster.sql("select * from ff_audit_verify(1) union all select * from ff_audit_verify(2)", database="restored") == ""
    cluster.sql(WRITE, database="restored")
    assert cluster.sql("select max(audit_seq) from flowforge.audit_log", database="restored") == "3"
    assert cluster.sql("select * from ff_audit_verify()", database="restored") == ""


def test_a_log_is_cut_at_a_seal_and_what_is_left_is_still_verified(use):
    cluster = sealing(use)
    cluster.sql("; ".join([WRITE] * 5))
    sealed_to(cluster, 5)
    cluster.sql("; ".join([WRITE] * 3))
    sealed_to(cluster, 8)
    assert cluster.sql("select flowforge.forget_audit(now() - interval '1 hour')") == "0", "nothing is so old"
    cut = cluster.sql("select min(sealed_at) + interval '1 microsecond' from flowforge.audit_seal where audit_seq >= 5")
    at = int(cluster.sql("select min(audit_seq) from flowforge.audit_seal where audit_seq >= 5"))
    assert cluster.sql(f"select flowforge.forget_audit('{cut}')") == "1"
    assert cluster.sql("select min(audit_seq), max(audit_seq) from flowforge.audit_log") == f"{at + 1}|9"
    assert cluster.sql("select action, after ->> 'audit_seq', after ->> 'rows' from flowforge.audit_log order by audit_seq desc limit 1") == f"audit.cut|{at}|{at}"
    assert cluster.sql("select * from ff_audit_verify()") == ""
    assert cluster.sql(f"select flowforge.forget_audit('{cut}')") == "0", "once"
    sealed_to(cluster, 9)
    # Again, and further, while the log goes on; the note of a cut alone is not cut.
    cluster.sql(WRITE)
    sealed_to(cluster, 10)
    assert cluster.sql("select flowforge.forget_audit(clock_timestamp())") == "1"
    sealed_to(cluster, 11)
    assert cluster.sql("select flowforge.forget_audit(clock_timestamp())") == "0"
    cluster.sql(f"{WRITE}; {WRITE}")
    sealed_to(cluster, 13)
    assert cluster.sql("select string_agg(audit_seq::text, ' ' order by audit_seq) from flowforge.audit_log") == "11 12 13"
    assert cluster.sql("select * from ff_audit_verify()") == ""
    # What is cut without a note, or beyond it, or without its seal, is missing.
    tamper = "begin; set local session_replication_role = replica; {}; set local session_replication_role = origin; select audit_seq, problem from ff_audit_verify(); rollback"
    assert "12|removed" in cluster.sql(tamper.format("delete from flowforge.audit where audit_seq = 12"))
    assert "|removed" in cluster.sql(tamper.format("delete from flowforge.audit where audit_seq <= 12"))
    assert "1|removed" in cluster.sql(tamper.format("delete from flowforge.audit_seal where audit_seq = 10"))
    assert "|forged seal" in cluster.sql(tamper.format("update flowforge.audit_seal set hash = sha256('x') where audit_seq = 10"))
    assert "11|altered" in cluster.sql(tamper.format("update flowforge.audit set after = after || '{\"audit_seq\": 9}' where audit_seq = 11"))


def test_a_log_with_something_wrong_or_without_seals_is_not_cut(use):
    cluster = sealing(use)
    cluster.sql(f"{WRITE}; {WRITE}; {WRITE}")
    sealed_to(cluster, 3)
    cluster.sql("set session_replication_role = replica; update flowforge.audit set actor = 'somebody' where audit_seq = 2")
    assert cluster.sql("select flowforge.forget_audit(clock_timestamp())") == "0"
    assert "2|altered" in cluster.sql("select audit_seq, problem from ff_audit_verify()")
    chained = use(Cluster())
    chained.sql(WRITE)
    assert chained.sql("select flowforge.forget_audit(clock_timestamp())") == "0"


def test_housekeeping_forgets_sign_ins_that_have_expired_and_cuts_what_is_too_old(use):
    cluster = sealing(use)
    cluster.sql(f"{WRITE}; {WRITE}")
    sealed_to(cluster, 2)
    cluster.sql("select ff_user_create('ann@example.com', 'correct horse battery', 'Ann', 'admin')")
    cluster.sql("insert into flowforge.user_session (tenant_id, user_id, refresh_digest, address, expires_at) "
                "select 1, user_id, 'x', '127.0.0.1', now() + d from flowforge.user_account, unnest('{-1 s,1 h}'::interval[]) d; "
                "insert into flowforge.login_try values ('a', now() - interval '1 hour', 3), ('b', now(), 1)")
    # Sealed two days ago, as the key says.
    cluster.sql("set session_replication_role = replica; update flowforge.audit_seal s set sealed_at = n.sealed_at, signature = flowforge.audit_sign(flowforge.audit_seal_text(n)) "
                "from (select s.tenant_id, s.audit_seq, s.hash, s.sealed_at - interval '2 days' as sealed_at, s.public_key, s.signature from flowforge.audit_seal s) o "
                "cross join lateral (select (row(o.tenant_id, o.audit_seq, o.hash, o.sealed_at, o.public_key, o.signature)::flowforge.audit_seal).*) n where s.audit_seq = n.audit_seq and s.audit_seq <= 2")
    cluster.sql("alter system set flowforge.audit_retention = 1")
    cluster.stop()
    cluster.start()  # housekeeping begins with the server
    wait_for(lambda: cluster.try_sql("select count(*) from flowforge.user_session") == "1", 60, "the session that has expired is gone")
    assert cluster.sql("select address from flowforge.login_try") == "b"
    wait_for(lambda: cluster.sql("select count(*) from flowforge.audit where audit_seq <= 2") == "0", 60, "the log is cut")
    assert cluster.sql("select count(*) from flowforge.audit where action = 'user.create'") == "1"
    assert cluster.sql("select * from ff_audit_verify()") == ""


def test_many_at_once_make_one_chain(use):
    cluster = use(Cluster())
    script = os.path.join(cluster.directory, "write.sql")
    with open(script, "w") as file:
        file.write(f"begin;\n{WRITE};\n{WRITE};\ncommit;\n")
    os.chmod(script, 0o644)
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    subprocess.run(["pgbench", "-n", "-c", "8", "-j", "2", "-t", "50", "-f", script, "flowforge"], env=environment, check=True, capture_output=True)
    assert cluster.sql("select count(*), max(audit_seq) from flowforge.audit_log") == "800|800"
    assert cluster.sql("select * from ff_audit_verify()") == ""


if __name__ == "__main__":
    run(globals())
