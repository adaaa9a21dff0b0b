# SPDX-License-Identifier: Apache-2.0
"""Looking into a process keep with gdb. As root:

    CELLA_WATCHDOG=0 cella run ... &
    gdb -q -x scripts/cella-gdb.py -ex 'cella-attach PID'

PID is that of `cella run`, or of any host process of the keep. Without CELLA_WATCHDOG=0 the launcher takes a keep that a debugger
stops for a dead one, and ends it. Commands:

    cella-attach PID   attaches to the keep, with the symbols of its runtime
    cella-cpus         the keep's virtual CPUs and what each runs
    cella-threads      every thread of the keep: state, system call, where it waits in the kernel
    cella-bt TID       the whole kernel stack of a thread of the keep
    cella-symfs DIR [ROOT]
                       writes the symbols of all that is mapped executable, for `perf report --symfs DIR`; ROOT is the host
                       directory that the keep's root came from (default /)

The kernel's memory is the same in all host processes of a keep, so the commands work in each. Only the process that gdb is attached to
stands still; the others run on, so a list may change while it is read.
"""

import glob
import os
import re
import shutil
import struct
import subprocess

import gdb

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNTIME = "cella-runtime"
MAX_ITEMS = 100000  # a list that is longer was caught half changed
MAX_FRAMES = 64
SAVED_REGISTERS = 6  # pushed by arch_switch_stacks and carrier_leave: r15 r14 r13 r12 rbx rbp, then the return address


# ---- the host's side ----


