# SPDX-License-Identifier: Apache-2.0
"""sqlite3 with a large database: made, indexed, asked and checked in a keep and natively, with the same answers and the same bytes."""

import os
import sys

from common import QUICK, add, compare, expect, keep, main, native, need, scratch, test

MEGABYTES = 10 if QUICK else 100
ROWS = MEGABYTES * 7000

# Rows follow from their numbers, so that both runs make the same file.
CREATE = f"""
pragma journal_mode = {{journal}};
create table item(id integer primary key, name text, number integer, body blob);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
insert into item select i, printf('item-%06d-%s', (i * 7919) % {ROWS}, hex(i * i)), (i * 48271) % 65537, printf('%.*c', 80 + i % 61, char(97 + i % 26)) from n;
create index by_name on item(name);
create index by_number on item(number, id);
"""
ASK = """
select count(*), sum(number), min(name), max(name) from item;
select number, count(*) from item group by number order by 2 desc, 1 limit 5;
select id, name from item where name like 'item-0012%' order by name limit 10;
select count(*) from item a join item b on b.id = a.number where a.id % 100 = 0;
begin; update item set number = number + 1 where id % 50 = 0; delete from item where id % 97 = 3; select changes(); commit;
begin; delete from item; select count(*) from item; rollback;
select count(*), sum(number), sum(length(body)) from item;
create table pair as select a.name x, b.name y from item a join item b on b.id = a.id + 1 where a.id < 20000;
select count(*), min(x), max(y) from pair;
drop table pair; vacuum;
pragma integrity_check;
"""


@test(f"a database of {MEGABYTES} MB: create, index, query, update, vacuum, checksum")
def large():
    need("sqlite3")
    script = f"sqlite3 -batch data.db; stat -c %s data.db | awk '{{print ($1 >= {MEGABYTES * 950000})}}'; md5sum data.db"
    mine, _ = compare(["/bin/sh", "-c", script], stdin=(CREATE.format(journal="delete") + ASK).encode(), timeout=400)
    lines = mine.out.decode().splitlines()
    expect("ok" in lines and "1" in lines[-3:], f"the answers are {lines[-6:]}")


@test("journal modes give the same database")
def journals():
    need("sqlite3")
    small = CREATE.replace(str(ROWS), "3000") + ASK
    for journal in ("truncate", "persist", "memory", "wal"):
        compare(["/bin/sh", "-c", "sqlite3 -batch data.db; ls"], stdin=small.format(journal=journal).encode(), timeout=120)


@test("several writers at once, by their locks")
def writers():
    need("sqlite3")
    script = """
sqlite3 d.db 'create table t(w, i)' && for w in 1 2 3 4; do (for i in $(seq 25); do sqlite3 -cmd '.timeout 60000' d.db "insert into t values($w, $i)" || echo failed; done) & done; wait
sqlite3 d.db 'select w, count(*), sum(i) from t group by w; pragma integrity_check'"""
    compare(["/bin/bash", "-c", script], timeout=180)


@test("a writer that is killed leaves a database that is whole")
def killed_writer():
    need("sqlite3")
    script = """
sqlite3 d.db 'create table t(i); insert into t values(1)'
(echo 'begin;'; for i in $(seq 3000); do echo "insert into t select i + $i from t limit 50;"; done; sleep 2) | sqlite3 d.db & sleep 1
kill -9 $!; sqlite3 d.db 'select count(*) from t; pragma integrity_check'"""
    compare(["/bin/bash", "-c", script], timeout=120)


@test("a database in a read-write volume is readable on the host")
def volume():
    need("sqlite3")
    directory = scratch()
    outcome = keep(["sqlite3", "-batch", "/data/d.db"], stdin=(CREATE.replace(str(ROWS), "20000").format(journal="delete")).encode(), args=["-v", f"{directory}:/data:rw"], timeout=120)
    expect(outcome.code == 0, repr(outcome))
    answer = native(["sqlite3", os.path.join(directory, "d.db"), "select count(*), max(id) from item; pragma integrity_check"])
    expect(answer.out == b"20000|20000\nok\n", repr(answer))
    again = keep(["sqlite3", "-readonly", "/data/d.db", "select count(*), max(id) from item; pragma integrity_check"], args=["-v", f"{directory}:/data"])
    expect(again.out == answer.out, repr(again))


def shell(title, argv, stdin):
    add(title, compare, argv, stdin=stdin)


shell("the command line: modes, functions and errors", ["sqlite3", "-batch"],
      b".mode csv\nselect 1, 'a b', x'00ff', null, 1.5;\n.mode json\nselect 1 as a, 'x' as b;\nselect length(randomblob(9)), round(2.567, 2), datetime(0, 'unixepoch');\n")

if __name__ == "__main__":
    sys.exit(main())
