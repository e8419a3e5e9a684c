"""examples/restock-workflow as its README says, up to the order in the table."""
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import Cluster, run

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "restock-workflow")


class Shop:
    """GET /stock, the first time unavailable: the workflow asks again."""

    def __init__(self, articles):
        self.asked = 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                shop.asked += 1
                data = json.dumps({"articles": articles}).encode()
                self.send_response(503 if shop.asked == 1 else 200)
                for name, value in (("content-type", "application/json"), ("content-length", str(len(data))), ("retry-after", "1")):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def start(use, articles):
    cluster = use(Cluster(settings={"flowforge.outbound_allow": "'127.0.0.0/8'"}))
    shop = use(Shop(articles))
    url = f"postgresql://postgres@/{cluster.database}?host={cluster.directory}&port={cluster.port}"
    done = subprocess.run([os.path.join(EXAMPLE, "run.sh"), shop.url], env=dict(os.environ, FLOWFORGE_DATABASE_URL=url),
                          capture_output=True, text=True, timeout=60)
    return cluster, shop, done


def test_it_waits_for_an_approval_and_writes_the_order_down(use):
    cluster, shop, done = start(use, [{"article": "lamp", "missing": 3, "price": 24.5}, {"article": "chair", "missing": 0, "price": 80},
                                      {"article": "vase", "missing": 2, "price": 12.25}])
    assert done.returncode == 0 and "Order 2 articles for 98.00?" in done.stdout, done
    assert "ff_approve(" in done.stdout and shop.asked == 2, done.stdout
    cluster.sql("select ff_approve(approval_id, '{\"note\": \"with thanks\"}') from flowforge.approvals")
    end = cluster.sql("select w.status || ' ' || w.output::text from flowforge.runs r, ff_wait(r.run_id, '30 s') w")
    assert end == 'completed {"summary": {"cost": 98.00, "ordered": ["lamp", "vase"]}}', end
    rows = cluster.sql("select string_agg(concat_ws(' ', article, quantity, cost, note), ', ' order by article) from restock_order")
    assert rows == "lamp 3 73.5 with thanks, vase 2 24.50 with thanks", rows
    cluster.assert_sound()


def test_with_nothing_short_it_ends_at_once(use):
    cluster, _shop, done = start(use, [{"article": "chair", "missing": 0, "price": 80}])
    assert done.returncode == 0 and "it completed at" in done.stdout, done
    assert cluster.sql("select output from flowforge.runs") == '{"enough": {"ordered": []}}'
    assert cluster.sql("select count(*) from restock_order") == "0"


if __name__ == "__main__":
    run(globals())