def read_file(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def is_runtime(pid):
    return read_file(f"/proc/{pid}/cmdline").startswith(RUNTIME.encode() + b"\0")


def children(pid):
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        found += [int(p) for p in read_file(path).split()]
    return found


def inner_pid(pid):
    """The number that a host process has in the innermost pid namespace that it is in: what the keep's HAL knows it by."""
    m = re.search(rb"^NSpid:.*?(\d+)$", read_file(f"/proc/{pid}/status"), re.M)
    return int(m.group(1)) if m else pid


def keep_processes(pid):
    """{inner pid: host pid} of all host processes of the keep that `pid` belongs to."""
    top = pid
    while True:
        m = re.search(rb"^PPid:\s*(\d+)$", read_file(f"/proc/{top}/status"), re.M)
        if not m or not is_runtime(int(m.group(1))):
            break
        top = int(m.group(1))
    found, todo = {}, [top]
    while todo:
        p = todo.pop()
        found[inner_pid(p)] = p
        todo += children(p)
    return found


def watchdog_is_on(pid):
    """Does the launcher above this host process of a keep end one that does not answer?"""
    while is_runtime(pid):
        m = re.search(rb"^PPid:\s*(\d+)$", read_file(f"/proc/{pid}/status"), re.M)
        if not m:
            return False
        pid = int(m.group(1))
    environment = read_file(f"/proc/{pid}/environ")
    return bool(environment) and b"CELLA_WATCHDOG=0" not in environment.split(b"\0")


def attach(pid):
    if not os.path.isdir(f"/proc/{pid}"):
        raise gdb.GdbError(f"there is no process {pid}")
    if not is_runtime(pid):
        below = [p for p in children(pid) if is_runtime(p)]
        if not below:
            raise gdb.GdbError(f"process {pid} is neither a `cella run` with a process keep nor a host process of one")
        pid = below[0]
    # The runtime's file as this gdb sees it, not by the keep's own (empty) root directory.
    try:
        runtime = os.readlink(f"/proc/{pid}/exe")
    except PermissionError as e:
        raise gdb.GdbError("a keep's processes are not dumpable; gdb must run as root") from e
    if watchdog_is_on(pid):
        print("the launcher ends a keep that stands still for long; start it with CELLA_WATCHDOG=0 in the environment")
    gdb.execute("set sysroot /")
    gdb.execute("set pagination off")
    gdb.execute("set confirm off")
    # The build names sources relative to itself.
    gdb.execute(f"set substitute-path .. {ROOT}")
    gdb.execute(f"file {runtime}")
    # The host's signals are the keep's traps and ticks.
    for name in ("SIGSYS", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIG34", "SIG35"):
        gdb.execute(f"handle {name} nostop noprint pass", to_string=True)
    gdb.execute(f"attach {pid}")
    print(f"attached to host process {pid} of {len(keep_processes(pid))}; {len(list(processes()))} processes in the keep")


# ---- the kernel's structures ----


def value(expression):
    return gdb.parse_and_eval(expression)


def container(link, type_name, member):
    t = gdb.lookup_type(type_name)
    offset = t[member].bitpos // 8
    return gdb.Value(int(link) - offset).cast(t.pointer()).dereference()


def walk(head, type_name, member):
    first = int(head.address)
    link = head["next"]
    for _ in range(MAX_ITEMS):
        if int(link) == first or int(link) == 0:
            return
        item = container(link, type_name, member)
        yield item
        link = item[member]["next"]
    raise gdb.GdbError("a list has no end: it was being changed; try again")


def processes():
    return walk(value("process_list"), "struct process", "all_link")


def threads():
    for p in processes():
        for t in walk(p["threads"], "struct thread", "process_link"):
            yield p, t


def cpus():
    for i in range(int(value("nr_cpus"))):
        yield value(f"cpus[{i}]")


def text(chars):
    return chars.string(errors="replace") if chars.type.code == gdb.TYPE_CODE_ARRAY else ""


def state_name(t):
    states = {f.enumval: f.name for f in gdb.lookup_type("enum thread_state").fields()}
    name = states.get(int(t["state"]), "?").replace("THREAD_", "").lower()
    return "running" if name == "runnable" and t["running"] else name


def in_user(t):
    return any(int(c["thread"]) == int(t.address) and int(c["in_user"]) for c in cpus())


def call_name(t):
    """The system call that the thread is in; empty when it is in none."""
    if not int(t["mm"]) or in_user(t):
        return ""
    size = int(value("sizeof(boot_idle_stack)"))  # KSTACK_SIZE
    regs_type = gdb.lookup_type("struct regs")
    regs = gdb.Value(int(t["kstack"]) + size - regs_type.sizeof).cast(regs_type.pointer()).dereference()
    nr = int(regs["orig_rax"])
    count = value("sizeof(syscall_table) / sizeof(syscall_table[0])")
    if nr >= int(count):
        return ""
    name = value(f"syscall_table[{nr}].name")
    return name.string() if int(name) else str(nr)


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def function_at(pc):
    m = re.match(r"(\S+)( \+ \d+)? in section", gdb.execute(f"info symbol {pc:#x}", to_string=True))
    return m.group(1) if m else None


def kernel_stack(t):
    """[pc] of a thread that is not on a CPU, innermost first, by the frame pointers."""
    low, size = int(t["kstack"]), int(value("sizeof(boot_idle_stack)"))
    rsp = int(t["hctx"]["rsp"])
    if not low <= rsp <= low + size - 8 * (SAVED_REGISTERS + 1):
        return []
    frame, pcs = word(rsp + 8 * (SAVED_REGISTERS - 1)), [word(rsp + 8 * SAVED_REGISTERS)]
    while low <= frame < low + size - 16 and len(pcs) < MAX_FRAMES:
        pc, outer = word(frame + 8), word(frame)
        if function_at(pc) is None:
            break
        pcs.append(pc)
        if outer <= frame:
            break
        frame = outer
    return pcs


def short_stack(t):
    """Innermost functions, without those that every sleeper is in."""
    always = {"schedule", "sched_resched", "switch_away", "schedule_timeout", "wait_sleep", "hal_switch"}
    names = [n for n in map(function_at, kernel_stack(t)) if n]
    while len(names) > 1 and names[0] in always:
        names.pop(0)
    return " < ".join(names[:4])


# ---- symbols for perf ----
#
# To the host all memory of the keep's files is one memory file: perf knows a sample as an offset in "/memfd:cella-kernel", in whatever
# process it was. So one ELF file with a symbol table over those offsets serves all processes of the keep.

MEMFD = "/memfd:cella-kernel (deleted)"


def tree(node, type_name, member):
    """The items of a red-black tree."""
    todo = [node]
    for _ in range(MAX_ITEMS):
        if not todo:
            return
        n = todo.pop()
        if int(n) == 0:
            continue
        todo += [n["left"], n["right"]]
        yield container(n, type_name, member)
    raise gdb.GdbError("a tree has no end: it was being changed; try again")


def path_of(path):
    """The keep's name of an open file."""
    mount, d, names = path["mnt"], path["dentry"], []
    for _ in range(4096):
        if int(d) == int(mount["root"]):
            if not int(mount["parent"]):
                break
            mount, d = mount["parent"], mount["mountpoint"]
        elif int(d["parent"]) in (0, int(d)):
            break
        else:
            names.insert(0, d["name"].string(errors="replace"))
            d = d["parent"]
    return "/" + "/".join(names)


def memfd_ranges(pid):
    """[(start, end, offset)] of the host process's executable mappings of the keep's memory file."""
    found = []
    for line in read_file(f"/proc/{pid}/maps").decode(errors="replace").splitlines():
        f = line.split(None, 5)
        if len(f) == 6 and "x" in f[1] and f[5] == MEMFD:
            start, end = (int(x, 16) for x in f[0].split("-"))
            found.append((start, end, int(f[2], 16)))
    return found


def functions(path):
    """[(file offset, size, name)] of an ELF file's functions."""
    def run(*argv):
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode(errors="replace")

    segments = [[int(x, 16) for x in m] for m in
                re.findall(r"^\s*LOAD\s+0x(\w+)\s+0x(\w+)\s+0x\w+\s+0x(\w+)", run("readelf", "-lW", path), re.M)]
    found = {}
    for line in run("readelf", "-sW", path).splitlines():
        f = line.split()
        if len(f) < 8 or f[3] not in ("FUNC", "IFUNC") or f[6] == "UND" or not f[1].isalnum():
            continue
        address, size = int(f[1], 16), int(f[2], 0)
        for offset, start, length in segments:
            if size and start <= address < start + length:
                found[address - start + offset] = (size, f[7].split("@")[0])
    return [(offset, size, name) for offset, (size, name) in found.items()]


def executable_files():
    """{(memfd offset, length, file offset, keep's path)} of every process."""
    mine, found = keep_processes(gdb.selected_inferior().pid), set()
    for _, t in threads():
        if not int(t["mm"]) or not int(t["mm"]["as"]):
            continue
        ranges = memfd_ranges(mine.get(int(t["mm"]["as"]["pid"]), 0))
        for v in tree(t["mm"]["vmas"]["node"], "struct vma", "rb"):
            if not int(v["file"]) or not int(v["prot"]) & 4:
                continue
            first, last = int(v["start"]), int(v["end"])
            for start, end, offset in ranges:
                low, high = max(start, first), min(end, last)
                if low < high:
                    found.add((offset + low - start, high - low, int(v["offset"]) + low - first, path_of(v["file"]["path"])))
    return found


def symbol_elf(symbols):
    """An ELF file that has only a symbol table, [(value, size, name)], in one section that stands where the symbols do."""
    names, table = b"\0", struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)
    for value_, size, name in sorted(symbols):
        table += struct.pack("<IBBHQQ", len(names), 0x12, 0, 1, value_, size)  # global function
        names += name.encode() + b"\0"
    low = min((s[0] for s in symbols), default=0) & ~4095
    length = max((s[0] + s[1] for s in symbols), default=0) - low
    section_names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    at = 64 + 56
    where = [at, at + len(table), at + len(table) + len(names)]
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 8, 6, low, low, length, 0, 0, 16, 0),  # SHT_NOBITS, alloc and exec
        (7, 2, 0, 0, where[0], len(table), 3, 1, 8, 24),
        (15, 3, 0, 0, where[1], len(names), 0, 0, 1, 0),
        (23, 3, 0, 0, where[2], len(section_names), 0, 0, 1, 0),
    ]
    headers_at = where[2] + len(section_names)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, headers_at, 0, 64, 56, 1, 64, len(sections), 4)
    segment = struct.pack("<IIQQQQQQ", 1, 5, low, low, low, length, length, 4096)
    return head + segment + table + names + section_names + b"".join(struct.pack("<IIQQQQIIQQ", *s) for s in sections)


