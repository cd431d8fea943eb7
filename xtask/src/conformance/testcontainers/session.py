"""What users of Testcontainers do: databases, networks, files, waiting; and what they leave behind when they end early."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

import sqlalchemy
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy


def sleeper():
    return DockerContainer("testcontainers-base").with_command("sleep 1000")


class Session(unittest.TestCase):
    def test_postgres_answers_queries(self):
        with PostgresContainer("postgres:15", username="alice", password="se'cret", dbname="shop") as postgres:
            engine = sqlalchemy.create_engine(postgres.get_connection_url())
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text("create table t (n int)"))
                connection.execute(sqlalchemy.text("insert into t select generate_series(1, 1000)"))
                self.assertEqual(connection.execute(sqlalchemy.text("select sum(n) from t")).scalar(), 500500)
            engine.dispose()

    def test_redis_with_a_password(self):
        with RedisContainer("redis:7", password="secret") as redis:
            client = redis.get_client()
            client.set("key", "value")
            self.assertEqual(client.get("key"), b"value")

    def test_several_at_a_time_have_ports_of_their_own(self):
        with RedisContainer("redis:7") as one, RedisContainer("redis:7") as two:
            self.assertNotEqual(one.get_exposed_port(6379), two.get_exposed_port(6379))
            one.get_client().set("key", "one")
            self.assertIsNone(two.get_client().get("key"))

    def test_containers_of_a_network_find_each_other(self):
        with Network() as network:
            store = RedisContainer("redis:7").with_network(network).with_network_aliases("store", "cache")
            with store, sleeper().with_network(network) as client:
                for name in ("store", "cache"):
                    code, said = client.exec(["redis-cli", "-h", name, "ping"])
                    self.assertEqual((code, said), (0, b"PONG\n"))

    def test_environment_command_logs_and_exit(self):
        container = DockerContainer("testcontainers-base").with_env("GREETING", "hello")
        container.with_command(["sh", "-c", 'echo "$GREETING out"; echo err >&2; exec sleep 1000'])
        with container.waiting_for(LogMessageWaitStrategy("hello out")) as running:
            out, err = running.get_logs()
            self.assertEqual((out, err), (b"hello out\n", b"err\n"))
            code, said = running.exec(["sh", "-c", "echo in; exit 3"])
            self.assertEqual((code, said), (3, b"in\n"))

    def test_files_go_in_and_come_out(self):
        with tempfile.TemporaryDirectory() as folder, sleeper() as container:
            given, taken = Path(folder, "given"), Path(folder, "taken")
            given.write_text("given\n")
            container.copy_into_container(given, "/tmp/given")
            self.assertEqual(container.exec(["cat", "/tmp/given"])[1], b"given\n")
            container.copy_from_container("/tmp/given", taken)
            self.assertEqual(taken.read_text(), "given\n")

    def test_volumes_are_mounted(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "file").write_text("from the host\n")
            with sleeper().with_volume_mapping(folder, "/mnt", "ro") as container:
                self.assertEqual(container.exec(["cat", "/mnt/file"])[1], b"from the host\n")
                self.assertNotEqual(container.exec(["touch", "/mnt/other"])[0], 0)


def leave():
    """Ends without a word to anybody: the reaper has to clear up."""
    network = Network().create()
    volume = sleeper().with_network(network).start()
    print(volume.get_wrapped_container().id, flush=True)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["leave"]:
        leave()
    unittest.main()