def cmd_symfs(args):
    if len(args) not in (1, 2):
        raise gdb.GdbError("give the directory to write to, and the host directory that is the keep's root if it is not /")
    directory, root = args[0], args[1] if len(args) == 2 else "/"
    symbols, cache = {}, {}
    for start, length, offset, path in executable_files():
        if path not in cache:
            cache[path] = functions(root.rstrip("/") + path)
        inside = [(start + at - offset, size, name) for at, size, name in cache[path] if offset <= at < offset + length]
        for s in inside or [(start, length, f"[{path}]")]:
            symbols[s[0]] = s
    os.makedirs(directory, exist_ok=True)
    with open(directory + MEMFD, "wb") as f:
        f.write(symbol_elf(list(symbols.values())))
    runtime = os.readlink(f"/proc/{gdb.selected_inferior().pid}/exe")
    os.makedirs(directory + os.path.dirname(runtime), exist_ok=True)
    shutil.copy(runtime, directory + runtime)
    print(f"{len(symbols)} symbols of {len(cache)} files; see them with: perf report --symfs {directory}")


# ---- commands ----


class Command(gdb.Command):
    """A command with its help text; a keep's memory that cannot be read is an error of one line."""

    def __init__(self, name, help_text, fn):
        self.__doc__ = help_text
        self.fn = fn
        super().__init__(name, gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        args = gdb.string_to_argv(argument)
        try:
            self.fn(args)
        except (gdb.MemoryError, gdb.error) as e:
            raise gdb.GdbError(f"{e} (attached to a keep? see cella-attach)") from e


def number(args, what):
    if len(args) != 1 or not args[0].isdigit():
        raise gdb.GdbError(f"give one number: {what}")
    return int(args[0])


def cmd_attach(args):
    attach(number(args, "the process id of `cella run`, or of a host process of its keep"))


def cmd_cpus(args):
    mine = keep_processes(gdb.selected_inferior().pid)
    print(f"{'CPU':>3} {'STATE':<8} {'QUEUED':>6} {'SWITCHES':>10} {'HOST PID':>8}  THREAD")
    for c in cpus():
        t = c["thread"]
        state = "user" if int(c["in_user"]) else "idle" if int(c["idle"]) else "kernel"
        host = mine.get(int(c["as"]["pid"]), "?") if int(c["as"]) else "-"
        who = f"{int(t['tid'])} {text(t['comm'])}" if int(t) else "-"
        print(f"{int(c['id']):>3} {state:<8} {int(c['nr_running']):>6} {int(c['nr_switches']):>10} {host:>8}  {who}")


def cmd_threads(args):
    mine = keep_processes(gdb.selected_inferior().pid)
    print(f"{'TID':>6} {'PID':>6} {'COMM':<15} {'STATE':<15} {'CPU':>3} {'HOST PID':>8} {'CALL':<16} KERNEL STACK")
    for p, t in threads():
        host = mine.get(int(t["mm"]["as"]["pid"]), "?") if int(t["mm"]) and int(t["mm"]["as"]) else "-"
        stack = "" if t["running"] else short_stack(t)
        print(f"{int(t['tid']):>6} {int(p['pid']):>6} {text(t['comm']):<15} {state_name(t):<15} {int(t['cpu']):>3} {host:>8} {call_name(t):<16} {stack}")


def cmd_bt(args):
    tid = number(args, "a thread id, as cella-threads shows it")
    for _, t in threads():
        if int(t["tid"]) != tid:
            continue
        if t["running"]:
            print(f"thread {tid} is on CPU {int(t['cpu'])}: attach to the host process that cella-cpus names, and see `thread apply all bt`")
            return
        for i, pc in enumerate(kernel_stack(t)):
            where = gdb.find_pc_line(pc - 1)
            place = f" at {where.symtab.filename}:{where.line}" if where.symtab else ""
            print(f"#{i:<2} {pc:#x} in {function_at(pc)}{place}")
        return
    raise gdb.GdbError(f"no thread {tid} in this keep")


Command("cella-attach", "Attaches to a process keep: cella-attach PID, of `cella run` or of a host process of the keep.", cmd_attach)
Command("cella-cpus", "Lists the keep's virtual CPUs and what each runs.", cmd_cpus)
Command("cella-threads", "Lists the keep's threads: state, system call, and where each waits in the kernel.", cmd_threads)
Command("cella-bt", "Shows the kernel stack of a thread of the keep: cella-bt TID.", cmd_bt)
Command("cella-symfs", "Writes symbols for perf report --symfs: cella-symfs DIR [ROOT].", cmd_symfs)
